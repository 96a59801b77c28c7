"""Scheduler: starts what the graph says is ready, and tells the graph what has settled and ended.

Everything here runs on the loop's thread, in steps. A listener or a done callback may act within a step,
so state is changed first and told last. Chains of failures and releases are worked off in loops, not by
recursion. A method that returns tasks returns those that became ready by what it did; whoever is at the
top of the step passes them to `_launch`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

from asyncfc.depgraph.claims import Group
from asyncfc.errors import DeclarationError, ToolAbandoned, ToolTimeout
from asyncfc.execution.admission import Admission
from asyncfc.execution.estimates import Estimates, Forecast, forecast
from asyncfc.execution.limits import Limits
from asyncfc.execution.order import Order
from asyncfc.execution.own import own_object
from asyncfc.execution.retries import Retries
from asyncfc.execution.room import Room
from asyncfc.execution.statistics import Statistics, statistics
from asyncfc.execution.task import Task, Working
from asyncfc.execution.tenants import Tenants
from asyncfc.execution.work import Executor, Result, Running, Work, collect
from asyncfc.futures.future import CALLER, Future
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value
from asyncfc.futures.reference import Site, needs_elsewhere

ABANDON_AFTER = 5.0
"""Seconds for which work may go on after it was asked to stop, if the tool's timeout is not longer."""


