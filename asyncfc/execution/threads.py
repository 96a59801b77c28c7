"""Worker threads for synchronous tools.

Daemon threads of our own, because a thread cannot be killed: `concurrent.futures` joins its threads
when the interpreter exits, so that one hung tool would keep the whole program alive.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

Job: TypeAlias = Callable[[], BaseException | None]
"""Work for a thread. It returns the interrupt (Ctrl-C) that hit it, if one did, and never raises."""


class ThreadPool:
    """Runs jobs in up to `size` threads, first come first served; threads start when needed.

    `close` lets the threads end after what they have begun.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def submit(self, job: Job) -> None:
        """Queue a job. Called from one thread only."""
        self._jobs.put(job)
        # An idle thread that is about to take this job counts as taken.
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
            thread = threading.Thread(
                target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Let every thread end as soon as it has nothing in hand."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()  # a signal interrupts the main thread only, so there is no interrupt here
            self._idle.release()
