"""Wrapped: what wrapping gives, whatever is wrapped; and the session and dialogue behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asyncfc.blocking import BlockingSession
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.session import Finished, Session
from asyncfc.tools import Tool

ClientT = TypeVar("ClientT")
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


def new_dialogue(
    tools: Tools, settings: Mapping[str, Any], *, blocking: bool
) -> tuple[Session | BlockingSession, Dialogue]:
    """A session, and a dialogue over it.

    Args:
        tools: by name or not.
        settings: of both.
        blocking: for a synchronous client.

    Raises:
        DeclarationError: anything written wrongly.
    """
    of_dialogue, of_session = split_settings(settings)
    if not blocking:
        session = Session(tools, **of_session)
        return session, Dialogue(session, **of_dialogue)
    blocked = BlockingSession(tools, **of_session)
    try:
        return blocked, Dialogue(blocked.inner, **of_dialogue)
    except BaseException:
        blocked.close()
        raise


def like(tools: Tools, functions: dict[str, Callable[..., Any]]) -> Any:
    """The functions in the form in which the loop's were given."""
    return functions if isinstance(tools, Mapping) else list(functions.values())
