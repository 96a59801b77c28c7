"""Asking: what servers ask of the host: the person (elicitation), the model (sampling), its roots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import mcp_types as types
from mcp import MCPError
from mcp.client import ClientRequestContext
from mcp.server.session import ServerSession
from mcp_types import INVALID_REQUEST
from pydantic import BaseModel

from asyncfc.adapters.mcp_proxy.asked import Asked

PATIENCE = 5.0
"""Seconds that a host has to listen: over HTTP it begins to do so some time after its handshake."""
PAUSE = 0.1
_R = TypeVar("_R", bound=BaseModel)


class Person:
    """The host as servers see it. It can be asked once its handshake is over.

    Args:
        running: the calls of a server that run, by its name, to be answered inline from now on.
        waiting: all requests of the host that have not been answered. Over HTTP it hears a question on the
            stream of one of these, or if it listens beside them.
    """

    def __init__(self, running: Callable[[str], list[Asked]], waiting: Callable[[], list[Asked]]) -> None:
        self._running = running
        self._waiting = waiting
        self._hears: Callable[[], bool] = bool
        self._reached = asyncio.Event()
        self._channel: ServerSession | None = None

    def reached_by(self, session: ServerSession, hears: Callable[[], bool]) -> None:
        """The handshake is over.

        Args:
            session: of the host.
            hears: whether the host hears what is asked on no request of its own.
        """
        self._channel = session
        self._hears = hears
        self._reached.set()

    def gone(self) -> None:
        """The host has gone; nothing can be asked any more."""
        self._channel = None
        self._reached.set()

    def callbacks(self, server: str, capabilities: types.ClientCapabilities) -> dict[str, Any]:
        """What a client of the SDK gets, so that the server may ask what the host can answer."""
        given: dict[str, Any] = {}
        if capabilities.elicitation is not None:

            async def elicit(
                _context: ClientRequestContext, params: types.ElicitRequestParams
            ) -> types.ElicitResult | types.ErrorData:
                request = types.ElicitRequest(params=params)
                return await self._ask(server, request, types.ElicitResult)

            given["elicitation_callback"] = elicit
        if capabilities.sampling is not None:

            async def sample(
                _context: ClientRequestContext, params: types.CreateMessageRequestParams
            ) -> types.CreateMessageResultWithTools | types.ErrorData:
                request = types.CreateMessageRequest(params=params)
                return await self._ask(server, request, types.CreateMessageResultWithTools)

            given["sampling_callback"] = sample
            given["sampling_capabilities"] = capabilities.sampling
        if capabilities.roots is not None:

            async def roots(_context: ClientRequestContext) -> types.ListRootsResult | types.ErrorData:
                return await self._ask(server, types.ListRootsRequest(), types.ListRootsResult, inline=False)

            given["list_roots_callback"] = roots
        return given

    async def _ask(
        self, server: str, request: Any, result: type[_R], *, inline: bool = True
    ) -> _R | types.ErrorData:
        """Ask the host. Calls of that server that run are answered with their outcomes only (DESIGN D6)."""
        if inline:
            for asked in self._running(server):
                asked.hold()
        await self._reached.wait()
        clock = asyncio.get_running_loop().time
        end = clock() + PATIENCE
        while self._channel is not None:
            try:
                # What it does at the moment is what the question is about, most likely.
                waiting = [asked for asked in (*self._running(server), *self._waiting()) if asked.waits]
                if waiting:
                    return await waiting[0].ask(request, result)
                if self._hears():
                    return await self._channel.send_request(request, result)
            except MCPError as error:
                return error.error
            if clock() >= end:
                return types.ErrorData(code=INVALID_REQUEST, message="the host cannot be asked now")
            await asyncio.sleep(PAUSE)
        return types.ErrorData(code=INVALID_REQUEST, message="the host has gone")
