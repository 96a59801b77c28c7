"""Detokenizer: text out of tokens, one by one, never half a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoders write for bytes that are no UTF-8 (yet)."""
CONTEXT = 4
"""Tokens before the turn that are decoded along: decoders drop a space at the start of a text, not inside."""
LONGEST = 16
"""Tokens that are decoded along at most, lest the cost of a token grow with the turn."""


class Detokenizer:
    """Turns tokens into text.

    A character may spread over several tokens, and what a token says may depend on the one before it (a
    leading space). So tokens are decoded together with those before them, and what ends in the middle of a
    character waits for the rest of it.

    Args:
        tokenizer: of transformers.
        before: the tokens in front of the first one that is added.
    """

    __slots__ = ("_decode", "_tokens", "_written", "pending")

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        self._decode = decoder(tokenizer)
        self._tokens = list(before[-CONTEXT:])
        self._written = self._decode(self._tokens)
        self.pending = False
        """Whether tokens wait for the rest of a character."""

    def add(self, token: int) -> str:
        """Return the text that became certain with `token`; maybe none."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        self.pending = text.endswith(REPLACEMENT)
        return "" if self.pending else self._take(text)

    def finish(self) -> str:
        """Return what still waits, half a character as U+FFFD."""
        self.pending = False
        return self._take(self._decode(self._tokens))

    def _take(self, text: str) -> str:
        new = text[len(self._written) :]
        self._written = text
        if len(self._tokens) > LONGEST:
            # What was written is a whole number of characters, so that the last tokens are context enough.
            del self._tokens[:-CONTEXT]
            self._written = self._decode(self._tokens)
        return new


def decoder(tokenizer: Any) -> Any:
    """Return the shortest way from token ids to text that keeps special tokens and spaces as they are."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return lambda tokens: backend.decode(tokens, skip_special_tokens=False)
    return lambda tokens: tokenizer.decode(
        tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
