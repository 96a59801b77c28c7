"""Wrapping: an SDK's client and a loop's functions, joined to one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx2

from asyncfc.adapters.callables import Callables
from asyncfc.adapters.http import AsyncRelay, Relay
from asyncfc.adapters.passage import Wire
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.formats.base import Format
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import DeclarationError
from asyncfc.session import Finished, Session
from asyncfc.tools import Tool

ClientT = TypeVar("ClientT")
ToolsT = TypeVar("ToolsT", bound="Mapping[str, Callable[..., Any]] | Iterable[Callable[..., Any]]")
Tools = Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Wrapped(Generic[ClientT]):
    """What `wrap` gives. `client, tools = wrap(...)` takes the two that a loop needs.

    When the conversation is over, `close` (`aclose`, of an asynchronous client) closes its session and leaves
    the SDK's client as it was. Closing the wrapped client closes both.
    """

    client: ClientT
    """The SDK's client, of the same class as before."""
    tools: Any
    """The functions: a dict by name if a mapping was given, else a list in the same order; behind them
    `await_future` and `cancel_future`, which the model calls like any other tool."""
    session: Session | BlockingSession
    dialogue: Dialogue

    def __iter__(self) -> Iterator[Any]:
        return iter((self.client, self.tools))

    def close(self) -> Finished:
        """End the conversation of a synchronous client; see `Session.close`.

        Raises:
            TypeError: the client is asynchronous.
        """
        if isinstance(self.session, Session):
            raise TypeError("the client is asynchronous; use `await wrapped.aclose()`")
        return self.session.close()

    async def aclose(self) -> Finished:
        """End the conversation; see `Session.close`."""
        if isinstance(self.session, Session):
            return await self.session.close()
        return await asyncio.to_thread(self.session.close)


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
    of_dialogue, of_session = split_settings(settings)
    if isinstance(inner, httpx2.Client):
        blocking = BlockingSession(tools, **of_session)
        try:
            dialogue = Dialogue(blocking.inner, **of_dialogue)
        except BaseException:
            blocking.close()
            raise
        wire = Wire(dialogue, formats)
        callables = Callables(lambda: wire.newest, blocking.inner, blocking)
        relay: Any = Relay(inner, wire, blocking)
        session: Session | BlockingSession = blocking
    elif isinstance(inner, httpx2.AsyncClient):
        session = Session(tools, **of_session)
        dialogue = Dialogue(session, **of_dialogue)
        wire = Wire(dialogue, formats)
        callables = Callables(lambda: wire.newest, session)
        relay = AsyncRelay(inner, wire, must_be_ready=callables.must_be_ready)
    else:
        raise DeclarationError(
            f"{client!r} is no client that can be wrapped: it has no httpx2 client of its own"
        )
    return Wrapped(client.copy(http_client=relay), _like(tools, callables.by_name()), session, dialogue)


def _like(tools: Tools, functions: dict[str, Callable[..., Any]]) -> Any:
    """The functions in the form in which the loop's were given."""
    return functions if isinstance(tools, Mapping) else list(functions.values())
