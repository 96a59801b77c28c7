"""Bugs in the order of calls: labels, claims, edges, and what makes a call ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from asyncfc.depgraph import effects, label_function, resource, template
from asyncfc.depgraph.claims import ClaimIndex, Group, _Node, _Trie
from asyncfc.depgraph.effects import EVERYTHING, Claim, Conflict
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.depgraph.resource import Label
from asyncfc.execution import order
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.testing.faults.plant import planted, replaced


def drop_edges(kind: Literal["RAW", "WAR", "WAW"]) -> Any:
    """One kind of conflict is not seen."""

    def make(original: Any) -> Any:
        def conflicts(self: ClaimIndex, claim: Claim) -> Iterator[tuple[int, Conflict]]:
            return (found for found in original(self, claim) if found[1].kind != kind)

        return conflicts

    return planted(ClaimIndex, "_conflicts", make)


@contextmanager
def exact_labels() -> Iterator[None]:
    """Labels conflict only if they are equal: ancestors and descendants are not seen."""

    def only_here(_: Any) -> Any:
        def overlapping(self: _Trie, label: Label) -> Iterator[int]:
            node: _Node | None = self._root
            for component in label:
                node = node.children.get(component) if node is not None else None
            yield from node.entries if node is not None else ()

        return overlapping

    with ExitStack() as stack:
        stack.enter_context(planted(_Trie, "overlapping", only_here))
        stack.enter_context(planted(effects, "overlaps", lambda _: lambda one, other: one == other))
        yield


@contextmanager
def labels_as_written() -> Iterator[None]:
    """Two ways to write one path are two labels (P5)."""
    with ExitStack() as stack:
        for module in (resource, template, label_function):
            stack.enter_context(replaced(module, "path_components", lambda path: tuple(path.split("/"))))
        yield


def settling_releases() -> Any:
    """A call that has settled gives up its place at once, although older calls still work (S1)."""

    def make(original: Any) -> Any:
        def end(self: DependencyGraph, order: int) -> Any:
            self._unreleased[order] = 0
            return original(self, order)

        return end

    return planted(DependencyGraph, "end", make)


@contextmanager
def unbound_covers() -> Iterator[None]:
    """A claim that may still narrow replaces older entries of the index (S2)."""

    def covering(original: Any) -> Any:
        def add(self: ClaimIndex, order: int, claim: Claim, **options: Any) -> dict[int, Conflict]:
            late = options.pop("late", False)
            found: dict[int, Conflict] = original(self, order, claim, **options)
            if late:
                self._unbound.add(order)
            return found

        return add

    def from_tries(original: Any) -> Any:
        def narrow(self: ClaimIndex, order: int, claim: Claim) -> None:
            self._readers.discard(order)
            self._writers.discard(order)
            original(self, order, claim)

        return narrow

    with ExitStack() as stack:
        stack.enter_context(planted(ClaimIndex, "add", covering))
        stack.enter_context(planted(ClaimIndex, "narrow", from_tries))
        yield


def first_of_group_hides() -> Any:
    """The second call of a concurrent group does not see what its first one is ordered after (S37)."""

    def make(original: Any) -> Any:
        def join(self: ClaimIndex, group: Group, order: int, found: dict[int, Conflict]) -> None:
            group.before.clear()
            original(self, group, order, found)

        return join

    return planted(ClaimIndex, "_join", make)


def group_in_order() -> Any:
    """The undeclared calls of one message wait for each other although they need not (E1b)."""

    def make(original: Any) -> Any:
        def register(self: Scheduler, task: Task, *, group: Group | None = None) -> None:
            del group
            original(self, task)

        return register

    return planted(Scheduler, "register", make)


def escape_unchecked() -> Any:
    """A label that turns out to lie outside what was claimed for it is taken as it is (S3)."""
    return replaced(order, "escape", lambda *_: None)


def doomed_stays_wide() -> Any:
    """A call that will never run does not narrow its claim when its label becomes known."""

    def make(original: Any) -> Any:
        def tell(self: Scheduler, task: Task, settled: Future, ready: list[Task]) -> Any:
            late = task.late
            if task.doomed:
                task.late = None
            try:
                return original(self, task, settled, ready)
            finally:
                if task.doomed:
                    task.late = late

        return tell

    return planted(Scheduler, "_tell", make)


def one_after_the_other() -> Any:
    """Every call is a barrier: nothing is wrong but the time it takes."""

    def everything(_: Task) -> tuple[Claim, None]:
        return EVERYTHING, None

    return planted(Task, "bound_claim", lambda _: everything)


@contextmanager
def eager_writes() -> Iterator[None]:
    """A provisional call runs although it is no read and its message may never complete (O3)."""

    def unheld(original: Any) -> Any:
        def add(
            self: DependencyGraph, order: int, data: Any = (), effects: Any = None, holds: int = 0
        ) -> bool:
            del holds
            ready: bool = original(self, order, data, effects)
            return ready

        return add

    with ExitStack() as stack:
        stack.enter_context(planted(DependencyGraph, "add", unheld))
        stack.enter_context(planted(Scheduler, "commit", lambda _: lambda _self, _tasks: None))
        yield
