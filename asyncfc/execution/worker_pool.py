"""WorkerPool: worker processes, and the threads that wait for them."""

from __future__ import annotations

import atexit
import multiprocessing
import pickle
import threading
import time
from typing import Any

from asyncfc.errors import DeclarationError, NotTransferable, WorkerLost
from asyncfc.execution.serving import STAY_HERE, VALUE, Reply, Target, pack, revive
from asyncfc.execution.threads import ThreadPool
from asyncfc.execution.worker import Begun, Worker

CLOSE_S = 1.0
"""Seconds that `close` leaves the processes to end by themselves before it kills them."""


class WorkerPool:
    """Worker processes, and the threads that wait for them: at most `size` of each."""

    def __init__(self, size: int) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise DeclarationError(
                "a worker process imports the main module and must not start its work again; "
                "put what it does as a program under `if __name__ == '__main__':`"
            )
        self.threads = ThreadPool("asyncfc-process", size)
        self._lock = threading.Lock()
        self._all: set[Worker] = set()
        self._idle: list[Worker] = []
        self._closed = False
        # Before `multiprocessing`, loaded earlier, waits at the exit for processes that wait for us.
        atexit.register(self.close)

    def run(self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], begun: Begun) -> Any:
        """In a thread: run a function in a worker, and return its result or raise its exception.

        Raises:
            NotTransferable: an argument, the result or the exception cannot cross.
            WorkerLost: the process died, or there is none.
        """
        reply = self._exchange(target, pack(target.tool, args, kwargs), begun)
        try:
            value = pickle.loads(reply.body) if reply.kind == VALUE else revive(reply.body)  # noqa: S301
        except BaseException as error:
            raise NotTransferable(
                f"{target.tool} has run, but what it came to cannot be read in this process "
                f"({type(error).__name__}); return plain data, or {STAY_HERE}"
            ) from error
        if reply.kind == VALUE:
            return value
        raise value

    def close(self) -> None:
        """End all processes, and wait for that."""
        self.threads.close()
        with self._lock:
            self._closed = True
            workers, idle = list(self._all), set(self._idle)
        for worker in workers:
            if worker in idle:
                worker.dismiss()
            else:
                worker.terminate()
        deadline = time.monotonic() + CLOSE_S  # processes know nothing of the time of a loop
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        for worker in workers:
            if worker.alive:
                worker.kill(CLOSE_S)
        atexit.unregister(self.close)

    def _exchange(self, target: Target, arguments: bytes, begun: Begun) -> Reply:
        worker = self._take(target.tool)
        try:
            reply = worker.run(target, arguments, begun)
        except BaseException:  # its death, or a result that is too large for this process
            worker.kill(CLOSE_S)
            with self._lock:
                self._all.discard(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        return reply

    def _take(self, tool: str) -> Worker:
        """An idle worker or a new one. Under the lock, so that `close` misses no process."""
        with self._lock:
            if self._closed:
                raise WorkerLost(f"{tool} did not run: its executor was closed")
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._all.discard(worker)
            try:
                worker = Worker()
            except (OSError, RuntimeError) as error:
                raise WorkerLost(f"{tool} did not run: a worker process cannot start: {error}") from error
            self._all.add(worker)
            return worker
