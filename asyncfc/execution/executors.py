"""Executors: where the work of a call runs, and how the scheduler hears of it.

The scheduler hangs two events on a `Running`: `outcome` (the call settles) and `ended` (the work has
truly stopped, so that its claims may be released). For local work they are one and the same moment;
a remote executor may know the outcome before the worker is free.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from asyncfc.execution.threads import Job, ThreadPool
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value
from asyncfc.futures.store import Store
from asyncfc.tool import Tool

MAX_THREADS = 64
"""Threads for synchronous tools with declared effects, per session."""


@dataclass(frozen=True, slots=True)
class Work:
    """One call ready to run: the tool, its final arguments, the submitter's context variables."""

    tool: Tool
    arguments: dict[str, Any]
    context: Context


class Result(NamedTuple):
    """How work ended: the outcome, and the tool's own object where there is one in this process."""

    outcome: Outcome
    own: Any = None


class Running(Protocol):
    """Work that has been started."""

    @property
    def outcome(self) -> asyncio.Future[Result]:
        """Done, always with a result, as soon as the outcome is known."""

    @property
    def ended(self) -> asyncio.Future[Result]:
        """Done when the work has truly stopped; may be the same object as `outcome`."""

    def cancel(self) -> bool:
        """Ask the work to stop. False: it cannot; otherwise it will end, as it sees fit."""


class Executor(Protocol):
    """Starts work on the running loop's behalf. `start` must not raise and must not block."""

    def start(self, work: Work) -> Running:
        """Start the work. Whatever the tool raises becomes a `Failure` in the result."""

    def close(self) -> None:
        """Take no more work; give up threads and processes as soon as they are idle."""


class Threads(Protocol):
    """Something that runs jobs in other threads than the loop's."""

    def submit(self, job: Job, /) -> None:
        """Queue a job."""


class LocalExecutor:
    """Async tools on the running loop; synchronous tools in threads of this process.

    A synchronous tool without declared effects shares one worker thread with all others of its kind
    (objects with thread affinity then stay in one thread); with declared effects it runs in the pool;
    `thread="worker" | "pool" | "caller"` overrides.

    Args:
        store: keeps the results.
        max_threads: of the pool.
        caller: takes the jobs for the caller's thread, if that is not the loop's; by default a
            `caller` tool runs in the loop's thread and blocks it.
    """

    def __init__(
        self, store: Store, *, max_threads: int = MAX_THREADS, caller: Threads | None = None
    ) -> None:
        self._store = store
        self._caller = caller
        self._worker = ThreadPool("asyncfc-worker", 1)
        self._pool = ThreadPool("asyncfc-pool", max_threads)

    def start(self, work: Work) -> Running:
        """Start the work where its tool belongs."""
        tool = work.tool
        place = "loop" if tool.is_async else tool.thread or ("pool" if tool.spec.declared else "worker")
        if place == "caller" and self._caller is not None:
            return _ThreadRunning(self._caller, self, work)
        if place in ("loop", "caller"):
            begin = partial(tool.invoke, work.arguments)
            return _LoopRunning(self.finish(begin, in_caller=place == "caller"), work.context)
        return _ThreadRunning(self._pool if place == "pool" else self._worker, self, work)

    def close(self) -> None:
        """Let the threads end as soon as they are idle."""
        self._worker.close()
        self._pool.close()

    async def finish(self, begin: Callable[[], Any], *, in_caller: bool = False) -> Result:
        """On the loop: run to the end. The snapshot is taken before anybody can hear of the end."""
        try:
            value = begin()
            if isawaitable(value):
                value = await value
            return self._result(value)
        except GeneratorExit:  # the coroutine is being closed: not the tool's doing
            raise
        except asyncio.CancelledError as error:
            return _cancelled(error)
        except BaseException as error:
            if in_caller and isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # Ctrl-C in the caller's own thread concerns the caller, too (DESIGN F1)
            return Result(Failure(error))

    def finish_in_thread(self, work: Work) -> Result | Awaitable[Any]:
        """In a worker thread: run to the end, or to the awaitable that the tool returned."""
        try:
            value = work.context.run(work.tool.invoke, work.arguments)
            return value if isawaitable(value) else self._result(value)
        except BaseException as error:
            return Result(Failure(error))

    def _result(self, value: Any) -> Result:
        return Result(Value(self._store.put(value)), value)


def _cancelled(error: asyncio.CancelledError) -> Result:
    """Tell a cancellation that was asked for from one that the tool raised on its own account."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return Result(Cancelled("cancelled while it ran"))
    return Result(Failure(error))


class _LoopRunning:
    """A task of the running loop."""

    __slots__ = ("ended", "outcome")

    def __init__(self, coroutine: Coroutine[Any, Any, Result], context: Context) -> None:
        self.outcome = self.ended = asyncio.get_running_loop().create_task(coroutine, context=context)

    def cancel(self) -> bool:
        return self.outcome.cancel()


class _ThreadRunning:
    """A job for other threads; it can be cancelled until a thread has taken it."""

    def __init__(self, threads: Threads, executor: LocalExecutor, work: Work) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._work = work
        self._taken = threading.Lock()  # whoever acquires it first decides: the thread, or cancel()
        self._rest: asyncio.Task[Result] | None = None
        self.outcome: asyncio.Future[Result] = self._loop.create_future()
        self.ended = self.outcome
        threads.submit(self._job)

    def cancel(self) -> bool:
        if self._rest is not None:
            return self._rest.cancel()
        if not self._taken.acquire(blocking=False):
            return False
        self.outcome.set_result(Result(Cancelled("cancelled before it began")))
        return True

    def _job(self) -> BaseException | None:
        if not self._taken.acquire(blocking=False):
            return None
        result = self._executor.finish_in_thread(self._work)
        # A closed loop has nobody left who could be told; `Session.close` has said what it left.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._hand_over, result)
        outcome = result.outcome if isinstance(result, Result) else None
        error = outcome.error if isinstance(outcome, Failure) else None
        return error if isinstance(error, KeyboardInterrupt | SystemExit) else None

    def _hand_over(self, result: Result | Awaitable[Any]) -> None:
        if isinstance(result, Result):
            self.outcome.set_result(result)
            return
        self._rest = self._loop.create_task(self._executor.finish(lambda: result), context=self._work.context)
        self._rest.add_done_callback(lambda task: self.outcome.set_result(collect(task)))


def collect(done: asyncio.Future[Result]) -> Result:
    """The result of work that is done, however it was brought to its end."""
    if done.cancelled():
        return Result(Cancelled("cancelled before it began"))
    error = done.exception()  # KeyboardInterrupt and SystemExit: asyncio raises them out of the loop, too
    return done.result() if error is None else Result(Failure(error))
