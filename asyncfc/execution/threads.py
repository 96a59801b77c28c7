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
