"""Markers: the five words of CML, and how other text is kept from reading as one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

CALL: Final = "[CALL]"
HEAD: Final = "[HEAD]"
END: Final = "[END]"
TRAP: Final = "[TRAP]"
INTR: Final = "[INTR]"
MARKERS: Final = (CALL, HEAD, END, TRAP, INTR)
THINK: Final = "<think>"
UNTHINK: Final = "</think>"

# A run of n exclamation marks becomes n + 1. No backslash: in string literals that means something else.
_READS_AS_ONE = re.compile(r"\[(?=!*(?:CALL|HEAD|END|TRAP|INTR)\])")
_INERT = re.compile(r"\[!(?=!*(?:CALL|HEAD|END|TRAP|INTR)\])")

INERT_INTR: Final = "[!INTR]"
"""What stands where the model wrote `[INTR]` itself."""


def inert(text: str) -> str:
    """Return a text of others in which nothing is a marker: `[END]` becomes `[!END]`."""
    return _READS_AS_ONE.sub("[!", text) if "[" in text else text


def original(text: str) -> str:
    """Undo `inert`."""
    return _INERT.sub("[", text) if "[!" in text else text


def held_back(text: str, delimiters: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a delimiter."""
    longest = min(len(text), max(map(len, delimiters)) - 1)
    for length in range(longest, 0, -1):
        end = text[-length:]
        if any(delimiter.startswith(end) for delimiter in delimiters):
            return length
    return 0


class Markup:
    """Tokens of what the runtime writes.

    Args:
        encode: tokens of plain text; no special token arises from it.
        token_id: the id of the token that is a marker, if there is one.
    """

    def __init__(self, encode: Callable[[str], list[int]], token_id: Callable[[str], int | None]) -> None:
        self._encode = encode
        tokens = {marker: token_id(marker) for marker in (*MARKERS, UNTHINK)}
        self._ids = {marker: token for marker, token in tokens.items() if token is not None}
        # Split only where there are tokens for it: elsewhere text falls into tokens as it always does.
        self._split = re.compile(f"({'|'.join(map(re.escape, self._ids))})") if self._ids else None

    @property
    def forbidden(self) -> frozenset[int]:
        """What the model must never sample (DESIGN G5)."""
        return frozenset(token for marker, token in self._ids.items() if marker == INTR)

    def tokens(self, text: str) -> list[int]:
        """Tokens of a text of the runtime; its markers are markers."""
        pieces = [text] if self._split is None else self._split.split(text)
        tokens: list[int] = []
        for piece in filter(None, pieces):
            tokens += [self._ids[piece]] if piece in self._ids else self._encode(piece)
        return tokens
