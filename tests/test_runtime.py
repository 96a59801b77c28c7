"""What several sessions share: fair shares of the slots, caps, room for messages, how all of it stands."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.agent import run
from asyncfc.errors import DeclarationError, SessionClosed
from asyncfc.execution.task import Task
from asyncfc.runtime import Runtime
from asyncfc.session import Call, Session
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.tools import Tool

Story = Callable[[Runtime], Awaitable[None]]


class Log:
    """A tool that takes what it is told, and a list of who has started a call, and how many run."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.work = Tool(self._work, name="work", effects="pure")
        self.other = Tool(self._work, name="other", effects="pure")

    async def _work(self, who: str, s: float = 1.0) -> None:
        self.starts.append(who)
        for name in (who, "all"):
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])
        await asyncio.sleep(s)
        self.running.subtract([who, "all"])


def calls(who: str, count: int, *, tool: str = "work", s: float = 1.0) -> list[Call]:
    return [Call(f"{who} {n}", tool, {"who": who, "s": s}) for n in range(count)]


def play(story: Story, *, seed: int = 0, mode: Mode = "fifo", **settings: Any) -> None:
    async def main() -> None:
        runtime = Runtime(**settings)
        await story(runtime)
        runtime.close()

    run_virtual(main, seed=seed, mode=mode)


async def flood(runtime: Runtime, log: Log, weights: list[float], *, seconds: float) -> None:
    """All sessions want more than there is for so long; each has its part of the starts by its weight."""
    sessions = [Session([log.work], runtime=runtime, weight=weight) for weight in weights]
    for number, session in enumerate(sessions):
        await session.submit(calls(str(number), 30))
    await asyncio.sleep(seconds)
    for number, weight in enumerate(weights):
        share = weight / sum(weights) * len(log.starts)
        assert abs(log.starts.count(str(number)) - share) <= len(weights) + weight
    for session in sessions:
        await session.close()


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0, -1, True, "2", None, float("inf"), float("nan"), 10**400, 1e-9])
def test_a_weight_is_a_number_within_reason(weight: Any) -> None:
    with pytest.raises(DeclarationError, match="weight"):
        Session([], weight=weight)


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "4"])
def test_room_is_for_at_least_one_call(most: Any) -> None:
    with pytest.raises(DeclarationError, match="max_live"):
        Runtime(max_live=most)


def test_caps_are_written_as_limits_are() -> None:
    with pytest.raises(DeclarationError, match="'tool:x'"):
        Runtime(per_session={"tool:x": 0})


# --- shares ---------------------------------------------------------------------------------------------


