"""Delivery: which outcomes the model has not been told yet, and when it has seen them.

An outcome passes four stages. *Unseen*: its call was emitted. *Owed*: it was answered with a handle.
*Told*: the outcome is in the caller's hands, in an answer, an await or a delivery. *Seen*: the next
request after that succeeded.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial

from asyncfc.conversation.wording import Wording
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.futures.outcome import Outcome
from asyncfc.futures.plain import encodable, safe_text, shorten
from asyncfc.futures.retention import Retention

MAX_ARGUMENT_CHARS = 120
"""A delivery recalls its call's arguments in short; the model has them in full further up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A settled outcome on its way to the model."""

    call_id: str
    tool: str
    handle: str
    text: str
    """Self-contained: names tool, arguments in short and handle."""
    outcome: Outcome
    future: Future


@dataclass(frozen=True, slots=True)
class Note:
    """What a person or another agent sent into the running conversation."""

    source: str
    text: str
    """As the model reads it: names the source; what looks like a handle of this session is inert."""


@dataclass(slots=True, eq=False)
class Receipt:
    """What was told within a `receipt`, for the case that it did not arrive."""

    outbox: Outbox
    told: dict[Future, str | None] = field(default_factory=dict)
    """Outcomes that had not been seen before; with the arguments in short of those that were owed."""


_RECEIPT: ContextVar[Receipt | None] = ContextVar("asyncfc_receipt", default=None)
"""Where what is told now is noted: answers to several requests may be made at the same time."""


