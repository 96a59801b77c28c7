"""BlockingSession: the same session for synchronous code.

A loop runs in a thread of its own, so that calls go on while the program does something else, and also
works where a loop is running already (a notebook). Tools declared `thread="caller"` run in whatever
thread is inside a blocking call of this module (`submit`, `await_future`, `finish`, ...), since there is
no other moment at which that thread could run anything.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from asyncfc.conversation.handles import Handles
from asyncfc.errors import DeclarationError, SessionClosed
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.threads import CALLERS_THREAD, MAILBOX, Mailbox
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Outcome
from asyncfc.futures.store import MemoryStore
from asyncfc.session import (
    FINISH_TIMEOUT,
    Answer,
    Awaited,
    Delivery,
    Finished,
    Message,
    Note,
    Session,
)
from asyncfc.tools import Tool
from asyncfc.trace.trace import Trace

_T = TypeVar("_T")

LAST_TURNS = 0.1
"""Seconds that the waits of other threads have to end by themselves once the session has closed."""


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
        if settings.get("runtime") is not None:
            raise DeclarationError(
                "a runtime belongs to one event loop; a BlockingSession has one of its own"
            )
        self._caller = Mailbox()
        settings.setdefault("executor", LocalExecutor(MemoryStore(), caller=self._caller))
        self._session = Session(tools, **settings)
        self._loop = asyncio.new_event_loop()
        self._waits: set[asyncio.Task[Any]] = set()
        self._gate = threading.Lock()  # held for a moment, to give the loop work or its end
        self._ended = False
        self._closing = threading.RLock()  # held by the thread that closes
        self._finished: Finished | None = None
        self._thread = threading.Thread(target=self._run_loop, name="asyncfc-loop", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def inner(self) -> Session:
        """The session that this one runs on its own loop. Use it there only, as `run` does."""
        return self._session

    def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Call a coroutine function on the session's loop and wait for what it returns or raises.

        Meanwhile this thread runs the tools declared `thread="caller"`. If the wait is interrupted, the
        coroutine is cancelled.
        """
        return self._wait(partial(function, *args))

    @property
    def handles(self) -> Handles:
        """See `Session.handles`."""
        return self._session.handles

    @property
    def trace(self) -> Trace:
        """See `Session.trace`. It may be read from any thread."""
        return self._session.trace

    def timeline(self, path: str | os.PathLike[str]) -> None:
        """See `Session.timeline`."""
        self._session.timeline(path)

    @property
    def owed(self) -> list[Future]:
        """See `Session.owed`."""
        return self._do(lambda: self._session.owed)

    def submit(self, calls: Iterable[Call], *, message_id: str | None = None) -> list[Answer]:
        """See `Session.submit`."""
        return self._wait(partial(self._session.submit, list(calls), message_id=message_id))

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
        return self._wait(partial(self._session.await_future, which, mode=mode, timeout=timeout))

    def wait_for(
        self, futures: Collection[Future], *, any_one: bool = False, timeout: float | None = None
    ) -> None:
        """See `Session.wait_for`."""
        self._wait(partial(self._session.wait_for, futures, any_one=any_one, timeout=timeout))

    def wait(self, future: Future) -> Outcome:
        """Wait for one outcome; see `Future.wait`."""
        return self._wait(future.wait)

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery | Note]]:
        """See `Session.sampling`."""
        block = self._session.sampling()
        deliveries = self._do(block.__enter__)
        try:
            yield deliveries
        except BaseException as error:
            with suppress(SessionClosed):  # the block's own error matters more
                self._do(block.__exit__, type(error), error, error.__traceback__)
            raise
        self._do(block.__exit__, None, None, None)

    def post(self, text: str, source: str) -> None:
        """See `Session.post`."""
        self._do(self._session.post, text, source)

    def cancel(self, which: Future | str) -> bool:
        """See `Session.cancel`."""
        return self._do(self._session.cancel, which)

    def release(self, which: Future | str) -> bool:
        """See `Session.release`."""
        return self._do(self._session.release, which)

    def finish(self, timeout: float | None = FINISH_TIMEOUT) -> Finished:
        """See `Session.finish`."""
        return self._wait(partial(self._session.finish, timeout))

    def close(self, timeout: float = 5.0) -> Finished:
        """See `Session.close`. Also ends the loop and its thread; once closed, returns the same again.

        What other threads wait for ends as well; only a `finish` whose work does not end raises
        `SessionClosed`.
        """
        with self._closing:
            if self._finished is None:
                self._finished = self._wait(partial(self._session.close, timeout))
                with self._gate:
                    self._ended = True
                    self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
            return self._finished

    def _run_loop(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._end_waits())
        self._loop.close()

    async def _end_waits(self) -> None:
        for cancel in (False, True):  # all futures have settled, but the work of some may go on
            for task in self._waits if cancel else ():
                task.cancel()
            if self._waits:
                await asyncio.wait(self._waits, timeout=None if cancel else LAST_TURNS)

    def _do(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function that does not wait, on the loop's thread."""

        async def run() -> _T:
            return function(*args)

        return self._wait(run)

    def _wait(self, begin: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run on the loop; meanwhile this thread runs the tools that want the caller's thread.

        Inside a synchronous tool it runs the synchronous children of that tool (DESIGN O5).
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a BlockingSession was used on its own loop, by an async tool or a listener")
        with self._gate:
            if self._ended:
                raise self._closed()
            done = asyncio.run_coroutine_threadsafe(self._noted(begin), self._loop)
        try:
            (MAILBOX.get() or self._caller).run_until(done)
        except BaseException:  # Ctrl-C, here or in a tool that runs in this thread
            done.cancel()
            raise
        if done.cancelled():
            raise self._closed()
        return done.result()

    async def _noted(self, begin: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        task = asyncio.current_task()
        assert task is not None
        self._waits.add(task)
        CALLERS_THREAD.set(self._caller)
        try:
            return await begin()
        finally:
            self._waits.discard(task)

    def _closed(self) -> SessionClosed:
        return SessionClosed(f"session {self._session.id} is closed; it takes no more calls")


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

    def answers(self, hold: bool = True) -> list[Answer]:
        """See `Message.answers`."""
        answers: list[Answer] = self._wait(partial(self._message.answers, hold))
        return answers
