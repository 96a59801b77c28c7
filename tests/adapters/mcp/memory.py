"""A host, the proxy and its servers in one process, over streams in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp import Client
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import serve_loop
from mcp.shared.memory import create_client_server_memory_streams

from asyncfc.adapters.mcp_proxy.config import read_config
from asyncfc.adapters.mcp_proxy.host import Host
from asyncfc.adapters.mcp_proxy.proxy import Proxy


class Wire:
    """A server behind streams in memory, as often as it is opened; it can break off, and stay away.

    With `modern=False` it speaks the protocol up to 2025-11-25 only. With `remote=True` the proxy takes
    it for one that is reached by an address.
    """

    def __init__(
        self, make: Callable[[], MCPServer | Server[Any]], *, modern: bool = False, remote: bool = False
    ) -> None:
        self._make = make
        self._modern = modern
        self.remote = remote
        self.opened = 0
        self.away = False
        self._break = asyncio.Event()

    def crash(self) -> None:
        self._break.set()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        if self.away:
            raise FileNotFoundError("no such command")
        self.opened += 1
        self._break = broken = asyncio.Event()
        made = self._make()
        server = made._lowlevel_server if isinstance(made, MCPServer) else made
        async with create_client_server_memory_streams() as (ours, theirs):
            serving = asyncio.create_task(self._serve(server, *theirs))
            breaking = asyncio.create_task(_break_off(broken, serving, theirs))
            try:
                yield ours
            finally:
                breaking.cancel()
                serving.cancel()
                await asyncio.gather(serving, breaking, return_exceptions=True)

    async def _serve(self, server: Server[Any], read: Any, write: Any) -> None:
        if self._modern:
            await server.run(read, write, server.create_initialization_options())
        else:
            await serve_loop(server, read, write, lifespan_state={})


async def _break_off(broken: asyncio.Event, serving: asyncio.Task[None], streams: Any) -> None:
    await broken.wait()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    for stream in streams:
        await stream.aclose()


class Bench:
    """A proxy over servers in memory, and the hosts that are connected to it."""

    def __init__(
        self, servers: Mapping[str, Any], settings: Mapping[str, Any], proxy: Mapping[str, Any]
    ) -> None:
        raw = {
            name: {
                **({"url": "http://none"} if getattr(wire, "remote", False) else {"command": "none"}),
                "asyncfc": settings.get(name, {}),
            }
            for name, wire in servers.items()
        }
        self.config = read_config({"mcpServers": raw, "asyncfc": dict(proxy)})
        self.proxy = Proxy(self.config, servers)
        self.hosts: list[Host] = []

    @asynccontextmanager
    async def host(self, **client: Any) -> AsyncIterator[Client]:
        """A host, connected; it goes at the end."""
        host = self.proxy.new_host()
        self.hosts.append(host)
        async with AsyncExitStack() as stack:
            ours, theirs = await stack.enter_async_context(create_client_server_memory_streams())
            serving = asyncio.create_task(host.serve(*theirs))
            try:
                async with Client(_given(ours), mode="legacy", **client) as connected:
                    yield connected
            finally:
                for stream in ours:
                    await stream.aclose()
                await serving
                await self.proxy.end(host)


@asynccontextmanager
async def bench(
    servers: Mapping[str, Any], settings: Mapping[str, Any] | None = None, **proxy: Any
) -> AsyncIterator[Bench]:
    """A proxy over these servers, by name: what opens a transport to each."""
    made = Bench(servers, settings or {}, proxy)
    try:
        yield made
    finally:
        made.proxy.close()


@asynccontextmanager
async def proxied(
    servers: Mapping[str, Any], settings: Mapping[str, Any] | None = None, *, client: Any = None, **proxy: Any
) -> AsyncIterator[Client]:
    """One host, connected to a proxy over these servers."""
    async with bench(servers, settings, **proxy) as made, made.host(**(client or {})) as connected:
        yield connected


@asynccontextmanager
async def _given(streams: Any) -> AsyncIterator[Any]:
    yield streams


def text(result: Any) -> str:
    """The text of an answer."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def handle(result: Any) -> str:
    """The handle that an answer is."""
    found = text(result).split()[0]
    assert found.startswith("$"), text(result)
    return found
