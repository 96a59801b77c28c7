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
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from asyncfc.conversation.delivery import Delivery, Outbox
from asyncfc.conversation.wording import Wording
from asyncfc.errors import (
    CallError,
    DeclarationError,
    SessionClosed,
    TranscriptError,
    UnknownTool,
)
from asyncfc.execution.executors import Executor, LocalExecutor
from asyncfc.execution.limits import Limits
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task
from asyncfc.futures.call import Call, parse_arguments
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.handle import DEFAULT_GRAMMAR, THIS, HandleGrammar
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.reference import scan
from asyncfc.futures.store import MemoryStore
from asyncfc.futures.table import FutureTable, unknown_handle
from asyncfc.tool import Tool
from asyncfc.trace.events import Event, Kind, Listener

__all__ = ["Answer", "Awaited", "Call", "Delivery", "Finished", "Message", "Session"]

_log = logging.getLogger("asyncfc")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call is answered with."""

    call_id: str
    text: str
    """What the model reads: the value, the error, or the placeholder with the handle."""
    value: Any
    """The tool's own result, if it was there within grace; else None."""
    error: BaseException | None
    """What the call raised, if it failed within grace."""
    future: Future
    held_s: float
    """How long the answers of this message were held, in seconds."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """What an await brought: outcomes, oldest call first, and the futures still open."""

    settled: list[Delivery]
    pending: list[Future]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a session came to rest. `left` are calls whose work has not ended in the time given."""

    settled: int
    left: tuple[Future, ...]


