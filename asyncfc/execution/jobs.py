"""Work that other threads do: how it begins, how it can still be cancelled, and how the loop hears of it."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from asyncfc.execution.threads import Threads
from asyncfc.execution.work import Result
from asyncfc.futures.outcome import Cancelled, Failure


class JobRunning(ABC):
    """A job for other threads. It can be cancelled until a thread has taken it.

    Subclasses do the work in `run`, in the thread that has taken the job, and see to it that the loop's
    thread sets the outcome.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Lock()  # whoever acquires it first decides: the thread, or cancel()
        self.outcome: asyncio.Future[Result] = self._loop.create_future()
        self.ended = self.outcome

    def begin(self, threads: Threads) -> None:
        """Leave the job to the threads."""
        try:
            threads.submit(self._job)
        except RuntimeError as error:  # the system gives no thread
            self._taken.acquire()
            self.outcome.set_result(Result(Failure(error)))

    def cancel(self) -> bool:
        """See `Running.cancel`."""
        if not self._taken.acquire(blocking=False):
            return False
        self.outcome.set_result(Result(Cancelled("cancelled before it began")))
        return True

    @abstractmethod
    def run(self) -> BaseException | None:
        """Do the work; return the interrupt (Ctrl-C) that hit this thread, if one did. Must not raise."""

    def tell(self, listener: Callable[..., object] | None, *news: Any) -> None:
        """Call the listener on the loop's thread; nobody is left to be told if the loop has closed."""
        if listener is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(listener, *news)

    def _job(self) -> BaseException | None:
        return self.run() if self._taken.acquire(blocking=False) else None
