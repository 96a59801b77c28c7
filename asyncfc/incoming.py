"""Incoming: one message of the model on its way in, `await_future` and `cancel_future` among its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from asyncfc.conversation.control import (
    AWAIT_FUTURE,
    CANCEL_FUTURE,
    AwaitRequest,
    CancelRequest,
    read_await,
    read_cancel,
)
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.core import Answer
from asyncfc.errors import CallError
from asyncfc.futures.call import Call, parse_arguments
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.handle import THIS
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.table import unknown_handle
from asyncfc.message import Message
from asyncfc.session import Session

Kind: TypeAlias = Literal["call", "inline", "control", "foreign"]


@dataclass(frozen=True, slots=True)
class CallReply:
    """What one client tool call of a message is answered with."""

    call: Call
    kind: Kind
    """`inline`: with its outcome only, never with a handle. `foreign`: by others; the session has no such
    tool."""
    text: str
    answer: Answer | None
    """None for a control call, a foreign one, and all calls of a message that was cut off."""
    outcome: Outcome | None = None
    """Of the call when it was answered; None: the text holds its handle. The future may know more since."""
    native: bool = False
    """The provider lets the answer come in a later request."""

    @property
    def is_own_text(self) -> bool:
        """Whether a loop gets the text, not the tool's own result or exception."""
        if isinstance(self.outcome, Failure):
            return isinstance(self.outcome.error, CallError)
        return self.kind != "foreign" and not isinstance(self.outcome, Value)


@dataclass(slots=True)
class _Asked:
    call: Call
    kind: Kind
    native: bool = False
    future: Future | None = None
    request: AwaitRequest | CancelRequest | str | None = None
    """Of a control call; a string says why it cannot be understood."""
    said: str | None = None
    """What a control call was answered with; asked for again, it is answered so again (DESIGN O4)."""


