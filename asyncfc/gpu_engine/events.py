"""Events: what happens in a conversation on the engine, as frozen data with the time of the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Reason: TypeAlias = Literal["stop", "length", "max_messages"]
Why: TypeAlias = Literal["answer", "await", "end"]


@dataclass(frozen=True, slots=True)
class Text:
    """More of what people read: no handles, each piece once. `message` counts the model's messages.

    A message that ends while outcomes are unseen is not the last one; the next says what holds.
    """

    at: float
    text: str
    message: int


@dataclass(frozen=True, slots=True)
class Thought:
    """More of the model's reasoning."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The model has written a call. `at` is when its last token was sampled."""

    at: float
    call_id: str
    tool: str
    arguments: str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Injected:
    """Tokens were put into the context behind the last one.

    `answers`: to the calls of a message. `outcomes`: of earlier calls, at a boundary. `interrupt`: of an
    earlier call, inside the turn (CML). `note`: a text from a person or another agent.
    """

    at: float
    what: Literal["answers", "outcomes", "interrupt", "note"]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Substituted:
    """Tokens were put in the place of a handle, or of an answer with one, at the tail (DESIGN G3)."""

    at: float
    handle: str
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Trapped:
    """The model needs values that are not there yet; its row leaves the batch (DESIGN G4).

    `answer`: a handle stands in what people read. `await`: it called for them, or waits for an answer.
    `end`: it has ended its message while outcomes were unseen.
    """

    at: float
    why: Why
    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """They are there."""

    at: float
    seconds: float
    """How long the row was trapped."""


@dataclass(frozen=True, slots=True)
class Done:
    """The model is done, or was stopped."""

    at: float
    text: str
    """Its last message, as people read it."""
    messages: list[dict[str, Any]]
    """The whole conversation as chat templates take it; append to it for the next turn."""
    reason: Reason
    """`length`: the message or the context became too long."""
    model_messages: int
    extra_messages: int
    """How many of them were asked for only because outcomes were unseen."""
    sampled: int
    """Tokens that the model chose."""
    injected: int
    """Tokens that were put into its context since the prompt."""


Event: TypeAlias = Text | Thought | Called | Injected | Substituted | Trapped | Resumed | Done
