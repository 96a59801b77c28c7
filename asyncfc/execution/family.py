"""Calls that are submitted from inside the work of another: children (DESIGN O5).

A child neither conflicts with the calls around it nor waits for them: its parent's claim stands for it
towards all others, so it must lie within that claim. Siblings are ordered among themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.depgraph.effects import Claim, uncovered
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.depgraph.resource import show_label
from asyncfc.errors import CallError, EffectEscape, WouldDeadlock
from asyncfc.execution.task import Task
from asyncfc.execution.work import Result
from asyncfc.futures.future import Caller, Future

if TYPE_CHECKING:  # the scheduler sets a `Working` in the context of the work that it starts
    from asyncfc.execution.scheduler import Scheduler


class Working(Caller):
    """The call whose work runs in a context. It gives its slots back while it waits for others."""

    __slots__ = ("_waits", "scheduler", "task")

    def __init__(self, scheduler: Scheduler, task: Task) -> None:
        self.scheduler = scheduler
        self.task: Task | None = task
        """None when the work has stopped."""
        self._waits = 0

    def on_outcome(self, done: asyncio.Future[Result]) -> None:
        """Tell the scheduler."""
        if self.task is not None:
            self.scheduler.on_outcome(self.task, done)

    def on_ended(self, done: asyncio.Future[Result]) -> None:
        """Tell the scheduler."""
        assert self.task is not None
        self.scheduler.on_ended(self.task, done)

    def stop(self) -> None:
        """The work has stopped. The context refers to this object: no cycle is left behind."""
        self.task = None

    def pause(self, pending: Collection[Future]) -> None:
        """Give the slots back, at the first of several waits at a time."""
        if self._waits == 0 and self.task is not None:
            self.scheduler.pause(self.task, pending)
        self._waits += 1

    async def resume(self) -> None:
        """Take the slots again, after the last of several waits at a time."""
        self._waits -= 1
        if self._waits == 0 and self.task is not None:
            try:
                await self.scheduler.resume(self.task)
            except BaseException:
                self._retake()
                raise

    def break_off(self) -> None:
        """Go on at once, with slots taken beyond the limit if need be."""
        self._waits -= 1
        self._retake()

    def _retake(self) -> None:
        if self._waits == 0 and self.task is not None:
            self.scheduler.retake(self.task)


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
