"""Order: the live calls in order of registration, what each waits for, and what it claims.

It decides what may start and when claims are released, and runs nothing. Methods that return tasks return
those that became ready by what they did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from asyncfc.depgraph.claims import ClaimIndex, Group
from asyncfc.depgraph.effects import Conflict
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.errors import CallError, UnknownHandle
from asyncfc.execution.estimates import Estimates
from asyncfc.execution.family import adopt, escape, outside_parent, would_deadlock
from asyncfc.execution.quarantine import Quarantine
from asyncfc.execution.ranks import Ranks
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Value

LARGE = 100_000
"""Bytes of an empty dict that are worth while to be given back: more than a thousand calls were live."""


class Order:
    """The calls that have not released their claims.

    State: `_tasks` has them by order; the graph knows what they wait for, the index what they claim. In
    quarantine is what work that was given up, and is no longer among them, still claims. The ranks are there
    if somebody wants to know which calls have the longest way to go.
    """

    def __init__(self, estimates: Estimates | None = None) -> None:
        self._orders = 0
        self._begin(estimates)
        self.released = 0  # calls, so far
        self.quarantine = Quarantine()

    def _begin(self, estimates: Estimates | None) -> None:
        """With nothing. Also when all is done: a dict that was large keeps its room until it is made anew."""
        self._graph = DependencyGraph()
        self._index = ClaimIndex()
        self._tasks: dict[int, Task] = {}
        self.ranks = None if estimates is None else Ranks(self._graph, estimates)

    def __len__(self) -> int:
        return len(self._graph)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __contains__(self, task: Task) -> bool:
        return self._tasks.get(task.order) is task

    def next(self) -> int:
        """The next place in the order."""
        self._orders += 1
        return self._orders - 1

    def find(self, order: int) -> Task | None:
        """The live call at a place, if it is live."""
        return self._tasks.get(order)

    def newer(self, task: Task) -> list[Task]:
        """The live calls behind this one."""
        return [other for other in self._tasks.values() if other.order > task.order]

    # --- coming in ------------------------------------------------------------------------------------

    def enter(self, task: Task, group: Group | None) -> tuple[bool, CallError | None]:
        """Take a call into the order. It is held until its message commits, unless it is a declared read.

        Returns:
            whether it may start at once, and why it never may, if so.
        """
        task.claim, task.late = task.bound_claim()
        refused = self._foreign(task) if task.inputs else None
        if refused is not None:
            task.inputs = ()
        if task.parent is not None:
            refused = adopt(task.parent, task, self._graph) or refused
        self._tasks[task.order] = task.tenant.tasks[task.order] = task
        effects = {}
        if task.claim.reads or task.claim.writes:
            late = task.late is not None
            effects = self._index_of(task).add(task.order, task.claim, late=late, group=group)
        data = sorted({f.leader.order for f in task.inputs if f.outcome is None}) if task.inputs else ()
        hold = 0 if task.tool.spec.level == "read" and not task.waits else 1
        ready = self._graph.add(task.order, data, effects, hold)
        if self.ranks is not None and task.tenant.share.ranked:
            self.ranks.enter(task.order, task.tool.name)
        if task.inputs:
            task.doomed = any(f.outcome is not None and not isinstance(f.outcome, Value) for f in task.inputs)
        if len(self.quarantine) and task.late is None:
            refused = refused or self.quarantine.refusal(task)
        if task.tenant.emit is not None:
            _tell_of(task, data, effects)
        return ready, refused

    def commit(self, task: Task) -> bool:
        """Its message is complete; return whether it may start by this."""
        task.committed = True
        held = task.tool.spec.level != "read" and not task.waits and task in self
        return held and self._graph.lift(task.order)

    def ask_for(self, task: Task) -> bool:
        """The program asks for a call that waits for that; return whether it may start by this."""
        return task in self and self._graph.lift(task.order)

    # --- what happens -----------------------------------------------------------------------------------

    def settle(self, task: Task) -> list[tuple[Task, bool]]:
        """The outcome of a call is known: those that need its value, each with whether it may start."""
        return [(self._tasks[newer], may_start) for newer, may_start in self._graph.settle(task.order)]

    def bind(self, task: Task) -> list[Task]:
        """Narrow a late claim and drop the edges that no longer stand for a conflict (DESIGN E3).

        A label outside what was claimed fails the call when it is its turn; until then it stays wide.
        """
        claim, task.late = task.bound_claim()
        task.escape = escape(task, claim) or outside_parent(task, claim)
        index = self._index_of(task)
        if task.escape is not None or not index.can_narrow(task.order):
            return []
        task.claim = claim
        index.narrow(task.order, claim)
        ready: list[Task] = []
        for older, newer in self._graph.effect_neighbours(task.order):
            gone = older not in self._graph or newer not in self._graph  # by an edge dropped before
            if not gone and index.conflict(older, newer) is None:
                late = self._tasks[newer]
                if late.tenant.emit is not None:
                    late.tenant.emit("unordered", newer, older=older)
                released, may_start = self._graph.drop_effect(older, newer)
                ready += [self._tasks[order] for order in may_start]
                ready += self._release(released)
        if task.tenant.emit is not None:  # last, because who is told may cancel the call
            task.tenant.emit("bound", task.order, reads=claim.reads, writes=claim.writes)
        return ready

    def rest(self, task: Task) -> list[Task]:
        """Nothing of the call goes on, its children included."""
        self.quarantine.lift(task.order)
        return self.leave(task)

    def leave(self, task: Task) -> list[Task]:
        """It releases as soon as all that it is ordered after has (DESIGN O2)."""
        if task not in self:  # given up before
            return []
        released, may_start = self._graph.end(task.order)
        ready = [self._tasks[order] for order in may_start]
        return ready + self._release(released)

    # --- questions --------------------------------------------------------------------------------------

    def is_ordering(self, task: Task) -> bool:
        """Whether a live call is ordered after this one by effect."""
        return task in self and self._graph.is_ordering(task.order)

    def is_alone(self, task: Task) -> bool:
        """Whether all live calls are of its session."""
        return len(task.tenant.tasks) == len(self._tasks)

    def live(self, future: Future) -> Task | None:
        """The live call that works for a future: another session counts its calls from 0, too."""
        known = self._tasks.get(future.leader.order)
        return known if known is not None and known.future is future.leader else None

    def waits_for(self, task: Task) -> list[Task]:
        """The live calls that keep one that has not started from starting, or from releasing."""
        waits = [(self._tasks[wait.older], wait.effect) for wait in self._graph.waits(task.order)]
        return [older for older, effect in waits if effect is not None or not older.future.settled]

    def newest_conflict(self, task: Task) -> int:
        """The newest call that may yet change what this one, not registered yet, touches; -1 if none."""
        index = self._index if task.parent is None else task.parent.own_index
        if index is None:  # the first child of its parent
            return -1
        live = (self._tasks[order] for order in index.conflicting(task.bound_claim()[0]))
        return max((older.order for older in live if older.running or not older.future.settled), default=-1)

    def would_deadlock(self, task: Task, pending: Iterable[Future]) -> CallError | None:
        """Why the work of a call must not wait for these: one of them waits for it."""
        return would_deadlock(self._graph, task, [future for future in pending if self.live(future)])

    def _release(self, released: list[int]) -> list[Task]:
        ready: list[Task] = []
        tasks = [self._tasks.pop(order) for order in released]
        self.released += len(tasks)
        for task in tasks:  # all of them, before anybody is told, who may submit a call
            task.tenant.leave(task)
            self._index_of(task).discard(task.order)
            if self.ranks is not None:
                self.ranks.leave(task.order)
        for task in tasks:
            if task.tenant.emit is not None:
                task.tenant.emit("released", task.order)
            parent = task.parent
            if parent is not None:
                parent.children -= 1
                if parent.children == 0 and parent.stopped:
                    ready += self.rest(parent)
        if not self._tasks and self._tasks.__sizeof__() > LARGE:
            self._begin(None if self.ranks is None else self.ranks.estimates)
        return ready

    def _index_of(self, task: Task) -> ClaimIndex:
        """Where its claim stands: a child is ordered among its siblings only (DESIGN O5)."""
        return self._index if task.parent is None else task.parent.index

    def _foreign(self, task: Task) -> CallError | None:
        """Why the call cannot be ordered: an input without a value is not one of this order's calls."""
        for future in task.inputs:
            if future.outcome is None and self.live(future) is None:
                return UnknownHandle(f"{future!r}, an argument of {task.name}, belongs to another session")
        return None


def _tell_of(task: Task, data: Sequence[int], effects: Mapping[int, Conflict]) -> None:
    """A call was registered, which waits for these by data and by effect."""
    assert task.tenant.emit is not None
    needs: list[int] = []
    gates: list[int] = []
    for future in task.inputs:
        (gates if future.order in task.gates else needs).append(future.leader.order)
    task.tenant.emit(
        "sealed",
        task.order,
        tool=task.tool.name,
        call_id=task.future.call_id,
        level=task.tool.spec.level,
        arguments=task.arguments,
        parent=None if task.parent is None else task.parent.order,
        needs=needs,
        gates=gates,
        data=data,
        effects=effects,
    )
