"""Port: what the engine needs to know of a session, and no more. It knows no other way to it (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of a message is answered with."""

    call_id: str
    tool: str
    arguments: str | Mapping[str, Any]
    """As the model wrote them."""
    text: str
    future: Future | None
    """None: a control call, which is none of the graph."""
    settled: bool = True
    """The text is the outcome, not a handle."""


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome, or a text from elsewhere, that the model is to be told now."""

    handle: str | None
    """None: a text from a person or another agent."""
    text: str


class Message(Protocol):
    """One message of the model: sealed call by call, then complete, or cut off."""

    def seal(self, call_id: str, tool: str, arguments: str | Mapping[str, Any]) -> Future | None:
        """The next call is complete; it may start, as provisional. None: a control call."""

    def complete(self) -> None:
        """So is the message: its writes may run, and its calls have handles."""

    def cut(self, reason: str) -> None:
        """The message ended before it was complete; none of its calls is made."""

    async def answers(self) -> list[Answer]:
        """One per call, in order, once its awaits are over."""

    async def answer_again(self, answers: Sequence[Answer]) -> list[Answer]:
        """The same, with the outcomes of the calls that have settled since in place of their handles."""


class Conversation(Protocol):
    """The side of a session that faces the model."""

    @property
    def note(self) -> str | None:
        """What stands behind the system prompt."""

    @property
    def tools(self) -> list[Json]:
        """What the model is told of the tools, as chat templates take them."""

    @property
    def grammar(self) -> HandleGrammar:
        """How handles are written."""

    @property
    def owed(self) -> list[Future]:
        """The calls whose outcome the model has not been told, oldest first."""

    def begin(self) -> Message:
        """A message of the model begins."""

    def broke(self, message: Message) -> None:
        """It will never end."""

    async def room(self) -> None:
        """Wait until one more message may be asked for."""

    def sampling(self) -> AbstractContextManager[list[Told]]:
        """What to tell the model before its next message; use it as `with` around that message."""

    def pausing(self) -> AbstractContextManager[None]:
        """For `with` around a wait in the middle of a message: nothing is decoded meanwhile."""

    def mentioned(self, text: str) -> list[Future]:
        """The futures whose handles stand in a text."""

    def may_mention(self, text: str) -> bool:
        """Whether a handle stands in a text, or may begin at its end."""

    def fill(self, text: str) -> str:
        """The text with values in place of handles, for people."""

    def escape(self, text: str) -> str:
        """A text of a person for the model: what reads as a handle in it is inert."""

    async def wait_for(self, futures: Sequence[Future]) -> None:
        """Wait until they have settled, or something was posted."""

    def tell(self, future: Future) -> None:
        """The model has been told the value of a settled call, in its own words."""

    async def must_go_on(self, text: str) -> bool:
        """A message without calls is complete: whether outcomes are to be told and the model asked again."""
