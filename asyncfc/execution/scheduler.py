"""Scheduler: starts what the graph says is ready, and tells the graph what has settled and ended.

Everything here runs on the loop's thread, in steps that no other step interrupts. No method recurses:
chains of failures and releases are worked off in loops. A method that returns tasks returns those that
became ready by what it did; whoever is at the top of the step passes them to `_launch`.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

from asyncfc.depgraph.claims import ClaimIndex, Group
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.errors import CallError, DeclarationError, ToolAbandoned, ToolTimeout, UnknownHandle
from asyncfc.execution.family import Working, adopt, escape, outside_parent, would_deadlock
from asyncfc.execution.limits import Keys, Limits, Ticket
from asyncfc.execution.quarantine import Quarantine
from asyncfc.execution.rates import Rates
from asyncfc.execution.task import Task
from asyncfc.execution.work import Executor, Result, Running, Work, collect
from asyncfc.futures.future import CALLER, Future
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value

ABANDON_AFTER = 5.0
"""Seconds for which work may go on after it was asked to stop, if the tool's timeout is not longer."""


class Scheduler:
    """All live calls: those that have not released their claims.

    State: `_tasks` has them by order; the graph knows what they wait for, the index what they claim, the
    quarantine what work that was given up still claims. `_freed` and `_served` are tickets whose slots
    have become free, or that have got theirs, within the step that runs.

    Args:
        executor: where work runs.
        limits: how much may run at once.
        rates: how many calls may start within a time.
    """

    def __init__(self, executor: Executor, limits: Limits, rates: Mapping[str, str] | None = None) -> None:
        self._executor = executor
        self._limits = limits
        self._rates = Rates(rates or {})
        self._rate_keys = Keys(rates or {})
        self._graph = DependencyGraph()
        self._index = ClaimIndex()
        self._quarantine = Quarantine()
        self._tasks: dict[int, Task] = {}
        self._freed: list[Ticket] = []
        self._served: list[Ticket] = []
        self._orders = 0
        self._context = copy_context()  # for what work reports: it concerns no call in particular

    def next_order(self) -> int:
        """The next place in the order of registration."""
        self._orders += 1
        return self._orders - 1

    def caller(self) -> Task | None:
        """The call from inside whose work this is asked, if its work goes on."""
        working = CALLER.get()
        if isinstance(working, Working) and working.scheduler is self:
            return working.task
        return None

    # --- from the session ---------------------------------------------------------------------------

    def register(self, task: Task, *, group: Group | None = None) -> None:
        """Take a call into the order, as provisional: until `commit` only a declared read may run.

        Calls must come in order of `task.order`.

        Args:
            task: the call.
            group: the other undeclared calls of its message, if they may run concurrently.
        """
        task.grouped = group is not None
        task.claim, task.late = task.bound_claim()
        refused = self._foreign(task) if task.inputs else None
        if refused is not None:
            task.inputs = ()
        if task.parent is not None:
            refused = adopt(task.parent, task, self._graph) or refused
        self._tasks[task.order] = task.tenant.tasks[task.order] = task
        effects = {}
        if task.claim.reads or task.claim.writes:
            index = self._index_of(task)
            effects = index.add(task.order, task.claim, late=task.late is not None, group=group)
        data = sorted({f.leader.order for f in task.inputs if f.outcome is None}) if task.inputs else ()
        hold = 0 if task.tool.spec.level == "read" else 1
        ready = self._graph.add(task.order, data, effects, hold)
        if task.inputs:
            task.doomed = any(f.outcome is not None and not isinstance(f.outcome, Value) for f in task.inputs)
        if len(self._quarantine) and task.late is None:
            refused = refused or self._quarantine.refusal(task)
        never = Failure(refused) if refused is not None else task.obstacle() if task.doomed else None
        if task.tenant.emit is not None:
            task.tenant.emit("sealed", task.order, tool=task.tool.name, data=data, effects=effects)
        if never is not None:
            self._launch(self._conclude(task, never, ended=True))
        elif ready:
            self._launch([task])

    def commit(self, tasks: Iterable[Task]) -> None:
        """The message of these calls is complete: its writes may run."""
        ready = []
        for task in tasks:
            task.committed = True
            held = task.tool.spec.level != "read" and task.order in self._graph
            if held and self._graph.lift(task.order):
                ready.append(task)
        self._launch(ready)

    def withdraw(self, task: Task, reason: str) -> None:
        """Settle a call as cancelled, whatever it is doing; its work is asked to stop."""
        if task.future.settled:
            return
        running = task.running
        self._launch(self._conclude(task, Cancelled(reason), ended=running is None))
        if running is not None:
            self._ask_to_stop(task)

    def cancel(self, order: int, reason: str) -> bool:
        """Ask a call to stop. False: it cannot, because it has settled or its work cannot be stopped.

        A call that has not started settles as `Cancelled` at once. Work that accepts will end as it
        sees fit, and the call settles then.
        """
        task = self._tasks.get(order)
        if task is None or task.future.settled:
            accepted = False
        elif task.running is None:
            self._launch(self._conclude(task, Cancelled(reason), ended=True))
            accepted = True
        else:
            task.stop_reason = reason
            accepted = self._ask_to_stop(task)
        if task is not None and task.tenant.emit is not None:
            task.tenant.emit("cancel", order, accepted=accepted)
        return accepted

    def release(self, order: int) -> bool:
        """Lift the quarantine of work that was given up; False if there is none."""
        return self._quarantine.lift(order)

    def newest_conflict(self, task: Task) -> int:
        """The newest call that may yet change what this one, not registered yet, touches; -1 if none."""
        index = self._index if task.parent is None else task.parent.own_index
        if index is None:  # the first child of its parent
            return -1
        live = (self._tasks[order] for order in index.conflicting(task.bound_claim()[0]))
        return max((older.order for older in live if older.running or not older.future.settled), default=-1)

    def abandoned(self) -> Collection[Task]:
        """Tasks whose work was given up and still goes on."""
        return self._quarantine.tasks()

    # --- starting -------------------------------------------------------------------------------------

    def _launch(self, ready: list[Task]) -> None:
        """Start, in emission order, the calls that nothing orders any more, as limits allow.

        They queue for slots before any slot that has become free is given away: of those that wait then,
        the oldest gets it (P15).
        """
        while ready or self._freed or self._served:
            waiting = [task for task in sorted(ready, key=_by_order) if not task.future.settled]
            admitted = [task for task in waiting if not self._is_rated(task) and self._admit(task)]
            for ticket in self._freed:
                self._served += self._limits.leave(ticket)
            admitted += [ticket.task for ticket in self._served]
            self._freed, self._served, ready = [], [], []
            for task in sorted(admitted, key=_by_order):
                if task.paused is not None:
                    if not task.paused.done():
                        task.paused.set_result(None)
                elif not task.future.settled:
                    ready += self._start(task)

    def _is_rated(self, task: Task) -> bool:
        """Whether rates decide when it starts: then it waits at their gates."""
        assert task.claim is not None
        keys = self._rate_keys.of(task.tool.name, task.claim)
        if keys:
            if task.tenant.emit is not None:
                task.tenant.emit("queued", task.order, rates=keys)
            if not task.future.settled:  # who was told just now may have cancelled it
                start = self._rates.start(
                    keys, partial(self._slots, task), lambda: self._launch(self._start(task))
                )
                task.gate = asyncio.get_running_loop().create_task(start)
        return bool(keys)

    async def _slots(self, task: Task) -> None:
        if not self._admit(task):
            await self._for_slots(task)

    async def _for_slots(self, task: Task) -> None:
        """Wait until the limits have given a queued call its slots."""
        task.paused = paused = asyncio.get_running_loop().create_future()
        try:
            await paused
        finally:
            if task.paused is paused:
                task.paused = None

    def _admit(self, task: Task) -> bool:
        """Whether the limits let it start now. If not, it comes back when its slots are free."""
        if task.ticket is not None:
            return task.ticket.complete
        assert task.claim is not None
        keys = self._limits.keys(task.tool.name, task.claim)
        if not keys:
            return True
        task.ticket = Ticket(task.order, keys, task=task)
        admitted = self._limits.enter(task.ticket)
        if not admitted and task.tenant.emit is not None:
            task.tenant.emit("queued", task.order, limits=keys)
        return admitted

    def _start(self, task: Task) -> list[Task]:
        """Start the work; return what became ready instead if the call fails before it."""
        try:
            if task.escape is not None:
                raise task.escape
            if len(self._quarantine) and (refusal := self._quarantine.refusal(task)):
                raise refusal
            arguments = task.final_arguments()
            task.running = running = self._run(task, arguments)
        except DeclarationError:  # the program is set up wrongly; that is of no call
            raise
        except Exception as error:  # whosever it is, it concerns this call alone
            return self._conclude(task, Failure(error), ended=True)
        assert task.working is not None
        if running.outcome is not running.ended:
            running.outcome.add_done_callback(task.working.on_outcome, context=self._context)
        running.ended.add_done_callback(task.working.on_ended, context=self._context)
        if task.tenant.emit is not None:
            task.tenant.emit("started", task.order, arguments=arguments)
        return []

    def _run(self, task: Task, arguments: dict[str, Any]) -> Running:
        task.working = Working(self, task)
        task.context.run(CALLER.set, task.working)
        progress = None if task.tenant.emit is None else partial(self._on_progress, task)
        begun = None if task.tool.timeout is None else partial(self._on_begun, task, task.tool.timeout)
        work = Work(task.tool, arguments, task.context, begun, concurrent=task.grouped, progress=progress)
        return self._executor.start(work)

    # --- what work reports ----------------------------------------------------------------------------

    def _on_begun(self, task: Task, timeout: float) -> None:
        """The timeout counts from here; waiting for a thread does not count (DESIGN F2)."""
        if not task.future.settled and task.timer is None:
            loop = asyncio.get_running_loop()
            task.timer = loop.call_later(timeout, self._on_timeout, task, timeout)

    def _on_progress(self, task: Task, item: Any) -> None:
        if not task.future.settled and task.tenant.emit is not None:
            task.tenant.emit("progress", task.order, item=item)

    def on_outcome(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The outcome of a call is known; its work may go on."""
        if not task.future.settled:
            self._launch(self._conclude(task, self._keep(task, collect(done)), ended=False))

    def on_ended(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The work of a call has truly stopped."""
        result = collect(done)
        if task.future.settled:
            self._launch(self._end(task, result.outcome))
        else:
            self._launch(self._conclude(task, self._keep(task, result), ended=True))

    def _on_timeout(self, task: Task, timeout: float) -> None:
        if not task.future.settled:
            error = ToolTimeout(f"{task.name} did not end within its timeout of {timeout:g} s")
            self._launch(self._conclude(task, Failure(error), ended=False))
            self._ask_to_stop(task)

    def _keep(self, task: Task, result: Result) -> Outcome:
        """Keep the tool's own object for an answer within grace: a copy if a later call may change it.

        Such a call is live already; or it may come while the message streams, or from another session.
        """
        if isinstance(result.outcome, Cancelled) and task.stop_reason is not None:
            return Cancelled(task.stop_reason)
        if task.keep_own:
            assert task.claim is not None
            claims = task.claim.reads or task.claim.writes
            others = not task.committed or len(task.tenant.tasks) < len(self._tasks)
            changed = claims and (others or self._graph.is_ordering(task.order))
            task.own = _copied(result) if changed else result.own
        return result.outcome

    # --- stopping -------------------------------------------------------------------------------------

    def _ask_to_stop(self, task: Task) -> bool:
        """Ask work to stop; if it goes on for long after it was given up, it is abandoned."""
        assert task.running is not None
        accepted = task.running.cancel()
        if accepted or task.future.settled:
            tool = task.tool
            after = tool.abandon_after
            if after is None:
                after = max(tool.timeout or 0.0, ABANDON_AFTER)
            if task.patience is None:  # asking again does not start it anew
                loop = asyncio.get_running_loop()
                task.patience = loop.call_later(after, self._on_abandoned, task, after)
        return accepted

    def _on_abandoned(self, task: Task, after: float) -> None:
        """Work has not stopped: settle its call, and hold what it claims in quarantine (DESIGN F2)."""
        if task.stopped:
            return
        ready: list[Task] = []
        if not task.future.settled:
            error = ToolAbandoned(f"{task.name} was asked to stop and still runs {after:g} s later")
            ready += self._conclude(task, Failure(error), ended=False)
        if task.tool.on_abandon == "quarantine":
            self._quarantine.add(task)
            for other in list(self._tasks.values()):
                if other.order > task.order and not other.future.settled and other.late is None:
                    refusal = self._quarantine.refusal(other) if other.running is None else None
                    if refusal is not None:
                        ready += self._conclude(other, Failure(refusal), ended=True)
        self._launch(ready + self._leave(task))

    # --- settling and releasing -------------------------------------------------------------------------

    def _conclude(self, task: Task, outcome: Outcome, *, ended: bool) -> list[Task]:
        """Settle a call, and every call that thereby never runs."""
        ready: list[Task] = []
        concluding: deque[tuple[Task, Outcome, bool]] = deque([(task, outcome, ended)])
        while concluding:
            task, outcome, ended = concluding.popleft()
            if task.future.settled:
                continue
            task.future.settle(outcome)
            if task.tenant.emit is not None:
                task.tenant.emit("settled", task.order, outcome=outcome)
            has_value = isinstance(outcome, Value)
            for newer, may_start in self._graph.settle(task.order):
                dependant = self._tasks.get(newer)
                if dependant is None:  # released by the binding of another dependant just now
                    continue
                dependant.doomed = dependant.doomed or not has_value
                never = self._tell(dependant, task.future, ready)
                if never is not None:
                    concluding.append((dependant, never, True))
                elif may_start:
                    ready.append(dependant)
            if ended:
                ready += self._end(task)
        return ready

    def _tell(self, task: Task, settled: Future, ready: list[Task]) -> Outcome | None:
        """An input has settled: bind a late claim if it was the last missing; return why it cannot run.

        A call that never runs binds, too: it may then pass its place in the order on earlier.
        """
        if task.late is not None and settled.order in task.late:
            task.late.discard(settled.order)
            if not task.late:
                self._bind(task, ready)
        return task.obstacle() if task.doomed and not task.future.settled else None

    def _bind(self, task: Task, ready: list[Task]) -> None:
        """Narrow a late claim and drop the edges that no longer stand for a conflict (DESIGN E3).

        A label outside what was claimed fails the call when it is its turn; until then it stays wide.
        """
        claim, task.late = task.bound_claim()
        task.escape = escape(task, claim) or outside_parent(task, claim)
        if task.escape is not None:
            return
        index = self._index_of(task)
        if not index.can_narrow(task.order):
            return
        task.claim = claim
        index.narrow(task.order, claim)
        for older, newer in self._graph.effect_neighbours(task.order):
            gone = older not in self._graph or newer not in self._graph  # by an edge dropped before
            if not gone and index.conflict(older, newer) is None:
                released, may_start = self._graph.drop_effect(older, newer)
                ready += [self._tasks[order] for order in may_start]
                ready += self._release(released)
        if task.tenant.emit is not None:  # last, because who is told may cancel the call
            task.tenant.emit("bound", task.order, reads=claim.reads, writes=claim.writes)

    def _end(self, task: Task, late_outcome: Outcome | None = None) -> list[Task]:
        """The work has truly stopped, or will never start."""
        task.stopped = True
        if task.working is not None:
            task.working.stop()
            task.working = None
        for timer in (task.timer, task.patience):
            if timer is not None:
                timer.cancel()
        if task.gate is not None:
            task.gate.cancel()
        if task.ticket is not None:
            self._freed.append(task.ticket)
        if task.tenant.emit is not None and late_outcome is not None:
            task.tenant.emit("ended late", task.order, outcome=late_outcome)
        return self._rest(task) if task.children == 0 else []

    def _rest(self, task: Task) -> list[Task]:
        """Nothing of the call goes on, its children included."""
        self._quarantine.lift(task.order)
        return self._leave(task)

    def _leave(self, task: Task) -> list[Task]:
        """It releases as soon as all that it is ordered after has."""
        if task.order not in self._graph:  # given up before
            return []
        released, may_start = self._graph.end(task.order)
        ready = [self._tasks[order] for order in may_start]
        return ready + self._release(released)

    def _release(self, released: list[int]) -> list[Task]:
        ready: list[Task] = []
        tasks = [self._tasks.pop(order) for order in released]
        for task in tasks:  # all of them, before anybody is told, who may submit a call
            task.tenant.leave(task)
            self._index_of(task).discard(task.order)
        for task in tasks:
            if task.tenant.emit is not None:
                task.tenant.emit("released", task.order)
            parent = task.parent
            if parent is not None:
                parent.children -= 1
                if parent.children == 0 and parent.stopped:
                    ready += self._rest(parent)
        return ready

    def _index_of(self, task: Task) -> ClaimIndex:
        """Where its claim stands: a child is ordered among its siblings only (DESIGN O5)."""
        return self._index if task.parent is None else task.parent.index

    def _foreign(self, task: Task) -> CallError | None:
        """Why the call cannot be ordered: an input without a value is not one of this order's calls."""
        for future in task.inputs:
            if future.outcome is None and not self._is_live(future):
                return UnknownHandle(f"{future!r}, an argument of {task.name}, belongs to another session")
        return None

    # --- calls that wait for others from inside their work ----------------------------------------------

    def pause(self, task: Task, pending: Collection[Future]) -> None:
        """The work of a call is about to wait for these: it gives its slots back (DESIGN O5).

        Raises:
            WouldDeadlock: one of these waits for this very call.
        """
        error = would_deadlock(self._graph, task, [future for future in pending if self._is_live(future)])
        if error is not None:
            raise error
        if task.ticket is not None and not task.stopped:
            self._renew(task)
            if task.paused is not None and not task.paused.done():  # after another wait, over by now
                task.paused.set_result(None)
            self._launch([])

    async def resume(self, task: Task) -> None:
        """The work of a call goes on: it takes its slots again, in turn with others."""
        if task.ticket is not None and not task.stopped and not self._limits.enter(task.ticket):
            await self._for_slots(task)

    def retake(self, task: Task) -> None:
        """A wait of the work was interrupted: it has its slots again, beyond the limit if need be."""
        if task.ticket is not None and not task.stopped:
            self._limits.take(self._renew(task))
            self._launch([])

    def _renew(self, task: Task) -> Ticket:
        """Give up the slots of a call, had or waited for; return the ticket that it can enter with again."""
        assert task.ticket is not None
        self._served += self._limits.leave(task.ticket)
        task.ticket = Ticket(task.order, task.ticket.keys, task=task)
        return task.ticket

    def _is_live(self, future: Future) -> bool:
        """Whether it is of one of this order's calls: another session counts its calls from 0, too."""
        known = self._tasks.get(future.leader.order)
        return known is not None and known.future is future.leader


def _by_order(task: Task) -> int:
    return task.order


def _copied(result: Result) -> Any:
    try:
        return copy.deepcopy(result.own)
    except KeyboardInterrupt:
        raise
    except BaseException:  # cannot be copied: the snapshot is the next best
        return result.outcome.get() if isinstance(result.outcome, Value) else None
