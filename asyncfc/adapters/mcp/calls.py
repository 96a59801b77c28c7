"""Calls: one `tools/call` from its start to its true end."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import mcp_types as types
from mcp import Client, ClientSession, MCPError
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CONNECTION_CLOSED, CallToolResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from asyncfc.adapters.mcp.errors import ServerError, ServerLost

AnyClient: TypeAlias = Client | ClientSession
"""Either client of the official SDK, connected."""


async def call_tool(
    client: AnyClient,
    server: str,
    tool: str,
    arguments: dict[str, Any],
    *,
    progress: ProgressFnT | None = None,
    reads: bool = False,
) -> CallToolResult:
    """Make a call; when this is cancelled, the server is told (`notifications/cancelled`).

    A server does not say when work that was cancelled has ended. Of a call that only reads it does not
    matter. Else this ends once the server has answered something that was sent after the cancellation, so
    that it has read that. A server that hangs does not, and its call counts as running (DESIGN F2).

    Args:
        client: connected.
        server: what the user calls the server.
        tool: as the server calls it.
        arguments: final.
        progress: called with what the server reports meanwhile.
        reads: the call changes nothing.

    Raises:
        ServerLost: the connection ended before the answer came.
        ServerError: the server answered with a JSON-RPC error, or with what is no result.
    """
    try:
        return await client.call_tool(tool, arguments, progress_callback=progress)
    except asyncio.CancelledError:
        if not reads:
            await has_read_all(client)
        raise
    except MCPError as error:
        if error.code == CONNECTION_CLOSED:
            raise ServerLost(
                f"the connection to server {server!r} ended while its tool {tool!r} ran; whether it has done "
                f"its work is not known"
            ) from error
        raise ServerError(f"{error.error.message}{_data(error)}") from error
    except ValidationError as error:
        raise ServerError(
            f"server {server!r} answered the call of {tool!r} with what is no result by the protocol: {error}"
        ) from error


async def has_read_all(client: AnyClient) -> bool:
    """Wait until the server has answered a question; False if the connection has ended."""
    session = client.session if isinstance(client, Client) else client
    try:
        if session.protocol_version in MODERN_PROTOCOL_VERSIONS:
            await session.list_tools()
        else:
            await session.send_request(types.PingRequest(), types.EmptyResult)
    except MCPError as error:  # to refuse to answer is an answer
        return error.code != CONNECTION_CLOSED
    except ValidationError:
        return True
    except RuntimeError:  # the client has been closed
        return False
    return True


def _data(error: MCPError) -> str:
    return "" if error.error.data in (None, "") else f" ({error.error.data})"
