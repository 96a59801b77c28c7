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
from asyncfc.errors import SessionClosed
from asyncfc.execution.executors import Executor, LocalExecutor
from asyncfc.execution.limits import Limits
from asyncfc.execution.scheduler import Scheduler
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.store import MemoryStore
from asyncfc.futures.table import FutureTable
from asyncfc.message import Answer, Core, Message
from asyncfc.tool import Tool, toolbox
from asyncfc.trace.events import Event, Kind, Listener

__all__ = ["Answer", "Awaited", "Call", "Delivery", "Finished", "Message", "Session"]

_log = logging.getLogger("asyncfc")


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
        self._on_event = on_event
        self._closed = False
        emit = None if on_event is None else self._emit
        self._executor = executor or LocalExecutor(MemoryStore())
        self._scheduler = Scheduler(self._executor, Limits(limits), emit)
        self._table = FutureTable(grammar.tag_for(self.id), grammar)
        self._outbox = Outbox(wording or Wording(), grammar, self._table.tag)
        self._core = Core(
            tools=toolbox(tools, effects or {}),
            grammar=grammar,
            table=self._table,
            outbox=self._outbox,
            scheduler=self._scheduler,
            grace=grace,
            emit=emit,
        )

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name."""
        return self._core.tools

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
        message = Message(self._core)
        self._core.open.append(message)
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
        which: Future | str | Iterable[Future | str] = "all",
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
        return Finished(self._core.registered - sum(not future.settled for future in left), left)

    async def close(self, timeout: float = 5.0) -> Finished:
        """Cancel what is left, wait for its work to end, at most `timeout` seconds, and take no more calls.

        Every future has settled afterwards. Work that could not be stopped is named in `left`.
        """
        self._closed = True
        for message in list(self._core.open):
            message.withdraw("the session was closed")
        for task in list(self._scheduler.live):
            self._scheduler.cancel(task.order, "the session was closed")
        finished = await self.finish(timeout)
        for task in list(self._scheduler.live):
            self._scheduler.withdraw(task, "the session was closed while it ran")
        self._executor.close()
        return Finished(self._core.registered, finished.left)

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
