"""Upstream: one server that the proxy connects to, kept connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import mcp_types as types
from mcp import Client, MCPError
from mcp.shared.dispatcher import ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from asyncfc.adapters.mcp.calls import call_tool, has_read_all
from asyncfc.adapters.mcp.effects import Declared
from asyncfc.adapters.mcp.errors import ServerLost
from asyncfc.adapters.mcp.tools import listed_tools
from asyncfc.adapters.mcp_proxy.lost import LONGEST, fail_now, through
from asyncfc.adapters.mcp_proxy.settings import ServerSettings
from asyncfc.adapters.mcp_proxy.transport import Opens, watched

_log = logging.getLogger(__name__)

FIRST_PAUSE = 0.25
"""Seconds before a server that has ended is started again; twice as long each time it fails anew."""
LONGEST_PAUSE = 30.0
PATIENCE = 10.0
"""Seconds that a server has to take what it is told."""
STEADY = 10.0
"""Seconds for which a connection must have lasted, or its end counts as failing anew."""


class Upstream:
    """A connection that is made again when it ends.

    One task opens and closes it, as the SDK's cancel scopes want that. State: `_client` while there is a
    connection, `_up` set then; `_fault` why there is none; `tools` as last listed.

    Args:
        name: what the user calls the server.
        opens: opens a transport to it.
        settings: of the server.
        client: what the SDK's client is made with beside the transport: callbacks.
        changed: called when its tools are others than before.
        remote: it is reached by an address, so that it does not end with its connection.
    """

    def __init__(
        self,
        name: str,
        opens: Opens,
        settings: ServerSettings,
        *,
        client: dict[str, Any],
        changed: Callable[[Upstream], Awaitable[None]],
        remote: bool = False,
    ) -> None:
        self.name = name
        self.settings = settings
        self.tools: list[types.Tool] = []
        self.declared: dict[str, Declared | None] = {}
        """What its tools declare, as of the last time when the settings did fit."""
        self.declared_for: dict[str, dict[str, Any]] = {}
        """The schemas of these tools."""
        self.misfit: str | None = None
        """Why the settings do not fit its tools any more."""
        self.listens: set[str] = set()
        """Resources to be told of."""
        self.level: types.LoggingLevel | None = None
        """From which on the host wants to get log messages."""
        self._opens = opens
        self._options = client
        self._changed = changed
        self._remote = remote
        self._let_go = asyncio.Event()
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._failed = asyncio.Event()
        """Once connecting has failed."""
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._fault = "it has not been started"
        self._keeper: asyncio.Task[None] | None = None
        self._helpers: set[asyncio.Task[None]] = set()
        self._relist: asyncio.Event = asyncio.Event()

    async def start(self) -> bool:
        """Connect; False if that has failed, or has not come about in time.

        It is tried again in the background: one server must not keep a host waiting for the others.
        """
        self._keeper = asyncio.create_task(self._keep(), name=f"mcp-{self.name}")
        try:
            await asyncio.wait_for(_first(self._up.wait(), self._failed.wait()), self.settings.start_timeout)
        except TimeoutError:
            self._fault = f"it did not answer within {self.settings.start_timeout:g} s ({self._fault})"
            _log.warning("server %r is not connected: %s", self.name, self._fault)
        return self._up.is_set()

    async def stop(self) -> None:
        """Disconnect for good; a server that was started ends."""
        self._stop.set()
        self.let_go()
        if self._keeper is None:
            return
        if not self._up.is_set():  # it may hang in its handshake
            self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._up.is_set()

    @property
    def capabilities(self) -> types.ServerCapabilities:
        """Of the server, as long as it is connected."""
        return types.ServerCapabilities() if self._client is None else self._client.server_capabilities

    @property
    def instructions(self) -> str | None:
        """Of the server, as long as it is connected."""
        return None if self._client is None else self._client.instructions

    @property
    def is_modern(self) -> bool:
        """Whether it speaks the protocol of 2026, which has no notifications that were not asked for."""
        return self._client is not None and self._client.protocol_version in MODERN_PROTOCOL_VERSIONS

    async def client(self) -> Client:
        """The client, as soon as there is a connection.

        Raises:
            ServerLost: there is none, and none came about.
        """
        if self._ended.is_set():
            self._lose(self._client)
        if self._client is None and not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), self.settings.start_timeout)
        if self._client is None:
            raise ServerLost(f"server {self.name!r} is not running: {self._fault}")
        return self._client

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        progress: ProgressFnT | None,
        *,
        reads: bool,
        again: bool,
        timeout: float | None = None,
    ) -> types.CallToolResult:
        """Make a call.

        If the connection to a remote server ends under a call that is no read, the server may go on with it.
        So it fails at once, but this ends only when that is over (DESIGN F2).

        Args:
            tool: as the server calls it.
            arguments: final.
            progress: told what it reports.
            reads: the call changes nothing.
            again: it may be made twice, so that it is if the connection ends under it (DESIGN F3).
            timeout: seconds that it may take.

        Raises:
            ServerLost, ServerError: see `call_tool`.
        """
        goes_on = self._remote and not reads
        while True:
            client = await self.client()
            begun = asyncio.get_running_loop().time()
            try:
                return await call_tool(client, self.name, tool, arguments, progress=progress, reads=reads)
            except ServerLost as error:
                self._lose(client)
                if goes_on:
                    if not again:
                        fail_now(error)
                    await through(self._over(begun, timeout))
                if not again or self._stop.is_set():
                    raise
                again = False
            except asyncio.CancelledError:
                if goes_on and not await has_read_all(client):  # nobody knows whether it has heard of that
                    await through(self._over(begun, timeout))
                raise

    def let_go(self) -> None:
        """No call is waited for any more that a server may go on with."""
        self._let_go.set()

    async def _over(self, begun: float, timeout: float | None) -> None:
        """Wait until what a remote server may go on with counts as over.

        That is when its time has passed and the server answers; one that cannot be reached has as much time
        again, since others must not wait for it for ever.

        Args:
            begun: when it was sent, by the clock of the loop.
            timeout: seconds that it may take; None: `LONGEST` from now.
        """
        left = LONGEST if timeout is None else begun + timeout - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._let_go.wait(), max(left, 0.0))
        with suppress(TimeoutError):
            await asyncio.wait_for(_first(self._let_go.wait(), self._answers()), max(left, LONGEST))

    async def _answers(self) -> None:
        """Wait until the server answers."""
        while True:
            await self._up.wait()
            client = self._client
            if client is not None and await has_read_all(client):
                return
            self._lose(client)
            await asyncio.sleep(FIRST_PAUSE)

    def _lose(self, client: Client | None) -> None:
        """A connection has ended; the keeper will hear of it, too."""
        if client is not None and self._client is client:
            self._client = None
            self._up.clear()
            self._ended.set()

    def relist(self) -> None:
        """The server says that its tools have changed."""
        self._relist.set()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        clock = asyncio.get_running_loop().time
        while not self._stop.is_set():
            since = clock()
            try:
                await self._connect()
            except Exception as error:  # whatever it is: the command is missing, the server refuses, ...
                self._fault = _first_line(error)
                self._failed.set()
                _log.warning("server %r: %s", self.name, self._fault)
            else:
                self._fault = "it has ended"
            if self._stop.is_set():
                return
            pause = FIRST_PAUSE if clock() - since > STEADY else min(2 * pause, LONGEST_PAUSE)
            _log.warning("server %r is not connected; it is started again in %g s", self.name, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)

    async def _connect(self) -> None:
        """One connection from its start to its end."""
        self._ended = ended = asyncio.Event()
        async with Client(watched(self._opens, self.name, ended), **self._options) as client:
            try:
                changed = await self._list(client)
                self._client = client
                self._up.set()
                if changed:
                    await self._changed(self)
                self._help(self._follow(client))
                self._help(self._ask_again(client))
                if self.is_modern:
                    self._help(self._listen(client))
                await _first(ended.wait(), self._stop.wait())
            finally:
                self._client = None
                self._up.clear()
                for helper in self._helpers:
                    helper.cancel()
                await asyncio.gather(*self._helpers, return_exceptions=True)
                self._helpers.clear()

    async def _list(self, client: Client) -> bool:
        """List the tools; whether they are others than before."""
        before, has_tools = self.tools, client.server_capabilities.tools is not None
        self.tools = [tool async for tool in listed_tools(client)] if has_tools else []
        return self.tools != before

    def _help(self, work: Coroutine[Any, Any, None]) -> None:
        self._helpers.add(asyncio.create_task(work, name=f"mcp-{self.name}-helper"))

    async def _follow(self, client: Client) -> None:
        """List the tools anew whenever the server says that they have changed."""
        while True:
            await self._relist.wait()
            self._relist.clear()
            try:
                changed = await self._list(client)
            except Exception as error:  # it is gone, or will say so again
                _log.warning("server %r: its tools cannot be listed: %s", self.name, _first_line(error))
            else:
                if changed:
                    await self._changed(self)

    async def _listen(self, client: Client) -> None:
        """Ask a server of the protocol of 2026 to say what changes; it reaches the message handler."""
        with suppress(Exception):  # it does not offer that, or is gone
            async with client.listen(
                tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
            ) as subscription:
                async for _ in subscription:
                    pass

    def listen_to(self, uri: str) -> None:
        """Ask a server of the protocol of 2026 to say when a resource changes."""
        client = self._client
        if client is None or uri in self.listens:
            return
        self.listens.add(uri)
        self._help(self._listen_for(client, uri))

    async def _listen_for(self, client: Client, uri: str) -> None:
        with suppress(Exception):
            async with client.listen(resource_subscriptions=[uri]) as subscription:
                async for _ in subscription:
                    if uri not in self.listens:
                        return

    async def tell_level(self) -> None:
        """Tell the server which log messages are wanted, if it has any and can be told."""
        client = self._client
        if client is None or self.level is None or self.is_modern or self.capabilities.logging is None:
            return
        request = types.SetLevelRequest(params=types.SetLevelRequestParams(level=self.level))
        try:
            async with asyncio.timeout(PATIENCE):
                await client.session.send_request(request, types.EmptyResult)
        except (MCPError, TimeoutError) as error:
            _log.warning("server %r does not take the level of its log: %s", self.name, _first_line(error))

    async def _ask_again(self, client: Client) -> None:
        """Ask a server that has started again for what the one before had been asked for."""
        await self.tell_level()
        for uri in sorted(self.listens):
            if self.is_modern:
                self._help(self._listen_for(client, uri))
                continue
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
            try:
                await client.session.send_request(request, types.EmptyResult)
            except MCPError as error:
                _log.warning("server %r: changes of %s are not told: %s", self.name, uri, _first_line(error))


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of these has come about."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _first_line(error: BaseException) -> str:
    """The innermost error of a group, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
