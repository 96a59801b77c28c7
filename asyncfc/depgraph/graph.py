"""The dependency graph: which calls may start now? It runs nothing.

A networkx digraph of the live calls *is* the graph that schedules; an edge points from an older call
to a newer one and says why: `data` (the newer one needs the value), `effect` (a conflict), or both.
Beside it stand only counters, so that readiness is known without looking at the graph again. Calls
leave when they release, so the graph is as large as what is live (DESIGN O1, O2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import networkx as nx

from asyncfc.depgraph.effects import Conflict


class Wait(NamedTuple):
    """One reason why a call has not started: an older call, by data or by effect."""

    older: int
    data: bool
    effect: Conflict | None


class DependencyGraph:
    """Live calls by order of registration. Methods return what became ready, in no special order.

    Beside the graph, of each live call (plain numbers in dicts cost a fraction of an object each):

    - `_waits`: data inputs not settled + effect predecessors not released + holds not lifted; a call is
      ready when this falls to zero.
    - `_unreleased`: the effect predecessors among them.
    - `_ended`: the calls whose work has truly stopped, or will never start.
    """

    def __init__(self) -> None:
        self._graph: nx.DiGraph[int] = nx.DiGraph()
        self._waits: dict[int, int] = {}
        self._unreleased: dict[int, int] = {}
        self._ended: set[int] = set()

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, order: int) -> bool:
        return order in self._waits

    def add(
        self,
        order: int,
        data: Iterable[int] = (),
        effects: Mapping[int, Conflict] | None = None,
        holds: int = 0,
    ) -> bool:
        """Add a call; return whether it may start at once.

        Args:
            order: of the new call; all others named here are smaller.
            data: live calls whose values it needs, not settled, each once.
            effects: live calls that it is ordered after, with the reason.
            holds: further reasons to wait, to be lifted one by one with `lift`.
        """
        graph = self._graph
        graph.add_node(order)
        unreleased = 0
        for older, reason in (effects or {}).items():
            graph.add_edge(older, order, data=False, effect=reason)
            unreleased += 1
        waits = unreleased + holds
        for older in data:
            graph.add_edge(older, order, data=True)
            waits += 1
        self._waits[order] = waits
        self._unreleased[order] = unreleased
        return waits == 0

    def lift(self, order: int) -> bool:
        """Take one hold away; return whether the call may start."""
        return self._one_less(order)

    def settle(self, order: int) -> list[tuple[int, bool]]:
        """The value of a call is known: its data dependants, each with whether it may start now."""
        edges = self._graph.edges
        return [
            (newer, self._one_less(newer))
            for newer in self._graph.successors(order)
            if edges[order, newer]["data"]
        ]

    def end(self, order: int) -> tuple[list[int], list[int]]:
        """The work of a call has truly stopped, or will never start.

        Returns:
            the calls that release by this (itself, unless it is still ordered after others, and those
            behind it that have ended without running), and the calls that may start now.
        """
        if self._unreleased[order]:
            self._ended.add(order)
            return [], []
        return self._release([order], [])

    def drop_effect(self, older: int, newer: int) -> tuple[list[int], list[int]]:
        """The two no longer conflict. Returns what releases and what may start by this, as `end`."""
        edge = self._graph.edges[older, newer]
        if edge["data"]:
            edge["effect"] = None
        else:
            self._graph.remove_edge(older, newer)
        leaving: list[int] = []
        ready: list[int] = []
        self._unblock(newer, leaving, ready)
        return self._release(leaving, ready)

    def effect_neighbours(self, order: int) -> list[tuple[int, int]]:
        """The (older, newer) pairs of effect edges at this call."""
        graph = self._graph
        pairs = [(older, order) for older in graph.predecessors(order)]
        pairs += [(order, newer) for newer in graph.successors(order)]
        return [pair for pair in pairs if graph.edges[pair].get("effect") is not None]

    def before(self, order: int) -> Iterable[int]:
        """The live calls that a live call waits for, or has waited for, directly."""
        return self._graph.pred[order]

    def is_ordering(self, order: int) -> bool:
        """Whether a live call is ordered after this one by effect."""
        edges = self._graph.edges
        return any(edges[order, newer].get("effect") is not None for newer in self._graph.successors(order))

    def leads_to(self, older: int, newer: int) -> bool:
        """Whether the newer call waits for the older one, over however many others."""
        return older in self._graph and newer in self._graph and nx.has_path(self._graph, older, newer)

    def waits(self, order: int) -> list[Wait]:
        """Why this call has not started, oldest reason first; data inputs settled meanwhile, too."""
        edges = self._graph.in_edges(order, data=True)
        return sorted(Wait(older, edge["data"], edge.get("effect")) for older, _, edge in edges)

    def _one_less(self, order: int) -> bool:
        self._waits[order] -= 1
        return self._waits[order] == 0 and order not in self._ended

    def _unblock(self, newer: int, leaving: list[int], ready: list[int]) -> None:
        self._unreleased[newer] -= 1
        if self._one_less(newer):
            ready.append(newer)
        elif self._unreleased[newer] == 0 and newer in self._ended:
            leaving.append(newer)

    def _release(self, leaving: list[int], ready: list[int]) -> tuple[list[int], list[int]]:
        released = []
        while leaving:
            order = leaving.pop()
            released.append(order)
            for newer in self._graph.successors(order):
                if self._graph.edges[order, newer].get("effect") is not None:
                    self._unblock(newer, leaving, ready)
            self._graph.remove_node(order)
            del self._waits[order], self._unreleased[order]
            self._ended.discard(order)
        return released, ready