class Incoming:
    """One message of the model: calls are sealed in order, then it is complete, or cut off.

    Args:
        session: that the calls belong to.
        message: of the session, open.
        inline: the names of the tools that are answered with their outcome only.
    """

    def __init__(self, session: Session, message: Message, inline: frozenset[str] = frozenset()) -> None:
        self._session = session
        self._message = message
        self._wording = session.wording
        self._grammar = session.grammar
        self._inline = inline
        self._asked: list[_Asked] = []
        self._waits: dict[int, list[Future]] = {}
        self.cut_off: str | None = None
        """Why the message is not complete, once that is known."""
        self.taken: set[int] = set()
        """The places of the calls that the loop has made."""
        self._let_go: set[int] = set()

    @property
    def calls(self) -> list[Call]:
        """The calls sealed so far, in order."""
        return [asked.call for asked in self._asked]

    def seal(self, sealed: ReplyCall, *, known: bool = False, waits: bool = False) -> Future | None:
        """The next client tool call is complete; return its future, if it is a call of the session.

        Args:
            sealed: the call.
            known: it is asyncfc's to answer even if there is no such tool.
            waits: it runs only when the program asks for its `answer`, as inline calls do.
        """
        call = sealed.call
        if call.tool in (AWAIT_FUTURE, CANCEL_FUTURE) and call.tool not in self._session.tools:
            self._message.skip()
            self._asked.append(_Asked(call, "control", request=self._request(call)))
        elif sealed.kind == "foreign" or not (known or call.tool in self._session.tools):
            self._message.skip()
            self._asked.append(_Asked(call, "foreign"))
        else:
            inline = sealed.kind == "program" or call.tool in self._inline
            waits = waits or call.tool in self._inline
            future = self._message.seal(call, waits=waits, inline=inline)
            self._asked.append(_Asked(call, "inline" if inline else "call", sealed.native, future))
        return self._asked[-1].future

    def complete(self) -> None:
        """The message is complete: its writes may run, and what each await waits for is settled upon."""
        awaits = [place for place, asked in enumerate(self._asked) if isinstance(asked.request, AwaitRequest)]
        here = {asked.future for asked in self._asked}
        # What is owed may be much; only an await asks for it.
        earlier = [future for future in self._session.owed if future not in here] if awaits else []
        self._message.commit()
        for place in awaits:
            request = self._asked[place].request
            assert isinstance(request, AwaitRequest)
            self._waits[place] = self._wanted(request, place, earlier)

    def cut(self, reason: str, calls: Sequence[ReplyCall] = ()) -> None:
        """The message ended before it was complete; none of its calls is made (DESIGN O3).

        Args:
            reason: why.
            calls: all of it, those that were never sealed included: each of them is answered.
        """
        self.cut_off = reason
        self._message.withdraw(f"its message was cut off: {reason}")
        self._asked += [_Asked(begun.call, "call") for begun in calls[len(self._asked) :]]

    def broken(self) -> Message:
        """Its stream broke: the open message, to be sent again."""
        return self._message

    # --- what the loop does with it ---------------------------------------------------------------------

    def take_all(self) -> None:
        """The loop answers every call with what `answers` gives."""
        self.taken.update(range(len(self._asked)))

    def let_go(self, place: int) -> None:
        """The loop does not wait any more for a call that it has made; it may make it again."""
        self.taken.discard(place)
        self._let_go.add(place)

    def open_places(self, tool: str) -> list[int]:
        """The places of the calls of a tool that the loop has not made yet."""
        return [n for n, call in enumerate(self.calls) if call.tool == tool and n not in self.taken]

    def arguments(self, place: int) -> Any:
        """The arguments of a call as a loop reads them; None if they cannot be read."""
        try:
            return parse_arguments(self._asked[place].call)
        except CallError:
            return None

    def is_inline(self, place: int) -> bool:
        """Whether a call is answered with its outcome only."""
        return self._asked[place].kind == "inline" and self.cut_off is None

    async def outcome(self, place: int) -> CallReply:
        """The loop makes an inline call: let it run, and wait for its outcome."""
        asked = self._asked[place]
        assert asked.future is not None
        answer = await self._message.outcome(asked.future)
        return CallReply(asked.call, asked.kind, answer.text, answer, answer.future.outcome)

    def give_up(self, place: int, *, started: bool = False) -> None:
        """The loop does not make an inline call, or makes one of its own instead.

        Args:
            place: of the call.
            started: also if it runs without having been asked for.
        """
        future = self._asked[place].future
        if future is not None:
            self._message.give_up(future, self._wording.never_made, started=started)

    def leave(self) -> list[Call]:
        """The loop goes on: what it has not asked for by now it never will.

        Returns:
            the calls that it never made and that have run all the same; what they bring is delivered later.
        """
        if self.cut_off is not None:
            return []
        untaken = {place: asked for place, asked in enumerate(self._asked) if place not in self.taken}
        ignored = {n: asked for n, asked in untaken.items() if asked.kind == "call"}
        self._message.owe({asked.future for asked in ignored.values() if asked.future is not None})
        for asked in self._asked:
            if asked.kind == "inline" and asked.future is not None and not asked.future.shown:
                self._message.give_up(asked.future, self._wording.never_made)
        return [asked.call for place, asked in ignored.items() if place not in self._let_go]

    async def answer(self, place: int, *, together: bool, direct: bool = False) -> CallReply:
        """What one call is answered with, asked for alone.

        Args:
            place: of the call.
            together: the program asks for all calls of the message at the same time.
            direct: with its outcome only.
        """
        asked = self._asked[place]
        self.taken.add(place)
        if asked.future is None:
            if place in self._waits and asked.said is None:
                never = set() if together else self._not_asked_for()
                await self._wait(place, [future for future in self._waits[place] if future not in never])
            return CallReply(asked.call, asked.kind, await self._text(place, None), None)
        if direct or asked.kind == "inline":
            return await self.outcome(place)
        answer = await self._message.answer(asked.future, together=together)
        return CallReply(asked.call, asked.kind, answer.text, answer, answer.future.outcome)

    async def answers(self, *, direct: bool = False, patience: float | None = None) -> list[CallReply]:
        """What each call is answered with, in order, once its awaits and the grace are over.

        An inline call has no text here; its outcome is waited for with its future.

        Args:
            direct: with outcomes only; wait for all calls.
            patience: seconds to wait for what a withheld call was to have seen; None: any time.
        """
        if self.cut_off is not None:
            return [CallReply(asked.call, asked.kind, self._wording.cut_off, None) for asked in self._asked]
        try:
            await self._wait_as_asked(direct=direct)
        except BaseException:  # the caller was cancelled: it may ask again; else the outcomes are delivered
            here = {asked.future for asked in self._asked if asked.kind == "call"}
            self._message.owe({future for future in here if future is not None and not future.shown})
            raise
        given = iter(await self._message.answers(hold=not self._waits, patience=patience))
        answers = [None if asked.future is None else next(given) for asked in self._asked]
        outcomes = [None if answer is None else answer.future.outcome for answer in answers]
        return [
            CallReply(asked.call, asked.kind, await self._text(place, answer), answer, outcome, asked.native)
            for place, (asked, answer, outcome) in enumerate(zip(self._asked, answers, outcomes, strict=True))
        ]

    async def _wait_as_asked(self, *, direct: bool) -> None:
        stuck = self._stuck()
        for place, asked in enumerate(self._asked):
            if place in self._waits:
                await self._wait(place, [future for future in self._waits[place] if future not in stuck])
            elif isinstance(
                asked.request, CancelRequest
            ):  # at its place: a wait behind it is for what it leaves
                await self._text(place, None)
        if direct:
            await wait_settled([f for a in self._asked if (f := a.future) is not None and f not in stuck])

    def _stuck(self) -> set[Future]:
        """The first inline call, and all behind it, which may wait for it.

        A loop may make it only once it has the answers to the calls before.
        """
        inline = [n for n, asked in enumerate(self._asked) if asked.kind == "inline"]
        behind = self._asked[inline[0] :] if inline else []
        return {asked.future for asked in behind if asked.future is not None}

    def _not_asked_for(self) -> set[Future]:
        """The calls that have not begun, as the program has not come to them: no wait can be for these."""
        begun = self.taken
        return {a.future for n, a in enumerate(self._asked) if n not in begun and a.future is not None}

    async def _wait(self, place: int, futures: Sequence[Future]) -> None:
        request = self._asked[place].request
        assert isinstance(request, AwaitRequest)
        await self._session.wait_for(futures, any_one=request.mode == "any", timeout=request.timeout)

    async def _text(self, place: int, answer: Answer | None) -> str:
        asked = self._asked[place]
        if answer is not None:
            return answer.text
        if asked.said is None:
            match asked.request:
                case AwaitRequest():
                    asked.said = await self._awaited(place, asked.request)
                case CancelRequest():
                    asked.said = self._cancelled(asked.request, place)
                case other:
                    asked.said = other or ""
        return asked.said

    async def _awaited(self, place: int, request: AwaitRequest) -> str:
        """The outcomes that no other answer of this message shows, and what is still open."""
        here = {asked.future for asked in self._asked if asked.kind == "call"}
        owed = set(self._session.owed)
        named = request.handles is not None  # what was told already is told again only if it is
        rest = [f for f in self._waits[place] if f in owed or (named and f not in here)]
        awaited = await self._session.await_future(rest, timeout=0)
        parts = [delivery.text for delivery in awaited.settled] + [note.text for note in awaited.notes]
        if awaited.pending:
            names = ", ".join(f"{future.handle} ({future.tool})" for future in awaited.pending)
            parts.append(self._wording.still_running.format(handles=names))
        parts += [self._unknown(text) for text in request.handles or () if self._named(text, place) is None]
        if not parts:
            beside = self._waits[place]
            parts.append(self._wording.awaited_beside if beside else self._wording.nothing_to_await)
        return "\n\n".join(parts)

    def _cancelled(self, request: CancelRequest, place: int) -> str:
        wording = self._wording
        future = self._named(request.handle, place)
        if future is None:
            return self._unknown(request.handle)
        if future.settled:
            text = wording.cancel_over
        else:
            text = wording.cancel_accepted if self._session.cancel(future) else wording.cancel_refused
        return text.format(handle=future.handle, tool=future.tool)

    def _wanted(self, request: AwaitRequest, place: int, earlier: Sequence[Future]) -> list[Future]:
        """What an await waits for; "all" are the calls emitted before it (DESIGN E5)."""
        if request.handles is None:
            here = [asked.future for asked in self._asked[:place] if asked.future is not None]
            return [*earlier, *here]
        named = [self._named(text, place) for text in request.handles]
        return list(dict.fromkeys(future for future in named if future is not None))

    def _named(self, text: str, place: int) -> Future | None:
        """The future that a handle in a control call names; `$this_k` names a call before it."""
        parsed = self._grammar.parse(text)
        if parsed is None:
            return None
        tag, number = parsed
        if tag != THIS:
            return next(iter(self._session.handles.mentioned(text)), None)
        return self._asked[number - 1].future if 1 <= number <= place else None

    def _unknown(self, text: str) -> str:
        error = unknown_handle(text, self._grammar)
        return self._wording.failure.format(kind=type(error).__name__, message=error)

    def _request(self, call: Call) -> AwaitRequest | CancelRequest | str:
        read = read_await if call.tool == AWAIT_FUTURE else read_cancel
        try:
            return read(call, self._grammar)
        except CallError as error:
            return self._wording.failure.format(kind=type(error).__name__, message=error)
