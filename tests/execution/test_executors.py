from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncfc.errors import ProjectionError, ToolTimeout
from asyncfc.execution.executors import LocalExecutor, Result, Running, Work, collect
from asyncfc.execution.threads import Job
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Call, Session
from asyncfc.tools import Tool

ROOT = Path(__file__).parents[2]
GUARD = 10.0
"""Seconds that only a fault waits for."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(GUARD)
        assert not thread.is_alive()


@pytest.fixture
def executor() -> Iterator[LocalExecutor]:
    made = LocalExecutor(MemoryStore(), max_threads=4)
    yield made
    made.close()


class Gate:
    """Lets a test hold a thread inside a tool."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        """As a tool: wait for the gate to open."""
        self.begun.set()
        assert self.opened.wait(GUARD)
        return "through"

    async def reached(self) -> None:
        """Wait on the loop until a thread is inside."""
        await asyncio.to_thread(self.begun.wait, GUARD)
        assert self.begun.is_set()


class Inline:
    """Threads that are none: a job runs as soon as it is submitted."""

    def submit(self, job: Job) -> None:
        job()


def work(
    function: Callable[..., Any], /, *, effects: Any = None, name: str = "work", **arguments: Any
) -> Work:
    return Work(Tool(function, name=name, effects=effects), arguments, contextvars.copy_context())


def as_sync(function: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """A sync function that returns the coroutine of an async one."""
    return lambda: function()  # noqa: PLW0108  # inlined it would be the async function itself


async def end_of(running: Running) -> Result:
    await asyncio.wait([running.ended], timeout=GUARD)
    return collect(running.ended)


async def run_all(executor: LocalExecutor, *works: Work) -> list[Result]:
    return [await end_of(running) for running in [executor.start(work) for work in works]]


def here() -> str:
    return threading.current_thread().name


def value_of(result: Result) -> Any:
    assert isinstance(result.outcome, Value), result
    return result.outcome.unwrap()


def error_of(result: Result) -> BaseException:
    assert isinstance(result.outcome, Failure), result
    return result.outcome.error


# --- whatever a tool raises -----------------------------------------------------------------------


class Private(BaseException):
    pass


ERRORS = [
    ValueError,
    KeyboardInterrupt,
    SystemExit,
    StopIteration,
    GeneratorExit,
    asyncio.CancelledError,
    Private,
]


@pytest.mark.parametrize("effects", [None, "pure"])
@pytest.mark.parametrize("kind", ERRORS)
def test_whatever_a_tool_raises_in_a_thread_is_its_failure_and_nothing_else(
    kind: type[BaseException], effects: Any, executor: LocalExecutor
) -> None:
    error = kind("no")

    def bad() -> None:
        raise error

    async def main() -> None:
        wrong, right = await run_all(executor, work(bad, effects=effects), work(here, effects=effects))
        assert error_of(wrong) is error
        assert value_of(right).startswith("asyncfc-")

    asyncio.run(main())


@pytest.mark.parametrize("kind", ERRORS)
def test_whatever_an_awaitable_from_a_thread_raises_is_its_failure(
    kind: type[BaseException], executor: LocalExecutor
) -> None:
    async def rest() -> None:
        raise kind("no")

    async def main() -> None:
        (wrong,) = await run_all(executor, work(as_sync(rest)))
        assert isinstance(error_of(wrong), (kind, RuntimeError))

    asyncio.run(main())


@pytest.mark.parametrize("kind", [ValueError, StopIteration, GeneratorExit, Private])
def test_whatever_a_tool_raises_in_the_callers_thread_is_its_failure(
    kind: type[BaseException], executor: LocalExecutor
) -> None:
    def bad() -> None:
        raise kind("no")

    async def main() -> None:
        (wrong,) = await run_all(executor, work(bad, effects={"thread": "caller"}))
        assert isinstance(error_of(wrong), kind)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_callers_thread_is_recorded_and_raised(kind: type[BaseException]) -> None:
    outcomes: list[Any] = []

    def bad() -> None:
        raise kind("stop")

    async def main() -> None:
        async with Session([Tool(bad, effects={"thread": "caller"})]) as session:
            (answer,) = await session.submit([Call("1", "bad", {})])
            answer.future.add_done_callback(lambda future: outcomes.append(future.outcome))
            await answer.future.wait()
            await asyncio.get_running_loop().create_future()  # the interrupt comes first

    with pytest.raises(kind, match="stop"):
        asyncio.run(main())
    (outcome,) = outcomes
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, kind)


def test_a_result_that_has_no_json_form_is_a_failure_of_its_call(executor: LocalExecutor) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)

    async def main() -> None:
        async def later() -> Any:
            return cycle

        for result in await run_all(executor, work(lambda: cycle), work(later), work(as_sync(later))):
            assert isinstance(error_of(result), ProjectionError)

    asyncio.run(main())


def test_without_a_thread_to_be_had_the_call_fails_and_the_executor_goes_on(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        ran: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            running = executor.start(work(lambda: ran.append(1)))
        assert "new thread" in str(error_of(await end_of(running)))
        assert not running.cancel()
        assert value_of((await run_all(executor, work(here)))[0]) == "asyncfc-worker-0"
        assert ran == []

    asyncio.run(main())


# --- where work runs ------------------------------------------------------------------------------


def test_undeclared_sync_tools_share_one_thread_and_declared_ones_use_the_pool(
    executor: LocalExecutor,
) -> None:
    async def main() -> None:
        results = await run_all(
            executor,
            *[work(here, name=f"undeclared{n}") for n in range(3)],
            work(here, effects={"writes": "a", "thread": "worker"}),
            work(here, effects={"thread": "pool"}),
            work(here, effects={"reads": "a"}),
            work(here, effects="pure"),
        )
        places = [value_of(result).rpartition("-")[0] for result in results]
        assert places == ["asyncfc-worker"] * 4 + ["asyncfc-pool"] * 3

    asyncio.run(main())


def test_declared_sync_tools_overlap_up_to_the_size_of_the_pool(executor: LocalExecutor) -> None:
    async def main() -> None:
        barrier = threading.Barrier(4)

        def meet() -> int:
            return barrier.wait(GUARD)

        results = await run_all(executor, *[work(meet, effects="pure") for _ in range(8)])
        assert sorted(map(value_of, results)) == [0, 0, 1, 1, 2, 2, 3, 3]

    asyncio.run(main())


def test_async_tools_run_on_the_loop_whatever_thread_they_name(executor: LocalExecutor) -> None:
    async def there() -> str:
        return here()

    async def main() -> None:
        results = await run_all(
            executor,
            *[work(there, effects={"thread": place}) for place in (None, "worker", "pool", "caller")],
        )
        assert {value_of(result) for result in results} == {here()}

    asyncio.run(main())


def test_a_caller_tool_runs_in_the_loops_thread_or_where_the_caller_waits() -> None:
    class Elsewhere(Inline):
        def submit(self, job: Job) -> None:
            thread = threading.Thread(target=job, name="elsewhere")
            thread.start()
            thread.join(GUARD)

    async def main() -> None:
        for caller, place in ((None, here()), (Elsewhere(), "elsewhere")):
            executor = LocalExecutor(MemoryStore(), caller=caller)
            (result,) = await run_all(executor, work(here, effects={"thread": "caller"}))
            assert value_of(result) == place

    asyncio.run(main())


def test_an_awaitable_that_a_sync_tool_returns_is_awaited_on_the_loop(executor: LocalExecutor) -> None:
    def begin(place: str) -> Awaitable[list[str]]:
        async def end(began: str) -> list[str]:
            await asyncio.sleep(0)
            return [began.rpartition("-")[0], here()]

        return end(here())

    class Custom:
        def __await__(self) -> Generator[Any, None, list[str]]:
            yield from asyncio.sleep(0).__await__()
            return [here()]

    async def main() -> None:
        results = await run_all(
            executor,
            work(begin, place="worker"),
            work(begin, effects="pure", place="pool"),
            work(begin, effects={"thread": "caller"}, place="caller"),
            work(functools.partial(begin, "p"), name="partial"),
            work(Custom),
        )
        assert [value_of(result) for result in results] == [
            ["asyncfc-worker", here()],
            ["asyncfc-pool", here()],
            ["", here()],
            ["asyncfc-worker", here()],
            [here()],
        ]

    asyncio.run(main())


def test_the_tools_own_object_comes_with_the_result(executor: LocalExecutor) -> None:
    own = [1]

    async def main() -> None:
        async def later() -> Any:
            return own

        for result in await run_all(executor, work(lambda: own), work(later), work(as_sync(later))):
            assert result.own is own
            assert value_of(result) == [1]

    asyncio.run(main())


class NotingStore(MemoryStore):
    """Notes in which thread each snapshot was taken, and whether its call had been heard to end."""

    def __init__(self) -> None:
        self.put_in: list[str] = []
        self.running: Running | None = None

    def put(self, value: Any) -> Value:
        assert self.running is None or not self.running.ended.done()
        self.put_in.append(here())
        return super().put(value)


def test_the_snapshot_is_taken_in_the_worker_before_the_end_is_heard() -> None:
    store, gate = NotingStore(), Gate()
    executor = LocalExecutor(store)

    async def main() -> None:
        store.running = executor.start(work(gate))
        gate.opened.set()
        await end_of(store.running)

    asyncio.run(main())
    executor.close()
    assert store.put_in == ["asyncfc-worker-0"]


def test_a_value_is_what_the_thread_returned_and_not_what_the_next_call_made_of_it() -> None:
    log: list[int] = []

    def append(n: int) -> list[int]:
        log.append(n)
        return log

    async def main() -> None:
        async with Session([append]) as session:
            answers = await session.submit([Call(str(n), "append", {"n": n}) for n in range(3)])
            assert [await answer.future for answer in answers] == [[0], [0, 1], [0, 1, 2]]

    asyncio.run(main())


# --- context variables ----------------------------------------------------------------------------

USER: contextvars.ContextVar[str] = contextvars.ContextVar("USER", default="nobody")


def who(**_: Any) -> str:
    user = USER.get()
    USER.set("changed by a tool")
    return user


async def who_async(**_: Any) -> str:
    return who()


def who_later(**_: Any) -> Awaitable[str]:
    seen = who()

    async def rest() -> str:
        return f"{seen}, then {USER.get()}"

    return rest()


def test_context_variables_are_those_of_the_submission_wherever_the_tool_runs() -> None:
    tools = [
        Tool(who, name="worker"),
        Tool(who, name="pool", effects="pure"),
        Tool(who, name="caller", effects={"thread": "caller"}),
        Tool(who_async, name="loop"),
        Tool(who_later, name="rest"),
    ]

    async def main() -> None:
        async with Session(tools) as session:
            USER.set("Ann")
            answers = await session.submit([Call(made.name, made.name, {}) for made in tools])
            USER.set("Bob")
            assert [await answer.future for answer in answers] == [
                *["Ann"] * 4,
                "Ann, then changed by a tool",
            ]
            assert USER.get() == "Bob"

    asyncio.run(main())


def test_a_call_that_starts_at_the_end_of_another_has_its_own_submitters_variables() -> None:
    tools = [Tool(who, name="sync"), Tool(who_async, name="async")]

    async def main() -> None:
        gate = Gate()
        async with Session([Tool(gate, name="gate"), *tools]) as session:
            USER.set("first")
            (first,) = await session.submit([Call("1", "gate", {})])
            await gate.reached()
            USER.set("Ann")
            own = await session.submit([Call("2", "sync", {}), Call("3", "async", {"after": first.future})])
            USER.set("Bob")
            dependent = await session.submit([Call("4", "sync", {"after": own[0].future})])
            gate.opened.set()
            assert [await answer.future for answer in (*own, *dependent)] == ["Ann", "Ann", "Bob"]

    asyncio.run(main())


# --- cancelling -----------------------------------------------------------------------------------


def test_a_queued_job_can_be_cancelled_and_a_running_one_cannot(executor: LocalExecutor) -> None:
    gate = Gate()
    ran: list[int] = []

    async def main() -> None:
        running = executor.start(work(gate))
        queued = executor.start(work(lambda: ran.append(1)))
        await gate.reached()
        assert not running.cancel()
        assert queued.cancel()
        assert isinstance((await end_of(queued)).outcome, Cancelled)
        assert not queued.cancel()
        gate.opened.set()
        assert value_of(await end_of(running)) == "through"
        assert not running.cancel()
        await run_all(executor, work(here))
        assert ran == []

    asyncio.run(main())


def test_the_awaitable_of_a_sync_tool_can_be_cancelled(executor: LocalExecutor) -> None:
    async def main() -> None:
        begun, cleaned = asyncio.Event(), []

        async def rest() -> None:
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cleaned.append(1)

        running = executor.start(work(as_sync(rest)))
        await asyncio.wait_for(begun.wait(), GUARD)
        assert running.cancel()
        assert (await end_of(running)).outcome == Cancelled("cancelled while it ran")
        assert cleaned == [1]
        assert not running.cancel()

    asyncio.run(main())


def test_cancelled_before_it_could_be_awaited_the_awaitable_leaves_no_warning() -> None:
    async def rest() -> None:
        pytest.fail("it ran")

    async def main() -> None:
        executor = LocalExecutor(MemoryStore(), caller=Inline())
        running = executor.start(work(as_sync(rest), effects={"thread": "caller"}))
        accepted: list[bool] = []
        asyncio.get_running_loop().call_soon(lambda: accepted.append(running.cancel()))
        assert (await end_of(running)).outcome == Cancelled("cancelled while it ran")
        assert accepted == [True]

    asyncio.run(main())
    gc.collect()  # a coroutine left unawaited would be heard of now


def test_an_async_tool_is_cancelled_before_it_began_or_while_it_ran(executor: LocalExecutor) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def wait() -> None:
            begun.set()
            await asyncio.get_running_loop().create_future()

        early = executor.start(work(wait))
        assert early.cancel()
        assert (await end_of(early)).outcome == Cancelled("cancelled before it began")
        assert not begun.is_set()
        late = executor.start(work(wait))
        await begun.wait()
        assert late.cancel()
        assert (await end_of(late)).outcome == Cancelled("cancelled while it ran")

    asyncio.run(main())


def test_a_timeout_of_its_own_inside_an_async_tool_is_no_cancellation(executor: LocalExecutor) -> None:
    async def main() -> None:
        async def impatient() -> str:
            try:
                async with asyncio.timeout(0):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                raise asyncio.CancelledError("my own") from None
            return "never"

        (result,) = await run_all(executor, work(impatient))
        assert isinstance(error_of(result), asyncio.CancelledError)

    asyncio.run(main())


# --- the end of the loop, of the session, of the interpreter --------------------------------------


@pytest.mark.parametrize("awaitable", [False, True])
def test_a_job_that_ends_after_the_loop_has_closed_does_no_harm(
    awaitable: bool, executor: LocalExecutor
) -> None:
    gate = Gate()

    async def rest() -> None:
        pytest.fail("it ran")

    def late() -> Any:
        gate()
        return rest() if awaitable else 1

    async def main() -> Running:
        running = executor.start(work(late))
        await gate.reached()
        return running

    running = asyncio.run(main())
    gate.opened.set()
    executor.close()
    for thread in threading.enumerate():
        if thread.name.startswith("asyncfc-worker"):
            thread.join(GUARD)
    assert not running.ended.done()
    gc.collect()  # a coroutine left unawaited would be heard of now


def test_all_threads_end_when_the_session_closes() -> None:
    async def main() -> None:
        before = set(threading.enumerate())
        async with Session([here, Tool(here, name="pool", effects="pure")]) as session:
            await session.submit([Call(str(n), tool, {}) for n in range(3) for tool in ("here", "pool")])
            await session.finish()
            started = set(threading.enumerate()) - before
            assert started
        for thread in started:
            thread.join(GUARD)
            assert not thread.is_alive()

    asyncio.run(main())


def test_a_hung_thread_keeps_close_no_longer_than_its_timeout_and_is_named() -> None:
    gate = Gate()

    async def main() -> None:
        session = Session([Tool(gate, name="gate"), here])
        hung, waiting = await session.submit([Call("1", "gate", {}), Call("2", "here", {})])
        await gate.reached()
        finished = await asyncio.wait_for(session.close(timeout=0.01), GUARD)
        assert finished.left == (hung.future,)
        assert isinstance(hung.future.outcome, Cancelled)
        assert isinstance(waiting.future.outcome, Cancelled)

    asyncio.run(main())
    gate.opened.set()


def test_a_thread_keeps_its_claims_beyond_its_timeout() -> None:
    gate = Gate()

    async def main() -> None:
        slow = Tool(gate, name="gate", effects={"writes": "a", "timeout": 0.01})
        reader = Tool(here, effects={"reads": "a"})
        async with Session([slow, reader]) as session:
            late, after = await session.submit([Call("1", "gate", {}), Call("2", "here", {})])
            assert isinstance(await late.future.wait(), Failure)
            with pytest.raises(ToolTimeout, match=r"0\.01 s"):
                late.future.result()
            assert not after.future.settled
            gate.opened.set()
            assert (await after.future).startswith("asyncfc-pool")

    asyncio.run(main())


def test_sessions_that_share_an_executor_do_not_take_it_from_each_other(executor: LocalExecutor) -> None:
    async def main() -> None:
        async with Session([here], executor=executor) as second:
            async with Session([here], executor=executor) as first:
                (answer,) = await first.submit([Call("1", "here", {})])
                await answer.future
            (answer,) = await second.submit([Call("1", "here", {})])
            assert isinstance(await asyncio.wait_for(answer.future.wait(), GUARD), Value)

    asyncio.run(main())


HANGING = """
import asyncio, sys, threading
from asyncfc import BlockingSession, Call, Session

begun = threading.Event()

def hang():
    begun.set()
    threading.Event().wait()

async def main():
    session = Session([hang])
    await session.submit([Call("1", "hang", {})])
    await asyncio.to_thread(begun.wait)
    return await session.close(timeout=0)

if sys.argv[1] == "async":
    left = asyncio.run(main()).left
else:
    session = BlockingSession([hang])
    session.submit([Call("1", "hang", {})])
    begun.wait()
    left = session.close(timeout=0).left
print(len(left))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_hung_thread_does_not_keep_the_interpreter_alive(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HANGING, kind],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
