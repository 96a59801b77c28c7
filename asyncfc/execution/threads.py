"""Worker threads for synchronous tools.

Daemon threads of our own, because a thread cannot be killed: `concurrent.futures` joins its threads
when the interpreter exits, so that one hung tool would keep the whole program alive.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias

Job: TypeAlias = Callable[[], BaseException | None]
"""Work for a thread. It returns the interrupt (Ctrl-C) that hit it, if one did, and never raises."""


class Threads(Protocol):
    """Something that runs jobs in other threads than the loop's."""

    def submit(self, job: Job, /) -> None:
        """Queue a job."""


class ThreadPool:
    """Runs jobs in up to `size` threads, first come first served; threads start when needed.

    `close` lets the threads end after what they have begun; a job that comes later starts new ones.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._reset()

    def submit(self, job: Job) -> None:
        """Queue a job. Called from one thread only.

        Raises:
            RuntimeError: the system gives no thread, and there is none yet.
        """
        self._jobs.put(job)
        # An idle thread that is about to take this job counts as taken.
        if not self._idle.acquire(blocking=False) and self._count < self._size:
            name = f"{self._name}-{self._count}"
            try:
                threading.Thread(target=_work, args=(self._jobs, self._idle), name=name, daemon=True).start()
            except RuntimeError:
                if self._count == 0:
                    raise
            else:
                self._count += 1

    def close(self) -> None:
        """Let every thread end as soon as it has nothing in hand."""
        for _ in range(self._count):
            self._jobs.put(None)
        self._reset()

    def _reset(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0


def _work(jobs: SimpleQueue[Job | None], idle: threading.Semaphore) -> None:
    while (job := jobs.get()) is not None:
        job()  # a signal interrupts the main thread only, so there is no interrupt here
        del job  # an idle thread keeps no result alive
        idle.release()


class Mailbox:
    """Jobs for threads that wait for something else: they run them meanwhile.

    Each waiting thread has a bell, rung when there may be something to do.

    Args:
        overflow: gets the jobs that come after the mailbox has closed; None: it never closes.
    """

    def __init__(self, overflow: Threads | None = None) -> None:
        self.overflow = overflow
        self._jobs: deque[Job] = deque()
        self._bells: set[SimpleQueue[None]] = set()
        self._lock = threading.Lock()  # a job is either in the mailbox before it closes, or overflows
        self._closed = False

    def submit(self, job: Job) -> None:
        """Leave a job to the first thread that is free, now or when one waits again."""
        with self._lock:
            if not self._closed:
                self._jobs.append(job)
                for bell in tuple(self._bells):
                    bell.put(None)
                return
        assert self.overflow is not None
        self.overflow.submit(job)

    def run_until(self, done: concurrent.futures.Future[Any]) -> None:
        """Run jobs in this thread until the future is done.

        Raises:
            KeyboardInterrupt, SystemExit: from outside, or out of a job.
        """
        bell: SimpleQueue[None] = SimpleQueue()
        self._bells.add(bell)
        done.add_done_callback(lambda _: bell.put(None))
        try:
            while not done.done():
                self._run_one(bell)
        finally:
            self._bells.discard(bell)

    def close(self) -> None:
        """Run what is left in this thread; what comes later overflows."""
        with self._lock:
            self._closed = True
        while self._jobs:
            self._jobs.popleft()()

    def _run_one(self, bell: SimpleQueue[None]) -> None:
        try:
            job = self._jobs.popleft()
        except IndexError:
            bell.get()
            return
        interrupt = job()
        if interrupt is not None:
            raise interrupt


MAILBOX: ContextVar[Mailbox | None] = ContextVar("asyncfc_mailbox", default=None)
"""Of the thread in which the work of a synchronous tool runs: for its synchronous children, which would
otherwise wait for a thread that their parent, waiting for them, may occupy (DESIGN O5, P14)."""

CALLERS_THREAD: ContextVar[Threads | None] = ContextVar("asyncfc_callers_thread", default=None)
"""Takes the jobs for the thread of a program that blocks: for executors that were not made for it."""
