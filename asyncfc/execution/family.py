"""Calls that are submitted from inside the work of another: children (DESIGN O5).

A child neither conflicts with the calls around it nor waits for them: its parent's claim stands for it
towards all others, so it must lie within that claim. Siblings are ordered among themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.depgraph.effects import Claim, uncovered
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.depgraph.resource import show_label
from asyncfc.errors import CallError, EffectEscape, WouldDeadlock
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future


def adopt(parent: Task, task: Task, graph: DependencyGraph) -> CallError | None:
    """Count the call among the children of its parent; return why it cannot run, if so."""
    parent.children += 1
    if parent.own_index is None:
        parent.own_index = ClaimIndex()
    assert task.claim is not None
    foreign = outside_parent(task, task.claim) if task.late is None else None
    return foreign or would_deadlock(graph, parent, task.inputs)


def outside_parent(task: Task, claim: Claim) -> EffectEscape | None:
    """Why a child may not run: it claims what its parent does not."""
    parent = task.parent
    if parent is None:
        return None
    assert parent.claim is not None
    foreign = uncovered(parent.claim, claim)
    if foreign is None:
        return None
    return EffectEscape(
        f"{task.name}, called by {parent.name}, touches {show_label(foreign)!r}, which "
        f"{parent.tool.name!r} does not declare; add that label to the effects of {parent.tool.name!r}"
    )


def escape(task: Task, claim: Claim) -> EffectEscape | None:
    """Why a call whose labels are now known may not run: they lie outside what it has claimed so far."""
    assert task.claim is not None
    outside = uncovered(task.claim, claim)
    if outside is None:
        return None
    spec = task.tool.spec
    claimed = ", ".join(repr(label.text) for label in (*spec.reads, *spec.writes) if label.holes)
    return EffectEscape(
        f"{task.name} did not run: with the value now known it touches {show_label(outside)!r}, outside "
        f"{claimed} as claimed without that value; declare a wider label for the tool"
    )


def would_deadlock(graph: DependencyGraph, task: Task | None, futures: Iterable[Future]) -> CallError | None:
    """Why waiting for one of these would never end: it waits for this call or for one around it."""
    while task is not None:
        for future in futures:
            if future.outcome is None and graph.leads_to(task.order, future.leader.order):
                return WouldDeadlock(
                    f"{future!r} waits for {task.name}, which would wait for it in turn; "
                    f"pass its value in as an argument instead"
                )
        task = task.parent
    return None
