"""Api: what a scripted model needs to know of a provider's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.script import GivenAnswer, Json, MadeCall, Message, OfferedTool, Stop

Event: TypeAlias = tuple[str | None, Json | str]
"""A server-sent event: its name, if it has one, and its data; a string is no JSON and goes out as it is."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A message of the model with its ids, before it takes a provider's form."""

    number: int
    """The messages of a model are numbered from 1; ids are made from it."""
    text: str
    calls: tuple[MadeCall, ...]
    thinking: str | None
    stop: Stop | None
    deltas: int

    def pieces(self, text: str) -> list[str]:
        """A text as it comes in a stream."""
        size = self.deltas or max(1, len(text))
        return [text[start : start + size] for start in range(0, len(text), size)]


class Api(Protocol):
    """One provider's protocol, and what its server remembers."""

    path: str
    """What the paths of its requests end with."""
    call_prefix: str
    """What the ids of its calls start with."""

    def authorise(self, headers: Mapping[str, str]) -> None:
        """Reject a request without the headers that the provider asks for; names are in lower case."""

    def check(self, body: Json, *, repeated_ids: bool) -> None:
        """Reject a body that the provider would not take."""

    def system(self, body: Json) -> str:
        """The system prompt."""

    def messages(self, body: Json) -> list[Message]:
        """The conversation, without what belongs to the system prompt."""

    def tools(self, body: Json) -> list[OfferedTool]:
        """The client's tools."""

    def thinks(self, body: Json) -> bool | None:
        """Whether the message begins with thinking; None: as the script has it."""

    def reply(self, body: Json, said: Utterance) -> Json:
        """The message as the body of a reply."""

    def events(self, body: Json, said: Utterance, reply: Json) -> list[Event]:
        """The same as a stream."""

    def error(self, rejected: Rejected) -> Json:
        """The body of an error."""


def named_answers(pairs: Iterable[tuple[str, str]], before: Iterable[Message]) -> tuple[GivenAnswer, ...]:
    """Answers from pairs of call id and text; where ids repeat, the latest call is meant."""
    names = {call.id: call.name for message in before for call in message.calls}
    return tuple(GivenAnswer(call_id, names.get(call_id, ""), text) for call_id, text in pairs)
