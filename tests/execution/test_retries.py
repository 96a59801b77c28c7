"""What failed is tried again if it may be, counted, and left alone when it keeps failing (F3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import BadArguments, DeclarationError, ToolTimeout, ToolUnavailable, UpstreamFailed
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.retries import FIRST_S, LONGEST_S
from asyncfc.execution.scheduler import ABANDON_AFTER
from asyncfc.execution.work import Result, Running, Work
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Call, Session
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.tools import Tool, tool
from asyncfc.trace.events import Event

Story = Callable[[Session, "Flaky"], Awaitable[None]]


class Flaky:
    """Tools that fail as often as told before they succeed, and a log of what they did and when."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self.state: dict[str, list[str]] = {}
        self.running = self.most = 0

    async def work(self, name: str, fails: int = 0, s: float = 1.0, path: str = "", after: Any = None) -> str:
        self.tries[name] += 1
        self.log.append((now(), name))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(s)
        finally:
            self.running -= 1
        if self.tries[name] <= fails:
            raise ConnectionError(f"{name} failed")
        seen = self.state.setdefault(path, [])
        return ",".join(seen)

    async def put(self, name: str, fails: int = 0, s: float = 1.0, path: str = "") -> str:
        before = await self.work(name, fails, s, path)
        if name not in self.state[path]:
            self.state[path].append(name)
        return before

    def tools(self, **effects: Any) -> list[Tool]:
        write = {"writes": "cells.{path}", "idempotent": True, "retries": 2}
        return [
            Tool(self.work, name="read", effects={"reads": "cells.{path}", "retries": 2, **effects}),
            Tool(self.work, name="once", effects={"pure": True}),
            Tool(self.put, name="write", effects=write),
        ]


def now() -> float:
    return asyncio.get_running_loop().time()


def play(story: Story, *, effects: dict[str, Any] | None = None, **settings: Any) -> Flaky:
    flaky = Flaky()

    async def main() -> None:
        async with Session(flaky.tools(**(effects or {})), **settings) as session:
            await story(session, flaky)

    run_virtual(main)
    return flaky


async def call(session: Session, name: str, **arguments: Any) -> Future:
    (answer,) = await session.submit([Call(f"call {arguments}", name, {"name": name, **arguments})])
    return answer.future


# --- what is refused, and what is not tried again ----------------------------------------------------------


