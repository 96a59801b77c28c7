"""Transport: the way to a server, watched: it is seen at once when it ends, and what comes garbled."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self, TypeAlias

import anyio
import httpx2
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

from asyncfc.adapters.mcp_proxy.settings import Server

Streams: TypeAlias = tuple[Any, Any]
"""What the SDK's transports give: a stream to read messages from, and one to write them to."""
Opens: TypeAlias = Callable[[], AbstractAsyncContextManager[Streams]]

_log = logging.getLogger(__name__)
_ID = re.compile(r'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')
_PATIENT = httpx2.Timeout(30.0, read=None)
"""Seconds for all but the answers: how long a call may take is said by its own timeout."""
_SHOWN = 200
"""Characters of a garbled message that are shown."""


def opens(server: Server) -> Opens:
    """What opens the way to a server."""
    if server.command is not None:
        parameters = StdioServerParameters(
            command=server.command, args=server.args, env=server.env or None, cwd=server.cwd
        )
        return lambda: stdio_client(parameters, errlog=sys.stderr)
    assert server.url is not None
    url, headers = server.url, server.headers or None
    if server.type == "sse":
        return lambda: sse_client(url, headers)
    return lambda: _over_http(url, headers)


@asynccontextmanager
async def watched(opened: Opens, name: str, ended: asyncio.Event) -> AsyncIterator[Streams]:
    """The streams of a transport; `ended` is set as soon as nothing more can come.

    A message that is no JSON-RPC, but shows which request it was to answer, is taken for an error as that
    answer. Otherwise the call would wait for ever.

    Args:
        opened: opens the transport.
        name: of the server, for the log.
        ended: of this connection.
    """
    async with opened() as (read, write):
        try:
            yield _Watched(read, name, ended), write
        finally:
            ended.set()


@asynccontextmanager
async def _over_http(url: str, headers: dict[str, str] | None) -> AsyncIterator[Streams]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_PATIENT) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


class _Watched:
    """A stream of messages to read."""

    def __init__(self, stream: Any, name: str, ended: asyncio.Event) -> None:
        self._stream = stream
        self._name = name
        self._ended = ended

    async def receive(self) -> Any:
        try:
            item = await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._ended.set()
            raise
        return self._mended(item) if isinstance(item, Exception) else item

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close(self) -> None:
        self._stream.close()

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._stream.__aexit__(*error)

    def _mended(self, fault: Exception) -> Exception | SessionMessage:
        request, text = _garbled(fault)
        if request is None:
            _log.warning("server %r sent what is no JSON-RPC message: %s", self._name, text)
            return fault
        data = ErrorData(code=PARSE_ERROR, message=f"server {self._name!r} sent a malformed answer: {text}")
        return SessionMessage(JSONRPCError(jsonrpc="2.0", id=request, error=data))


def _garbled(fault: Exception) -> tuple[str | int | None, str]:
    """Which request a garbled message was to answer, if it shows, and its start."""
    if not isinstance(fault, ValidationError):
        return None, str(fault)[:_SHOWN]
    raw = fault.errors(include_url=False)[0]["input"]
    if isinstance(raw, dict):
        request = raw.get("id")
        known = request if isinstance(request, str | int) and "method" not in raw else None
        return known, str(raw)[:_SHOWN]
    text = raw if isinstance(raw, str) else str(raw)
    match = None if '"method"' in text else _ID.search(text)
    if match is None:
        return None, text[:_SHOWN]
    found = match[1]
    return found[1:-1] if found.startswith('"') else int(found), text[:_SHOWN]
