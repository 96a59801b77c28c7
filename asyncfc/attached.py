"""Attached: one conversation inside a framework that runs the loop itself.

What the adapters of frameworks share. A framework has hooks around the model and around each tool call;
an adapter translates between these and the methods here, and decides nothing:

    await attached.session.room()                            # if many sessions share a runtime
    with attached.sampling() as deliveries: ...              # around the request to the model
    begun = attached.begin(); begun.seal(call, work)         # of a stream, while it comes, if at all
    attached.received(calls, key=message_id)                 # the model's message, once it is complete
    reply = await attached.answer(call_id, work)             # each call; `work` runs the framework's own tool
    again = await attached.dialogue.must_go_on(text)         # a message without calls

The framework's own way of running a tool, with all that wraps it (redaction, truncation, tracing), runs in
the background, in its place in the order, with final arguments (DESIGN D6).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.dialogue import Dialogue
from asyncfc.errors import InternalError, TranscriptError
from asyncfc.futures.future import CALLER
from asyncfc.futures.store import parse_container
from asyncfc.incoming import CallReply, Incoming
from asyncfc.tools import Tool

Work: TypeAlias = Callable[[dict[str, Any]], Any]
"""Runs the framework's own tool with final arguments; asynchronous if the tool was attached so. What it
returns may be `Rendered`."""


def attached_tool(
    name: str,
    description: str,
    schema: Mapping[str, Any],
    *,
    effects: Mapping[str, Any] | str | None = None,
    returns: Mapping[str, Any] | None = None,
    asynchronous: bool = True,
) -> Tool:
    """A tool that a framework runs: each call does the work that the framework's hook brings.

    Args:
        name: as the model knows it.
        description: as the model is told.
        schema: of its arguments.
        effects: as for `Tool`.
        returns: JSON schema of the result, where known.
        asynchronous: the work is; else it runs in a thread.

    Raises:
        DeclarationError: the effects are written wrongly.
    """
    function = _asynchronous_work if asynchronous else _blocking_work
    return Tool(function, name=name, description=description, schema=schema, effects=effects, returns=returns)


def value_of(text: str) -> Any:
    """What other calls get of a tool that gives only text: the object, array or number in it, or the text."""
    try:
        number = json.loads(text) if _NUMBER.fullmatch(text) else None
    except ValueError:  # of more digits than Python converts
        number = None
    return parse_container(text) if number is None else number


_NUMBER = re.compile(r"\s*-?[0-9][0-9.eE+-]*\s*")


class Attached:
    """One conversation inside a framework that runs the loop.

    State: `_messages` has the messages received, by the framework's key; `_places` where the newest call of
    each id is; `_slots` the work of the calls of a message, in order, once their hooks have come; `_begun`
    is the message on its way in.

    Args:
        dialogue: its protocol; the tools of its session are `attached_tool`s.
        together: the framework asks for the calls of a message at the same time, not one after the other.
    """

    def __init__(self, dialogue: Dialogue, *, together: bool) -> None:
        self.dialogue = dialogue
        self.session = dialogue.session
        self._together = together
        self._messages: dict[str, Incoming] = {}
        self._places: dict[str, tuple[Incoming, int]] = {}
        self._slots: dict[Incoming, list[_Slot]] = {}
        self._newest: Incoming | None = None
        self._begun: Begun | None = None

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery | Note]]:
        """Around a request to the model: what it has to bring; seen unless the block raises.

        Calls of the message before that the framework has not asked for by now are not made any more.
        """
        self.drop()
        if self._newest is not None:
            self._give_up(self._newest)
        with self.session.sampling() as deliveries:
            yield deliveries

    def begin(self) -> Begun:
        """A message of the model comes as a stream: seal its calls there, one by one (DESIGN O3).

        `received` completes it. One that has begun before is dropped.
        """
        self.drop()
        self._begun = Begun(self.dialogue.begin())
        return self._begun

    def drop(self) -> None:
        """The message that has begun never becomes complete, so that none of its calls is made."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.withdraw()

    def received(self, calls: Sequence[ReplyCall], *, key: str | None = None) -> None:
        """A message of the model is complete: register its calls, in its order (DESIGN O1).

        Those sealed while it came in stay what they are. If they are not how it begins, they are withdrawn.

        Args:
            calls: all its client tool calls.
            key: what the framework knows the message by. Received again, it changes nothing (DESIGN O4);
                with other calls, because a person has edited it, these stand for those not asked for.

        Raises:
            TranscriptError: it comes again with other calls after some of them have been asked for.
        """
        before = None if key is None else self._messages.get(key)
        if before is not None:
            if before.calls == [sealed.call for sealed in calls]:
                self.drop()
                return
            if before.taken:
                raise TranscriptError(
                    f"message {key!r} comes again with other calls: {before.calls} before, "
                    f"{[sealed.call for sealed in calls]} now; some of those before have been made already"
                )
            self._give_up(before)
        incoming = self._sealed(calls)
        if key is not None:
            self._messages[key] = incoming
        for place, sealed in enumerate(calls):
            self._places[sealed.call.id] = (incoming, place)

    def knows(self, call_id: str) -> bool:
        """Whether a call of this id has been received."""
        return call_id in self._places

    def offer(self, tool: Tool) -> None:
        """A tool that the framework has brought only now; it stands for any of that name before."""
        self.session.offer(tool)

    async def answer(self, call_id: str, work: Work) -> CallReply:
        """The framework makes a call: let it do this work in its turn, and answer it.

        Asked for again, the call is answered again and does not run twice (DESIGN O4).

        Raises:
            TranscriptError: no call of this id was received.
        """
        if call_id not in self._places:
            raise TranscriptError(f"call {call_id!r} stands in no message that was received")
        incoming, place = self._places[call_id]
        slot = self._slots[incoming][place]
        slot.bring(work)
        direct = self.dialogue.exhausted
        return await incoming.answer(place, together=self._together, direct=direct)

    def give_up(self, call_id: str) -> None:
        """The framework does not make this call: others have answered it, or one stands in its place."""
        incoming, place = self._places.get(call_id, (None, 0))
        if incoming is not None and place not in incoming.taken:
            incoming.give_up(place, started=True)

    async def make(self, tool: str, arguments: Mapping[str, Any], work: Work) -> Any:
        """The framework makes a call that the model has not written so: in the order of all calls, untold.

        Args:
            tool: of the session.
            arguments: JSON values; handles in them are replaced.
            work: as for `answer`.

        Raises:
            Exception: what the call raises.
        """
        slot = _Slot()
        slot.bring(work)
        token = _SLOT.set(slot)
        try:
            return await self.session.call(tool, arguments)
        finally:
            _SLOT.reset(token)

    def _sealed(self, calls: Sequence[ReplyCall]) -> Incoming:
        begun = self._begun
        if begun is None or begun.calls != list(calls[: len(begun.calls)]):
            begun = self.begin()
        self._begun = None
        for sealed in calls[len(begun.calls) :]:
            begun.seal(sealed)
        begun.incoming.complete()
        self._slots[begun.incoming] = begun.slots
        self._newest = begun.incoming
        return begun.incoming

    def _give_up(self, incoming: Incoming) -> None:
        for place in range(len(incoming.calls)):
            if place not in incoming.taken:
                incoming.give_up(place, started=True)


