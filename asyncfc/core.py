"""Core: what a session and its messages share, and what they give to their caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from asyncfc.conversation.delivery import Delivery, Note, Outbox
from asyncfc.conversation.grace import MessageCost
from asyncfc.duplicates import InFlight
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task, Tenant
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.futures.retention import Retention
from asyncfc.futures.table import FutureTable
from asyncfc.tools import Tool

SameMessage: TypeAlias = Literal["ordered", "concurrent"]
Grace: TypeAlias = float | Literal["auto"]
Priority: TypeAlias = Literal["critical", "emission"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call is answered with."""

    call_id: str
    text: str
    """What the model reads: the value, the error, or the placeholder with the handle."""
    value: Any
    """The tool's own result, if it was there within grace; else None."""
    error: BaseException | None
    """What the call raised, if it failed within grace."""
    future: Future
    held_s: float
    """How long the answers of this message were held, in seconds."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What an await brought: outcomes, oldest call first, and the futures still open."""

    settled: list[Delivery]
    pending: list[Future]
    notes: list[Note]
    """What was posted into the conversation meanwhile; a post ends the wait."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a session came to rest. `left` are calls whose work has not ended in the time given."""

    settled: int
    left: tuple[Future, ...]


class Open(Protocol):
    """A message that is neither committed nor withdrawn."""

    def withdraw(self, reason: str) -> None:
        """It never completed."""


@dataclass(slots=True, eq=False)
class Core:
    """What a session and its messages share."""

    tools: dict[str, Tool]
    grammar: HandleGrammar
    table: FutureTable
    outbox: Outbox
    scheduler: Scheduler
    tenant: Tenant
    in_flight: InFlight
    grace: Grace
    same_message: SameMessage
    gated: bool
    """Irreversible calls wait until all earlier outcomes have been seen."""
    retention: Retention | None
    """None: all values are kept."""
    emit: Callable[..., object] | None
    cost: MessageCost = field(default_factory=MessageCost)
    """What a message of the model takes."""
    registered: int = 0
    """Calls so far."""
    messages: int = 0
    """Messages of the model that were complete, so far."""
    open: list[Open] = field(default_factory=list)
    """Messages neither committed nor withdrawn."""

    def next_message(self) -> int:
        """The number of a message of the model that is complete, from 1."""
        self.messages += 1
        return self.messages

    def caller(self) -> Task | None:
        """The call of this session from inside whose work this is asked.

        One of another session does not count, though both may share a runtime: a conversation inside a tool
        has a model of its own.
        """
        caller = self.scheduler.caller()
        return caller if caller is not None and caller.tenant is self.tenant else None

    def parent_of(self, task: Task) -> Task | None:
        """The call of this session that made a call, if one did."""
        return task.parent if task.parent is not None and task.parent.tenant is self.tenant else None
