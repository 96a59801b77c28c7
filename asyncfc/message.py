"""Message: the unit of submission. Calls enter the order here, and answers leave here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from asyncfc.answering import Answering
from asyncfc.core import Core
from asyncfc.depgraph.claims import Group
from asyncfc.duplicates import Broken
from asyncfc.errors import CallError, UnknownTool
from asyncfc.execution.task import Task
from asyncfc.futures.call import Call, parse_arguments, short_name
from asyncfc.futures.future import Future
from asyncfc.futures.handle import THIS
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Withheld
from asyncfc.futures.reference import futures_of, scan
from asyncfc.futures.table import unknown_handle


class Message(Answering):
    """One message of the model: the unit of submission (DESIGN O1, O3).

    From a stream, calls are sealed one by one as they are complete; they are *provisional*: they have
    their place in the order, but only declared reads run. `commit` makes them final; `withdraw` takes
    them back if the message never completes.

    - `_named`: what `$this_k` names; `_group`: its undeclared calls, if they may run concurrently.
    - `_before`: the broken message that this one repeats; what it does not adopt of it, it withdraws.
    """

    def __init__(self, core: Core, before: Broken | None = None, *, inside: bool = False) -> None:
        super().__init__(core, inside=inside or core.caller() is not None)
        self._before = before
        self._named: list[Future | None] = []
        self._group = Group() if core.same_message == "concurrent" else None
        if core.gated and not self._inside:  # what a tool knows is the tool's business
            self._blind = core.outbox.unseen()

    @property
    def is_open(self) -> bool:
        """Whether it takes calls: it is neither complete nor taken back."""
        return self._state == "open"

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
            self._tell_of(call, future)
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
        number = None if self._inside else core.next_message()
        for future in self._futures:
            core.table.add(future)
            if not self._inside:
                core.outbox.emitted(future)
            if core.emit is not None:
                core.emit(
                    "committed",
                    future.order,
                    tool=future.tool,
                    call_id=future.call_id,
                    handle=future.handle,
                    message=number,
                )
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
                future.settle(Cancelled(reason))
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
        reads = [task for task in self._tasks if task.tool.spec.level == "read" and not task.waits]
        self._withdraw([task for task in self._tasks if task not in reads], "its message is sent again")
        for task in reads:
            self._core.in_flight.forget(task)
        new = Message(self._core, Broken(self._futures, reads))
        self._core.open.append(new)
        return new

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
                self._tell_of(call, future, arguments)
                future.add_done_callback(self._note_settled)
            return
        if irreversible and self._blind:
            names = ", ".join(str(f.handle) for f in self._blind)
            self._withheld.add(future.order)
            self._tell_of(call, future, arguments)
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

    def _tell_of(self, call: Call, future: Future, arguments: Mapping[str, Any] | None = None) -> None:
        """A call that does not enter the order: it was refused, or shares the outcome of its leader."""
        emit, leader, parent = self._core.emit, future.leader, self._core.caller()
        if emit is None:
            return
        needs = [] if leader is future else [leader.order]
        emit(
            "sealed",
            future.order,
            tool=short_name(call.tool),
            call_id=future.call_id,
            level="",
            arguments=call.arguments if arguments is None else arguments,
            parent=None if parent is None else parent.order,
            needs=needs,
            gates=[],
            data=needs if leader.outcome is None else [],
            effects={},
        )

    def _note_settled(self, future: Future) -> None:
        """Of a call that the scheduler does not know."""
        assert self._core.emit is not None
        self._core.emit("settled", future.order, outcome=future.outcome)

    def _leave(self, state: Literal["committed", "withdrawn", "retried"]) -> None:
        self._state = state
        self._core.open.remove(self)