@given(
    weights=st.lists(st.sampled_from([1.0, 1.0, 2.0, 3.0]), min_size=2, max_size=4),
    slots=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_sessions_that_wait_all_the_time_start_calls_by_their_weights(
    weights: list[float], slots: int, seed: int
) -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        await flood(runtime, log, weights, seconds=6.5)

    play(story, seed=seed, mode="shuffled", limits={"*": slots})


def test_a_flood_does_not_keep_another_session_waiting() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as flood, Session([log.work], runtime=runtime) as one:
            await flood.submit(calls("flood", 200))
            await asyncio.sleep(10.5)
            (answer,) = await one.submit(calls("one", 1))
            await answer.future
            assert asyncio.get_running_loop().time() == 12
            await flood.close()

    play(story, limits={"*": 2})


def test_a_thousand_calls_of_ten_sessions_are_done_at_the_same_pace() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        sessions = [Session([log.work], runtime=runtime) for _ in range(10)]
        for number, session in enumerate(sessions):
            await session.submit(calls(str(number), 40, s=1 + number / 10))
        await asyncio.sleep(36)  # of 72 and some
        finished = [session.finished for session in runtime.statistics().sessions]
        assert 180 < sum(finished) < 220
        assert max(finished) / min(finished) <= 1.2
        for session in sessions:
            await session.finish()

    play(story, limits={"*": 8})


# --- caps -----------------------------------------------------------------------------------------------


@given(cap=st.integers(1, 3), seed=st.integers(0, 99))
def test_no_session_runs_more_than_its_cap_and_others_have_the_rest(cap: int, seed: int) -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            await a.submit(calls("a", 7))
            await b.submit(calls("b", 7))
            await a.finish()
            await b.finish()

    play(story, seed=seed, mode="shuffled", limits={"*": 4}, per_session={"*": cap})
    assert max(log.most["a"], log.most["b"]) <= cap
    assert log.most["all"] == min(4, 2 * cap)


def test_a_cap_may_be_of_a_tool_and_a_call_that_waits_for_it_holds_no_slot_of_others() -> None:
    log = Log()
    queued: list[Any] = []

    async def story(runtime: Runtime) -> None:
        tools = [log.work, log.other]
        async with Session(tools, runtime=runtime, on_event=queued.append) as a:
            await a.submit(calls("a", 3) + calls("b", 1, tool="other"))
            await a.finish()

    play(story, limits={"*": 2}, per_session={"tool:work": 1})
    assert log.starts == ["a", "b", "a", "a"]
    names = [event.data["limits"] for event in queued if event.kind == "queued"]
    assert names == [("session tool:work", "*")] * 2


def test_caps_need_no_limits() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a:
            await a.submit(calls("a", 3))
            await a.finish()

    play(story, per_session={"*": 1})
    assert log.most["a"] == 1


@given(
    weights=st.lists(st.sampled_from([1.0, 1.0, 2.0, 3.0]), min_size=2, max_size=4),
    keys=st.sampled_from([["*"], ["tool:work"], ["*", "tool:work"]]),
    seed=st.integers(0, 99),
)
def test_sessions_take_turns_where_rates_make_their_calls_wait(
    weights: list[float], keys: list[str], seed: int
) -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        await flood(runtime, log, weights, seconds=20.5)
        assert len(log.starts) == 21

    play(story, seed=seed, mode="shuffled", rates=dict.fromkeys(keys, "1/s"))


def test_the_cap_of_a_session_keeps_nobody_else_waiting_at_a_rate() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            await a.submit(calls("a", 2, s=60))
            await asyncio.sleep(1)
            await b.submit(calls("b", 1))
            await b.finish()
            assert (asyncio.get_running_loop().time(), log.starts) == (2, ["a", "b"])

    play(story, rates={"tool:work": "100/s"}, per_session={"tool:work": 1})


def test_a_session_that_comes_later_is_not_kept_out_by_a_flood_under_rates() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as flood, Session([log.work], runtime=runtime) as one:
            await flood.submit(calls("flood", 50))
            await asyncio.sleep(4.5)
            await one.submit(calls("one", 2))
            assert runtime.statistics().queued == 47
            await one.finish()
            assert log.starts[5:9].count("one") == 2
            await flood.close()
        assert runtime.statistics().queued == 0

    play(story, rates={"*": "1/s"})


# --- room -----------------------------------------------------------------------------------------------


def test_a_message_waits_outside_until_there_is_room_and_is_never_cut_in_two() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        loop = asyncio.get_running_loop()
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            await a.submit(calls("a", 5))  # more than there is room for
            assert runtime.statistics().live == 5
            waiting = asyncio.ensure_future(b.submit(calls("b", 2)))
            await asyncio.sleep(0.5)
            assert (runtime.statistics().live, runtime.statistics().waiting_messages) == (5, 1)
            assert not waiting.done()
            await waiting
            assert loop.time() == 1
            assert runtime.statistics().waiting_messages == 0

    play(story, max_live=3)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_no_more_than_one_message_too_many_is_ever_live(sizes: list[int], seed: int) -> None:
    log = Log()
    order: list[int] = []

    async def story(runtime: Runtime) -> None:
        async def one(number: int, size: int) -> None:
            async with Session([log.work], runtime=runtime) as session:
                await session.submit(calls(str(number), size))
                order.append(number)
                assert runtime.statistics().live < 3 + size
                await session.finish()

        await asyncio.gather(*(one(number, size) for number, size in enumerate(sizes)))

    play(story, seed=seed, max_live=3)
    assert order == list(range(len(sizes)))  # first come, first served


def test_calls_from_inside_others_never_wait_for_room() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async def outer() -> None:
            for _ in range(2):
                (answer,) = await session.submit(calls("in", 1))
                await answer.future

        async with Session([log.work, Tool(outer, effects="pure")], runtime=runtime) as session:
            (answer,) = await session.submit([Call("o", "outer", {})])
            await answer.future

    play(story, max_live=1)


def test_messages_that_are_asked_for_take_room_and_one_session_does_not_wait_for_itself() -> None:
    log = Log()
    asking: list[int] = []

    async def story(runtime: Runtime) -> None:
        async def one(number: int) -> None:
            async with Session([log.work], runtime=runtime) as session:
                await session.room()
                with session.sampling():
                    asking.append(number)
                    await asyncio.sleep(1)
                    await session.submit(calls(str(number), 1))
                await session.finish()

        await asyncio.gather(*(one(number) for number in range(3)))
        assert asyncio.get_running_loop().time() == 6  # a request and a call each, one after the other
        assert asking == [0, 1, 2]

    play(story, max_live=1)


def test_a_request_that_fails_takes_no_room() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            with suppress(ConnectionError), a.sampling():
                waiting = asyncio.ensure_future(b.submit(calls("b", 1)))
                await asyncio.sleep(1)
                assert runtime.statistics().waiting_messages == 1
                raise ConnectionError
            await waiting
            assert asyncio.get_running_loop().time() == 1

    play(story, max_live=1)


def test_a_message_that_comes_twice_while_it_waits_for_room_is_made_once() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            await a.submit(calls("a", 1))
            twice = await asyncio.gather(*(b.submit(calls("b", 1), message_id="m") for _ in range(2)))
            assert twice[0][0].future is twice[1][0].future
            await b.finish()
            assert log.starts == ["a", "b"]

    play(story, max_live=1)


def test_who_waits_for_room_may_give_up_and_the_next_one_is_let_in() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        sessions = [Session([log.work], runtime=runtime) for _ in range(4)]
        await sessions[0].submit(calls("0", 1))
        waiting = [asyncio.ensure_future(s.submit(calls(str(n), 1))) for n, s in enumerate(sessions[1:], 1)]
        await asyncio.sleep(0.5)
        waiting[0].cancel()
        await sessions[2].close()
        with pytest.raises(SessionClosed):
            await waiting[1]
        await waiting[2]
        assert asyncio.get_running_loop().time() == 1
        for session in sessions:
            await session.close()

    play(story, max_live=1)


def test_one_that_is_cancelled_as_it_is_let_in_leaves_the_room_to_the_next() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as a, Session([log.work], runtime=runtime) as b:
            (answer,) = await a.submit(calls("a", 1))
            first, second = (asyncio.ensure_future(session.submit(calls("x", 1))) for session in (a, b))
            await asyncio.sleep(0)
            answer.future.add_done_callback(lambda _: asyncio.get_running_loop().call_soon(first.cancel))
            await second
            assert first.cancelled()

    play(story, max_live=1)


def test_a_loop_waits_for_room_before_it_asks_the_model() -> None:
    log = Log()
    asked: list[float] = []

    async def model(messages: Any, tools: Any) -> Any:
        asked.append(asyncio.get_running_loop().time())
        return {"choices": [{"message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}]}

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as crowd:
            await crowd.submit(calls("a", 1, s=3))
            await run(model, [{"role": "user", "content": "hi"}], [log.work], runtime=runtime)

    play(story, max_live=1)
    assert asked == [3]


# --- statistics -----------------------------------------------------------------------------------------


def test_statistics_say_how_all_stands_and_are_frozen() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with (
            Session([log.work], runtime=runtime, id="a", weight=2) as a,
            Session([log.work], runtime=runtime, id="b") as b,
        ):
            await a.submit(calls("a", 3))
            await a.finish()
            await a.submit(calls("a", 2))
            await asyncio.sleep(0.1)
            await b.submit(calls("b", 3))
            await asyncio.sleep(0.1)
            now = runtime.statistics()
            assert (now.live, now.running, now.queued, now.finished) == (5, 2, 3, 3)
            assert (now.limits["*"].size, now.limits["*"].used, now.limits["*"].waiting) == (2, 2, 3)
            assert now.expected_s == {"work": 1.0}
            one, two = now.sessions
            assert (one.id, one.weight, one.live, one.running, one.queued, one.finished) == (
                "a",
                2,
                2,
                2,
                0,
                3,
            )
            assert (two.id, two.weight, two.live, two.running, two.queued, two.finished) == (
                "b",
                1,
                3,
                0,
                3,
                0,
            )
            with pytest.raises(FrozenInstanceError):
                now.live = 0  # type: ignore[misc]
            with pytest.raises(TypeError, match="item assignment"):
                now.limits["*"] = now.limits["*"]  # type: ignore[index]
            await a.finish()
            await b.finish()
            after = runtime.statistics()
            assert (after.live, after.queued, after.finished, after.limits["*"].used) == (0, 0, 8, 0)
        assert runtime.statistics().sessions == ()

    play(story, limits={"*": 2})


def test_a_closed_session_leaves_nothing_behind_even_if_its_calls_still_waited() -> None:
    log = Log()

    async def story(runtime: Runtime) -> None:
        async with Session([log.work], runtime=runtime) as busy:
            await busy.submit(calls("busy", 3))
            session = Session([log.work], runtime=runtime, id="gone")
            await session.submit(calls("gone", 50))
            await session.close()
            del session
            await asyncio.sleep(2)
            left = [one for one in gc.get_objects() if type(one) is Task and one.tenant.id == "gone"]
            assert left == []
            await busy.finish()

    play(story, limits={"*": 1})
