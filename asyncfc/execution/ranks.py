"""Ranks: how much is still to be done from a call on, one call after the other, as far as is known by now.

The rank of a call is what it takes itself and the highest rank of a live call that waits for it, directly:
with limited slots, who takes the highest rank first comes near to the shortest time for all (critical path
scheduling). It decides nothing but turns, so that it need not be exact: a rank never falls, what a call is
expected to take is asked once, and one catching up looks at a bounded number of edges.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Protocol

from asyncfc.execution.estimates import Estimates
from asyncfc.execution.line import NO_RANK, Rank

MOST_EDGES = 1024
"""That are looked at in one go; the rest comes with the next."""


class Edges(Protocol):
    """What the graph knows."""

    def before(self, order: int) -> Iterable[int]:
        """The live calls that a live call waits for, or has waited for, directly."""


class Ranks:
    """The ranks of live calls, in seconds.

    What a new call changes is put off until somebody asks, and then passed on from the newest call to the
    oldest: all edges lead to newer calls, so that each rank is passed on once, however many calls came.

    State: of `_new` and `_risen` (and `_heap`, the same in order) the ranks have not been passed on yet.

    Args:
        graph: says what waits for what.
        estimates: say what a call takes.
    """

    __slots__ = ("_graph", "_heap", "_new", "_own", "_ranks", "_risen", "estimates")

    def __init__(self, graph: Edges, estimates: Estimates) -> None:
        self._graph = graph
        self.estimates = estimates
        self._own: dict[int, float] = {}
        self._ranks: dict[int, float] = {}
        self._new: dict[int, None] = {}
        self._risen: set[int] = set()
        self._heap: list[int] = []

    def __len__(self) -> int:
        return len(self._ranks) + len(self._new) + len(self._heap)

    def enter(self, order: int, tool: str) -> None:
        """A call is live, and nothing waits for it yet."""
        self._own[order] = self._ranks[order] = self.estimates.guess(tool)
        self._new[order] = None

    def leave(self, order: int) -> None:
        """A call is live no longer. Nothing happens if it never was."""
        if self._ranks.pop(order, None) is not None:
            del self._own[order]
            self._new.pop(order, None)
        if not self._ranks:
            self._risen.clear()
            self._heap.clear()

    def of(self, order: int) -> Rank:
        """The rank of a call, as far as it has been caught up with; that of nothing if it has none."""
        whole = self._ranks.get(order)
        return NO_RANK if whole is None else Rank(whole, whole - self._own[order])

    def catch_up(self) -> set[int]:
        """Pass on what has come since the last time; return the calls whose rank has risen."""
        for order in self._new:
            self._mark(order)
        self._new.clear()
        changed: set[int] = set()
        edges = 0
        while self._heap and edges < MOST_EDGES:
            order = -heapq.heappop(self._heap)
            self._risen.discard(order)
            rank = self._ranks.get(order)
            for older in () if rank is None else self._graph.before(order):
                edges += 1
                if rank is not None and self._rises(older, rank):
                    changed.add(older)
                    self._mark(older)
        return changed

    def _rises(self, order: int, behind: float) -> bool:
        """Whether the rank of a call rises because of one behind it."""
        own = self._own.get(order)
        if own is None or self._ranks[order] >= own + behind:
            return False
        self._ranks[order] = own + behind
        return True

    def _mark(self, order: int) -> None:
        if order not in self._risen:
            self._risen.add(order)
            heapq.heappush(self._heap, -order)