class Session:
    """One linear conversation. Use it with `async with`, within one event loop.

    Args:
        tools: functions or `Tool`s; a mapping gives the names.
        effects: declarations by tool name, for tools that one does not own (DESIGN §4); they replace
            what the tool itself declares.
        grace: seconds for which the answers of a message are held, so that values rather than handles go
            out. 0 answers at once.
        limits: how many calls may work at the same time: `{"*": 64, "tool:search": 4, "db": 2}`.
        executor: where work runs; default: this loop and threads of this process.
        on_event: called with each `Event`. One that raises is logged and dropped.
        id: handles are derived from it, so the same id and calls give the same text. Default: random.
        grammar: how handles are written.
        wording: what the model is told.

    Raises:
        DeclarationError: two tools of one name, effects for no tool, or anything written wrongly.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
        *,
        effects: Mapping[str, Mapping[str, Any] | str] | None = None,
        grace: float = 0,
        limits: Mapping[str, int] | None = None,
        executor: Executor | None = None,
        on_event: Listener | None = None,
        id: str | None = None,
        grammar: HandleGrammar = DEFAULT_GRAMMAR,
        wording: Wording | None = None,
    ) -> None:
        self.id = id or uuid.uuid4().hex
        self.grace = grace
        self.tools = _tools(tools, effects or {})
        self._on_event = on_event
        self._grammar = grammar
        self._table = FutureTable(self._grammar.tag_for(self.id), self._grammar)
        self._outbox = Outbox(wording or Wording(), self._grammar, self._table.tag)
        self._executor = executor or LocalExecutor(MemoryStore())
        emit = None if on_event is None else self._emit
        self._scheduler = Scheduler(self._executor, Limits(limits), emit)
        self._open: list[Message] = []
        self._registered = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def message(self) -> Message:
        """Begin a message of the model, to be sealed call by call and then committed or withdrawn."""
        if self._closed:
            raise SessionClosed(f"session {self.id} is closed; it takes no more calls")
        message = Message(self)
        self._open.append(message)
        return message

    async def submit(self, calls: Iterable[Call]) -> list[Answer]:
        """Submit a complete message: one answer per call, in order. Never raises what a call raises."""
        message = self.message()
        for call in calls:
            message.seal(call)
        message.commit()
        return await message.answers()

    async def await_future(
        self,
        which: Literal["all"] | Future | str | Iterable[Future | str] = "all",
        *,
        mode: Literal["all", "any"] = "all",
        timeout: float | None = None,
    ) -> Awaited:
        """Wait for outcomes, as the model's `await_future` or a program's.

        Args:
            which: futures or handles; `"all"` is every call emitted so far whose outcome is not told yet.
            mode: wait until all of them have settled, or any one.
            timeout: seconds; what has not settled by then is `pending`.

        Raises:
            UnknownHandle: a handle that this session has not shown.
        """
        futures = self._untold() if which == "all" else self._futures(which)
        await wait_settled(futures, any_one=mode == "any", timeout=timeout)
        settled = [self._outbox.tell(future) for future in futures if future.settled]
        return Awaited(settled, [future for future in futures if not future.settled])

    def sampling(self) -> AbstractContextManager[list[Delivery]]:
        """The deliveries to include in the next request; use it as `with` around that request.

        When the block ends, they have been seen; if it raises, they come again.
        """
        return self._outbox.sampling()

    def cancel(self, which: Future | str) -> bool:
        """Ask a call to stop. False: it cannot (it has settled, or runs in a thread).

        Raises:
            UnknownHandle: a handle that this session has not shown.
        """
        (future,) = self._futures(which)
        return self._scheduler.cancel(future.order, "it was cancelled on request")

    async def finish(self, timeout: float | None = None) -> Finished:
        """Wait until every call has settled and its work has ended, or `timeout` seconds have passed."""
        idle = asyncio.ensure_future(self._scheduler.idle())
        try:
            await asyncio.wait([idle], timeout=timeout)
        finally:
            idle.cancel()
        live = self._scheduler.live
        # A call that never ran may still wait to pass its place in the order on; no work is left of it.
        left = tuple(task.future for task in live if task.running or not task.future.settled)
        return Finished(self._registered - sum(not future.settled for future in left), left)

    async def close(self, timeout: float = 5.0) -> Finished:
        """Cancel what is left, wait for its work to end, at most `timeout` seconds, and take no more calls.

        Every future has settled afterwards. Work that could not be stopped is named in `left`.
        """
        self._closed = True
        for message in list(self._open):
            message.withdraw("the session was closed")
        for task in list(self._scheduler.live):
            self._scheduler.cancel(task.order, "the session was closed")
        finished = await self.finish(timeout)
        for task in list(self._scheduler.live):
            self._scheduler.withdraw(task, "the session was closed while it ran")
        self._executor.close()
        return Finished(self._registered, finished.left)

    def _futures(self, which: Future | str | Iterable[Future | str]) -> list[Future]:
        names = [which] if isinstance(which, Future | str) else which
        found = (name if isinstance(name, Future) else self._table.find(name) for name in names)
        return sorted(set(found), key=lambda future: future.order)

    def _untold(self) -> list[Future]:
        futures = {future.order: future for future in self._outbox.owed}
        live = (task.future for task in self._scheduler.live)
        futures.update((future.order, future) for future in live if not future.settled)
        return [futures[order] for order in sorted(futures)]

    def _emit(self, kind: Kind, order: int, **data: Any) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(Event(asyncio.get_running_loop().time(), kind, order, data))
        except Exception:
            _log.exception("the event listener raised and was dropped: %r", self._on_event)
            self._on_event = None


class Message:
    """One message of the model: the unit of submission (DESIGN O1, O3).

    From a stream, calls are sealed one by one as they are complete; they are *provisional*: they have
    their place in the order, but only declared reads run. `commit` makes them final; `withdraw` takes
    them back if the message never completes.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._calls: list[Call] = []
        self._futures: list[Future] = []
        self._tasks: list[Task] = []
        self._state: Literal["open", "committed", "answered", "withdrawn"] = "open"

    def seal(self, call: Call) -> Future:
        """Register the next call of this message. A call that cannot be made settles at once, as failed.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "seal a call of")
        session = self._session
        future = Future(call.id, call.tool, session._registered)
        session._registered += 1
        try:
            task = self._task(call, future)
        except CallError as error:
            future.settle(Failure(error))
            if session._on_event is not None:
                session._emit("settled", future.order, outcome=future.outcome)
        else:
            self._tasks.append(task)
            session._scheduler.register(task, committed=False)
        self._calls.append(call)
        self._futures.append(future)
        return future

    def commit(self) -> list[Future]:
        """The message is complete: give each call its handle, and let its writes run.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "commit")
        self._leave("committed")
        session = self._session
        for future in self._futures:
            session._table.add(future)
            if session._on_event is not None:
                session._emit("committed", future.order, handle=future.handle, call_id=future.call_id)
        session._scheduler.commit(self._tasks)
        return list(self._futures)

    def withdraw(self, reason: str = "its message was cut off") -> None:
        """The message never completed: its calls settle as cancelled, results and all.

        Raises:
            TranscriptError: the message is no longer open.
        """
        self._require("open", "withdraw")
        self._leave("withdrawn")
        for task in self._tasks:
            self._session._scheduler.withdraw(task, reason)
            if self._session._on_event is not None:
                self._session._emit("withdrawn", task.order, reason=reason)

    async def answers(self) -> list[Answer]:
        """One answer per call, in order, after holding them for at most the session's grace.

        Raises:
            TranscriptError: the message is not committed, or has been answered.
        """
        self._require("committed", "answer")
        self._state = "answered"
        held = await self._hold(self._session.grace) if self._session.grace > 0 else 0.0
        own = {task.order: task.own for task in self._tasks if task.keep_own}
        return [
            self._answer(call, future, own.get(future.order), held)
            for call, future in zip(self._calls, self._futures, strict=True)
        ]

    def _task(self, call: Call, future: Future) -> Task:
        session = self._session
        tool = session.tools.get(call.tool)
        if tool is None:
            raise UnknownTool(f"there is no tool {call.tool!r}; the tools are {sorted(session.tools)}")
        arguments, sites = scan(parse_arguments(call), session._grammar, self._lookup)
        tool.check(arguments, call.id)
        task = Task(future, tool, arguments, sites)
        task.keep_own = session.grace > 0
        return task

    def _lookup(self, tag: str, number: int, text: str) -> Future:
        if tag != THIS:
            return self._session._table.lookup(tag, number, text)
        if not 1 <= number <= len(self._futures):
            raise unknown_handle(text, self._session._grammar)
        return self._futures[number - 1]

    async def _hold(self, grace: float) -> float:
        """Wait while calls of this message run; one that still waits for others is not waited for."""
        clock = asyncio.get_running_loop().time
        start = clock()
        while (rest := start + grace - clock()) > 0:
            running = [task.future for task in self._tasks if task.running and not task.future.settled]
            if not running:
                break
            await wait_settled(running, any_one=True, timeout=rest)
        return clock() - start

    def _answer(self, call: Call, future: Future, own: Any, held: float) -> Answer:
        future.shown = True
        outbox = self._session._outbox
        outcome = future.outcome
        text = outbox.owe(call, future) if outcome is None else outbox.answer(future)
        if self._session._on_event is not None:
            self._session._emit("answered", future.order, text=text, held_s=held)
        value = own if isinstance(outcome, Value) else None
        error = outcome.error if isinstance(outcome, Failure) else None
        return Answer(call.id, text, value, error, future, held)

    def _leave(self, state: Literal["committed", "withdrawn"]) -> None:
        self._state = state
        self._session._open.remove(self)

    def _require(self, state: str, action: str) -> None:
        if self._state != state:
            raise TranscriptError(f"cannot {action} a message that is {self._state}")


def _tools(
    tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
    effects: Mapping[str, Mapping[str, Any] | str],
) -> dict[str, Tool]:
    named = tools.items() if isinstance(tools, Mapping) else ((None, tool) for tool in tools)
    made: dict[str, Tool] = {}
    for name, function in named:
        tool = function if isinstance(function, Tool) and name in (None, function.name) else None
        tool = tool or Tool(function, name=name)
        if tool.name in made:
            raise DeclarationError(f"two tools are called {tool.name!r}; pass a mapping that renames one")
        made[tool.name] = tool
    for name, declaration in effects.items():
        if name not in made:
            raise DeclarationError(f"effects are declared for {name!r}, but the tools are {sorted(made)}")
        made[name] = made[name].with_effects(declaration)
    return made
