"""Claims of live calls, indexed so that a new claim finds the calls that it is ordered after.

Two tries over label components, one of readers and one of writers. A write *covers*: it takes an
edge from everything at and below its label and then stands alone there, because a call releases only
after everything that it is ordered after (DESIGN O2). So a look-up costs O(depth + conflicts).

A claim whose labels wait for a value is *unbound*. It may narrow later, so it must not cover: it
stands in a side list, newer calls look at both, and it never enters the tries (DESIGN E3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from asyncfc.depgraph.effects import Claim, Conflict, conflict
from asyncfc.depgraph.resource import Label

MAX_UNBOUND = 64
"""Unbound claims at one time. Beyond that a claim stays wide, covers, and never narrows, so that a flood of
them does not make every newer call look at every older one. (Bound ones stay in the side list until they
release.)"""


class ClaimIndex:
    """Who claims what, in order of registration.

    State: `_claims` has every live claim as it stands now; `_side` those that are, or once were,
    unbound; the tries have all others, less the entries that a newer write covers.
    """

    def __init__(self) -> None:
        self._claims: dict[int, Claim] = {}
        self._side: dict[int, Claim] = {}
        self._unbound: set[int] = set()
        self._readers = _Trie()
        self._writers = _Trie()

    def __len__(self) -> int:
        return len(self._claims)

    def add(
        self, order: int, claim: Claim, *, late: bool = False, group: Group | None = None
    ) -> dict[int, Conflict]:
        """Register a claim; return the live calls that it is ordered after, with one reason for each.

        Args:
            order: greater than that of every claim registered before.
            claim: the labels; for a late claim those of its static prefixes.
            late: the claim may be narrowed later with `narrow`.
            group: calls that are not ordered among themselves; all of them claim everything.
        """
        found: dict[int, Conflict] = {}
        for older, reason in self._conflicts(claim):
            found.setdefault(older, reason)
        if group is not None:
            self._join(group, order, found)
        self._claims[order] = claim
        if late and len(self._unbound) < MAX_UNBOUND:
            self._unbound.add(order)
            self._side[order] = claim
        else:
            self._insert(order, claim, group.members if group is not None else ())
        return found

    def can_narrow(self, order: int) -> bool:
        """Whether this claim still stands in the side list as unbound."""
        return order in self._unbound

    def narrow(self, order: int, claim: Claim) -> None:
        """Bind an unbound claim to its final labels. It stays in the side list until released."""
        self._unbound.remove(order)
        self._claims[order] = self._side[order] = claim

    def conflicting(self, claim: Claim) -> Iterator[int]:
        """The live calls that a call with this claim would be ordered after; one may come twice."""
        return (older for older, _ in self._conflicts(claim))

    def conflict(self, older: int, newer: int) -> Conflict | None:
        """Why these two live calls are ordered, as their claims stand now; None if they are not."""
        return conflict(self._claims[older], self._claims[newer])

    def discard(self, order: int) -> None:
        """Give up a claim. Nothing happens if there is none."""
        if self._claims.pop(order, None) is None:
            return
        if self._side.pop(order, None) is not None:
            self._unbound.discard(order)
        else:
            self._readers.discard(order)
            self._writers.discard(order)

    def _conflicts(self, claim: Claim) -> Iterator[tuple[int, Conflict]]:
        for label in claim.writes:
            for older in self._writers.overlapping(label):
                yield older, Conflict("WAW", label)
            for older in self._readers.overlapping(label):
                yield older, Conflict("WAR", label)
        for label in claim.reads:
            for older in self._writers.overlapping(label):
                yield older, Conflict("RAW", label)
        for older, side in self._side.items():
            reason = conflict(side, claim)
            if reason is not None:
                yield older, reason

    def _join(self, group: Group, order: int, found: dict[int, Conflict]) -> None:
        """Take the predecessors of all earlier members, which those hide from this one (S37)."""
        for member in group.members:
            found.pop(member, None)
        for older, reason in group.before.items():
            if older in self._claims:
                found.setdefault(older, reason)
        group.before.update(found)
        group.members.add(order)

    def _insert(self, order: int, claim: Claim, fellows: Collection[int]) -> None:
        for label in claim.reads:
            self._readers.add(order, label)
        for label in claim.writes:
            self._readers.cover(label)
            self._writers.cover(label, spare=fellows)
            self._writers.add(order, label)


@dataclass(slots=True, eq=False)
class Group:
    """The undeclared calls of one message, if they may run concurrently (DESIGN E1b)."""

    members: set[int] = field(default_factory=set)
    before: dict[int, Conflict] = field(default_factory=dict)
    """What the members so far are ordered after."""


class _Node:
    """A label component. Invariant: a node in the trie has an entry, or a descendant that has one."""

    __slots__ = ("children", "component", "entries", "parent")

    def __init__(self, parent: _Node | None, component: str) -> None:
        self.parent = parent
        self.component = component
        self.entries: dict[int, None] = {}
        self.children: dict[str, _Node] = {}


class _Trie:
    """Orders at labels. `_places` says where an order stands, so that leaving needs no search."""

    def __init__(self) -> None:
        self._root = _Node(None, "")
        self._places: dict[int, list[_Node]] = {}

    def overlapping(self, label: Label) -> Iterator[int]:
        """Yield the orders at the label, its ancestors and its descendants (one may come twice)."""
        node: _Node | None = self._root
        assert node is not None
        for component in label:
            yield from node.entries
            node = node.children.get(component)
            if node is None:
                return
        below = [node]
        while below:
            node = below.pop()
            yield from node.entries
            below.extend(node.children.values())

    def add(self, order: int, label: Label) -> None:
        node = self._root
        for component in label:
            child = node.children.get(component)
            if child is None:
                child = node.children[component] = _Node(node, component)
            node = child
        node.entries[order] = None
        self._places.setdefault(order, []).append(node)

    def cover(self, label: Label, spare: Collection[int] = ()) -> None:
        """Forget every entry below the label, and at it all but those to be spared."""
        node = self._root
        for component in label:
            child = node.children.get(component)
            if child is None:
                return
            node = child
        node.entries = {order: None for order in node.entries if order in spare}
        node.children = {}
        self._prune(node)

    def discard(self, order: int) -> None:
        for node in self._places.pop(order, ()):
            node.entries.pop(order, None)
            self._prune(node)

    @staticmethod
    def _prune(node: _Node) -> None:
        while node.parent is not None and not node.entries and not node.children:
            parent = node.parent
            # A covered node is detached; by now another may stand in its place.
            if parent.children.get(node.component) is node:
                del parent.children[node.component]
            node = parent
