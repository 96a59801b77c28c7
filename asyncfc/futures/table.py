"""FutureTable: which future a handle names, per session. Authority comes from here, never from text."""

from __future__ import annotations

from asyncfc.errors import InternalError, UnknownHandle
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR, THIS, HandleGrammar


class FutureTable:
    """The handles of one session. Numbers count from 1; every operation takes constant time."""

    __slots__ = ("_futures", "grammar", "tag")

    def __init__(self, tag: str, grammar: HandleGrammar = DEFAULT_GRAMMAR) -> None:
        self.tag = tag
        self.grammar = grammar
        self._futures: list[Future] = []

    def __len__(self) -> int:
        return len(self._futures)

    def __contains__(self, future: Future) -> bool:
        _, number = self.grammar.parse(future.handle or "") or ("", 0)
        return 0 < number <= len(self._futures) and self._futures[number - 1] is future

    def add(self, future: Future) -> str:
        """Give the future the next handle and return it.

        Raises:
            InternalError: it has one already.
        """
        if future.handle is not None:
            raise InternalError(f"{future!r} was given a second handle")
        self._futures.append(future)
        future.handle = self.grammar.mint(self.tag, len(self._futures))
        return future.handle

    def lookup(self, tag: str, number: int, text: str | None = None) -> Future:
        """Return the future that a handle names; `text` is the handle as it was written.

        Raises:
            UnknownHandle: never given, of another session, or not yet shown to the model; one and the
                same answer for all of these, so that handles cannot be probed (DESIGN H3).
        """
        if tag == self.tag and 0 < number <= len(self._futures):
            future = self._futures[number - 1]
            if future.shown:
                return future
        raise unknown_handle(text or self.grammar.mint(tag, number), self.grammar)

    def find(self, text: str) -> Future:
        """Return the future that a text names which is one handle and nothing else.

        Raises:
            UnknownHandle: as `lookup`, and for any other text.
        """
        tag, number = self.grammar.parse(text.strip()) or ("", 0)
        return self.lookup(tag, number, text)


def unknown_handle(text: str, grammar: HandleGrammar = DEFAULT_GRAMMAR) -> UnknownHandle:
    """The one answer for every handle that names nothing here; `text` as it was written."""
    text = text if len(text) <= 40 else f"{text[:40]}…"
    return UnknownHandle(
        f"{text} is not a known handle; nothing was run. Use a handle that a tool answer of this "
        f"conversation has shown, or {grammar.mint(THIS, 1)}, ... for an earlier tool call of the same "
        f"message; if plain text is meant, put one more {grammar.sigil} before it"
    )
