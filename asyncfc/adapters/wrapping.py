"""Wrapping: an SDK's client and a loop's functions, joined to one conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from asyncfc.adapters.callables import Callables
from asyncfc.adapters.http import AsyncRelay, Relay
from asyncfc.adapters.passage import Wire
from asyncfc.adapters.wrapped import Tools, Wrapped, like, new_dialogue
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.formats.base import Format
from asyncfc.errors import DeclarationError


def wrap_client(
    client: Any, tools: Tools, formats: Mapping[str, Format], settings: dict[str, Any]
) -> Wrapped[Any]:
    """Join a client of an SDK and the functions of a loop to one conversation.

    Args:
        client: has its HTTP client at `_client`, and `copy(http_client=...)`.
        tools: the functions, by name or not.
        formats: what the SDK speaks, by the end of a request's path.
        settings: of the `Dialogue` and of the `Session`.

    Raises:
        DeclarationError: no such client, or anything written wrongly.
    """
    inner = getattr(client, "_client", None)
    if not isinstance(inner, httpx2.Client | httpx2.AsyncClient):
        raise DeclarationError(
            f"{client!r} is no client that can be wrapped: it has no httpx2 client of its own"
        )
    session, dialogue = new_dialogue(tools, settings, blocking=isinstance(inner, httpx2.Client))
    wire = Wire(dialogue, formats)
    blocking = session if isinstance(session, BlockingSession) else None
    callables = Callables(lambda: wire.newest, dialogue.session, blocking)
    relay: Relay | AsyncRelay
    if isinstance(inner, httpx2.Client):
        assert blocking is not None
        relay = Relay(inner, wire, blocking)
    else:
        relay = AsyncRelay(inner, wire, must_be_ready=callables.must_be_ready)
    return Wrapped(client.copy(http_client=relay), like(tools, callables.by_name()), session, dialogue)
