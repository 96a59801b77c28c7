"""Lost: calls that a server may still work on although the connection has gone.

A server that was started by the proxy ends with its connection. One that is reached by an address does not
even notice: what it was asked to write it may write later. So such a call fails at once, but what it
claims it keeps, for as long as it may go on (DESIGN F2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from asyncfc.execution.task import Working
from asyncfc.execution.work import Result
from asyncfc.futures.future import CALLER
from asyncfc.futures.outcome import Failure

LONGEST = 60.0
"""Seconds for which a call whose connection was lost is taken to go on, if it has no timeout of its own."""


def fail_now(error: Exception) -> None:
    """Settle the call from inside whose work this is asked; its work goes on, and keeps its claims."""
    working = CALLER.get()
    if isinstance(working, Working):
        known: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        known.set_result(Result(Failure(error)))
        working.on_outcome(known)


async def through(wait: Coroutine[Any, Any, None]) -> None:
    """Wait to the end, even if this is cancelled meanwhile; then it is cancelled."""
    waiting = asyncio.ensure_future(wait)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    waiting.result()
