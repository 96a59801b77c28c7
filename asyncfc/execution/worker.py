"""Worker: one process that runs tools, one call after the other, as its parent sees it.

Processes of our own rather than a `concurrent.futures` pool: there one dead process fails every call of
the pool (against DESIGN F1), a call that was queued cannot be taken back, a call that hangs keeps the
interpreter from its exit, and the processes outlive a parent that was killed.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TypeAlias

from asyncfc.errors import WorkerLost
from asyncfc.execution.serving import READY, Reply, Target, dumps, serve

Begun: TypeAlias = Callable[[], object]

LOOK_AGAIN_S = 1.0
"""How often the death of a worker is looked for that left children of its own behind, in seconds."""

_SPAWN = multiprocessing.get_context("spawn")  # the same on all systems, and safe beside threads


class Worker:
    """One worker process, for one call at a time. The first call waits until it is ready.

    Raises:
        OSError, RuntimeError: the system gives no process.
    """

    def __init__(self) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=serve, args=(theirs,), name="asyncfc-worker")
        self._ready = False
        # Two threads may wait for the end, and the one that does not reap the process would not know how
        # it died until the other has noted that.
        self._reaping = threading.Lock()
        try:
            self._process.start()
        finally:
            theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        with self._reaping:
            return self._process.is_alive()

    def run(self, target: Target, arguments: bytes, begun: Begun) -> Reply:
        """Run one call, and block until its end. `begun` is called when the process is about to take it.

        Raises:
            WorkerLost: the process has ended, by now in any case.
        """
        with suppress(EOFError, OSError):
            if not self._ready:
                self._ready = self._receive() == READY
            begun()
            self._connection.send_bytes(dumps(target))
            self._connection.send_bytes(arguments)
            return Reply(self._receive(), self._receive())
        self.kill(None)  # a tool may have closed the pipe and live on
        self._connection.close()
        raise WorkerLost(self._epitaph(target.tool))

    def dismiss(self) -> None:
        """Let the process end by itself. Only between two calls."""
        self._connection.close()

    def terminate(self) -> None:
        """Ask the process to end, whatever it is doing."""
        self._process.terminate()

    def join(self, timeout: float) -> None:
        """Wait for the end of the process, at most `timeout` seconds."""
        with self._reaping:
            self._process.join(timeout)

    def kill(self, timeout: float | None) -> None:
        """End the process, and wait for that, at most `timeout` seconds if not None."""
        self._process.kill()
        with self._reaping:
            self._process.join(timeout)

    def _receive(self) -> bytes:
        """Block until the next message is there. EOFError, OSError: none will come any more."""
        signs: list[Connection | int] = [self._connection, self._process.sentinel]
        while not (seen := wait(signs, LOOK_AGAIN_S)):
            if not self.alive:  # a process that the tool has forked holds both open
                break
        if self._connection not in seen:
            raise EOFError
        return self._connection.recv_bytes()

    def _epitaph(self, tool: str) -> str:
        code = self._process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            with suppress(ValueError):  # a real-time signal has no name
                how = signal.Signals(-code).name
        if self._ready:
            return f"{tool} may or may not have taken effect: its worker process died while it ran ({how})"
        return (
            f"{tool} did not run: its worker process died before it was ready ({how}; the reason is on the "
            f"standard error of this program). A worker imports the main module: what that does as a program "
            f"belongs under `if __name__ == '__main__':`"
        )
