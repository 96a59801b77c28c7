"""Format: what the rest of asyncfc needs to know of a provider's JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from asyncfc.conversation.providers import Provider
from asyncfc.conversation.transcript import Entry
from asyncfc.futures.call import Call

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReplyCall:
    """One client tool call in a message of the model."""

    call: Call
    """Arguments as JSON text, exactly as the model wrote it."""
    kind: Literal["model", "program", "foreign"] = "model"
    """Whose context the answer goes into: the model's; a program's, which computes with it (DESIGN D6); or
    `foreign`: a tool without JSON arguments (a custom tool), which is none of asyncfc's."""
    native: bool = False
    """It is marked as asynchronous: the provider lets its answer come in a later request."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of the model."""

    text: str
    """What a user reads; no reasoning."""
    calls: tuple[ReplyCall, ...]
    """Client tool calls, in order."""
    cut: str | None
    """Why the message is not complete (a token limit, a refusal, a filter), or None if it is."""
    items: tuple[Any, ...]
    """The message as it stands in the list of messages of the next request."""
    final: bool = True
    """Without calls it is the model's last word; False where the provider has only paused (`pause_turn`)."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text that a user reads."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A client tool call begins."""

    held: bool = False
    """The SDK makes the call as soon as it reads of it: it is to read of it when the message has ended."""


@dataclass(frozen=True, slots=True)
class CallSealed:
    """A client tool call is complete; it may start, as provisional."""

    call: ReplyCall


@dataclass(frozen=True, slots=True)
class Ended:
    """The message has ended: nothing but bookkeeping comes any more."""


Part: TypeAlias = TextDelta | CallBegun | CallSealed | Ended


class StreamReader(Protocol):
    """Reads one streamed message, event by event."""

    def feed(self, event: Mapping[str, Any]) -> list[Part]:
        """What an event brings; unknown events bring nothing."""

    def reply(self) -> Reply:
        """The message as it came; `cut` if the stream broke off before its end."""

    def rewrite(self, events: Sequence[Json], change: Callable[[str], str]) -> list[Json]:
        """The last events, with the text in them changed.

        The texts of all deltas among them are joined, changed, and put into the first of these; the other
        deltas are dropped. Where an event repeats the whole text of the message, that is changed as a
        whole. The arguments stay as they are.
        """


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A client tool as a request declares it."""

    name: str
    description: str
    parameters: Json
    strict: bool
    """The provider decodes by this schema and allows nothing else."""


class Format(Protocol):
    """How one provider writes requests and replies. Everything here returns new objects, changes none.

    A *body* is a whole request or reply; an *item* is one element of a request's list of messages.
    """

    def provider(self, body: Json) -> Provider:
        """The row of the table that a request falls under."""

    def messages(self, body: Json) -> list[Any]:
        """The items of a request, as they are; a bare string as input counts as one item of the user."""

    def with_messages(self, body: Json, items: Sequence[Any]) -> Json:
        """The request with these items instead."""

    def with_note(self, body: Json, note: str) -> Json:
        """The request with a text behind its system prompt."""

    def with_tools(
        self, body: Json, change: Callable[[ToolSchema], ToolSchema], add: Sequence[ToolSchema]
    ) -> Json:
        """The request with each of its client tools changed, and others behind them.

        One that declares no client tools stays as it is. Of those to add, one whose name is there already
        is left out.
        """

    def tool_names(self, body: Json) -> list[str]:
        """The names of the client tools that a request declares."""

    def continues(self, body: Json) -> bool:
        """Whether the provider keeps the messages before those of the request."""

    def is_structured(self, body: Json) -> bool:
        """Whether the final text is to be JSON of a form that the request names."""

    def read(self, item: Any) -> Entry:
        """An item as an entry. One that is not understood gives an entry with the best role and no text."""

    def write(self, entry: Entry) -> list[Any]:
        """An entry as items."""

    def extend(self, item: Any, text: str) -> Any:
        """An item that answers calls, with a text behind the last answer, in the tool's role."""

    def map_texts(self, item: Any, change: Callable[[str, str | None], str]) -> Any:
        """An item of a user or tool, with every text changed: `change(text, call id or None)`.

        Returns the very same object if nothing changed.
        """

    def reply(self, body: Json) -> Reply:
        """The message of the model in a reply that was not streamed."""

    def with_text(self, body: Json, change: Callable[[str], str]) -> Json:
        """The reply with the texts that a user reads changed."""

    def reader(self) -> StreamReader:
        """A reader for one streamed reply."""
