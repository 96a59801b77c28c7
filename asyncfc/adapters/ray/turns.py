"""Turns: calls that wait here until their actor is free, so that they can still be taken back."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import ray


class Turns:
    """So many calls at a time, in their order, once the actor is there.

    Args:
        size: how many.
        opening: is done, or has failed, when the actor can be called.
    """

    def __init__(self, size: int, opening: ray.ObjectRef[Any]) -> None:
        self._size = size
        self._opening: ray.ObjectRef[Any] | None = opening
        self._free = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> asyncio.Future[None] | None:
        """Take a turn: at once (None), or when this is done. `leave` must follow in any case."""
        if self._free:
            self._free -= 1
            return None
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if self._opening is not None and self._loop is not loop:  # one of another run may be closed
            self._loop = loop
            self._opening.future().add_done_callback(lambda _: _tell(loop, self._open))
        return turn

    def leave(self, turn: asyncio.Future[None] | None) -> None:
        """The call that took this turn is over, whether it ever had it or not."""
        if turn is None or not (turn.cancelled() or turn.cancel()):
            self._give_back()

    def _open(self) -> None:
        if self._opening is not None:
            self._opening = self._loop = None
            for _ in range(self._size):
                self._give_back()

    def _give_back(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _tell(loop: asyncio.AbstractEventLoop, what: Any) -> None:
    with suppress(RuntimeError):  # it is closed: nobody waits there
        loop.call_soon_threadsafe(what)
