"""BlockingSession: the same session for synchronous code.

A loop runs in a thread of its own, so that calls go on while the program does something else, and also
works where a loop is running already (a notebook). Tools declared `thread="caller"` run in whatever
thread is inside a blocking call of this module (`submit`, `await_future`, `finish`, ...), since there is
no other moment at which that thread could run anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from asyncfc.errors import SessionClosed
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.threads import Job
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Outcome
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Answer, Awaited, Delivery, Finished, Message, Session
from asyncfc.tool import Tool

_T = TypeVar("_T")


class BlockingSession:
    """A `Session` whose methods block. Takes the same arguments; use it with `with`.

    Methods may be called from several threads. Futures are read with `result`, `settled` and
    `outcome`, and awaited with `await_future` or `wait`; they cannot be awaited with `await`.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
        **settings: Any,
    ) -> None:
        self._caller = _CallerThread()
        settings.setdefault("executor", LocalExecutor(MemoryStore(), caller=self._caller))
        self._session = Session(tools, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncfc-loop", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, calls: Iterable[Call]) -> list[Answer]:
        """See `Session.submit`."""
        return self._wait(self._session.submit(calls))

    def message(self) -> BlockingMessage:
        """See `Session.message`."""
        return BlockingMessage(self._do(self._session.message), self._do, self._wait)

    def await_future(
        self,
        which: Future | str | Iterable[Future | str] = "all",
        *,
        mode: Literal["all", "any"] = "all",
        timeout: float | None = None,
    ) -> Awaited:
        """See `Session.await_future`."""
        return self._wait(self._session.await_future(which, mode=mode, timeout=timeout))

    def wait(self, future: Future) -> Outcome:
        """Wait for one outcome; see `Future.wait`."""
        return self._wait(future.wait())

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery]]:
        """See `Session.sampling`."""
        block = self._session.sampling()
        deliveries = self._do(block.__enter__)
        try:
            yield deliveries
        except BaseException as error:
            self._do(block.__exit__, type(error), error, error.__traceback__)
            raise
        self._do(block.__exit__, None, None, None)

    def cancel(self, which: Future | str) -> bool:
        """See `Session.cancel`."""
        return self._do(self._session.cancel, which)

    def finish(self, timeout: float | None = None) -> Finished:
        """See `Session.finish`."""
        return self._wait(self._session.finish(timeout))

    def close(self, timeout: float = 5.0) -> Finished:
        """See `Session.close`. Also ends the loop and its thread."""
        if self._loop.is_closed():
            return Finished(0, ())
        finished = self._wait(self._session.close(timeout))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        return finished

    def _do(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function that does not wait, on the loop's thread."""

        async def run() -> _T:
            return function(*args)

        return self._wait(run())

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run on the loop; meanwhile this thread runs the tools that want the caller's thread."""
        if self._loop.is_closed():
            work.close()
            raise SessionClosed(f"session {self._session.id} is closed; it takes no more calls")
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.add_done_callback(lambda _: self._caller.submit(None))
        try:
            while not done.done():
                self._caller.run_one()
        except BaseException:  # Ctrl-C, here or in a tool that runs in this thread
            done.cancel()
            raise
        return done.result()


class BlockingMessage:
    """A `Message` whose methods block."""

    def __init__(self, message: Message, do: Callable[..., Any], wait: Callable[..., Any]) -> None:
        self._message = message
        self._do = do
        self._wait = wait

    def seal(self, call: Call) -> Future:
        """See `Message.seal`."""
        future: Future = self._do(self._message.seal, call)
        return future

    def commit(self) -> list[Future]:
        """See `Message.commit`."""
        futures: list[Future] = self._do(self._message.commit)
        return futures

    def withdraw(self, reason: str = "its message was cut off") -> None:
        """See `Message.withdraw`."""
        self._do(self._message.withdraw, reason)

    def answers(self) -> list[Answer]:
        """See `Message.answers`."""
        answers: list[Answer] = self._wait(self._message.answers())
        return answers


class _CallerThread:
    """Jobs for the thread that waits. None wakes it: what it waits for may be there."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def submit(self, job: Job | None) -> None:
        self._jobs.put(job)

    def run_one(self) -> None:
        job = self._jobs.get()
        if job is not None:
            interrupt = job()
            if interrupt is not None:
                raise interrupt
