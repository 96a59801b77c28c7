"""Line: who waits for the slots of one limit, and whose turn it is.

Between sessions it is weighted fair queueing by virtual time. Each turn moves a session on by one over its
weight, and the turn goes to the session that is least far. The time of the line goes on as fast as sessions
do that wait all the time; who comes, or comes back, starts from there at the earliest: a pause saves up
nothing, and whoever comes after somebody cannot stay ahead of him. Within a session the turn goes to the call
with the longest way to go (its rank), the oldest of equals, but every `EVERY`-th to the one that has waited
the longest. So a call with `k` others of its session before it gets a slot within `EVERY * (k + 1)` turns of
its session, whatever comes after it.

While several sessions wait, only what comes behind a call counts, not what it takes itself: a long call that
goes first keeps its slot from all of them, and nothing of its own session is done any earlier for that.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sized
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, TypeAlias

EVERY = 16
"""Of so many turns of a session one goes to the call that has waited the longest. That costs about 0.3 % of
the time of a program; without it a call might wait for ever."""
MIN_WEIGHT, MAX_WEIGHT = 0.001, 1000.0
"""Of a session: beyond these, turns would be lost in rounding."""
SPARE = 16
"""Entries of those that wait no longer that a heap keeps at least, before it is cleaned."""


class Rank(NamedTuple):
    """What is still to be done from a call on, one call after the other, in seconds (see `Ranks`)."""

    whole: float
    behind: float
    """The same without what the call takes itself."""


NO_RANK = Rank(0.0, 0.0)


@dataclass(slots=True, eq=False)
class Share:
    """What one session may have of what several sessions share."""

    weight: float = 1.0
    ranked: bool = False
    """Its calls go by their rank; else by age alone."""
    caps: dict[str, Slots] = field(default_factory=dict)
    """Slots of its own, by key."""
    used: dict[Line, float] = field(default_factory=dict)
    """How far its turns have brought it, by line; see `Line`."""


@dataclass(slots=True, eq=False)
class Ticket:
    """What one call needs and has: `keys[:held]` are its slots; `keys[:goal]` are those to be got now."""

    order: int
    keys: tuple[str, ...]
    held: int = 0
    task: Any = None
    """Whose it is; nothing to the limits."""
    share: Share | None = None
    """Of its session."""
    own: int = 0
    """So many of its keys, the first ones, name slots of the session itself."""
    rank: Rank = NO_RANK
    line: Line | None = None
    """Where it waits."""
    goal: int = -1
    """At first: all."""

    def __post_init__(self) -> None:
        self.goal = len(self.keys)

    @property
    def complete(self) -> bool:
        """Whether it has all slots that are to be got now."""
        return self.held == self.goal

    @property
    def names(self) -> tuple[str, ...]:
        """Its limits, for people."""
        return *(f"session {key}" for key in self.keys[: self.own]), *self.keys[self.own :]


class _Turn(NamedTuple):
    """Of a heap: how far the session is, whether it has had a turn since it came, and a number of its own."""

    used: float
    again: bool
    number: int
    share: Share


class Line:
    """Those that wait for a slot of one limit.

    State: `_waiting` has the sessions that wait, `_weight` is the sum of their weights, `_turns` a heap of
    them by how far they are (`Share.used`), of equals first those that have just come; entries of those that
    wait no longer are passed over. `_now` is the time of the line.
    """

    __slots__ = ("_now", "_numbers", "_turns", "_unshared", "_waiting", "_weight")

    def __init__(self) -> None:
        self._unshared = Share()
        self._numbers = count()
        self._waiting: dict[Share, _Queue] = {}
        self._weight = 0.0
        self._turns: list[_Turn] = []
        self._now = 0.0

    def __len__(self) -> int:
        return sum(queue.size for queue in self._waiting.values())

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        share = ticket.share or self._unshared
        queue = self._waiting.get(share)
        if queue is None:
            queue = self._waiting[share] = _Queue(self, share.ranked)
            self._weight += share.weight
            share.used[self] = max(share.used.get(self, 0.0), self._now)
            self._enqueue(share, queue, again=False)
        ticket.line = self
        queue.add(ticket, next(self._numbers))

    def rerank(self, ticket: Ticket, rank: Rank) -> None:
        """The rank of a ticket that waits here has changed."""
        ticket.rank = rank
        self._waiting[ticket.share or self._unshared].rerank(ticket, next(self._numbers))

    def drop(self, ticket: Ticket) -> None:
        """A ticket that waits here gives up."""
        share = ticket.share or self._unshared
        if self._waiting[share].drop(ticket) == 0:
            self._leave(share)
            if len(self._turns) > 2 * len(self._waiting) + SPARE:
                self._turns = [turn for turn in self._turns if self._is_due(turn)]
                heapq.heapify(self._turns)

    def take(self, ticket: Ticket) -> None:
        """A ticket has a slot, without having waited for it: that is a turn, too."""
        share = ticket.share or self._unshared
        self._now = max(share.used.get(self, 0.0), self._now)
        share.used[self] = self._now + 1.0 / share.weight

    def pop(self) -> Ticket | None:
        """Take the one whose turn it is out of the line, if there is one."""
        if not self._waiting:
            return None
        share = self._next()
        queue = self._waiting[share]
        self._now = max(share.used[self], self._now) + 1.0 / self._weight
        share.used[self] += 1.0 / share.weight
        ticket = queue.pop(alone=len(self._waiting) == 1)
        if queue.size:
            self._enqueue(share, queue, again=True)
        else:
            self._leave(share)
        return ticket

    def _enqueue(self, share: Share, queue: _Queue, *, again: bool) -> None:
        queue.turn = next(self._numbers)
        heapq.heappush(self._turns, _Turn(share.used[self], again, queue.turn, share))

    def _leave(self, share: Share) -> None:
        del self._waiting[share]
        self._weight = self._weight - share.weight if self._waiting else 0.0

    def _next(self) -> Share:
        """The session whose turn it is."""
        while not self._is_due(turn := heapq.heappop(self._turns)):
            pass
        return turn.share

    def _is_due(self, turn: _Turn) -> bool:
        queue = self._waiting.get(turn.share)
        return queue is not None and queue.turn == turn.number


@dataclass(slots=True, eq=False)
class Slots:
    """Of one limit. Invariant: somebody waits only while none is free."""

    size: int
    free: int
    """Less than 0 if some were taken beyond the limit."""
    place: int = 0
    """In the fixed order; those of sessions come first."""
    line: Line = field(default_factory=Line)


Entry: TypeAlias = tuple[float, int, int, Ticket]
"""Of a heap: less what its ticket's rank was then, order, arrival."""


