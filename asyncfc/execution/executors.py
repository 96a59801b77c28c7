"""Executors: where the work of a call runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from inspect import iscoroutine
from typing import Any, TypeAlias

from asyncfc.errors import ProjectionError
from asyncfc.execution import streams
from asyncfc.execution.jobs import JobRunning
from asyncfc.execution.threads import CALLERS_THREAD, MAILBOX, Mailbox, ThreadPool, Threads
from asyncfc.execution.work import Executor, Result, Running, Work, collect
from asyncfc.futures.outcome import Cancelled, Failure
from asyncfc.futures.store import Store

__all__ = ["Executor", "LocalExecutor", "Result", "Running", "Work", "collect"]

Rest: TypeAlias = Awaitable[Any] | AsyncGenerator[Any, None]
"""What a synchronous tool returned that only the loop can bring to its end."""

MAX_THREADS = 64
"""Threads for synchronous tools with declared effects, per session."""


class LocalExecutor:
    """Async tools on the running loop; synchronous tools in threads of this process.

    A synchronous tool without declared effects shares one worker thread with all others of its kind
    (objects with thread affinity then stay in one thread); with declared effects it runs in the pool;
    `thread="worker" | "pool" | "caller"` overrides. A synchronous tool that was called from inside another
    one runs in that one's thread while it waits.

    Args:
        store: keeps the results.
        max_threads: of the pool.
        caller: takes the jobs for the caller's thread, if that is not the loop's; by default a
            `caller` tool of a `BlockingSession` runs in the thread that waits there, any other one in the
            loop's thread, and blocks it.
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
        place = (
            "loop"
            if tool.is_async
            else tool.thread or ("pool" if tool.spec.declared or work.concurrent else "worker")
        )
        caller = self._caller or work.context.get(CALLERS_THREAD)
        if place == "loop" or (place == "caller" and caller is None):
            if work.begun is not None:
                work.begun()
            coroutine = self.finish(tool.invoke, work.arguments, work.progress, in_caller=place == "caller")
            return _LoopRunning(coroutine, work.context)
        mailbox = work.context.get(MAILBOX)  # of the thread whose work has submitted this call
        if caller is not None and mailbox is not None and mailbox.overflow is caller:
            return _ThreadRunning(mailbox, self, work, overflow=caller)  # from inside, in the caller's thread
        if caller is not None and place == "caller":
            return _ThreadRunning(caller, self, work, overflow=caller)
        pool = self._pool if place == "pool" else self._worker
        return _ThreadRunning(pool if mailbox is None else mailbox, self, work, overflow=pool)

    def close(self) -> None:
        """Let the threads end as soon as they are idle."""
        self._worker.close()
        self._pool.close()

    async def finish(
        self,
        begin: Callable[[Any], Any],
        argument: Any,
        progress: streams.Take | None,
        *,
        in_caller: bool = False,
    ) -> Result:
        """On the loop: run to the end. The snapshot is taken before anybody can hear of the end."""
        try:
            value = begin(argument)
            while streams.is_awaitable(value):
                value = await value
            if streams.is_stream(value):
                value = streams.step_by_step(value)
            if streams.is_async_stream(value):
                value = await streams.drain_async(value, progress and partial(self._pass_on, progress))
            return self._result(value)
        except GeneratorExit:  # the coroutine is being closed: not the tool's doing
            raise
        except asyncio.CancelledError as error:
            return _cancelled(error)
        except BaseException as error:
            if in_caller and isinstance(error, KeyboardInterrupt | SystemExit):
                raise  # Ctrl-C in the caller's own thread concerns the caller, too (DESIGN F1)
            return Result(Failure(error))

    def finish_in_thread(
        self, work: Work, drain: Callable[[Generator[Any, None, Any]], list[Any]]
    ) -> Result | Rest:
        """In a worker thread: run to the end, or to what the tool returned that needs the loop."""
        try:
            value = work.context.run(work.tool.invoke, work.arguments)
            if streams.is_awaitable(value) or streams.is_async_stream(value):
                return value
            if streams.is_stream(value):
                value = work.context.run(drain, value)
            return self._result(value)
        except streams.Stopped:
            return Result(Cancelled("cancelled while it ran"))
        except BaseException as error:
            return Result(Failure(error))

    def show(self, item: Any) -> Any:
        """The JSON form of one item of a stream, for whoever listens; its text if it has none."""
        try:
            stored = self._store.put(item)
        except ProjectionError as error:
            return str(error)
        return stored.text() if stored.is_artifact else stored.get()

    def _pass_on(self, progress: streams.Take, item: Any) -> None:
        progress(self.show(item))

    def _result(self, value: Any) -> Result:
        return Result(self._store.put(value), value)


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


class _ThreadRunning(JobRunning):
    """A synchronous tool in a thread. It can also be cancelled while it streams."""

    def __init__(self, threads: Threads, executor: LocalExecutor, work: Work, *, overflow: Threads) -> None:
        super().__init__()
        self._mailbox = Mailbox(overflow)
        work.context.run(MAILBOX.set, self._mailbox)
        self._executor = executor
        self._work = work
        self._streaming = False
        self._stop = False
        self._rest: asyncio.Task[Result] | None = None
        self.begin(threads)

    def cancel(self) -> bool:
        """See `Running.cancel`."""
        if self._rest is not None:
            return self._rest.cancel()
        if super().cancel():
            return True
        self._stop = True  # should it turn out to be a stream later on
        return self._streaming

    def run(self) -> BaseException | None:
        """Run the tool to its end, or to what it returned that needs the loop."""
        self.tell(self._work.begun)
        result = self._executor.finish_in_thread(self._work, self._drain)
        try:
            self._loop.call_soon_threadsafe(self._hand_over, result)
        except RuntimeError:  # the loop has closed: nobody is left to be told; `Session.close` said so
            _drop(result)
        self._mailbox.close()  # children that it did not wait for
        outcome = result.outcome if isinstance(result, Result) else None
        error = outcome.error if isinstance(outcome, Failure) else None
        return error if isinstance(error, KeyboardInterrupt | SystemExit) else None

    def _drain(self, stream: Generator[Any, None, Any]) -> list[Any]:
        self._streaming = True
        try:
            return streams.drain(stream, self._take)
        finally:
            self._streaming = False

    def _take(self, item: Any) -> None:
        if self._stop:
            raise streams.Stopped
        if self._work.progress is not None:
            self._loop.call_soon_threadsafe(self._work.progress, self._executor.show(item))

    def _hand_over(self, result: Result | Rest) -> None:
        if isinstance(result, Result):
            self.outcome.set_result(result)
            return
        coroutine = self._executor.finish(_as_it_is, result, self._work.progress)
        self._rest = self._loop.create_task(coroutine, context=self._work.context)
        self._rest.add_done_callback(partial(self._on_rest, result))

    def _on_rest(self, handed: Rest, rest: asyncio.Task[Result]) -> None:
        if rest.cancelled():  # before it could begin to await
            _drop(handed)
            self.outcome.set_result(Result(Cancelled("cancelled while it ran")))
        else:
            self.outcome.set_result(collect(rest))


def _as_it_is(rest: Rest) -> Rest:
    return rest


def _drop(result: object) -> None:
    """Python warns of a coroutine that nobody awaits, unless it is closed."""
    if iscoroutine(result):
        result.close()
