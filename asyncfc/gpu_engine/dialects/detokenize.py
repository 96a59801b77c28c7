"""Detokenizer: text out of tokens, one by one, never half a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoders write for bytes that are no UTF-8 (yet)."""
CONTEXT = 16
"""Tokens that are decoded along, more or less: few enough for speed, enough to begin with a character."""


class Detokenizer:
    """Turns tokens into text.

    A character may spread over several tokens, and what a token says may depend on the one before it (a
    leading space). So tokens are decoded together with those before them, and what ends in the middle of a
    character waits for the rest of it.

    Args:
        tokenizer: of transformers.
        before: the tokens in front of the first one that is added.
    """

    __slots__ = ("_decode", "_last", "_tokens", "_written", "pending")

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        self._decode = decoder(tokenizer)
        self._tokens = list(before[-CONTEXT:])
        # Decoders differ in what they make of a text that begins inside a character.
        while self._tokens and self._decode(self._tokens).startswith(REPLACEMENT):
            del self._tokens[0]
        self._written = self._decode(self._tokens)
        self._last = 0
        """How many of the tokens came before the text that was written last: a character begins there."""
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
        if len(self._tokens) > CONTEXT:
            del self._tokens[: self._last]
            text = self._decode(self._tokens)
        self._written, self._last = text, len(self._tokens)
        return new


def decoder(tokenizer: Any) -> Any:
    """Return the shortest way from token ids to text that keeps special tokens and spaces as they are."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return lambda tokens: backend.decode(tokens, skip_special_tokens=False)
    return lambda tokens: tokenizer.decode(
        tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