@pytest.mark.parametrize(
    "effects", [{"retries": 1}, {"writes": "a", "retries": 1}, {"level": "irreversible", "retries": 2}]
)
def test_only_what_reads_or_is_idempotent_may_have_retries(effects: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match=r"'work'.*declare it idempotent"):
        Tool(Flaky().work, effects=effects)


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ({"retries": -1}, "'retries'"),
        ({"retries": True}, "'retries'"),
        ({"breaker": {"failures": 0, "rest": 1}}, "'breaker.failures'"),
        ({"breaker": {"failures": 1}}, "'breaker.rest'"),
        ({"breaker": "5/s"}, "'breaker'"),
    ],
)
def test_retries_and_breakers_are_checked(effects: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Tool(Flaky().work, effects={"pure": True, **effects})


def test_the_decorator_takes_them_too() -> None:
    @tool(writes="a", idempotent=True, retries=3, breaker={"failures": 5, "rest": 30})
    async def save() -> None: ...

    assert save.retries == 3
    assert save.breaker is not None
    assert (save.breaker.failures, save.breaker.rest) == (5, 30)


def test_without_retries_a_call_is_made_once() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        with pytest.raises(ConnectionError):
            await (await call(session, "once", fails=1))
        assert flaky.tries["once"] == 1

    play(story)


def test_what_the_model_wrote_wrongly_is_not_tried_again() -> None:
    async def checked(n: int) -> None: ...

    async def main() -> None:
        events: list[Event] = []
        made = Tool(checked, effects={"pure": True, "retries": 5}, validate=True)
        async with Session([made], on_event=events.append) as session:
            (answer,) = await session.submit([Call("c", "checked", {"n": "many"})])
            with pytest.raises(BadArguments):
                await answer.future
        assert "retry" not in [event.kind for event in events]

    run_virtual(main)


def test_when_all_tries_have_failed_the_last_error_is_the_outcome_and_what_needs_it_fails_once() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        answers = await session.submit(
            [
                Call("a", "read", {"name": "a", "fails": 9}),
                Call("b", "once", {"name": "b", "after": "$this_1"}),
            ]
        )
        with pytest.raises(ConnectionError):
            await answers[0].future
        with pytest.raises(UpstreamFailed):
            await answers[1].future
        assert flaky.tries == {"a": 3}

    play(story)


def test_a_timeout_is_not_tried_again_and_each_try_has_its_own() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        slow = await call(session, "read", s=5)
        with pytest.raises(ToolTimeout):
            await slow
        assert now() == 2
        flaky.tries.clear()
        assert await (await call(session, "read", fails=2, s=1.5)) == ""
        assert now() > 2 + 3 * 1.5

    play(story, effects={"timeout": 2})


@pytest.mark.parametrize("at", [0.5, 1.2])
def test_a_call_may_be_cancelled_while_it_is_tried_and_between_two_tries(at: float) -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        future = await call(session, "read", fails=1)
        await asyncio.sleep(at)
        assert session.cancel(future)
        assert isinstance(await future.wait(), Cancelled)
        assert now() == at
        await asyncio.sleep(5)
        assert flaky.tries["read"] == 1

    play(story)


def test_a_session_that_closes_between_two_tries_leaves_nothing() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        future = await call(session, "read", fails=1)
        await asyncio.sleep(1.2)
        assert (await session.close()).left == ()
        assert isinstance(future.outcome, Cancelled)

    assert play(story).tries["read"] == 1


# --- what is tried again -----------------------------------------------------------------------------------


def test_it_is_tried_again_after_pauses_that_get_longer_and_told_of() -> None:
    events: list[Event] = []

    async def story(session: Session, flaky: Flaky) -> None:
        assert await (await call(session, "read", fails=2)) == ""
        (first, second, third) = [at for at, _ in flaky.log]
        pauses = second - first - 1, third - second - 1
        assert FIRST_S <= pauses[0] <= 2 * FIRST_S
        assert 2 * FIRST_S <= pauses[1] <= 3 * FIRST_S <= LONGEST_S
        told = [event for event in events if event.kind == "retry"]
        assert [event.data["tries"] for event in told] == [1, 2]
        assert [event.data["pause_s"] for event in told] == pytest.approx(pauses)
        assert all(isinstance(event.data["outcome"], Failure) for event in told)
        assert [event.kind for event in events].count("started") == 3
        assert [event.kind for event in events].count("settled") == 1

    play(story, on_event=events.append)


def test_the_trace_counts_tries_and_takes_pauses_for_no_work() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        await (await call(session, "read", fails=2))
        report = session.trace.report
        (record,) = report.record.calls.values()
        assert (record.tries, report.retries) == (3, 2)
        assert report.why(record.order).endswith("it was tried 3 times")
        assert "; retries 2" in str(report)
        assert record.seconds == pytest.approx(3)
        assert len(record.pauses) == 2

    play(story, trace=True)


def test_a_call_that_waits_for_its_next_try_has_no_slot_but_keeps_its_claim() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        first = await call(session, "write", fails=1, path="a")
        behind = await call(session, "read", path="a")
        other = await call(session, "once", s=0.2)
        await other
        assert now() == 1.2
        assert await behind == "write"
        assert await first == ""

    flaky = play(story, limits={"*": 1})
    assert flaky.most == 1


def test_each_try_counts_for_the_rate() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        await (await call(session, "read", fails=2, s=0))
        assert [at for at, _ in flaky.log] == [0, 10, 20]

    play(story, rates={"tool:read": "1/10s"})


class Late(LocalExecutor):
    """Knows the outcome of work some seconds before the work has ended, with another result."""

    def __init__(self, seconds: float) -> None:
        super().__init__(MemoryStore())
        self._seconds = seconds

    def start(self, work: Work) -> Running:
        return _Late(super().start(work), self._seconds)


class _Late:
    def __init__(self, inner: Running, seconds: float) -> None:
        self.outcome, self.cancel = inner.outcome, inner.cancel
        self.ended = asyncio.ensure_future(self._end(inner, seconds))

    async def _end(self, inner: Running, seconds: float) -> Result:
        await inner.ended
        await asyncio.sleep(seconds)
        return Result(Cancelled("the worker has stopped"))


def test_work_in_another_place_is_tried_again_when_it_has_truly_ended() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        assert await (await call(session, "read", fails=1)) == ""
        assert 5 + FIRST_S <= flaky.log[1][0] <= 5 + 2 * FIRST_S
        with pytest.raises(ConnectionError):  # what came of it first
            await (await call(session, "once", fails=1))

    play(story, executor=Late(4))


def test_work_that_has_failed_and_does_not_end_is_not_tried_again() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        with pytest.raises(ConnectionError):
            await (await call(session, "read", fails=1))
        assert now() == 1 + ABANDON_AFTER
        assert len(flaky.log) == 1
        finished = await session.finish(100)
        assert not finished.left

    play(story, executor=Late(10))


def test_what_a_try_leaves_running_does_not_keep_the_next_one_from_starting() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        left: list[asyncio.Task[Any]] = []

        async def outer() -> str:
            async def ask() -> None:
                (answer,) = await session.submit([Call("in", "once", {"name": "in", "s": 1})])
                await answer.future

            left.append(asyncio.ensure_future(ask()))
            await asyncio.sleep(1.5)
            if len(left) == 1:
                raise ConnectionError
            await asyncio.wait(left)
            return "done"

        session.offer(Tool(outer, name="outer", effects={"pure": True, "retries": 1}))
        (answer,) = await session.submit([Call("out", "outer", {})])
        await session.submit([Call(f"{n}", "read", {"name": str(n), "s": 5}) for n in range(3)])
        assert await answer.future == "done"
        await asyncio.wait(left)

    play(story, limits={"*": 1})


def test_a_breaker_that_opens_between_two_tries_leaves_the_error_of_the_first() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        session.offer(
            Tool(
                flaky.work,
                name="work",
                effects={"pure": True, "retries": 3, "breaker": {"failures": 1, "rest": 60}},
            )
        )
        (answer,) = await session.submit([Call("1", "work", {"name": "1", "fails": 9})])
        with pytest.raises(ConnectionError):
            await answer.future

    play(story)


def test_what_the_model_writes_wrongly_does_not_close_a_breaker() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        async def work(n: int) -> None:
            raise ConnectionError

        breaker = {"failures": 2, "rest": 60}
        session.offer(Tool(work, effects={"pure": True, "breaker": breaker}, validate=True))
        errors = []
        for number, n in enumerate([1, "x", 2, 3]):
            (answer,) = await session.submit([Call(str(number), "work", {"n": n})])
            outcome = await answer.future.wait()
            errors.append(type(outcome.error) if isinstance(outcome, Failure) else None)
        assert errors == [ConnectionError, BadArguments, ConnectionError, ToolUnavailable]

    play(story)


def test_work_that_cannot_be_stopped_is_tried_again_although_somebody_tried_to_cancel_it() -> None:
    class Deaf(LocalExecutor):
        def start(self, work: Work) -> Running:
            late = _Late(super().start(work), 0)
            late.cancel = lambda: False
            return late

    async def story(session: Session, flaky: Flaky) -> None:
        future = await call(session, "read", fails=1)
        await asyncio.sleep(0.5)
        assert not session.cancel(future)
        assert await future == ""

    play(story, executor=Deaf(MemoryStore()))


STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "write"]), st.sampled_from("ab"), st.integers(0, 2)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("mode", ["fifo", "shuffled"])
@given(steps=STEPS, slots=st.integers(1, 3), seed=st.integers(0, 99))
def test_results_and_state_are_those_of_the_calls_one_after_the_other_as_if_none_had_failed(
    mode: Mode, steps: list[tuple[str, str, int]], slots: int, seed: int
) -> None:
    flaky = Flaky()
    expected: list[str] = []
    cells: dict[str, list[str]] = {}
    for n, (kind, path, _) in enumerate(steps):
        expected.append(",".join(cells.setdefault(path, [])))
        cells[path] += [str(n)] * (kind == "write")

    async def main() -> None:
        async with Session(flaky.tools(), limits={"*": slots}) as session:
            calls = [
                Call(str(n), kind, {"name": str(n), "path": path, "fails": fails})
                for n, (kind, path, fails) in enumerate(steps)
            ]
            answers = await session.submit(calls)
            assert [await answer.future for answer in answers] == expected
            await session.finish()

    run_virtual(main, seed=seed, mode=mode)
    assert flaky.state == cells
    assert flaky.tries == {str(n): fails + 1 for n, (_, _, fails) in enumerate(steps)}
    assert flaky.most <= slots


