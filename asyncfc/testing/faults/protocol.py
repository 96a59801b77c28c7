"""Bugs between the session and the provider: requests, insertions, streams, final answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from asyncfc.conversation.control import AwaitRequest
from asyncfc.conversation.delivery import Outbox
from asyncfc.conversation.shadow import Insertion, Shadow
from asyncfc.dialogue import Dialogue
from asyncfc.exchange import Conversation, Exchange
from asyncfc.futures.future import Future
from asyncfc.incoming import Incoming
from asyncfc.streamed import Streamed
from asyncfc.testing.faults.plant import planted, replaced


def sent_rewritten() -> Any:
    """What was inserted into a request reads otherwise in the next one (D1)."""

    def make(original: Any) -> Any:
        def keep(self: Shadow, items: Sequence[Any], insertions: Iterable[Insertion]) -> None:
            original(self, items, [replace(one, text=one.text.strip()) for one in insertions])

        return keep

    return planted(Shadow, "keep", make)


def insertion_forgotten() -> Any:
    """What was inserted into a request does not stand in the next one (D4)."""

    def make(original: Any) -> Any:
        return lambda self, items, _: original(self, items, [])

    return planted(Shadow, "keep", make)


def sent_answer_extended() -> Any:
    """Outcomes go behind an answer that has been sent already (D1)."""
    return replaced(Shadow, "was_sent", lambda *_: False)


def delivery_lost() -> Any:
    """What a failed request was to bring does not come again."""

    def make(original: Any) -> Any:
        @contextmanager
        def sampling(self: Outbox) -> Iterator[Any]:
            before = dict(self._due)
            try:
                with original(self) as due:
                    yield due
            except BaseException:
                for order in before:
                    for told in (self._due, self._owed, self._in_short):
                        told.pop(order, None)
                raise

        return sampling

    return planted(Outbox, "sampling", make)


def delivered_twice() -> Any:
    """What a failed request brought is taken for sent, and comes again all the same."""

    def make(original: Any) -> Any:
        def failed(self: Exchange, error: BaseException) -> None:
            self._conversation.shadow.keep((), self._fresh)
            original(self, error)

        return failed

    return planted(Exchange, "failed", make)


def lost_with_its_anchor() -> Any:
    """What a failed request brought is taken for seen; where its place is trimmed, it is gone (D4)."""

    def make(original: Any) -> Any:
        def failed(self: Exchange, error: BaseException) -> None:
            self._conversation.shadow.keep((), self._fresh)
            self._request.close()
            original(self, error)

        return failed

    return planted(Exchange, "failed", make)


def provisional_shown() -> Any:
    """A text that may have to be superseded is passed on as it comes (D5)."""

    def make(original: Any) -> Any:
        def init(self: Streamed, reader: Any, may_mention: Any, holding: bool = False) -> None:
            del holding
            original(self, reader, may_mention)

        return init

    return planted(Streamed, "__init__", make)


def handle_in_final_answer() -> Any:
    """The final answer is given as the model wrote it (P21)."""
    return replaced(Dialogue, "final_text", lambda _self, text, **_: text)


def cut_message_runs() -> Any:
    """A message that was cut off is taken for complete (O3)."""
    return replaced(Incoming, "cut", lambda self, *_: self.complete())


def await_waits_for_later_calls() -> Any:
    """An await of all waits for the calls behind it in its message, too (E5)."""

    def make(original: Any) -> Any:
        def wanted(self: Incoming, request: AwaitRequest, place: int, earlier: Sequence[Future]) -> Any:
            later = place if request.handles else len(self._asked)
            return original(self, request, later, earlier)

        return wanted

    return planted(Incoming, "_wanted", make)


def own_texts_escaped() -> Any:
    """Handles in the texts of asyncfc are made inert like all others (H2)."""
    return replaced(Conversation, "is_own", lambda *_: False)


def user_text_unescaped() -> Any:
    """What people and tools write can be taken for a handle (H2)."""
    return replaced(Exchange, "_inert", lambda _self, text, _: text)
