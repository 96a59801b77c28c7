"""Trapping: wait for something outside, and tell of it if it takes any time (DESIGN G4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from asyncfc.futures.future import Future
from asyncfc.gpu_engine.events import Event, Resumed, Trapped, Why
from asyncfc.gpu_engine.rows import TICKS

_T = TypeVar("_T")


async def trapped(
    waiting: Coroutine[Any, Any, _T],
    why: Why,
    futures: Sequence[Future],
    emit: Callable[[Event], object],
    pausing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> _T:
    """Wait. Meanwhile nobody asks the row for a token, and so it is out of the batch.

    Args:
        waiting: what is waited for.
        why: for the event.
        futures: that the model needs, for the event.
        emit: gets the events, if the wait takes any time.
        pausing: makes what stands around such a wait; in the middle of a message, `Conversation.pausing`.
    """
    clock = asyncio.get_running_loop().time
    task = asyncio.ensure_future(waiting)
    try:
        for _ in range(TICKS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
        start = clock()
        emit(Trapped(start, why, tuple(str(future.handle) for future in futures)))
        with pausing():
            result = await task
    finally:
        task.cancel()
    emit(Resumed(clock(), clock() - start))
    return result


def unsettled(futures: Sequence[Future]) -> list[Future]:
    """Those that have no outcome yet."""
    return [future for future in futures if not future.settled]
