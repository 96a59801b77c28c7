"""A tool that yields: the list of its items is the result, and each item is told as it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from asyncfc.errors import ProjectionError, ToolTimeout
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import settle_loop
from asyncfc.tools import Tool, tool
from asyncfc.trace.events import Event

GUARD = 5.0
"""Seconds that a test with real threads waits at most for something that is bound to happen."""


class Heard:
    """A listener that keeps what is told of progress and of ends, in order."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.times: list[float] = []
        self.kinds: list[str] = []
        self.first = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if event.kind in ("progress", "settled", "released"):
            self.kinds.append(event.kind)
        if event.kind == "progress":
            self.items.append(event.data["item"])
            self.times.append(event.t)
            self.first.set()


async def start(session: Session, name: str, **arguments: Any) -> Future:
    (answer,) = await session.submit([Call("c", name, arguments)])
    return answer.future


async def count(n: int) -> AsyncGenerator[dict[str, int], None]:
    for i in range(n):
        await asyncio.sleep(1)
        yield {"i": i}


# --- on the loop ----------------------------------------------------------------------------------


def test_an_async_generator_gives_its_items_as_a_list_and_tells_each_when_it_comes() -> None:
    async def main() -> None:
        heard = Heard()
        async with Session([count], on_event=heard) as session:
            future = await start(session, "count", n=3)
            assert await future == [{"i": 0}, {"i": 1}, {"i": 2}]
        assert heard.items == [{"i": 0}, {"i": 1}, {"i": 2}]
        assert heard.times == [1, 2, 3]
        assert heard.kinds == ["progress", "progress", "progress", "settled", "released"]

    run_virtual(main)


def test_a_stream_that_nobody_listens_to_has_the_same_result() -> None:
    async def main() -> None:
        async with Session([count]) as session:
            assert await (await start(session, "count", n=2)) == [{"i": 0}, {"i": 1}]
            assert await (await start(session, "count", n=0)) == []

    run_virtual(main)


def test_tools_that_are_async_generators_count_as_async() -> None:
    class Streamer:
        async def __call__(self) -> AsyncGenerator[int, None]:
            yield 1

    def plain() -> Iterator[int]:
        yield 1

    assert Tool(count).is_async
    assert Tool(Streamer(), name="streamer").is_async
    assert not Tool(plain).is_async


@tool
async def returns_a_generator() -> Generator[int, None, str]:
    def items() -> Generator[int, None, str]:
        yield 1
        yield 2
        return "not used"

    return items()


@tool
async def returns_an_async_generator() -> AsyncGenerator[Any, None]:
    await asyncio.sleep(1)
    return count(2)


@tool(thread="caller")
def yields_in_the_loops_thread() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize(
    ("made", "items"),
    [
        (returns_a_generator, [1, 2]),
        (returns_an_async_generator, [{"i": 0}, {"i": 1}]),
        (yields_in_the_loops_thread, [1, 2]),
    ],
    ids=lambda case: case.name if isinstance(case, Tool) else "",
)
def test_what_a_tool_returns_may_be_a_generator(made: Tool, items: list[Any]) -> None:
    async def main() -> None:
        heard = Heard()
        async with Session([made], on_event=heard) as session:
            assert await (await start(session, made.name)) == items
        assert heard.items == items

    run_virtual(main)


def test_the_items_of_a_result_can_be_referred_to() -> None:
    async def echo(x: int) -> int:
        return x

    async def main() -> None:
        async with Session([count, echo]) as session:
            answers = await session.submit(
                [Call("a", "count", {"n": 3}), Call("b", "echo", {"x": "$this_1[-1].i"})]
            )
            assert await answers[1].future == 2

    run_virtual(main)


def test_an_exception_in_mid_stream_is_the_outcome_and_what_came_before_was_told() -> None:
    async def break_down() -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("gone")

    async def main() -> None:
        heard = Heard()
        async with Session([break_down], on_event=heard) as session:
            future = await start(session, "break_down")
            with pytest.raises(LookupError, match="gone"):
                await future
        assert heard.items == [1]

    run_virtual(main)