# --- a tool that keeps failing -----------------------------------------------------------------------------

BREAKER = {"retries": 0, "breaker": {"failures": 2, "rest": 10}}


def test_a_tool_that_has_failed_so_often_in_a_row_is_not_called_for_a_while() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await (await call(session, "read", fails=9))
        with pytest.raises(ToolUnavailable, match=r"'read' has failed 2 times in a row.* 10 s"):
            await (await call(session, "read"))
        assert (now(), flaky.tries["read"]) == (2, 2)
        await (await call(session, "once"))  # another tool is not concerned
        await asyncio.sleep(9)
        trial = await call(session, "read", fails=9)
        with pytest.raises(ToolUnavailable):  # one trial at a time
            await (await call(session, "read"))
        with pytest.raises(ConnectionError):
            await trial
        with pytest.raises(ToolUnavailable):
            await (await call(session, "read"))
        await asyncio.sleep(10)
        await (await call(session, "read"))
        await (await call(session, "read"))
        assert flaky.tries["read"] == 5

    play(story, effects=BREAKER)


def test_failures_count_only_in_a_row() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        for fails in (9, 0, 9, 0):
            await (await call(session, "read", fails=fails)).wait()
        assert flaky.tries["read"] == 4

    play(story, effects=BREAKER)


def test_a_trial_that_is_cancelled_keeps_the_tool_closed_for_one_more_rest_only() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        for _ in range(2):
            await (await call(session, "read", fails=9)).wait()
        await asyncio.sleep(10)
        trial = await call(session, "read", s=60)
        await asyncio.sleep(1)
        session.cancel(trial)
        await asyncio.sleep(9)
        flaky.tries.clear()
        assert await (await call(session, "read")) == ""

    play(story, effects=BREAKER)


def test_timeouts_count_and_so_does_every_try() -> None:
    async def story(session: Session, flaky: Flaky) -> None:
        await (await call(session, "read", s=9)).wait()
        error = await (await call(session, "read", fails=9)).wait()
        assert isinstance(error, Failure)
        assert isinstance(error.error, ConnectionError)
        assert flaky.tries["read"] == 2
        refused = await (await call(session, "read")).wait()
        assert isinstance(refused, Failure)
        assert isinstance(refused.error, ToolUnavailable)

    play(story, effects={"retries": 3, "timeout": 2, "breaker": {"failures": 2, "rest": 60}})
