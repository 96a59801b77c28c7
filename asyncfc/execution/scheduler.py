"""Scheduler: starts what the graph says is ready, and tells the graph what has settled and ended.

Everything here runs on the loop's thread, in steps that no other step interrupts. No method recurses:
chains of failures and releases are worked off in loops.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.depgraph.effects import uncovered
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.depgraph.resource import show_label
from asyncfc.errors import CallError, EffectEscape, ToolTimeout
from asyncfc.execution.executors import Executor, Result, Work, collect
from asyncfc.execution.limits import Limits, Ticket
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value


class Scheduler:
    """All live calls: those that have not released their claims.

    Args:
        executor: where work runs.
        limits: how much may run at once.
        emit: called as `emit(kind, order, **data)` for each event; None: nobody listens.
    """

    def __init__(self, executor: Executor, limits: Limits, emit: Callable[..., object] | None = None) -> None:
        self._executor = executor
        self._limits = limits
        self._emit = emit
        self._graph = DependencyGraph()
        self._index = ClaimIndex()
        self._tasks: dict[int, Task] = {}
        self._idle: list[asyncio.Future[None]] = []

    @property
    def live(self) -> Collection[Task]:
        """The tasks that have not released, oldest first."""
        return self._tasks.values()

    # --- from the session ---------------------------------------------------------------------------

    def register(self, task: Task, *, committed: bool) -> None:
        """Take a call into the order. Calls must come in order of `task.order`.

        Args:
            task: the call.
            committed: False while its message is not complete: then only a declared read may run.
        """
        self._tasks[task.order] = task
        task.claim, task.late = task.bound_claim()
        effects = {}
        if task.claim.reads or task.claim.writes:
            effects = self._index.add(task.order, task.claim, late=bool(task.late))
        data = [future.order for future in task.inputs if future.outcome is None]
        hold = 0 if committed or task.tool.spec.level == "read" else 1
        ready = self._graph.add(task.order, data, effects, hold)
        if self._emit is not None:
            self._emit("sealed", task.order, tool=task.tool.name, data=data, effects=effects)
        if task.inputs:
            task.doomed = any(f.outcome is not None and not isinstance(f.outcome, Value) for f in task.inputs)
        if task.doomed and (failure := task.upstream_failure()):
            self._launch(self._conclude(task, failure, ended=True))
        elif ready:
            self._launch([task])

    def commit(self, tasks: Iterable[Task]) -> None:
        """The message of these calls is complete: its writes may run."""
        held = [task for task in tasks if task.tool.spec.level != "read" and task.order in self._graph]
        self._launch([task for task in held if self._graph.lift(task.order)])

    def withdraw(self, task: Task, reason: str) -> None:
        """The message of this call never completed: settle it as cancelled, whatever it is doing."""
        if task.future.settled:
            return
        running = task.running
        self._launch(self._conclude(task, Cancelled(reason), ended=running is None))
        if running is not None:
            running.cancel()

    def cancel(self, order: int, reason: str) -> bool:
        """Ask a call to stop. False: it cannot, because it has settled or its work cannot be stopped.

        A call that has not started settles as `Cancelled` at once. Work that accepts will end as it
        sees fit, and the call settles then.
        """
        task = self._tasks.get(order)
        accepted = task is not None and not task.future.settled and self._stop(task, reason)
        if self._emit is not None:
            self._emit("cancel", order, accepted=accepted)
        return accepted

    async def idle(self) -> None:
        """Wait until no call is live."""
        while self._tasks:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    # --- starting -------------------------------------------------------------------------------------

    def _launch(self, ready: list[Task]) -> None:
        """Start, in emission order, the calls that nothing orders any more, as limits allow."""
        while ready:
            batch, ready = sorted(ready, key=_by_order), []
            for task in batch:
                if not task.future.settled and self._admit(task):
                    ready += self._start(task)

    def _admit(self, task: Task) -> bool:
        """Whether the limits let it start now. If not, it comes back when its slots are free."""
        if task.ticket is not None:
            return task.ticket.complete
        assert task.claim is not None
        keys = self._limits.keys(task.tool.name, task.claim)
        if not keys:
            return True
        task.ticket = Ticket(task.order, keys)
        admitted = self._limits.enter(task.ticket)
        if not admitted and self._emit is not None:
            self._emit("queued", task.order, limits=keys)
        return admitted

    def _start(self, task: Task) -> list[Task]:
        """Start the work; return what became ready instead if the call fails before it."""
        try:
            arguments = task.final_arguments()
        except CallError as error:
            return self._conclude(task, Failure(error), ended=True)
        if self._emit is not None:
            self._emit("started", task.order, arguments=arguments)
        task.running = running = self._executor.start(Work(task.tool, arguments, task.context))
        if running.outcome is not running.ended:
            running.outcome.add_done_callback(partial(self._on_outcome, task))
        running.ended.add_done_callback(partial(self._on_ended, task))
        timeout = task.tool.timeout
        if timeout is not None:
            loop = asyncio.get_running_loop()
            task.timer = loop.call_later(timeout, self._on_timeout, task, timeout)
        return []

    # --- what work reports ----------------------------------------------------------------------------

    def _on_outcome(self, task: Task, done: asyncio.Future[Result]) -> None:
        if not task.future.settled:
            self._launch(self._conclude(task, self._keep(task, collect(done)), ended=False))

    def _on_ended(self, task: Task, done: asyncio.Future[Result]) -> None:
        result = collect(done)
        if task.future.settled:
            self._launch(self._end(task, result.outcome))
        else:
            self._launch(self._conclude(task, self._keep(task, result), ended=True))

    def _on_timeout(self, task: Task, timeout: float) -> None:
        if task.future.settled:
            return
        error = ToolTimeout(
            f"{task.tool.name} ({task.future.call_id}) did not end within its timeout of {timeout:g} s"
        )
        self._launch(self._conclude(task, Failure(error), ended=False))
        assert task.running is not None
        task.running.cancel()

    def _keep(self, task: Task, result: Result) -> Outcome:
        """Keep the tool's own object for an answer within grace: a copy if a later call may change it."""
        if task.keep_own:
            ordering = task.order in self._graph and self._graph.is_ordering(task.order)
            task.own = _copied(result) if ordering else result.own
        return result.outcome

    def _stop(self, task: Task, reason: str) -> bool:
        if task.running is not None:
            return task.running.cancel()
        self._launch(self._conclude(task, Cancelled(reason), ended=True))
        return True

    # --- settling and releasing -------------------------------------------------------------------------

    def _conclude(self, task: Task, outcome: Outcome, *, ended: bool) -> list[Task]:
        """Settle a call, and every call that thereby never runs. Returns what became ready."""
        ready: list[Task] = []
        concluding: deque[tuple[Task, Outcome, bool]] = deque([(task, outcome, ended)])
        while concluding:
            task, outcome, ended = concluding.popleft()
            if task.future.settled:
                continue
            task.future.settle(outcome)
            if self._emit is not None:
                self._emit("settled", task.order, outcome=outcome)
            has_value = isinstance(outcome, Value)
            for newer, may_start in self._graph.settle(task.order):
                dependant = self._tasks.get(newer)
                if dependant is None:  # released by the binding of another dependant just now
                    continue
                dependant.doomed = dependant.doomed or not has_value
                failure = self._tell(dependant, task.future, ready)
                if failure is not None:
                    concluding.append((dependant, failure, True))
                elif may_start:
                    ready.append(dependant)
            if ended:
                ready += self._end(task)
        return ready

    def _tell(self, task: Task, settled: Future, ready: list[Task]) -> Failure | None:
        """An input has settled: bind a late claim if it was the last missing; return why it cannot run."""
        if task.future.settled:
            return None
        if task.doomed:
            return task.upstream_failure()
        if settled.order in task.late:
            task.late.discard(settled.order)
            if not task.late:
                return self._bind(task, ready)
        return None

    def _bind(self, task: Task, ready: list[Task]) -> Failure | None:
        """Narrow a late claim and drop the edges that no longer stand for a conflict (DESIGN E3)."""
        claim, _ = task.bound_claim()
        assert task.claim is not None
        escaped = uncovered(task.claim, claim)
        if escaped is not None:
            spec = task.tool.spec
            claimed = ", ".join(repr(label.text) for label in (*spec.reads, *spec.writes) if label.holes)
            return Failure(
                EffectEscape(
                    f"{task.tool.name} ({task.future.call_id}) did not run: with the value now known it "
                    f"touches {show_label(escaped)!r}, outside {claimed} as claimed without "
                    f"that value; declare a wider label for the tool"
                )
            )
        if not self._index.can_narrow(task.order):
            return None
        task.claim = claim
        self._index.narrow(task.order, claim)
        if self._emit is not None:
            self._emit("bound", task.order, reads=claim.reads, writes=claim.writes)
        for older, newer in self._graph.effect_neighbours(task.order):
            if self._index.conflict(older, newer) is None:
                released, may_start = self._graph.drop_effect(older, newer)
                ready += [self._tasks[order] for order in may_start]
                self._release(released)
        return None

    def _end(self, task: Task, late_outcome: Outcome | None = None) -> list[Task]:
        """The work has truly stopped, or will never start. Returns what became ready."""
        if task.timer is not None:
            task.timer.cancel()
        released, may_start = self._graph.end(task.order)
        ready = [self._tasks[order] for order in may_start]
        if task.ticket is not None:
            ready += [self._tasks[ticket.order] for ticket in self._limits.leave(task.ticket)]
        self._release(released, late_outcome)
        return ready

    def _release(self, released: list[int], late_outcome: Outcome | None = None) -> None:
        for order in released:
            self._index.discard(order)
            del self._tasks[order]
            if self._emit is not None:
                self._emit("released", order, late_outcome=late_outcome)
        if not self._tasks:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


def _by_order(task: Task) -> int:
    return task.order


def _copied(result: Result) -> Any:
    try:
        return copy.deepcopy(result.own)
    except Exception:  # cannot be copied: the snapshot is the next best
        return result.outcome.stored.get() if isinstance(result.outcome, Value) else None