class _Queue:
    """The tickets of one session in a line.

    State: `_whole` and `_behind` are heaps, by the two halves of a rank; `_first` has the tickets as they
    came. Entries that do not count any more, because their ticket has left or has another rank now, are
    passed over.
    """

    __slots__ = ("_behind", "_first", "_line", "_ranked", "_turns", "_whole", "size", "turn")

    def __init__(self, line: Line, ranked: bool) -> None:
        self.size = 0
        self.turn = -1
        self._line = line
        self._ranked = ranked
        self._turns = 0
        self._whole: list[Entry] = []
        self._behind: list[Entry] = []
        self._first: deque[Ticket] = deque()

    def add(self, ticket: Ticket, number: int) -> None:
        self.size += 1
        if not self._ranked:
            ticket.rank = NO_RANK
        else:
            self._first.append(ticket)
            if self._is_littered(self._first):
                self._first = deque(one for one in self._first if one.line is self._line)
        self.rerank(ticket, number)

    def rerank(self, ticket: Ticket, number: int) -> None:
        """Its entries of before count no longer."""
        heapq.heappush(self._whole, (-ticket.rank.whole, ticket.order, number, ticket))
        heapq.heappush(self._behind, (-ticket.rank.behind, ticket.order, number, ticket))
        if self._is_littered(self._whole):
            self._whole = [entry for entry in self._whole if self._counts(entry, entry[3].rank.whole)]
            heapq.heapify(self._whole)
        if self._is_littered(self._behind):
            self._behind = [entry for entry in self._behind if self._counts(entry, entry[3].rank.behind)]
            heapq.heapify(self._behind)

    def drop(self, ticket: Ticket) -> int:
        """A ticket waits no longer; return how many do."""
        ticket.line = None
        self.size -= 1
        return self.size

    def pop(self, *, alone: bool) -> Ticket:
        """Take out the one whose turn it is; there is one.

        Args:
            alone: no other session waits.
        """
        self._turns += 1
        if self._ranked and self._turns % EVERY == 0:
            ticket = self._longest()
        else:
            ticket = self._of_highest_whole() if alone else self._of_highest_behind()
        self.drop(ticket)
        return ticket

    def _longest(self) -> Ticket:
        while (ticket := self._first.popleft()).line is not self._line:
            pass
        return ticket

    def _of_highest_whole(self) -> Ticket:
        while not self._counts(entry := heapq.heappop(self._whole), entry[3].rank.whole):
            pass
        return entry[3]

    def _of_highest_behind(self) -> Ticket:
        while not self._counts(entry := heapq.heappop(self._behind), entry[3].rank.behind):
            pass
        return entry[3]

    def _counts(self, entry: Entry, rank: float) -> bool:
        return entry[3].line is self._line and entry[0] == -rank

    def _is_littered(self, entries: Sized) -> bool:
        return len(entries) > 2 * self.size + SPARE
