"""Encoder: tokens out of text, with values of others kept from becoming structure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from asyncfc.gpu_engine.dialects.detokenize import REPLACEMENT

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON text may hold and no tokenizer takes."""
_ANCHORS = ("\n", "|", "a", "0")
"""What is put in front of text in the middle, one of which no merge reaches over."""


class Encoder:
    """Tokenizes text as what it is: template, or the words of a user, a tool, a model.

    Args:
        tokenizer: of transformers.
        control: the tokens that are structure.
    """

    def __init__(self, tokenizer: Any, control: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        # Every place where one begins, overlapping ones included.
        self._starts = re.compile(f"(?={alternatives(control)})")
        first = tokenizer.convert_ids_to_tokens(self.start("a"))[0]
        self._prepends = first != "a"

    def start(self, text: str) -> list[int]:
        """Tokenize text at the beginning of a conversation; control tokens are what they say."""
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def middle(self, text: str) -> list[int]:
        """Tokenize text behind other text: without the space that some tokenizers put in front."""
        if not (self._prepends and text):
            return self.start(text)
        for anchor in _ANCHORS:
            alone, both = self.start(anchor), self.start(anchor + text)
            if both[: len(alone)] == alone:
                return both[len(alone) :]
        return self.start(text)

    def words(self, text: str) -> list[int]:
        """Tokenize text that must not become structure, whatever it says."""
        text = LONE_SURROGATE.sub(REPLACEMENT, text)
        cuts = [found.start() + 1 for found in self._starts.finditer(text)]
        edges = zip([0, *cuts], [*cuts, len(text)], strict=True)
        return [token for start, end in edges for token in self.middle(text[start:end])]


def alternatives(tokens: Iterable[str]) -> str:
    """Return a pattern for any of the tokens, the longest first; for none of them, one that never matches."""
    ordered = sorted(tokens, key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, ordered))})" if ordered else "(?!)"
