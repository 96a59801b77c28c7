"""Record: what a conversation came to, for those who judge it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from asyncfc.conversation.formats.base import Json
from asyncfc.testing.dialogues.drawn import Talk
from asyncfc.testing.dialogues.protocols import PROTOCOLS, Protocol
from asyncfc.testing.dialogues.scene import Ran
from asyncfc.trace.events import Event

Kind: TypeAlias = Literal["calls", "final", "provisional", "broken"]


@dataclass(slots=True)
class Sent:
    """One request as it was sent.

    - `at`: the time.
    - `fresh`: the loop's list no longer begins as before.
    - `reply`: the message of the model as items, if it came and stands in the next request as it is: it was
      provisional, or the loop got it unchanged.
    """

    body: Json
    at: float = 0.0
    fresh: bool = False
    succeeded: bool = False
    reply: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message of the model, as far as people saw it."""

    kind: Kind
    shown: str
    """What of it was passed on before it had ended."""
    text: str
    """What the loop got in the end; of a provisional message nothing."""


@dataclass(slots=True)
class Record:
    """A conversation.

    - `items`: the loop's own list in the end; `appended`: all that the loop ever put into it.
    - `named`: handles that the model awaited by name.
    - `cut`: the numbers of the calls in messages that were cut off.
    """

    talk: Talk
    sent: list[Sent] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    appended: list[Any] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)
    extra_messages: int = 0

    @property
    def protocol(self) -> Protocol:
        """That of the talk."""
        return PROTOCOLS[self.talk.manner.protocol]

    @property
    def accepted(self) -> list[Sent]:
        """The requests that succeeded."""
        return [sent for sent in self.sent if sent.succeeded]

    def sends(self, body: Json, *, fresh: bool) -> Sent:
        """Note a request."""
        self.sent.append(Sent(body, asyncio.get_running_loop().time(), fresh))
        return self.sent[-1]
