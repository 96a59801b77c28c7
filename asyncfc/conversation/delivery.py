"""Delivery: which outcomes the model has not been told yet, and when it has seen them.

An outcome passes three stages. *Owed*: its call was answered with a handle. *Told*: it is in the
caller's hands, in an answer, an await or a delivery. *Seen*: the next request after that succeeded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from asyncfc.conversation.wording import Wording
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.futures.outcome import Outcome

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


class Outbox:
    """The outcomes of one conversation between settling and being seen.

    State, keyed by order: `_owed` has every call that was answered with a handle and not told since;
    `_due` those of them that have settled; `_told` waits for the next request to succeed.
    """

    def __init__(self, wording: Wording, grammar: HandleGrammar, tag: str) -> None:
        self._wording = wording
        self._escape = partial(grammar.escape, tag=tag)
        self._owed: dict[int, tuple[Call, Future]] = {}
        self._due: dict[int, tuple[Call, Future]] = {}
        self._told: list[Future] = []

    @property
    def owed(self) -> list[Future]:
        """The futures that the model has a handle for and no outcome yet, oldest first."""
        return [future for _, future in self._owed.values()]

    def owe(self, call: Call, future: Future) -> str:
        """Answer with the handle; return the text. The outcome is due when it settles."""
        self._owed[future.order] = call, future
        future.add_done_callback(partial(self._fall_due, call))
        return self._wording.placeholder.format(handle=future.handle)

    def answer(self, future: Future) -> str:
        """Answer with the outcome; return the text."""
        self._told.append(future)
        return self._text(future)

    def tell(self, future: Future) -> Delivery:
        """Hand a settled outcome over; it is no longer owed."""
        call, _ = self._owed.pop(future.order, (None, None))
        self._due.pop(future.order, None)
        self._told.append(future)
        assert future.outcome is not None
        handle = future.handle or future.call_id
        text = self._text(future)
        if call is not None:
            text = self._wording.delivery.format(
                handle=handle, tool=future.tool, arguments=_in_short(call), text=text
            )
        return Delivery(future.call_id, future.tool, handle, text, future.outcome, future)

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery]]:
        """The deliveries to put into the next request; what it tells is seen if the request succeeds.

        If the block raises, nothing has been seen, and the deliveries are due again.
        """
        due = list(self._due.values())
        deliveries = [self.tell(future) for _, future in due]
        told = list(self._told)
        try:
            yield deliveries
        except BaseException:
            for call, future in due:
                self._owed[future.order] = self._due[future.order] = call, future
                self._told.remove(future)
            raise
        for future in told:
            future.seen = True
        del self._told[: len(told)]

    def _fall_due(self, call: Call, future: Future) -> None:
        if future.order in self._owed:
            self._due[future.order] = call, future

    def _text(self, future: Future) -> str:
        assert future.outcome is not None
        handle = future.handle or future.call_id
        return self._wording.outcome(future.outcome, tool=future.tool, handle=handle, escape=self._escape)


def _in_short(call: Call) -> str:
    text = (
        call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments), default=str)
    )
    return text if len(text) <= MAX_ARGUMENT_CHARS else text[:MAX_ARGUMENT_CHARS] + "..."
