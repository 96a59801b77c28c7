"""Asked: one `tools/call` of the host, from its arrival until it is answered."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, TypeVar

import mcp_types as types
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from mcp_types import CONNECTION_CLOSED
from pydantic import BaseModel

from asyncfc.conversation.grace import hold_for
from asyncfc.execution.scheduler import Scheduler
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.outcome import Cancelled

_R = TypeVar("_R", bound=BaseModel)


class Asked:
    """What a call's work knows of the request that it is for.

    Args:
        context: of the request.
        inline: it is answered with its outcome only.
    """

    def __init__(self, context: ServerRequestContext[Any, Any], *, inline: bool) -> None:
        self.result: types.CallToolResult | None = None
        """As the server gave it, if it did."""
        self._context = context
        self._inline = inline
        self._answered = False
        self._lost = asyncio.Event()
        self._bell = Future("", "asks the person", -1)

    async def report(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Pass progress on. MCP allows it for as long as the request has not been answered."""
        if not self._answered:
            await self._context.session.report_progress(progress, total, message)

    def hold(self) -> None:
        """The server asks the person something for it: it is not answered before it has settled."""
        self._inline = True
        if not self._bell.settled:
            self._bell.settle(Cancelled("rung"))

    @property
    def waits(self) -> bool:
        """Whether the host can be asked something on the stream of its request."""
        return not (self._answered or self._lost.is_set()) and self._context.session.can_send_request

    def lose(self) -> None:
        """Nothing reaches the host on the stream of its request any more."""
        self._lost.set()

    async def ask(self, request: Any, result: type[_R]) -> _R:
        """Ask the host something on the stream of its request.

        Raises:
            MCPError: the host refuses, or the stream is lost.
        """
        metadata = ServerMessageMetadata(related_request_id=self._context.request_id)
        asking = asyncio.create_task(self._context.session.send_request(request, result, metadata=metadata))
        lost = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait([asking, lost], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise MCPError(CONNECTION_CLOSED, "the host has dropped the request on which it was asked")
            return asking.result()
        finally:
            for task in (asking, lost):
                task.cancel()
            await asyncio.gather(asking, lost, return_exceptions=True)

    async def until_answer(self, future: Future, scheduler: Scheduler, grace: float) -> None:
        """Wait as long as the answer is worth it: at most for the grace, and not for what takes longer.

        How long calls of each tool take is learned; one of which nothing is known counts as short.

        Args:
            future: of the call.
            scheduler: that runs it.
            grace: seconds.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + grace
        await scheduler.all_have_come()
        while not future.settled:
            if self._inline:
                await wait_settled([future])
                return
            forecast = scheduler.forecast([future], soon=True)
            left = end - clock()
            pause = hold_for(left, forecast.remaining, forecast.next_end, forecast.put_off)
            if not pause:
                return
            await wait_settled([future], timeout=pause, bell=self._bell)

    def answer(self) -> None:
        """It is answered now."""
        self._answered = True


ASKED: ContextVar[Asked | None] = ContextVar("asyncfc_mcp_asked", default=None)
"""Of the call whose work runs."""
