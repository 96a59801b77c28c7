"""Script: what a scripted model says, given all that it was told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]

_HANDLE = re.compile(r"(?<!\$)\$[a-z][a-z0-9]{2,15}_[0-9]+")
"""What a model takes for a handle: it knows no session, only the looks."""

Kind: TypeAlias = Literal["model", "program", "custom"]
"""Who gets the answer of a call: the model, or a program that it wrote; `custom`: a call without JSON."""

Stop: TypeAlias = Literal["length", "filter", "refusal", "pause"]
"""Why a message ends, if not of itself: token limit, content filter, refusal, a pause of a server's tool."""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A tool call that stands in the conversation."""

    id: str
    name: str
    arguments: str
    """The text as the model wrote it."""
    kind: Kind = "model"


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a call was answered with."""

    call_id: str
    name: str
    """Of the tool; empty if no call of that id stands before it."""
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation; a `tool` message holds the answers between two other messages."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[MadeCall, ...] = ()
    answers: tuple[GivenAnswer, ...] = ()
    issued: bool = True
    """False for an assistant's message whose calls this model never made, such as an inserted pair."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool of the request."""

    name: str
    schema: Json
    description: str


@dataclass(frozen=True, slots=True)
class View:
    """A request as the model reads it, whoever the provider is."""

    messages: tuple[Message, ...]
    system: str
    tools: Mapping[str, OfferedTool]
    body: Json
    """The request itself."""

    @property
    def turn(self) -> int:
        """How many messages this model has said; inserted ones do not count."""
        return sum(message.role == "assistant" and message.issued for message in self.messages)

    def calls(self, name: str | None = None) -> list[MadeCall]:
        """The calls so far, in order; of one tool, if named."""
        made = [call for message in self.messages for call in message.calls]
        return [call for call in made if name in {None, call.name}]

    def answers(self, name: str | None = None) -> list[GivenAnswer]:
        """The answers so far, in order; of one tool, if named."""
        given = [answer for message in self.messages for answer in message.answers]
        return [answer for answer in given if name in {None, answer.name}]

    def answer_of(self, name: str, nth: int = 0) -> str:
        """The text that the n-th call of a tool was answered with.

        Raises:
            LookupError: there is no such answer.
        """
        given = self.answers(name)
        if not -len(given) <= nth < len(given):
            raise LookupError(f"{name!r} has {len(given)} answers, so none with index {nth}")
        return given[nth].text

    def handles(self) -> list[str]:
        """Everything in tool answers that looks like a handle, each once, in order of first mention."""
        return list(dict.fromkeys(_HANDLE.findall("\n".join(answer.text for answer in self.answers()))))

    def passed_on(self, name: str, nth: int = 0) -> str:
        """What a model writes where it needs a result: the handle in the answer, or else the answer.

        Raises:
            LookupError: there is no such answer.
        """
        text = self.answer_of(name, nth)
        found = _HANDLE.search(text)
        return found.group() if found else text

    def last_texts(self) -> list[str]:
        """What came after the last message of the assistant: answers and texts of the user, in order."""
        ends = [index for index, message in enumerate(self.messages) if message.role == "assistant"]
        rest = self.messages[ends[-1] + 1 :] if ends else self.messages
        texts = [text for message in rest for text in (*(a.text for a in message.answers), message.text)]
        return [text for text in texts if text]


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that the model makes, where a plain `(name, arguments)` does not say enough."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    """A string stands in the message as it is, JSON or not."""
    kind: Kind = "model"

    @property
    def text(self) -> str:
        """The arguments as the model writes them."""
        given = self.arguments
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


Asked: TypeAlias = tuple[str, Mapping[str, Any] | str] | Ask


@dataclass(frozen=True, slots=True)
class Emit:
    """What a model says in one message."""

    text: str = ""
    calls: Sequence[Asked] = ()
    thinking: str | None = None
    """None: where the request asks for thinking, some is said."""
    stop: Stop | None = None
    deltas: int = 5
    """Characters in a piece of a streamed text; 0: all in one."""

    def asks(self) -> list[Ask]:
        """The calls, all in one form."""
        return [call if isinstance(call, Ask) else Ask(*call) for call in self.calls]


Script: TypeAlias = Callable[[View], Emit]


def play(*steps: Emit | Script, after: Emit | Script | None = None) -> Script:
    """A script that says the steps one after the other.

    Which one is due is read off the conversation, so a repeated request gets the same step again.

    Args:
        steps: what is said, or made of what was told.
        after: what is said if the conversation goes on after the last step.

    Raises (the script):
        LookupError: the conversation goes on, and there is no `after`.
    """

    def script(view: View) -> Emit:
        step = steps[view.turn] if view.turn < len(steps) else after
        if step is None:
            told = view.last_texts()
            raise LookupError(f"the script has {len(steps)} steps, but the model is asked once more: {told}")
        return step if isinstance(step, Emit) else step(view)

    return script
