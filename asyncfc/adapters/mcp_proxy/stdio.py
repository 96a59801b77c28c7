"""Stdio: standard input and output for the protocol, in such a way that the process can always end.

Each has a thread that nothing waits for: reading standard input cannot be interrupted, and a host that does
not read blocks whoever writes. Both use the descriptors themselves, since Python cannot end while a thread
holds the lock of `sys.stdin`.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
from contextlib import suppress
from typing import Any, Self


class Lines:
    """The lines of standard input, as the SDK's `stdio_server` takes them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = sys.stdin.fileno()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        threading.Thread(target=self._read, name="asyncfc-stdin", daemon=True).start()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def end(self) -> None:
        """Nobody reads any further."""
        self._lines.put_nowait(None)

    def _read(self) -> None:
        rest = b""
        with suppress(RuntimeError):  # the loop has closed
            while chunk := os.read(self._descriptor, 1 << 16):
                *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                for line in lines:
                    self._put(line.decode("utf-8", "replace"))
            self._put(None)

    def _put(self, line: Any) -> None:
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


class Output:
    """Standard output, as the SDK's `stdio_server` takes it; whatever else is printed goes to standard error.

    A host that does not read any more has gone. Its requests are still taken in until its end of standard
    input comes, so that none of the calls that it has sent is lost.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        sys.stdout.flush()
        self._descriptor = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._texts: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="asyncfc-stdout", daemon=True).start()

    async def write(self, text: str) -> None:
        """Write a text, and wait until it is written."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._texts.put((text.encode("utf-8", "replace"), done))
        await done

    async def flush(self) -> None:
        """It is written already."""

    def _write(self) -> None:
        while True:
            rest, done = self._texts.get()
            with suppress(OSError):
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            try:
                self._loop.call_soon_threadsafe(_acknowledge, done)
            except RuntimeError:  # the loop has closed
                return


def _acknowledge(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
