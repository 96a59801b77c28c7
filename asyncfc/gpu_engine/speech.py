"""Speech: a text of the model on its way to people, held back from a handle on (DESIGN G4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asyncfc.errors import BadReference
from asyncfc.futures.handle import MAX_PATH_CHARS, HandleGrammar, read_path

_PART_BEGUN = re.compile(r"""\.|\[-?[0-9]{0,9}|\["(?:[^"\\]|\\.)*+\\?|\['(?:[^'\\]|\\.)*+\\?""", re.DOTALL)
"""The beginning of a step of a path."""


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the text. `is_mention`: it is one handle, with its path, and no more can follow."""

    text: str
    is_mention: bool = False


@dataclass(slots=True)
class Speech:
    """One text, piece by piece.

    Args:
        grammar: of handles.
        may_mention: whether a handle of the session stands in a text, or may begin at its end.
        is_known: whether a text that is written like a handle is one of the session.
    """

    grammar: HandleGrammar
    may_mention: Callable[[str], bool]
    is_known: Callable[[str], bool]
    held: str = ""

    def feed(self, text: str, *, final: bool = False) -> Iterator[Said]:
        """More of the text; what can be told apart by now.

        Args:
            text: that follows what came before.
            final: nothing follows it.
        """
        self.held += text
        while self.held:
            end, is_mention = self._next(final=final)
            if end == 0:
                return
            piece, self.held = self.held[:end], self.held[end:]
            yield Said(piece, is_mention)

    def _next(self, *, final: bool) -> tuple[int, bool]:
        """Where the next piece ends, and whether it is a mention; 0 if it is not known yet."""
        text = self.held
        if not self.may_mention(text):
            return len(text), False
        match = self.grammar.mention.search(text)
        if match is None:
            return (len(text) if final else self._may_begin()), False
        if match.start() > 0:
            return match.start(), False
        end = self._end(match, final=final)
        return end, end > 0 and not match[1] and self.is_known(text[:end])

    def _may_begin(self) -> int:
        """Where a mention may begin at the end of the text."""
        text, sigil = self.held, self.grammar.sigil
        part = next((n for n in range(len(sigil) - 1, 0, -1) if text.endswith(sigil[:n])), 0)
        start = max(text.rfind(sigil), len(text) - part if part else -1)
        while start >= len(sigil) and text.startswith(sigil, start - len(sigil)):
            start -= len(sigil)
        return len(text) if start < 0 else start

    def _end(self, match: re.Match[str], *, final: bool) -> int:
        """Where a mention at the start of the text ends; 0 if it may still grow."""
        text = match.string
        try:
            end = read_path(text[: match.end() + MAX_PATH_CHARS], match.end())[1]
        except BadReference:
            return match.end()
        rest = text[end:]
        if match[2] and rest.startswith("}"):
            return end + 1
        may_grow = not rest or _PART_BEGUN.fullmatch(rest) is not None
        return 0 if may_grow and not final and len(rest) <= MAX_PATH_CHARS else end
