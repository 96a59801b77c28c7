"""Changes: a server's list of tools may change while a session uses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import mcp_types as types
from mcp import Client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from asyncfc.adapters.mcp.calls import AnyClient
from asyncfc.adapters.mcp.tools import tools_of
from asyncfc.session import Session

_log = logging.getLogger(__name__)


class Changes:
    """Hears of changes: give it to the client as `message_handler`, and use `follow` around the session.

    Servers of the protocol before 2026 say on their own that the list has changed; later ones are asked to.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def __call__(self, message: Any) -> None:
        """Take what the server says on its own."""
        if isinstance(message, types.ToolListChangedNotification):
            self._changed.set()

    @asynccontextmanager
    async def follow(self, session: Session, client: AnyClient, **settings: Any) -> AsyncIterator[None]:
        """Within this, new and changed tools are offered to the session as they come.

        A tool that goes away stays known to the session; the server refuses its calls.

        Args:
            session: to be told.
            client: connected.
            settings: as for `tools_of`.
        """
        tasks = [asyncio.create_task(self._offer(session, client, settings))]
        if isinstance(client, Client) and client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            tasks.append(asyncio.create_task(self._listen(client)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _offer(self, session: Session, client: AnyClient, settings: dict[str, Any]) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for tool in await tools_of(client, **settings):
                    session.offer(tool)
            except Exception:  # the server is gone, or lists what is declared wrongly: the old tools stay
                _log.exception("the tools of server %r cannot be listed anew", settings.get("server"))

    async def _listen(self, client: Client) -> None:
        with suppress(Exception):  # it does not offer that, or is gone
            async with client.listen(tools_list_changed=True) as subscription:
                async for _ in subscription:
                    self._changed.set()
