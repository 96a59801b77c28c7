"""Where two features meet: each test is a combination that once went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from asyncfc.errors import ToolAbandoned, ToolTimeout, UnknownHandle
from asyncfc.execution.executors import Running, Work
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Value, Withheld
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool
from asyncfc.trace.events import Event


async def sleep(s: float) -> None:
    await asyncio.sleep(s)


async def stubborn(s: float) -> None:
    """Goes on for so long, whoever asks it to stop."""
    end = now() + s
    while now() < end:
        try:
            await asyncio.sleep(end - now())
        except asyncio.CancelledError:
            continue


SLEEP = Tool(sleep, name="work", effects="pure")


def now() -> float:
    return asyncio.get_running_loop().time()


async def submit(session: Session, tool: str, **arguments: Any) -> Future:
    return (await session.submit([Call("c", tool, arguments)]))[0].future


def commit(session: Session, tool: str, **arguments: Any) -> Future:
    message = session.message()
    future = message.seal(Call("c", tool, arguments))
    message.commit()
    return future


# --- slots and interrupted waits ---


def test_work_that_is_cancelled_while_it_waits_for_its_slot_is_not_started_again() -> None:
    starts: list[float] = []

    async def main() -> None:
        async def outer() -> None:
            starts.append(now())
            try:
                await (await submit(session, "work", s=1))
            except asyncio.CancelledError:
                await asyncio.sleep(100)
                raise

        effects = {"reads": ["o"], "abandon_after": 1000}
        async with Session([Tool(outer, effects=effects), SLEEP], limits={"*": 1}) as session:
            future = await submit(session, "outer")
            await asyncio.sleep(0.5)
            await submit(session, "work", s=10)
            await asyncio.sleep(2)  # it wants its slot back, which the other has
            assert session.cancel(future)
            await asyncio.sleep(50)
            assert starts == [0]

    run_virtual(main)


def test_a_wait_that_is_interrupted_counts_against_the_limit_again() -> None:
    async def main() -> None:
        async def outer() -> None:
            future = await submit(session, "work", s=5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(future.wait(), 1)
            await asyncio.sleep(20)

        begun: list[float] = []

        async def later() -> None:
            begun.append(now())

        tools = [Tool(outer, effects="read"), SLEEP, Tool(later, effects="pure")]
        async with Session(tools, limits={"*": 1}) as session:
            await submit(session, "outer")
            await asyncio.sleep(0.5)
            await (await submit(session, "later"))
            assert begun == [21]

    run_virtual(main)


def test_two_waits_at_a_time_do_not_lose_each_others_slot() -> None:
    async def main() -> None:
        async def outer() -> None:
            short, long = [await submit(session, "work", s=s) for s in (1, 10)]

            async def late_and_short_of_patience() -> None:
                await asyncio.sleep(2)  # by now the other wait is over and wants the slot back
                await session.await_future(long, timeout=0.5)

            await asyncio.gather(short.wait(), late_and_short_of_patience())

        async with Session([Tool(outer, effects="read"), SLEEP], limits={"*": 1}) as session:
            await asyncio.wait_for((await submit(session, "outer")).wait(), 60)

    run_virtual(main)


# --- children ---


def test_a_tool_may_wait_for_calls_of_a_session_of_its_own() -> None:
    async def main() -> None:
        async def agent() -> None:
            async with Session([SLEEP]) as inner:
                await (await submit(inner, "work", s=1))

        async with Session([agent]) as session:
            assert await (await submit(session, "agent")) is None

    run_virtual(main)


def test_a_child_that_comes_after_a_siblings_write_does_not_share_an_older_read() -> None:
    async def main() -> None:
        state = {"x": 0}

        async def read() -> int:
            value = state["x"]
            await asyncio.sleep(1)
            return value

        async def write() -> None:
            state["x"] = 1

        async def outer() -> list[Any]:
            return [await f for f in [await submit(session, name) for name in ("read", "write", "read")]]

        tools: list[Any] = [
            outer,
            Tool(read, effects={"reads": ["x"]}),
            Tool(write, effects={"writes": ["x"]}),
        ]
        async with Session(tools, duplicates="share") as session:
            assert await (await submit(session, "outer")) == [0, None, 1]

    run_virtual(main)


@pytest.mark.parametrize("policy", ["share", "reject"])
def test_a_child_is_no_duplicate_of_a_call_that_waits_for_its_parent(
    policy: Literal["share", "reject"],
) -> None:
    async def main() -> None:
        async def read() -> int:
            return 1

        async def outer() -> Any:
            await asyncio.sleep(1)
            return await (await submit(session, "read"))

        async with Session([outer, Tool(read, effects={"reads": ["x"]})], duplicates=policy) as session:
            future = await submit(session, "outer")
            await submit(session, "read")
            assert await future == 1

    run_virtual(main)


def test_what_a_given_up_parent_claims_is_in_quarantine_until_its_children_have_ended() -> None:
    async def main() -> None:
        async def outer() -> None:
            await submit(session, "write", s=100)
            await stubborn(10)

        effects = {"writes": ["a"], "timeout": 1, "abandon_after": 1}
        tools = [Tool(outer, effects=effects), Tool(sleep, name="write", effects={"writes": ["a"]})]
        async with Session(tools) as session:
            await submit(session, "outer")
            await asyncio.sleep(20)  # outer has ended, its child has not
            assert isinstance((await submit(session, "write", s=0)).outcome, Failure)
            await asyncio.sleep(100)
            assert await (await submit(session, "write", s=0)) is None

    run_virtual(main)


def test_the_model_is_told_nothing_of_what_tools_call() -> None:
    async def main() -> None:
        async def outer() -> None:
            await submit(session, "work", s=1)
            assert len((await session.await_future()).settled) == 1  # its own, not itself

        async with Session([outer, SLEEP]) as session:
            future = await submit(session, "outer")
            assert len((await session.await_future()).settled) == 1
            assert await future is None
            with session.sampling() as deliveries:
                assert deliveries == []

    run_virtual(main)


# --- retry, withdrawal, duplicates, retention ---


@pytest.mark.parametrize("policy", ["share", "reject"])
def test_a_read_at_another_place_of_the_repeated_message_is_no_duplicate(
    policy: Literal["share", "reject"],
) -> None:
    async def main() -> None:
        async def read(n: int) -> int:
            await asyncio.sleep(5)
            return n

        async with Session([Tool(read, effects={"reads": ["x"]})], duplicates=policy) as session:
            broken = session.message()
            for n in (1, 2):
                broken.seal(Call("c", "read", {"n": n}))
            await asyncio.sleep(1)
            message = broken.retry()
            future = message.seal(Call("c", "read", {"n": 2}))
            message.commit()
            assert await future == 2

    run_virtual(main)


def test_withdrawing_a_duplicate_cancels_it_and_not_what_it_shares() -> None:
    async def main() -> None:
        async with Session([SLEEP], duplicates="share") as session:
            first = await submit(session, "work", s=5)
            message = session.message()
            duplicate = message.seal(Call("d", "work", {"s": 5}))
            message.withdraw()
            assert isinstance(duplicate.outcome, Cancelled)
            assert await first is None

    run_virtual(main)


def test_an_adopted_read_can_be_cancelled() -> None:
    async def main() -> None:
        async with Session([SLEEP]) as session:
            broken = session.message()
            broken.seal(Call("c", "work", {"s": 50}))
            message = broken.retry()
            future = message.seal(Call("c", "work", {"s": 50}))
            message.commit()
            assert session.cancel(future)
            assert isinstance(await future.wait(), Cancelled)

    run_virtual(main)


def test_the_values_of_broken_messages_do_not_stay() -> None:
    async def main() -> None:
        async def read(n: int) -> str:
            return "x" * 1000

        async with Session([Tool(read, effects="read")], max_retained_bytes=3000) as session:
            for n in range(10):
                broken = session.message()
                broken.seal(Call("c", "read", {"n": n}))
                await asyncio.sleep(1)
                message = broken.retry()
                message.seal(Call("c", "read", {"n": n}))
                message.commit()
                await message.answers()
                with session.sampling():
                    pass
            assert session._core.retention is not None
            assert session._core.retention.total <= 3000

    run_virtual(main)


# --- what the caller does ---


def test_calls_that_come_from_a_failing_iterable_do_not_stay_in_the_order() -> None:
    def calls() -> Iterator[Call]:
        yield Call("c", "write", {"s": 1})
        raise ValueError("broke off")

    async def main() -> None:
        async with Session([Tool(sleep, name="write")]) as session:
            with pytest.raises(ValueError, match="broke off"):
                await session.submit(calls())
            assert await (await submit(session, "write", s=1)) is None

    run_virtual(main)


def test_the_outcomes_of_a_submission_that_was_cancelled_within_grace_are_delivered() -> None:
    async def main() -> None:
        tools = [SLEEP, Tool(sleep, name="pay", effects={"writes": ["bank"], "level": "irreversible"})]
        async with Session(tools, grace=10) as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(submit(session, "work", s=5), 1)
            await asyncio.sleep(10)
            with session.sampling() as deliveries:
                assert len(deliveries) == 1
            assert await (await submit(session, "pay", s=0)) is None

    run_virtual(main)


def test_answers_can_be_asked_for_again_after_their_caller_was_cancelled() -> None:
    async def main() -> None:
        async def five() -> int:
            await asyncio.sleep(5)
            return 5

        async with Session([Tool(five, effects="pure")], grace=10) as session:
            message = session.message()
            message.seal(Call("c", "five", {}))
            message.commit()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(message.answers(), 1)
            assert [answer.value for answer in await message.answers()] == [5]
            with session.sampling() as deliveries:
                assert deliveries == []

    run_virtual(main)


def test_a_withheld_call_that_is_submitted_again_waits_for_what_was_unseen() -> None:
    async def main() -> None:
        tools = [SLEEP, Tool(sleep, name="pay", effects={"writes": ["bank"], "level": "irreversible"})]
        async with Session(tools) as session:
            await submit(session, "work", s=5)
            calls = [Call("p", "pay", {"s": 0})]
            first = asyncio.ensure_future(session.submit(calls, message_id="m"))
            await asyncio.sleep(1)
            (answer,) = await session.submit(calls, message_id="m")
            assert isinstance(answer.future.outcome, Withheld)
            assert now() == 5
            await first

    run_virtual(main)


def test_a_future_of_another_session_is_not_taken_for_the_one_of_the_same_order() -> None:
    async def main() -> None:
        async with Session([SLEEP]) as ours, Session([SLEEP]) as theirs:
            future, foreign = [await submit(session, "work", s=1) for session in (ours, theirs)]
            with pytest.raises(UnknownHandle):
                ours.cancel(foreign)
            with pytest.raises(UnknownHandle):
                await ours.await_future(foreign)
            assert isinstance(await future.wait(), Value)
            with ours.sampling() as deliveries:
                assert len(deliveries) == 1

    run_virtual(main)


# --- stopping ---


def test_a_cancelled_call_that_goes_on_still_times_out() -> None:
    async def main() -> None:
        async with Session([Tool(stubborn, effects={"writes": ["x"], "timeout": 2})]) as session:
            future = await submit(session, "stubborn", s=50)
            await asyncio.sleep(1)
            session.cancel(future)
            await asyncio.sleep(1.5)
            assert isinstance(future.outcome, Failure)
            assert isinstance(future.outcome.error, ToolTimeout)
            await asyncio.sleep(50)

    run_virtual(main)


def test_asking_again_does_not_put_off_the_giving_up() -> None:
    async def main() -> None:
        async with Session([Tool(stubborn)]) as session:
            future = await submit(session, "stubborn", s=50)
            for _ in range(4):
                await asyncio.sleep(2)
                session.cancel(future)
            assert isinstance(future.outcome, Failure)
            assert isinstance(future.outcome.error, ToolAbandoned)
            await asyncio.sleep(50)

    run_virtual(main)


def test_a_start_that_was_cancelled_while_it_waited_for_one_rate_does_not_count_for_another() -> None:
    async def main() -> None:
        tools = [Tool(sleep, name=name, effects="pure") for name in ("a", "b")]
        async with Session(tools, rates={"tool:a": "1/100s", "*": "1/10s"}) as session:
            await submit(session, "b", s=0)
            await asyncio.sleep(1)
            given_up = await submit(session, "a", s=0)
            await asyncio.sleep(1)  # it has been let pass by the one and waits for the other
            session.cancel(given_up)
            await (await submit(session, "a", s=0))
            assert now() == 10

    run_virtual(main)


# --- code of others that raises, or acts within a step of the scheduler ---


def test_a_done_callback_that_raises_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def bad(_: Future) -> None:
        raise ValueError("broke off")

    async def main() -> None:
        async with Session([sleep]) as session:
            first, second = [await submit(session, "sleep", s=1) for _ in range(2)]
            first.add_done_callback(bad)
            assert await first is None
            assert await second is None

    run_virtual(main)
    assert "done callback" in caplog.text


def test_an_executor_that_raises_fails_that_call_alone() -> None:
    class Broken:
        def start(self, _work: Work) -> Running:
            raise OSError("no more of it")

        def close(self) -> None:
            pass

    async def main() -> None:
        async with Session([sleep], executor=Broken()) as session:
            for _ in range(2):
                with pytest.raises(OSError, match="no more of it"):
                    await (await submit(session, "sleep", s=1))

    run_virtual(main)


def test_a_call_that_a_listener_cancels_as_it_starts_gives_its_slot_back_once() -> None:
    async def main() -> None:
        def listen(event: Event) -> None:
            if event.kind == "started" and event.call == 0:
                assert session.cancel(message_future[0])

        message_future: list[Future] = []
        async with Session([Tool(sleep)], limits={"*": 1}, on_event=listen) as session:
            message = session.message()
            message_future.append(message.seal(Call("c", "sleep", {"s": 1})))
            message.commit()
            await session.finish()
            assert isinstance(message_future[0].outcome, Cancelled)
            assert session._scheduler._limits._slots["*"].free == 1

    run_virtual(main)


@pytest.mark.parametrize(("kind", "rates"), [("queued", {"*": "9/s"}), ("bound", None)])
def test_a_call_that_a_listener_cancels_before_it_starts_does_not_run(
    kind: str, rates: dict[str, str] | None
) -> None:
    ran: list[str] = []

    async def main() -> None:
        async def source() -> str:
            return "a"

        async def write(x: str) -> None:
            ran.append(x)

        def listen(event: Event) -> None:
            if event.kind == kind and event.call == 1:
                assert session.cancel(futures[1])

        futures: list[Future] = []
        tools: list[Any] = [Tool(source, effects="pure"), Tool(write, effects={"writes": ["{x}"]})]
        async with Session(tools, rates=rates, on_event=listen) as session:
            message = session.message()
            futures.append(message.seal(Call("c", "source", {})))
            futures.append(message.seal(Call("d", "write", {"x": futures[0]})))
            message.commit()
            assert not (await session.finish(10)).left
            assert isinstance(futures[1].outcome, Cancelled)

    run_virtual(main)
    assert ran == []


def test_a_call_that_a_listener_submits_as_several_release_waits_for_none_of_them() -> None:
    async def main() -> None:
        def listen(event: Event) -> None:
            if event.kind == "released" and not submitted:
                submitted.append(commit(session, "write", s=0))

        submitted: list[Future] = []
        async with Session([Tool(sleep, name="write")], on_event=listen) as session:
            futures = [await submit(session, "write", s=1) for _ in range(3)]
            for future in futures[1:]:
                session.cancel(future)  # they release when the first does
            await session.finish(10)
            assert [future.settled for future in submitted] == [True]

    run_virtual(main)