class Watched:
    """A stream without end that notes when it has been closed; closing takes a while."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.closed_at: float | None = None
        self.stubborn = stubborn

    async def endless(self) -> AsyncGenerator[int, None]:
        n = 0
        try:
            while True:
                try:
                    await asyncio.sleep(1)
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
                yield n
                n += 1
        finally:
            await asyncio.sleep(2)
            self.closed_at = asyncio.get_running_loop().time()


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_cancelled_stream_is_closed_and_waited_for(stubborn: bool) -> None:
    async def main() -> None:
        watched, heard = Watched(stubborn=stubborn), Heard()
        async with Session([Tool(watched.endless)], on_event=heard) as session:
            future = await start(session, "endless")
            await asyncio.sleep(2.5)
            assert session.cancel(future)
            assert isinstance(await future.wait(), Cancelled)
            assert watched.closed_at == 4.5
        assert heard.items[:2] == [0, 1]

    run_virtual(main)


def test_a_stream_that_times_out_settles_then_and_releases_when_it_has_closed() -> None:
    async def main() -> None:
        watched, heard = Watched(), Heard()
        async with Session([Tool(watched.endless, effects={"timeout": 2.5})], on_event=heard) as session:
            future = await start(session, "endless")
            outcome = await future.wait()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, ToolTimeout)
            assert (asyncio.get_running_loop().time(), watched.closed_at) == (2.5, None)
            await session.finish()
            assert watched.closed_at == 4.5
        assert heard.items == [0, 1]
        assert heard.kinds[2:] == ["settled", "released"]

    run_virtual(main)


def test_items_that_come_after_the_call_has_settled_are_not_told() -> None:
    async def main() -> None:
        heard, watched = Heard(), Watched(stubborn=True)
        async with Session([Tool(watched.endless, effects={"timeout": 1.5})], on_event=heard) as session:
            await start(session, "endless")
            await session.finish()
        assert heard.items == [0]

    run_virtual(main)


def test_a_stream_that_never_waits_lets_the_loop_go_on_and_can_be_cancelled() -> None:
    async def busy() -> AsyncGenerator[int, None]:
        while True:
            yield 1

    async def busy_too() -> Iterator[int]:
        return iter_for_ever()

    def iter_for_ever() -> Generator[int, None, None]:
        while True:
            yield 1

    async def main() -> None:
        async with Session([tool(pure=True)(busy), tool(pure=True)(busy_too)]) as session:
            futures = [await start(session, "busy"), await start(session, "busy_too")]
            for _ in range(5):
                await asyncio.sleep(0)
            for future in futures:
                assert session.cancel(future)
                assert isinstance(await future.wait(), Cancelled)

    run_virtual(main)


def test_an_error_while_closing_is_the_outcome() -> None:
    async def sore() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            raise OSError("cannot close")

    async def main() -> None:
        async with Session([sore]) as session:
            future = await start(session, "sore")
            await settle_loop()
            session.cancel(future)
            outcome = await future.wait()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, OSError)

    run_virtual(main)


def test_an_item_is_told_as_it_was_when_it_came_in_text_if_it_has_no_json_form() -> None:
    shared: dict[str, Any] = {}
    loop: list[Any] = []
    loop.append(loop)

    class Odd:
        def __str__(self) -> str:
            return "odd"

    async def changing() -> AsyncGenerator[Any, None]:
        shared["a"] = (1,)
        yield shared
        shared["a"] = (2,)
        yield shared
        yield Odd()

    async def circular() -> AsyncGenerator[Any, None]:
        yield loop

    async def main() -> None:
        heard = Heard()
        async with Session([changing, circular], on_event=heard) as session:
            await (await start(session, "changing"))
            failed = await start(session, "circular")
            with pytest.raises(ProjectionError, match="cycle"):
                await failed
        assert heard.items[:3] == [{"a": [1]}, {"a": [2]}, "odd"]
        assert "cycle" in heard.items[3]

    run_virtual(main)


def test_a_result_is_the_list_that_the_users_own_loop_would_get() -> None:
    def alias() -> Iterator[list[int]]:
        shared: list[int] = []
        for n in range(3):
            shared.append(n)
            yield shared

    async def main() -> None:
        async with Session([tool(thread="caller")(alias)], on_event=lambda event: None) as session:
            assert await (await start(session, "alias")) == list(alias())

    run_virtual(main)


def test_iterators_that_are_no_generators_are_values() -> None:
    numbers = iter([1, 2])

    async def iterator() -> Iterator[int]:
        return numbers

    async def main() -> None:
        async with Session([iterator]) as session:
            outcome = await (await start(session, "iterator")).wait()
            assert isinstance(outcome, Value)
            assert outcome.get() is numbers
            assert list(numbers) == [1, 2]

    run_virtual(main)


def test_a_coroutine_that_an_async_tool_forgot_to_await_is_awaited() -> None:
    async def inner() -> int:
        return 5

    async def forgetful() -> Any:
        return inner()

    async def main() -> None:
        async with Session([forgetful]) as session:
            assert await (await start(session, "forgetful")) == 5

    run_virtual(main)


# --- in threads -----------------------------------------------------------------------------------


class Steps:
    """A generator in a thread that yields when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.begun = threading.Event()
        self.closed = threading.Event()

    def yields(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                assert self.go.acquire(timeout=GUARD)
                self.threads.add(threading.current_thread().name)
                self.begun.set()
                yield i
        finally:
            self.closed.set()


def run_with_steps(story: Callable[[Session, Steps, Heard], Any], *, listen: bool = True) -> None:
    async def main() -> None:
        steps, heard = Steps(), Heard()
        tools = [Tool(steps.yields, effects="pure")]
        async with Session(tools, on_event=heard if listen else None) as session:
            await asyncio.wait_for(story(session, steps, heard), GUARD)

    asyncio.run(main())


def test_a_generator_in_a_thread_tells_each_item_while_it_runs() -> None:
    async def story(session: Session, steps: Steps, heard: Heard) -> None:
        future = await start(session, "yields", n=2)
        steps.go.release()
        await heard.first.wait()
        assert (heard.items, future.settled) == ([0], False)
        steps.go.release()
        assert await future == [0, 1]
        assert heard.kinds[:3] == ["progress", "progress", "settled"]
        assert steps.threads == {"asyncfc-pool-0"}

    run_with_steps(story)


@pytest.mark.parametrize("listen", [True, False])
def test_a_generator_in_a_thread_is_closed_at_its_next_item_when_cancelled(listen: bool) -> None:
    async def story(session: Session, steps: Steps, heard: Heard) -> None:
        future = await start(session, "yields", n=9)
        steps.go.release()
        assert await asyncio.to_thread(steps.begun.wait, GUARD)
        assert session.cancel(future)
        assert session.cancel(future)
        assert not future.settled
        steps.go.release()
        assert isinstance(await future.wait(), Cancelled)
        assert steps.closed.is_set()
        assert len(heard.items) <= 1

    run_with_steps(story, listen=listen)


def test_a_generator_in_a_thread_whose_call_has_settled_before_is_closed_and_then_releases() -> None:
    async def story(session: Session, steps: Steps, heard: Heard) -> None:
        message = session.message()
        future = message.seal(Call("c", "yields", {"n": 9}))
        steps.go.release()
        assert await asyncio.to_thread(steps.begun.wait, GUARD)
        await heard.first.wait()
        message.withdraw()
        assert isinstance(future.outcome, Cancelled)
        assert not steps.closed.is_set()
        steps.go.release()
        await session.finish()
        assert steps.closed.is_set()
        assert heard.items == [0]

    run_with_steps(story)


def test_a_function_that_returns_a_generator_after_it_was_given_up_is_stopped_at_the_first_item() -> None:
    begun, go, taken = threading.Event(), threading.Event(), []

    def items() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n

    def late() -> Iterator[int]:
        begun.set()
        assert go.wait(GUARD)
        return items()

    async def main() -> None:
        async with Session([tool(pure=True)(late)]) as session:
            future = await start(session, "late")
            assert await asyncio.to_thread(begun.wait, GUARD)
            assert not session.cancel(future)
            go.set()
            assert isinstance(await future.wait(), Cancelled)

    asyncio.run(main())
    assert taken == [0]


def test_an_exception_in_a_thread_in_mid_stream_is_the_outcome() -> None:
    def break_down() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    async def main() -> None:
        heard = Heard()
        async with Session([break_down], on_event=heard) as session:
            with pytest.raises(LookupError, match="gone"):
                await (await start(session, "break_down"))
        assert heard.items == [1]

    asyncio.run(main())


def test_a_generator_in_a_thread_sees_the_context_of_the_submitter_all_the_way() -> None:
    name: ContextVar[str] = ContextVar("name")

    def names() -> Iterator[str]:
        yield name.get()
        yield name.get()

    async def main() -> None:
        async with Session([names]) as session:
            name.set("mine")
            assert await (await start(session, "names")) == ["mine", "mine"]

    asyncio.run(main())


def test_an_async_generator_from_a_synchronous_tool_runs_on_the_loop() -> None:
    def make(n: int) -> AsyncGenerator[str, None]:
        async def items() -> AsyncGenerator[str, None]:
            for _ in range(n):
                yield threading.current_thread().name

        return items()

    async def main() -> None:
        heard = Heard()
        here = threading.current_thread().name
        async with Session([make], on_event=heard) as session:
            assert await (await start(session, "make", n=2)) == [here, here]
        assert heard.items == [here, here]

    asyncio.run(main())


def test_a_stream_in_a_thread_ends_when_its_session_closes() -> None:
    steps = Steps()

    async def main() -> None:
        session = Session([tool(pure=True)(steps.yields)])
        future = await start(session, "yields", n=9)
        steps.go.release()
        assert await asyncio.to_thread(steps.begun.wait, GUARD)
        steps.go.release(8)
        assert (await session.close()).left == ()
        assert future.settled

    asyncio.run(main())
    assert steps.closed.wait(GUARD)
