"""Limits: how many calls may work at the same time, in all, per tool and per resource.

A call takes the slots that it needs one by one in a fixed order (resources, tool, global) and keeps
what it has while it waits for the next. The fixed order excludes deadlock; keeping excludes
starvation; each queue is served in emission order (P15).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from asyncfc.depgraph.effects import Claim
from asyncfc.depgraph.resource import Label, overlaps, parse_label
from asyncfc.errors import DeclarationError

GLOBAL = "*"
TOOL = "tool:"


@dataclass(slots=True, eq=False)
class Ticket:
    """What one call needs and has: `keys[:held]` are its slots. `left` is set when it gave up."""

    order: int
    keys: tuple[str, ...]
    held: int = 0
    left: bool = False
    task: Any = None
    """Whose it is; nothing to the limits."""

    @property
    def complete(self) -> bool:
        """Whether it has all its slots."""
        return self.held == len(self.keys)


@dataclass(slots=True)
class _Slots:
    """Invariant: somebody waits only while none is free."""

    free: int
    """Less than 0 if some were taken beyond the limit."""
    waiting: list[tuple[int, int, Ticket]] = field(default_factory=list)
    """A heap: by order, then (a call may have left with one ticket and come with another) as they came."""


class Keys:
    """Which limits count for a call: `"*"`, `"tool:NAME"`, or a label that one of its labels overlaps.

    Raises:
        DeclarationError: a key is no label.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = frozenset(keys)
        self._labels: dict[str, Label] = {
            key: parse_label(key) for key in keys if key != GLOBAL and not key.startswith(TOOL)
        }

    def of(self, tool: str, claim: Claim) -> tuple[str, ...]:
        """The keys that count for a call of this tool with this claim, in the fixed order."""
        if not self._keys:
            return ()
        labels = (*claim.reads, *claim.writes)
        keys = [key for key, limit in self._labels.items() if any(overlaps(limit, label) for label in labels)]
        keys += [key for key in (TOOL + tool, GLOBAL) if key in self._keys]
        return tuple(keys)


class Limits:
    """Counts slots; starts nothing.

    Args:
        limits: `"*"` for all calls, `"tool:NAME"` for one tool, any other key is a resource label:
            a call counts against it if one of its labels overlaps. Values are at least 1.

    Raises:
        DeclarationError: a value is not a positive whole number, or a key is no label.
    """

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        for key, size in (limits or {}).items():
            if type(size) is not int or size < 1:
                raise DeclarationError(f"limit {key!r}: {size!r} is not a whole number of at least 1")
        self._slots = {key: _Slots(size) for key, size in (limits or {}).items()}
        self._keys = Keys(self._slots)
        self._arrivals = count()

    def keys(self, tool: str, claim: Claim) -> tuple[str, ...]:
        """The limits that a call of this tool with this claim counts against, in the fixed order."""
        return self._keys.of(tool, claim)

    def enter(self, ticket: Ticket) -> bool:
        """Take the slots that are free; return whether the ticket has all. If not, it waits."""
        while ticket.held < len(ticket.keys):
            slots = self._slots[ticket.keys[ticket.held]]
            if slots.free <= 0:
                heapq.heappush(slots.waiting, (ticket.order, next(self._arrivals), ticket))
                return False
            slots.free -= 1
            ticket.held += 1
        return True

    def take(self, ticket: Ticket) -> None:
        """Take all slots of a new ticket, free or not: its work goes on already."""
        for key in ticket.keys:
            self._slots[key].free -= 1
        ticket.held = len(ticket.keys)

    def leave(self, ticket: Ticket) -> list[Ticket]:
        """Give up for good, waiting or not; return the tickets that now have all their slots."""
        ticket.left = True
        served = []
        for key in ticket.keys[: ticket.held]:
            slots = self._slots[key]
            slots.free += 1
            heir = self._first(key) if slots.free > 0 else None
            if heir is not None and self.enter(heir):
                served.append(heir)
        ticket.held = 0
        return served

    def _first(self, key: str) -> Ticket | None:
        """Take the first that waits for this key out of the queue."""
        waiting = self._slots[key].waiting
        while waiting:
            _, _, ticket = heapq.heappop(waiting)
            if not ticket.left:
                return ticket
        return None