class Scheduler:
    """All live calls: those that have not released their claims.

    State: `_order` has them, and knows what may start, as far as `_admission` lets it.

    Args:
        executor: where work runs.
        limits: how much may run at once.
        rates: how many calls may start within a time.
        max_live: calls beyond which a message waits before it is registered; None: none does.
    """

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        rates: Mapping[str, str] | None = None,
        max_live: int | None = None,
    ) -> None:
        self._executor = executor
        self._fills_in: bool = getattr(executor, "fills_in", False)
        self._limits = limits
        self._estimates = Estimates() if limits else None  # with limits, whose turn it is depends on them
        self._order = Order(self._estimates)
        self._admission = Admission(limits, rates or {}, self._order, self._start_rated)
        self.room = Room(max_live, self._order.__len__)
        self.tenants = Tenants(limits)
        self._retries = Retries()
        self._coming: list[Task] = []
        self._context = copy_context()  # for what work reports: it concerns no call in particular

    def __len__(self) -> int:
        return len(self._order)

    def next_order(self) -> int:
        """The next place in the order of registration."""
        return self._order.next()

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
        ready, refused = self._order.enter(task, group)
        never = Failure(refused) if refused is not None else task.obstacle() if task.doomed else None
        if never is not None:
            self._launch(self._conclude(task, never, ended=True))
        elif ready:
            self._come([task])

    def commit(self, tasks: Iterable[Task]) -> None:
        """The message of these calls is complete: its writes may run."""
        self._come([task for task in tasks if self._order.commit(task)])

    async def all_have_come(self) -> None:
        """Wait until calls that were registered in this turn of the loop have started if they may."""
        while self._coming or self._admission.looking:  # noqa: ASYNC110 (until the very next turn)
            await asyncio.sleep(0)

    def ask_for(self, task: Task) -> None:
        """The program asks for a call of a complete message that waits for that: it may run."""
        self._launch([task] if self._order.ask_for(task) else [])

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
        task = self._order.find(order)
        if task is None or task.future.settled:
            accepted = False
        elif task.running is None:
            self._launch(self._conclude(task, Cancelled(reason), ended=True))
            accepted = True
        else:
            before, task.stop_reason = task.stop_reason, reason
            accepted = self._ask_to_stop(task)
            if not accepted and not task.future.settled:
                task.stop_reason = before
        if task is not None and task.tenant.emit is not None:
            task.tenant.emit("cancel", order, accepted=accepted)
        return accepted

    def release(self, order: int) -> bool:
        """Lift the quarantine of work that was given up; False if there is none."""
        return self._order.quarantine.lift(order)

    def newest_conflict(self, task: Task) -> int:
        """The newest call that may yet change what this one, not registered yet, touches; -1 if none."""
        return self._order.newest_conflict(task)

    def forecast(self, futures: Iterable[Future], *, soon: bool = False) -> Forecast:
        """When the last of these unsettled calls is expected to settle, as far as `learn` has let it know.

        With `soon` the program is about to ask for those calls that wait for that.
        """
        if self._coming:
            self._launch([])
        estimates = self._estimates or Estimates()
        return forecast(self._order, estimates, futures, asyncio.get_running_loop().time(), soon=soon)

    def statistics(self) -> Statistics:
        """How all sessions and limits stand now."""
        return statistics(self._order, self.tenants, self._limits, self.room, self._estimates)

    def learn(self) -> None:
        """Learn from now on how long calls take; nothing is measured before somebody wants to know."""
        self._estimates = self._estimates or Estimates()

    def abandoned(self) -> Collection[Task]:
        """Tasks whose work was given up and still goes on."""
        return self._order.quarantine.tasks()

    # --- starting -------------------------------------------------------------------------------------

    def _come(self, ready: list[Task]) -> None:
        """Launch calls that nothing has ever ordered.

        Where slots are limited, all that come in one turn of the loop are looked at together, so that it
        does not matter who was first in it.
        """
        if not self._limits:
            self._launch(ready)
            for task in ready:
                task.raise_misuse()
        elif ready:
            if not self._coming:
                asyncio.get_running_loop().call_soon(self._launch, [], context=self._context)
            self._coming += ready

    def _launch(self, ready: list[Task]) -> None:
        """Start the calls that nothing orders any more, as limits and rates allow."""
        if self._coming:
            ready, self._coming = [*ready, *self._coming], []
        while ready or self._admission.is_due:
            admitted, ready = self._admission.admit(ready), []
            for task in admitted:
                if task.paused is not None:
                    if not task.paused.done():
                        task.paused.set_result(None)
                elif not task.future.settled:
                    ready += self._start(task)
        if self.room.most is not None:
            self.room.wake()

    def _start_rated(self, task: Task) -> None:
        """Start a call whose turn has come under rates."""
        if not task.future.settled:
            self._launch(self._start(task))

    def _start(self, task: Task) -> list[Task]:
        """Start the work; return what became ready instead if the call fails before it."""
        try:
            if task.escape is not None:
                raise task.escape
            if task.tool.breaker is not None and (closed := self._retries.refusal(task, _now())):
                if task.failed is not None:  # before: that says more
                    return self._conclude(task, task.failed.outcome, ended=True)
                raise closed
            if len(self._order.quarantine) and (refusal := self._order.quarantine.refusal(task)):
                raise refusal
            left = tuple(filter(needs_elsewhere, task.sites)) if self._fills_in else ()
            arguments = task.final_arguments(left)
            if self._estimates is not None:
                task.started = asyncio.get_running_loop().time()
            task.tries, task.failed = task.tries + 1, None
            task.running = running = self._run(task, arguments, left)
        except Exception as error:  # whosever it is, it concerns this call alone
            if isinstance(error, DeclarationError):  # the program is set up wrongly: whoever submits is told
                task.misuse = error
            return self._conclude(task, Failure(error), ended=True)
        assert task.working is not None
        if running.outcome is not running.ended:
            running.outcome.add_done_callback(task.working.on_outcome, context=self._context)
        running.ended.add_done_callback(task.working.on_ended, context=self._context)
        if task.tenant.emit is not None:
            task.tenant.emit("started", task.order, arguments=arguments)
        return []

    def _run(self, task: Task, arguments: dict[str, Any], sites: tuple[Site, ...]) -> Running:
        task.working = Working(self, task)
        context = task.context.copy() if task.tool.retries else task.context  # each try has its own
        context.run(CALLER.set, task.working)
        progress = None if task.tenant.emit is None else partial(self._on_progress, task)
        timed, told = task.tool.timeout is not None, task.tenant.emit is not None and not task.tool.is_async
        begun = partial(self._on_begun, task) if timed or told else None
        work = Work(task.tool, arguments, context, begun, task.grouped, progress, sites)
        return self._executor.start(work)

    # --- what work reports ----------------------------------------------------------------------------

    def _on_begun(self, task: Task) -> None:
        """The timeout counts from here; waiting for a thread does not count (DESIGN F2)."""
        timeout = task.tool.timeout
        if task.tenant.emit is not None and not task.tool.is_async and not task.stopped:
            task.tenant.emit("begun", task.order)
        if timeout is not None and not task.future.settled and task.timer is None:
            loop = asyncio.get_running_loop()
            task.timer = loop.call_later(timeout, self._on_timeout, task, timeout)

    def _on_progress(self, task: Task, item: Any) -> None:
        if not task.future.settled and task.tenant.emit is not None:
            task.tenant.emit("progress", task.order, item=item)

    def on_outcome(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The outcome of a call is known; its work may go on."""
        if not task.future.settled:
            result = collect(done)
            if self._retries.pause(task, result.outcome) is None:
                self._launch(self._conclude(task, self._keep(task, result), ended=False))
            else:  # it is tried again when it has ended, if that is soon
                task.failed = result
                loop = asyncio.get_running_loop()
                task.patience = loop.call_later(_patience(task), self._on_lingering, task, result)

    def on_ended(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The work of a call has truly stopped."""
        result = collect(done)
        if task.future.settled:
            self._launch(self._end(task, result.outcome))
            return
        result = task.failed or result
        pause = self._retries.pause(task, result.outcome)
        if pause is not None:
            self._retries.note(task, result.outcome, _now())
            self._try_again(task, result, pause)
        else:
            self._launch(self._conclude(task, self._keep(task, result), ended=True))

    def _on_lingering(self, task: Task, result: Result) -> None:
        """Work that has failed, and would be done once more, has not ended."""
        task.patience = None
        if not task.future.settled:
            self._launch(self._conclude(task, self._keep(task, result), ended=False))
            self._ask_to_stop(task)

    def _on_timeout(self, task: Task, timeout: float) -> None:
        if not task.future.settled:
            error = ToolTimeout(f"{task.name} did not end within its timeout of {timeout:g} s")
            self._retries.note(task, Failure(error), _now())
            self._launch(self._conclude(task, Failure(error), ended=False))
            self._ask_to_stop(task)

    def _keep(self, task: Task, result: Result) -> Outcome:
        """Learn from how it ended; keep the tool's own object for an answer within grace."""
        if task.tool.breaker is not None:
            self._retries.note(task, result.outcome, _now())
        if isinstance(result.outcome, Cancelled) and task.stop_reason is not None:
            return Cancelled(task.stop_reason)
        if self._estimates is not None and not isinstance(result.outcome, Cancelled):
            self._learn_from(task, self._estimates)
        if task.keep_own:
            task.own = own_object(task, result, self._order)
        return result.outcome

    def _learn_from(self, task: Task, estimates: Estimates) -> None:
        if task.started is not None and task.stop_reason is None:
            estimates.learn(task.tool.name, asyncio.get_running_loop().time() - task.started)

    # --- trying again ---------------------------------------------------------------------------------

    def _try_again(self, task: Task, result: Result, pause: float) -> None:
        """The work of a call has failed: it is done once more, with slots and rates as at first."""
        self._stop_watching(task)
        task.running = task.gate = None
        task.failed = result
        if task.ticket is not None:
            self._admission.free(task.ticket)
            task.ticket = None
        task.timer = asyncio.get_running_loop().call_later(pause, self._next_try, task)
        if task.tenant.emit is not None:
            task.tenant.emit("retry", task.order, outcome=result.outcome, tries=task.tries, pause_s=pause)
        self._launch([])

    def _next_try(self, task: Task) -> None:
        task.timer = None
        self._launch([task])

    def _stop_watching(self, task: Task) -> None:
        """The work of a call has ended. What it left running, and waits for slots again, goes on without."""
        if task.running is not None and task.paused is not None:
            if not task.paused.done():
                task.paused.set_result(None)
            task.paused = None
        if task.working is not None:
            task.working.stop()
            task.working = None
        for timer in (task.timer, task.patience):
            if timer is not None:
                timer.cancel()
        task.timer = task.patience = None

    # --- stopping -------------------------------------------------------------------------------------

    def _ask_to_stop(self, task: Task) -> bool:
        """Ask work to stop; if it goes on for long after it was given up, it is abandoned."""
        assert task.running is not None
        accepted = task.running.cancel()
        if (accepted or task.future.settled) and task.patience is None:  # asking again does not start it anew
            loop, after = asyncio.get_running_loop(), _patience(task)
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
            self._order.quarantine.add(task)
            for other in self._order.newer(task):
                waiting = not other.future.settled and other.running is None and other.late is None
                refusal = self._order.quarantine.refusal(other) if waiting else None
                if refusal is not None:
                    ready += self._conclude(other, Failure(refusal), ended=True)
        self._launch(ready + self._order.leave(task))

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
            for dependant, may_start in self._order.settle(task):
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
                ready += self._order.bind(task)
        return task.obstacle() if task.doomed and not task.future.settled else None

    def _end(self, task: Task, late_outcome: Outcome | None = None) -> list[Task]:
        """The work has truly stopped, or will never start."""
        task.stopped = True
        self._stop_watching(task)
        if task.gate is not None:
            task.gate.cancel()
        if task.ticket is not None:
            self._admission.free(task.ticket)
        if task.tenant.emit is not None and late_outcome is not None:
            task.tenant.emit("ended late", task.order, outcome=late_outcome)
        return self._order.rest(task) if task.children == 0 else []

    # --- calls that wait for others from inside their work ----------------------------------------------

    def pause(self, task: Task, pending: Collection[Future]) -> None:
        """The work of a call is about to wait for these: it gives its slots back (DESIGN O5).

        Raises:
            WouldDeadlock: one of these waits for this very call.
        """
        error = self._order.would_deadlock(task, pending)
        if error is not None:
            raise error
        if task.tenant.emit is not None:
            task.tenant.emit("paused", task.order)
        if self._coming:  # what it has just submitted queues before its slot is given away
            self._launch([])
        self._admission.give_back(task)
        self._launch([])

    async def resume(self, task: Task) -> None:
        """The work of a call goes on: it takes its slots again, in turn with others."""
        await self._admission.take_again(task)
        if task.tenant.emit is not None:
            task.tenant.emit("resumed", task.order)

    def retake(self, task: Task) -> None:
        """A wait of the work was interrupted: it has its slots again, beyond the limit if need be."""
        if self._admission.take_at_once(task):
            self._launch([])
        if task.tenant.emit is not None:
            task.tenant.emit("resumed", task.order)


def _patience(task: Task) -> float:
    """Seconds for which work that is to end may go on."""
    after = task.tool.abandon_after
    return max(task.tool.timeout or 0.0, ABANDON_AFTER) if after is None else after


def _now() -> float:
    return asyncio.get_running_loop().time()
