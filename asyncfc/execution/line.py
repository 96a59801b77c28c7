"""Line: who waits for the slots of one limit, and whose turn it is.

Between sessions it is fair queueing: the turn goes to the session that has had the fewest turns for its
weight since several sessions wait, and what it had in hand then counts as turns. One that comes later, or
comes back, has saved up nothing. Within a session the turn goes to the call with the longest way to go (its
rank), the oldest of equals, but every `EVERY`-th to the one that has waited the longest. So a call with `k`
others of its session before it gets a slot within `EVERY * (k + 1)` turns of its session, whatever comes
after it.

While several sessions wait, only what comes behind a call counts, not what it takes itself: a long call that
goes first keeps its slot from all of them, and nothing of its own session is done any earlier for that.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sized
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from asyncfc.execution.limits import Slots

EVERY = 16
"""Of so many turns of a session one goes to the call that has waited the longest. That costs about 0.3 % of
the time of a program; without it a call might wait for ever."""
SPARE = 16
"""Entries of those that wait no longer that a queue keeps at least, before it is cleaned."""


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


@dataclass(slots=True, eq=False)
class Ticket:
    """What one call needs and has: `keys[:held]` are its slots."""

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

    @property
    def complete(self) -> bool:
        """Whether it has all its slots."""
        return self.held == len(self.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Its limits, for people."""
        return *(f"session {key}" for key in self.keys[: self.own]), *self.keys[self.own :]


class Line:
    """Those that have slots of one limit, or wait for one.

    State: `_hands` says how many slots each session has, `_waiting` which sessions wait. While these are
    several, `_turns` is a heap of them by what they have `_used` of their shares, in turns over weight, and
    `_now` is what the one that had the last turn had used before it.
    """

    __slots__ = ("_hands", "_now", "_numbers", "_turns", "_unshared", "_used", "_waiting")

    def __init__(self) -> None:
        self._unshared = Share()
        self._numbers = count()
        self._hands: dict[Share, int] = {}
        self._waiting: dict[Share, _Queue] = {}
        self._turns: list[tuple[float, int, Share]] = []
        self._used: dict[Share, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return sum(queue.size for queue in self._waiting.values())

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        share = ticket.share or self._unshared
        queue = self._waiting.get(share)
        if queue is None:
            queue = self._waiting[share] = _Queue(self, share.ranked)
            if len(self._waiting) == 2:
                self._begin()
            elif len(self._waiting) > 2:
                self._enqueue(share, max(self._used.get(share, self._in_hand(share)), self._now))
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
            del self._waiting[share]
            self._forget()

    def take(self, ticket: Ticket) -> None:
        """A ticket has a slot, without having waited for it."""
        share = ticket.share or self._unshared
        self._hands[share] = self._hands.get(share, 0) + 1

    def give(self, ticket: Ticket) -> None:
        """A ticket has given its slot back."""
        share = ticket.share or self._unshared
        rest = self._hands.pop(share, 0) - 1
        if rest > 0:
            self._hands[share] = rest

    def pop(self) -> Ticket | None:
        """Take the one whose turn it is out of the line, if there is one: it has a slot now."""
        if not self._waiting:
            return None
        several = len(self._waiting) > 1
        share = self._next() if several else next(iter(self._waiting))
        queue = self._waiting[share]
        ticket = queue.pop(alone=not several)
        if not queue.size:
            del self._waiting[share]
            self._forget()
        elif several:
            self._enqueue(share, self._used[share])
        self.take(ticket)
        return ticket

    def _begin(self) -> None:
        """Several sessions wait from now on."""
        self._now = 0.0
        self._used.clear()
        self._turns.clear()
        for share in self._waiting:
            self._enqueue(share, self._in_hand(share))

    def _in_hand(self, share: Share) -> float:
        return self._hands.get(share, 0) / share.weight

    def _enqueue(self, share: Share, used: float) -> None:
        queue = self._waiting[share]
        queue.turn = next(self._numbers)
        self._used[share] = used
        heapq.heappush(self._turns, (used, queue.turn, share))

    def _next(self) -> Share:
        """The session whose turn it is; several wait."""
        while not self._is_due(turn := heapq.heappop(self._turns)):
            pass
        self._now, _, share = turn
        self._used[share] = self._now + 1.0 / share.weight
        return share

    def _is_due(self, turn: tuple[float, int, Share]) -> bool:
        queue = self._waiting.get(turn[2])
        return queue is not None and queue.turn == turn[1]

    def _forget(self) -> None:
        """Now and then, sessions that wait no longer; what they have used counts until others have, too."""
        most = 2 * len(self._waiting) + SPARE
        if len(self._turns) > most:
            self._turns = [turn for turn in self._turns if self._is_due(turn)]
            heapq.heapify(self._turns)
        if len(self._used) > most:
            kept = self._used.items()
            self._used = {share: used for share, used in kept if share in self._waiting or used > self._now}


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