class Outbox:
    """The outcomes of one conversation between their call and being seen.

    State, by order: `_unseen` has every call emitted and not seen; `_owed` those answered with a handle
    and not told since, `_in_short` their arguments; `_due` those of them that have settled. `_told`
    waits for the next request to succeed, and `_showing` is what a request under way shows. `_notes` are
    posts not delivered yet.
    """

    def __init__(
        self,
        wording: Wording,
        grammar: HandleGrammar,
        tag: str,
        *,
        retention: Retention | None = None,
        max_chars: int | None = None,
        emit: Callable[..., object] | None = None,
    ) -> None:
        self._emit = emit
        self._wording = wording
        self._grammar = grammar
        self._retention = retention
        self._max_chars = max_chars
        self._escape = partial(grammar.escape, tag=tag)
        self._unseen: dict[int, Future] = {}
        self._owed: dict[int, Future] = {}
        self._in_short: dict[int, str] = {}
        self._due: dict[int, Future] = {}
        self._told: dict[int, Future] = {}
        self._showing: set[int] = set()
        self._notes: deque[Note] = deque()
        self._when_due = self._fall_due  # one bound method for all calls

    @property
    def owed(self) -> list[Future]:
        """The futures that the model has a handle for and no outcome yet, oldest first."""
        return [self._owed[order] for order in sorted(self._owed)]

    def unseen(self) -> list[Future]:
        """The emitted calls whose outcome is not in what the model has been shown, oldest first."""
        return [future for future in self._unseen.values() if future.order not in self._showing]

    def emitted(self, future: Future) -> None:
        """A call was emitted; the model has yet to see its outcome."""
        self._unseen[future.order] = future

    def owe(self, call: Call, future: Future) -> str:
        """Answer with the handle; return the text. The outcome is due when it settles."""
        self._owed[future.order] = future
        self._in_short[future.order] = _in_short(call, self._grammar)
        future.add_done_callback(self._when_due)
        return self._wording.placeholder.format(handle=future.handle)

    def point_to(self, future: Future) -> str:
        """Answer a tool that made the call with the handle; return the text. The model is owed nothing."""
        future.add_done_callback(self._note_told)
        return self._wording.placeholder.format(handle=future.handle)

    def answer(self, future: Future) -> str:
        """Answer with the outcome; return the text. It is no longer owed, if it was by an earlier answer."""
        self._settle_debt(future)
        return self._text(future)

    def answer_withheld(self, future: Future, blind: Sequence[Future]) -> str:
        """Answer a call that was withheld until the outcomes of these are seen; the text carries them.

        Those that have not settled are named: the answer was not to wait for them any longer.
        """
        owed = [earlier for earlier in blind if earlier.order in self._owed]
        parts = [self.answer(future), *(self.tell(earlier).text for earlier in owed if earlier.settled)]
        names = ", ".join(f"{earlier.handle} ({earlier.tool})" for earlier in blind if not earlier.settled)
        return "\n\n".join([*parts, self._wording.still_running.format(handles=names)] if names else parts)

    def tell(self, future: Future) -> Delivery:
        """Hand a settled outcome over; it is no longer owed."""
        arguments = self._settle_debt(future)
        assert future.outcome is not None
        handle = future.handle or future.call_id
        text = self._text(future)
        if arguments is not None:
            text = self._wording.delivery.format(
                handle=handle, tool=future.tool, arguments=arguments, text=text
            )
        return Delivery(future.call_id, future.tool, handle, text, future.outcome, future)

    @contextmanager
    def receipt(self) -> Iterator[Receipt]:
        """Note what is told within this, so that it can be told again if it gets lost; see `untell`."""
        token = _RECEIPT.set(receipt := Receipt(self))
        try:
            yield receipt
        finally:
            _RECEIPT.reset(token)

    def untell(self, receipt: Receipt, calls: Mapping[Future, Call]) -> None:
        """What was told has not arrived: it is due again, whether or not it counted as seen.

        Args:
            receipt: of what was told.
            calls: those that were answered with their outcome, so that they were never owed.
        """
        for future, owed_as in receipt.told.items():
            order = future.order
            made = _in_short(calls[future], self._grammar) if future in calls else "{}"
            future.seen = False
            self._told.pop(order, None)
            self._unseen[order] = self._owed[order] = self._due[order] = future
            self._in_short[order] = made if owed_as is None else owed_as
        self._unseen = dict(sorted(self._unseen.items()))
        if self._retention is not None:
            self._retention.unsee(receipt.told)

    def post(self, text: str, source: str) -> None:
        """Put a text from elsewhere among the deliveries."""
        self._notes.append(
            Note(source, self._wording.note.format(source=self._escape(source), text=self._escape(text)))
        )

    @property
    def has_notes(self) -> bool:
        """Whether a posted text waits to be delivered."""
        return bool(self._notes)

    def take_notes(self) -> list[Note]:
        """Hand the posted texts over."""
        notes, self._notes = list(self._notes), deque()
        return notes

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery | Note]]:
        """What to put into the next request, oldest call first; seen if the request succeeds.

        If the block raises, nothing has been seen, and what was to be delivered is due again.
        """
        due = dict(sorted(self._due.items()))
        in_short = {order: self._in_short[order] for order in due}
        deliveries = [self.tell(future) for future in due.values()]
        notes = self.take_notes()
        told, self._told = self._told, {}
        self._showing = set(told)
        if self._emit is not None:
            for delivery in deliveries:
                self._emit("delivered", delivery.future.order, text=delivery.text)
        try:
            yield [*deliveries, *notes]
        except BaseException:
            self._owed.update(due)
            self._due.update(due)
            self._in_short.update(in_short)
            self._told = {**{order: told[order] for order in told.keys() - due}, **self._told}
            self._notes.extendleft(reversed(notes))
            raise
        finally:
            self._showing = set()
        for order, future in told.items():
            future.seen = True
            self._unseen.pop(order, None)
            if self._emit is not None:
                self._emit("seen", order)
        if self._retention is not None:
            self._retention.see(told.values())

    def _note_told(self, future: Future) -> None:
        self._told[future.order] = future

    def _settle_debt(self, future: Future) -> str | None:
        """It is told now; return its arguments in short, if it was owed."""
        self._owed.pop(future.order, None)
        self._due.pop(future.order, None)
        self._told[future.order] = future
        in_short = self._in_short.pop(future.order, None)
        receipt = _RECEIPT.get()
        if receipt is not None and receipt.outbox is self and not future.seen:
            receipt.told.setdefault(future, in_short)
        return in_short

    def _fall_due(self, future: Future) -> None:
        if future.order in self._owed:
            self._due[future.order] = self._owed[future.order]

    def _text(self, future: Future) -> str:
        assert future.outcome is not None
        handle = future.handle or future.call_id
        text = self._wording.outcome(
            future.outcome, tool=future.tool, handle=handle, escape=self._escape, max_chars=self._max_chars
        )
        return encodable(text)


def _in_short(call: Call, grammar: HandleGrammar) -> str:
    """The arguments in short, whatever a program has put into them."""
    text = call.arguments
    if not isinstance(text, str):
        other = partial(safe_text, max_chars=MAX_ARGUMENT_CHARS)
        try:
            text = json.dumps(dict(text or {}), ensure_ascii=False, default=other)
        except Exception:  # keys that JSON does not have, or an object whose own code raised
            text = other(text)
    short = shorten(text, MAX_ARGUMENT_CHARS)
    if short != text:
        for mention in grammar.mention.finditer(short):
            if mention.end() == len(short) - 1:  # cut within its number, `$k7qz_12` reads as `$k7qz_1`
                short = short[: mention.start()] + "…"
    return encodable(short)
