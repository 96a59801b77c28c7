"""Message: the unit of submission. Calls enter the order here, and answers leave here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from asyncfc.core import Answer, Core
from asyncfc.depgraph.claims import Group
from asyncfc.duplicates import Broken
from asyncfc.errors import CallError, TranscriptError, UnknownTool
from asyncfc.execution.task import Task
from asyncfc.futures.call import Call, parse_arguments, short_name
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.handle import THIS
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.reference import futures_of, scan
from asyncfc.futures.table import unknown_handle
from asyncfc.holding import hold_answers


class Message:
    """One message of the model: the unit of submission (DESIGN O1, O3).

    From a stream, calls are sealed one by one as they are complete; they are *provisional*: they have
    their place in the order, but only declared reads run. `commit` makes them final; `withdraw` takes
    them back if the message never completes.

    - `_calls`, `_futures`: one per call, in order; `_named`: what `$this_k` names; `_tasks`: of those calls
      that entered the order; `_inline`: the futures of those that are answered with their outcome only.
    - `_group`: its undeclared calls, if they may run concurrently.
    - `_before`: the broken message that this one repeats; what it does not adopt of it, it withdraws.
    - `_inside`: a tool makes these calls, from inside its work, or the program; the model is not told.
    - `_blind`: the outcomes that the model had not seen when it emitted this message; `_withheld`: the
      orders of the calls that were withheld because of these.
    """

    def __init__(self, core: Core, before: Broken | None = None, *, inside: bool = False) -> None:
        self._core = core
        self._before = before
        self._calls: list[Call] = []
        self._futures: list[Future] = []
        self._named: list[Future | None] = []
        self._tasks: list[Task] = []
        self._inline: set[Future] = set()
        self._group = Group() if core.same_message == "concurrent" else None
        self._inside = inside or core.scheduler.caller() is not None
        gated = core.gated and not self._inside  # what a tool knows is the tool's business
        self._blind: list[Future] = core.outbox.unseen() if gated else []
        self._withheld: set[int] = set()
        self._state: Literal["open", "committed", "answered", "withdrawn", "retried"] = "open"

    def seal(self, call: Call, *, waits: bool = False, inline: bool = False) -> Future:
        """Register the next call of this message. A call that cannot be made settles at once, as failed.

        Args:
            call: arguments as the model wrote them.
            waits: it has its place in the order, but runs only when the program asks for it, by `ask_for`.
            inline: it is answered with its outcome only, by `outcome`.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "seal a call of")
        core = self._core
        future = Future(call.id, call.tool, core.scheduler.next_order())
        core.registered += 1
        try:
            self._register(call, future, waits=waits)
        except CallError as error:
            self._refuse(future, Failure(error))
        if inline:
            self._inline.add(future)
        self._calls.append(call)
        self._futures.append(future)
        self._named.append(future)
        return future

    def skip(self) -> None:
        """Count a client tool call that is no call of the graph, such as `await_future` (DESIGN H1).

        It takes a number of `$this_k`, which then names nothing.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "skip a call of")
        self._named.append(None)

    def commit(self) -> list[Future]:
        """The message is complete: give each call its handle, and let its writes run.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "commit")
        self._leave("committed")
        self._drop_before()
        core = self._core
        for future in self._futures:
            core.table.add(future)
            if not self._inside:
                core.outbox.emitted(future)
            if core.emit is not None:
                core.emit("committed", future.order, handle=future.handle, call_id=future.call_id)
        core.scheduler.commit(self._tasks)
        return list(self._futures)

    def withdraw(self, reason: str = "its message was cut off") -> None:
        """The message never completed: its calls settle as cancelled, results and all.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "withdraw")
        self._leave("withdrawn")
        self._drop_before()
        self._withdraw(self._tasks, reason)
        for future in self._futures:
            if not future.settled:  # it shares the outcome of a call of another message
                self._refuse(future, Cancelled(reason))
        if self._core.retention is not None:
            self._core.retention.see(self._futures)  # nobody will: they have no handles

    def retry(self) -> Message:
        """Begin this message anew, because its stream broke and the request is sent again (DESIGN O3).

        Where the new message repeats a read at the same place, it adopts the one that runs already,
        unless something has come in between that it must see. All else of this message is withdrawn.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "retry")
        self._leave("retried")
        writes = [task for task in self._tasks if task.tool.spec.level != "read"]
        self._withdraw(writes, "its message is sent again")
        reads = [task for task in self._tasks if task.tool.spec.level == "read"]
        for task in reads:
            self._core.in_flight.forget(task)
        new = Message(self._core, Broken(self._futures, reads))
        self._core.open.append(new)
        return new

    async def answers(self, hold: bool = True) -> list[Answer]:
        """One answer per call, in order, after holding them for at most the session's grace.

        With `hold=False` they are not held. Where a call was withheld because outcomes had not been seen,
        the answers wait for these, and the answer of that call carries them (DESIGN E4).

        Raises:
            TranscriptError: the message is not committed, or has been answered.
        """
        self._require("committed", "answer")
        self._state = "answered"
        try:
            held = await self._hold() if hold and self._core.grace != 0 else 0.0
            if self._withheld:
                await wait_settled(self._blind)
        except BaseException:  # the caller was cancelled: it may ask again; else the outcomes are delivered
            self._state = "committed"
            for call, future in zip(self._calls, self._futures, strict=True):
                self._owe(call, future)
            raise
        own = {task.order: task.own for task in self._tasks if task.keep_own}
        self._tasks = [task for task in self._tasks if task.waits or task.future in self._inline]
        return [
            self._answer(call, future, own.get(future.leader.order), held)
            for call, future in zip(self._calls, self._futures, strict=True)
        ]

    def ask_for(self, future: Future) -> None:
        """Let a call of this message run that waits for that; once is enough.

        Raises:
            TranscriptError: the message is not complete.
        """
        if self._state not in {"committed", "answered"}:
            raise TranscriptError(f"cannot ask for a call of a message that is {self._state}")
        task = self._task_of(future)
        if task is not None and task.waits and not future.settled:
            task.waits = False
            self._core.scheduler.ask_for(task)

    async def outcome(self, future: Future) -> Answer:
        """Let a call of this message run, wait until it has settled, and answer it."""
        self.ask_for(future)
        await future.wait()
        task = self._task_of(future)
        call = self._calls[self._futures.index(future)]
        return self._answer(call, future, None if task is None else task.own, 0.0)

    def give_up(self, future: Future, reason: str) -> None:
        """The program will not ask for a call of this message; it tells the model so itself."""
        task = self._task_of(future)
        if task is not None and task.waits:
            self._core.scheduler.withdraw(task, reason)
            self._core.outbox.answer(future)

    def owe_all(self) -> None:
        """Nobody asks for the answers: what the calls bring is delivered later.

        Raises:
            TranscriptError: the message is not committed, or has been answered.
        """
        self._require("committed", "leave the answers of")
        self._state = "answered"
        for call, future in zip(self._calls, self._futures, strict=True):
            if future not in self._inline:
                self._owe(call, future)

    async def again(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer the same calls once more: the framework runs its step again (DESIGN O4).

        Raises:
            TranscriptError: these are not the calls of this message.
        """
        if list(calls) != self._calls:
            raise TranscriptError(
                "a message that was submitted before comes again with other calls: "
                f"{_first_difference(self._calls, list(calls))}"
            )
        if self._withheld:
            await wait_settled(self._blind)
        return [
            self._answer(call, future, None, 0.0)
            for call, future in zip(self._calls, self._futures, strict=True)
        ]

    def _register(self, call: Call, future: Future, *, waits: bool) -> None:
        core = self._core
        tool = core.tools.get(call.tool)
        if tool is None:
            name = short_name(call.tool)
            raise UnknownTool(f"there is no tool {name!r}; the tools are {sorted(core.tools)}")
        arguments, sites = scan(parse_arguments(call), core.grammar, self._lookup)
        tool.check(arguments, call.id)
        if core.retention is not None:
            core.retention.enter(future, futures_of(sites))
        irreversible = tool.spec.level == "irreversible"
        task = Task(future, tool, arguments, sites, core.tenant, self._futures if irreversible else ())
        task.parent = core.scheduler.caller()
        if self._adopts(task) or core.in_flight.meets(task, core.scheduler.newest_conflict):
            if core.emit is not None:
                future.add_done_callback(self._note_settled)
            return
        if irreversible and self._blind:
            names = ", ".join(str(f.handle) for f in self._blind)
            self._withheld.add(future.order)
            self._refuse(future, Withheld(f"it was asked for before the outcomes of {names} were seen"))
            return
        task.waits = waits
        task.keep_own = core.grace != 0 or waits
        core.scheduler.register(task, group=None if tool.spec.declared else self._group)
        self._tasks.append(task)

    def _adopts(self, task: Task) -> bool:
        """Whether a read of the broken message stands for this call."""
        if self._before is None:
            return False
        adopted = self._before.adopt(task, len(self._futures), self._core.scheduler.newest_conflict)
        if adopted is not None:
            self._tasks.append(adopted)
        return adopted is not None

    def _drop_before(self) -> None:
        if self._before is not None:
            self._withdraw(self._before.tasks, "its message was sent again without it")
            retention = self._core.retention
            if retention is not None:
                for future in self._before.futures:  # nobody will see these: they have no handles
                    future.add_done_callback(lambda settled: retention.see([settled]))
            self._before = None

    def _withdraw(self, tasks: Sequence[Task], reason: str) -> None:
        """Newest first, so that none starts because an older one goes."""
        for task in reversed(tasks):
            self._core.scheduler.withdraw(task, reason)
            if self._core.emit is not None:
                self._core.emit("withdrawn", task.order, reason=reason)

    def _lookup(self, tag: str, number: int, text: str) -> Future:
        if tag != THIS:
            return self._core.table.lookup(tag, number, text)
        named = self._named[number - 1] if 1 <= number <= len(self._named) else None
        if named is None:
            raise unknown_handle(text, self._core.grammar)
        return named

    def _refuse(self, future: Future, outcome: Outcome) -> None:
        """Settle a call that does not enter the order."""
        future.settle(outcome)
        if self._core.emit is not None:
            self._note_settled(future)

    def _note_settled(self, future: Future) -> None:
        """Of a call that the scheduler does not know."""
        assert self._core.emit is not None
        self._core.emit("settled", future.order, outcome=future.outcome)

    def _answer(self, call: Call, future: Future, own: Any, held: float) -> Answer:
        outbox = self._core.outbox
        outcome = future.outcome
        if outcome is None and future in self._inline:
            text = ""
        elif outcome is None:
            text = self._owe(call, future)
        elif future.order in self._withheld:
            text = outbox.answer_withheld(future, self._blind)
        else:
            text = outbox.answer(future)
        if self._core.emit is not None:
            self._core.emit("answered", future.order, text=text, held_s=held)
        future.shown = True
        value = own if isinstance(outcome, Value) else None
        error = outcome.error if isinstance(outcome, Failure) else None
        return Answer(call.id, text, value, error, future, held)

    def _owe(self, call: Call, future: Future) -> str:
        future.shown = True
        outbox = self._core.outbox
        return outbox.point_to(future) if self._inside else outbox.owe(call, future)

    async def _hold(self) -> float:
        return 0.0 if self._inside else await hold_answers(self._core, self._futures, self._tasks)

    def _task_of(self, future: Future) -> Task | None:
        return next((task for task in self._tasks if task.future is future), None)

    def _leave(self, state: Literal["committed", "withdrawn", "retried"]) -> None:
        self._state = state
        self._core.open.remove(self)

    def _require(self, state: str, action: str) -> None:
        if self._state != state:
            raise TranscriptError(f"cannot {action} a message that is {self._state}")


def _first_difference(before: list[Call], now: list[Call]) -> str:
    for one, other in zip(before, now, strict=False):
        if one != other:
            return f"{one} before, {other} now"
    return f"{len(before)} calls before, {len(now)} now"
