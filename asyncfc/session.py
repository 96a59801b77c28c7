"""Session: one conversation whose tool calls run in the background. Open this file first.

The whole idea in one paragraph. The model emits a message with calls; each call is *sealed* and thereby
registered, in message order: its references are found, its effects claimed, its place in the order
fixed. When the message is *committed*, each call gets a *handle*, and is answered with it at once. The
scheduler runs each call as soon as the values that it needs have settled and the older calls that it
conflicts with have released. The model may use a handle as an argument of a later call; right before
that call starts, the value takes its place. What settles is *delivered* with the next request.

    async with Session([search, write_file]) as session:
        answers = await session.submit([Call("c1", "search", '{"q": "cats"}')])
        answers[0].text                          # "$k7qz_1 is running. ..."
        await session.submit([Call("c2", "write_file", '{"path": "a", "text": "$k7qz_1"}')])
        with session.sampling() as deliveries:   # goes into the next request to the model
            ...

State lives in three places: the table (handle to future), the scheduler (calls that have not released),
the outbox (outcomes that the model has not seen). This file connects them and decides nothing itself.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Literal, Self, get_args

from asyncfc.conversation.delivery import Delivery, Note, Outbox, Receipt
from asyncfc.conversation.handles import Handles
from asyncfc.conversation.wording import Wording
from asyncfc.core import Answer, Awaited, Core, Finished, Grace, Priority, SameMessage
from asyncfc.depgraph.assignment import Declarations
from asyncfc.duplicates import Duplicates, InFlight
from asyncfc.errors import DeclarationError, SessionClosed
from asyncfc.execution.executors import Executor
from asyncfc.execution.line import MAX_WEIGHT, MIN_WEIGHT
from asyncfc.execution.task import Task
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.outcome import Cancelled, Value
from asyncfc.futures.retention import Retention
from asyncfc.futures.table import FutureTable, unknown_handle
from asyncfc.message import Message
from asyncfc.requests import Requests
from asyncfc.runtime import Runtime
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool
from asyncfc.trace.events import Listener
from asyncfc.trace.trace import Trace, emitter_of, trace_of

__all__ = ["Answer", "Awaited", "Call", "Delivery", "Finished", "Message", "Note", "Runtime", "Session"]

FINISH_TIMEOUT = 600.0
"""Seconds that `Session.finish` waits if nothing is said."""


class Session:
    """One linear conversation. Use it with `async with`, within one event loop.

    Args:
        tools: functions or `Tool`s; a mapping gives the names.
        effects: declarations by tool name or pattern (`"github_*"`), for tools that one does not own
            (DESIGN §4), or the path of a TOML file that has them; they replace what the tool itself declares.
        grace: seconds for which the answers of a message are held, so that values rather than handles go
            out. 0 answers at once. `"auto"`: as long as all its calls are expected to settle within 0.75 of
            what a message of the model takes, both learned on the way; `sampling` measures the latter.
        max_chars: of each value that the model is shown; None: all of it. The rest it can pass on.
        limits: how many calls may work at the same time: `{"*": 64, "tool:search": 4, "db": 2}`.
        rates: how many calls may start within a time: `{"tool:search": "5/s"}`; same keys as `limits`.
        executor: where work runs; default: this loop and threads of this process.
        on_event: called with each `Event`. One that raises is logged and dropped.
        trace: whether all that happens is recorded, see `Session.trace`; the path of a file: it is written
            there, too, line by line, for `asyncfc trace`.
        id: handles are derived from it, so the same id and calls give the same text. Default: random.
        runtime: several sessions of one runtime share its order of effects, limits and executor.
        weight: of this session among those of its runtime: where limits make calls of several sessions wait,
            one of weight 2 starts twice as many as one of weight 1. From 0.001 to 1000.
        priority: which call of this session gets a slot that becomes free, where limits make calls wait: the
            one with the longest way to go, as far as can be told from what is submitted and how long calls
            have taken (`"critical"`), or the oldest (`"emission"`).
        same_message: whether undeclared calls of one message run in their order or concurrently.
        duplicates: what becomes of a call that is in flight already, see `InFlight`.
        max_retained_bytes: that the values of settled calls may take together. Beyond it the oldest that
            the model has seen are dropped; a reference to one fails the call that makes it. None: all are
            kept as long as the session.
        irreversible: an irreversible call runs only if the model has seen all outcomes of earlier messages
            (`"seen"`), and every earlier call of its message has succeeded (that alone: `"succeeded"`).
        grammar: how handles are written.
        wording: what the model is told.

    Raises:
        DeclarationError: two tools of one name, effects for no tool, or anything written wrongly.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
        *,
        effects: Declarations | None = None,
        grace: Grace = 0,
        max_chars: int | None = None,
        limits: Mapping[str, int] | None = None,
        rates: Mapping[str, str] | None = None,
        executor: Executor | None = None,
        runtime: Runtime | None = None,
        weight: float = 1.0,
        priority: Priority = "critical",
        same_message: SameMessage = "ordered",
        duplicates: Duplicates = "allow",
        irreversible: Literal["seen", "succeeded"] = "seen",
        max_retained_bytes: int | None = None,
        on_event: Listener | None = None,
        trace: bool | str | os.PathLike[str] = False,
        id: str | None = None,
        grammar: HandleGrammar = DEFAULT_GRAMMAR,
        wording: Wording | None = None,
    ) -> None:
        _check_settings(grace, max_chars, weight, priority)
        self.id = id or uuid.uuid4().hex
        self._closed = False
        self._messages: dict[str, Message] = {}
        self._trace = trace_of(trace, self.id)
        emit = emitter_of(on_event, self._trace)
        if runtime is not None and any(setting is not None for setting in (limits, rates, executor)):
            raise DeclarationError("limits, rates and executor belong to the runtime; pass them to Runtime")
        self._runtime = runtime or Runtime(limits=limits, rates=rates, executor=executor)
        self._owns_runtime = runtime is None
        self._scheduler = self._runtime.scheduler
        if grace == "auto":
            self._scheduler.learn()
        self._tenant = self._scheduler.tenants.take_in(
            emit, self.id, weight=weight, ranked=priority == "critical"
        )
        self._bell = _new_bell()
        self._table = FutureTable(grammar.tag_for(self.id), grammar)
        retention = None if max_retained_bytes is None else Retention(max_retained_bytes)
        self._wording = wording or Wording()
        self._handles = Handles(self._table, self._wording)
        self._outbox = Outbox(
            self._wording, grammar, self._table.tag, retention=retention, max_chars=max_chars, emit=emit
        )
        made = toolbox(tools, effects or {})
        self._waits_for_seen = irreversible == "seen"
        self._core = Core(
            tools=made,
            grammar=grammar,
            table=self._table,
            outbox=self._outbox,
            scheduler=self._scheduler,
            tenant=self._tenant,
            in_flight=InFlight(duplicates),
            grace=grace,
            same_message=same_message,
            gated=False,
            retention=retention,
            emit=emit,
        )
        self._requests = Requests(self._core)
        for tool in made.values():
            self.offer(tool)

    def offer(self, tool: Tool) -> None:
        """A tool that comes later than the others; it stands for any of that name before."""
        self._core.tools[tool.name] = tool
        if self._waits_for_seen and tool.spec.level == "irreversible":
            self._core.gated = True

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return self._core.tools

    @property
    def grammar(self) -> HandleGrammar:
        """How its handles are written."""
        return self._core.grammar

    @property
    def wording(self) -> Wording:
        """What the model is told."""
        return self._wording

    @property
    def handles(self) -> Handles:
        """What the handles in a text of this conversation mean."""
        return self._handles

    @property
    def trace(self) -> Trace:
        """What has happened so far: the report, the timeline, exports.

        Raises:
            DeclarationError: nothing is recorded; `Session(..., trace=True)` does.
        """
        if self._trace is None:
            raise DeclarationError("this session records nothing; make it with Session(..., trace=True)")
        return self._trace

    def timeline(self, path: str | os.PathLike[str]) -> None:
        """Write what has happened so far as a page: one HTML file that needs no network.

        Raises:
            DeclarationError: nothing is recorded; `Session(..., trace=True)` does.
            OSError: the file cannot be written.
        """
        self.trace.timeline(path)

    @property
    def owed(self) -> list[Future]:
        """The calls emitted so far whose outcome the model has not been told, oldest first."""
        return self._untold(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def message(self) -> Message:
        """Begin a message of the model, to be sealed call by call and then committed or withdrawn."""
        return self._message()

    def _message(self, *, inside: bool = False) -> Message:
        if self._closed:
            raise SessionClosed(f"session {self.id} is closed; it takes no more calls")
        message = Message(self._core, inside=inside)
        self._core.open.append(message)
        return message

    async def submit(self, calls: Iterable[Call], *, message_id: str | None = None) -> list[Answer]:
        """Submit a complete message: one answer per call, in order. Never raises what a call raises.

        Args:
            calls: of the message, in its order.
            message_id: what the framework knows the message by. A message of an id that has been
                submitted before is answered again, from the calls of then (DESIGN O4).

        Raises:
            SessionClosed: the session takes no more calls.
            TranscriptError: the message of this id had other calls.
        """
        if message_id is not None and message_id in self._messages:
            return await self._messages[message_id].again(list(calls))
        await self.room()
        if message_id is not None and message_id in self._messages:  # it has come meanwhile
            return await self._messages[message_id].again(list(calls))
        message = self.message()
        try:
            for call in calls:
                message.seal(call)
        except BaseException:  # of the iterable, say: what was sealed must not stay in the order for ever
            message.withdraw()
            raise
        message.commit()
        if message_id is not None:
            self._messages[message_id] = message
        return await message.answers()

    async def room(self) -> None:
        """Wait until the runtime has room for one more message (`Runtime(max_live=...)`).

        `submit` does so itself, and every adapter before it asks the model. Whoever seals calls one by one
        waits here, right before `sampling`. Calls from inside the work of others never wait, since those
        would wait for them.
        """
        room = self._scheduler.room
        if room.most is not None and not self._closed and self._scheduler.caller() is None:
            await room.enter(self._tenant)

    def post(self, text: str, source: str) -> None:
        """Send a text into the conversation, from a person or another agent.

        It comes with the next deliveries; an `await_future` under way ends and brings it.
        """
        self._outbox.post(text, source)
        bell, self._bell = self._bell, _new_bell()
        bell.settle(Cancelled("rung"))

    async def await_future(
        self,
        which: Future | str | Iterable[Future | str] = "all",
        *,
        mode: Literal["all", "any"] = "all",
        timeout: float | None = None,
    ) -> Awaited:
        """Wait for outcomes, as the model's `await_future` or a program's.

        Args:
            which: futures or handles; `"all"` is every call emitted so far whose outcome is not told yet;
                from inside the work of a call, those that it has made and that have not settled.
            mode: wait until all of them have settled, or any one.
            timeout: seconds; what has not settled by then is `pending`.

        Raises:
            UnknownHandle: a handle that this session has not shown.
        """
        futures = self._untold(self._core.caller()) if which == "all" else self._futures(which)
        await self.wait_for(futures, any_one=mode == "any", timeout=timeout)
        settled = [self._outbox.tell(future) for future in futures if future.settled]
        pending = [future for future in futures if not future.settled]
        return Awaited(settled, pending, self._outbox.take_notes())

    async def wait_for(
        self, futures: Collection[Future], *, any_one: bool = False, timeout: float | None = None
    ) -> None:
        """Wait as `await_future` does, but hand nothing over: what settles is still to be told.

        Args:
            futures: of this session.
            any_one: one of them is enough.
            timeout: seconds.
        """
        if self._outbox.has_notes:
            return
        await self._requests.wait(futures, any_one=any_one, timeout=timeout, bell=self._bell)

    def told(self, future: Future) -> None:
        """The program has shown the outcome of a settled call to the model itself; it is not delivered.

        Raises:
            NotSettled: there is no outcome yet.
        """
        future.result() if future.outcome is None else self._outbox.tell(future)

    def receipt(self) -> AbstractContextManager[Receipt]:
        """Note what the model is told within this, so that `untell` can take it back."""
        return self._outbox.receipt()

    def untell(self, receipt: Receipt, calls: Mapping[Future, Call]) -> None:
        """What was told has got lost on its way; it is delivered once more.

        Args:
            receipt: of what was told.
            calls: those that were answered with their outcome.
        """
        self._outbox.untell(receipt, calls)

    def sampling(self) -> AbstractContextManager[list[Delivery | Note]]:
        """The deliveries to include in the next request; use it as `with` around that request.

        When the block ends, they have been seen; if it raises, they come again. How long it takes is what
        a message of the model costs (DESIGN D2).
        """
        return self._requests.sampling()

    def pausing(self) -> AbstractContextManager[None]:
        """Use it inside `sampling` around a wait for outcomes: the model writes nothing meanwhile.

        That time is no part of what a message of the model costs.
        """
        return self._requests.pausing()

    def note_extra(self) -> None:
        """The model is asked once more only because outcomes were unseen; for the trace."""
        if self._core.emit is not None:
            self._core.emit("extra")

    @property
    def inside(self) -> bool:
        """Whether this is asked from inside the work of one of this session's calls."""
        return self._core.caller() is not None

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Make a call that no model asked for: in the order of all calls, and not told to the model.

        Args:
            tool: its name.
            arguments: JSON values; futures and handles are replaced by their values.

        Raises:
            SessionClosed: the session takes no more calls.
            Exception: what the call raises.
        """
        message = self._message(inside=True)
        future = message.seal(Call(f"call of {tool}", tool, arguments), waits=True, inline=True)
        message.commit()
        answer = await message.outcome(future)
        outcome = future.outcome
        return answer.value if isinstance(outcome, Value) and answer.value is not None else future.result()

    def cancel(self, which: Future | str) -> bool:
        """Ask a call to stop. False: it cannot (it has settled, or runs in a thread).

        Raises:
            UnknownHandle: a handle that this session has not shown.
        """
        (future,) = self._futures(which)
        return self._scheduler.cancel(_worked(future), "it was cancelled on request")

    def release(self, which: Future | str) -> bool:
        """Lift the quarantine of a call whose work was given up; False if there is none (DESIGN F2).

        Raises:
            UnknownHandle: a handle that this session has not shown.
        """
        (future,) = self._futures(which)
        return self._scheduler.release(_worked(future))

    async def finish(self, timeout: float | None = FINISH_TIMEOUT) -> Finished:
        """Wait until every call has settled and its work has ended, or `timeout` seconds have passed.

        Work that was given up is not waited for; `left` names it, too.
        """
        idle = asyncio.ensure_future(self._tenant.idle())
        try:
            await asyncio.wait([idle], timeout=timeout)
        finally:
            idle.cancel()
        # A call that never ran may still wait to pass its place in the order on; no work is left of it.
        live = [task for task in self._tenant.tasks.values() if task.running or not task.future.settled]
        given_up = [task for task in self._scheduler.abandoned() if task.tenant is self._tenant]
        left = tuple(task.future for task in (*given_up, *live))
        return Finished(self._core.registered - sum(not future.settled for future in left), left)

    async def close(self, timeout: float = 5.0) -> Finished:
        """Cancel what is left, wait for its work to end, at most `timeout` seconds, and take no more calls.

        Every future has settled afterwards. Work that could not be stopped is named in `left`.
        """
        self._closed = True
        self._scheduler.room.close(self._tenant)
        for message in list(self._core.open):
            message.withdraw("the session was closed")
        for task in reversed(list(self._tenant.tasks.values())):  # the newest first, so that none starts
            self._scheduler.cancel(task.order, "the session was closed")
        finished = await self.finish(timeout)
        for task in list(self._tenant.tasks.values()):
            self._scheduler.withdraw(task, "the session was closed while it ran")
        self._scheduler.tenants.dismiss(self._tenant)
        if self._owns_runtime:
            self._runtime.close()
        if self._trace is not None:
            self._trace.close()
        return Finished(self._core.registered, finished.left)

    def _futures(self, which: Future | str | Iterable[Future | str]) -> list[Future]:
        names = [which] if isinstance(which, Future | str) else which
        found = (self._known(name) if isinstance(name, Future) else self._table.find(name) for name in names)
        return sorted(set(found), key=lambda future: future.order)

    def _known(self, future: Future) -> Future:
        """A future of this session; one of another may have the order of one of ours."""
        if future.handle is not None and future not in self._table:
            raise unknown_handle(future.handle, self._core.grammar)
        return future

    def _untold(self, caller: Task | None) -> list[Future]:
        """The futures that the model, or the work of the call that asks, has no outcome of yet."""
        futures = {future.order: future for future in self._outbox.owed if caller is None}
        live = (task.future for task in self._tenant.tasks.values() if self._core.parent_of(task) is caller)
        futures.update((future.order, future) for future in live if not future.settled)
        return [futures[order] for order in sorted(futures)]


def _check_settings(grace: Any, max_chars: Any, weight: Any, priority: Any) -> None:
    if grace != "auto" and not (type(grace) in (int, float) and grace >= 0):
        raise DeclarationError(f"grace={grace!r}: expected a number of seconds, at least 0, or 'auto'")
    if max_chars is not None and (type(max_chars) is not int or max_chars < 1):
        raise DeclarationError(f"max_chars={max_chars!r}: expected None or a whole number of at least 1")
    if type(weight) not in (int, float) or not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise DeclarationError(f"weight={weight!r}: expected a number from {MIN_WEIGHT} to {MAX_WEIGHT}")
    if priority not in get_args(Priority):
        raise DeclarationError(f"priority={priority!r}: expected 'critical' or 'emission'")


def _worked(future: Future) -> int:
    """The order of the call that works for this one: a read of a broken message that it adopted, or itself.

    A call of a complete message whose outcome this one shares is not cancelled with it.
    """
    return future.order if future.leader.handle is not None else future.leader.order


def _new_bell() -> Future:
    """A future that settles when something is posted."""
    return Future("", "post", -1)
