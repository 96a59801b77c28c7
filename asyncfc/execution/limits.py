"""Limits: how many calls may work at the same time, in all, per tool and per resource.

A call takes the slots that it needs one by one in a fixed order (those of its session first; resources,
tool, global) and keeps what it has while it waits for the next. The fixed order excludes deadlock; keeping
excludes starvation; `Line` says whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyncfc.depgraph.effects import Claim
from asyncfc.depgraph.resource import Label, overlaps, parse_label
from asyncfc.errors import DeclarationError
from asyncfc.execution.line import Share, Slots, Ticket

GLOBAL = "*"
TOOL = "tool:"


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
        per_session: the same for the calls of each session by itself.

    Raises:
        DeclarationError: a value is not a positive whole number, or a key is no label.
    """

    def __init__(
        self, limits: Mapping[str, int] | None = None, per_session: Mapping[str, int] | None = None
    ) -> None:
        self._sizes = _checked(per_session)
        self._slots = _made(_checked(limits), 0)
        self._keys = Keys(self._slots)
        self._own_keys = Keys(self._sizes)

    def __bool__(self) -> bool:
        return bool(self._slots or self._sizes)

    @property
    def slots(self) -> Mapping[str, Slots]:
        """Of all sessions, by key."""
        return self._slots

    def share(self, weight: float = 1.0, *, ranked: bool = False) -> Share:
        """What one more session may have."""
        return Share(weight, ranked, _made(self._sizes, -len(self._sizes)))

    def ticket(self, order: int, tool: str, claim: Claim, share: Share) -> Ticket | None:
        """What a call of this tool with this claim needs; None: nothing limits it."""
        own = self._own_keys.of(tool, claim) if share.caps else ()
        keys = own + self._keys.of(tool, claim)
        return Ticket(order, keys, share=share, own=len(own)) if keys else None

    def again(self, ticket: Ticket) -> Ticket:
        """A new ticket for a call that has given back what it had."""
        return Ticket(ticket.order, ticket.keys, 0, ticket.task, ticket.share, ticket.own, ticket.rank)

    def enter(self, ticket: Ticket) -> bool:
        """Take slots as far as they are free; return whether that does for now. If not, the ticket waits."""
        while not ticket.complete:
            slots = self._of(ticket, ticket.held)
            if slots.free <= 0:
                slots.line.add(ticket)
                return False
            slots.line.take(ticket)
            slots.free -= 1
            ticket.held += 1
        return True

    def enter_all(self, tickets: Iterable[Ticket]) -> None:
        """As `enter`, for several: all queue before the slots that are free go to those whose turn it is."""
        lines: dict[int, dict[Slots, None]] = {}

        def queue(ticket: Ticket) -> None:
            slots = self._of(ticket, ticket.held)
            slots.line.add(ticket)
            lines.setdefault(slots.place, {})[slots] = None

        for ticket in tickets:
            queue(ticket)
        while lines:  # whoever has a slot queues for one that comes later in the order
            for slots in lines.pop(min(lines)):
                while slots.free > 0 and (heir := slots.line.pop()) is not None:
                    slots.free -= 1
                    heir.held += 1
                    if not heir.complete:
                        queue(heir)

    def take(self, ticket: Ticket) -> None:
        """Take all slots of a new ticket, free or not: its work goes on already."""
        for place in range(len(ticket.keys)):
            slots = self._of(ticket, place)
            slots.line.take(ticket)
            slots.free -= 1
        ticket.held = len(ticket.keys)

    def leave(self, ticket: Ticket) -> list[Ticket]:
        """Give up for good, waiting or not; return the tickets that now have all their slots."""
        if ticket.line is not None:
            ticket.line.drop(ticket)
        served = []
        for place in range(ticket.held):
            slots = self._of(ticket, place)
            slots.free += 1
            heir = slots.line.pop() if slots.free > 0 else None
            if heir is not None:
                slots.free -= 1
                heir.held += 1
                if self.enter(heir):
                    served.append(heir)
        ticket.held = 0
        return served

    def _of(self, ticket: Ticket, place: int) -> Slots:
        key = ticket.keys[place]
        if place < ticket.own:
            assert ticket.share is not None
            return ticket.share.caps[key]
        return self._slots[key]


def _made(sizes: Mapping[str, int], first: int) -> dict[str, Slots]:
    """The slots of these limits, in the fixed order."""
    ordered = sorted(sizes, key=lambda key: (key == GLOBAL, key.startswith(TOOL)))
    return {key: Slots(sizes[key], sizes[key], first + place) for place, key in enumerate(ordered)}


def _checked(limits: Mapping[str, int] | None) -> dict[str, int]:
    for key, size in (limits or {}).items():
        if type(size) is not int or size < 1:
            raise DeclarationError(f"limit {key!r}: {size!r} is not a whole number of at least 1")
    return dict(limits or {})
