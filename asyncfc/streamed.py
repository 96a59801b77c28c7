"""Streamed: one streamed message of the model, and what of it may be passed on already.

A text that may have to be superseded, because outcomes are unseen, and one with a handle in it, which has
no place in a final answer, are held back until it is known what the message is: when a call begins, it is
not final, and goes on as it is (DESIGN D5, P21).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from asyncfc.conversation.formats.base import (
    CallBegun,
    CallSealed,
    Ended,
    Json,
    Part,
    ReplyCall,
    StreamReader,
    TextDelta,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one event brings."""

    passed: list[Json]
    """Events to pass on now, in order; the very objects that came in."""
    sealed: list[ReplyCall]
    ended: bool
    """The message has ended with this event."""


@dataclass(slots=True)
class Streamed:
    """One streamed message.

    - `_held`: the events not passed on; `_tail`: the text in them, as far as it may hold a handle.
    - `_free`: a call has begun, so that the message is not final and nothing is held back any more; but
      `_waits` if it is to be read of only when the message has ended.

    Args:
        reader: of the provider's events.
        may_mention: whether a handle stands in a text, or may begin at its end.
        holding: the message may have to be superseded: hold everything back.
    """

    reader: StreamReader
    may_mention: Callable[[str], bool]
    holding: bool = False
    ended: bool = False
    _free: bool = False
    _waits: bool = False
    _held: list[Json] = field(default_factory=list)
    _tail: str = ""

    def feed(self, event: Json) -> Step:
        """Take the next event."""
        parts = self.reader.feed(event)
        sealed = [part.call for part in parts if isinstance(part, CallSealed)]
        ended = any(isinstance(part, Ended) for part in parts)
        self.ended = self.ended or ended
        self._held.append(event)
        return Step(self._release(parts), sealed, ended)

    def rest(self, change: Callable[[str], str]) -> list[Json]:
        """The message is final: the events held back, with the text in them changed."""
        held, self._held = self._held, []
        return self.reader.rewrite(held, change) if held else []

    def _release(self, parts: list[Part]) -> list[Json]:
        self._free = self._free or any(isinstance(part, CallBegun | CallSealed) for part in parts)
        self._waits = self._waits or any(isinstance(part, CallBegun) and part.held for part in parts)
        text = "".join(part.text for part in parts if isinstance(part, TextDelta))
        if self._waits and not self.ended:
            return []
        if not self._free:
            if self.holding:
                return []
            self._tail += text
            if self._tail and self.may_mention(self._tail):
                return []
        self._tail = ""
        held, self._held = self._held, []
        return held
