"""What can go wrong with a call to an MCP server, beside what can go wrong with any call."""

from __future__ import annotations

from asyncfc.errors import CallError


class ServerError(Exception):
    """What a server answered a call with instead of a result: `isError`, or a JSON-RPC error."""


class ServerLost(CallError):
    """The connection to the server ended while a call was under way; the message says what is known."""