class Begun:
    """A message of the model on its way in; see `Attached.begin`."""

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming
        self.calls: list[ReplyCall] = []
        self.slots: list[_Slot] = []

    def seal(
        self, sealed: ReplyCall, work: Work | None = None, context: contextvars.Context | None = None
    ) -> None:
        """The next call is complete.

        Args:
            sealed: the call.
            work: what it does without waiting for its hook: at once if its tool only reads, else when the
                message is complete. None: it waits for its hook.
            context: to do the work in; None: that of the caller.
        """
        slot = _Slot()
        if work is not None:
            slot.bring(work, context)
        token = _SLOT.set(slot)  # the call's task captures the context that it is sealed in
        try:
            self.incoming.seal(sealed, known=True, waits=work is None)
        finally:
            _SLOT.reset(token)
        self.calls.append(sealed)
        self.slots.append(slot)

    def withdraw(self) -> None:
        """It never becomes complete."""
        if self.incoming.broken().is_open:  # else the session was closed meanwhile
            self.incoming.cut("its stream broke off")


class _Slot:
    """What one call does, once the framework's hook has come: the work, and the hook's context variables.

    Let go of when the call starts: both may hold all that the framework had then, its messages included.
    """

    __slots__ = ("_brought", "_given")

    def __init__(self) -> None:
        self._brought = False
        self._given: tuple[Work, contextvars.Context] | None = None

    def bring(self, work: Work, context: contextvars.Context | None = None) -> None:
        """The hook has come; it may come again."""
        if not self._brought:
            self._brought = True
            self._given = work, contextvars.copy_context() if context is None else context.copy()

    def take(self) -> tuple[Work, contextvars.Context]:
        """The work of the call that runs here, and the context to do it in."""
        given, self._given = self._given, None
        if given is None:
            raise InternalError("an attached call was started before its framework asked for it")
        given[1].run(CALLER.set, CALLER.get())
        return given


_SLOT: ContextVar[_Slot] = ContextVar("asyncfc_slot")


async def _asynchronous_work(**arguments: Any) -> Any:
    """Do what the framework's hook has brought."""
    work, context = _SLOT.get().take()

    async def run() -> Any:
        return await work(arguments)

    return await asyncio.get_running_loop().create_task(run(), context=context)


def _blocking_work(**arguments: Any) -> Any:
    """The same in a thread."""
    work, context = _SLOT.get().take()
    return context.run(work, arguments)
