"""Stretch: the tokens that the model has sampled since something was last injected, and their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyncfc.gpu_engine.cml.markers import INERT_INTR, INTR
from asyncfc.gpu_engine.dialects.detokenize import Detokenizer


class Stretch:
    """Sampled tokens at the end of a row.

    Args:
        decode: text of tokens, special ones as they are spelled.
        before: the tokens in front of it.
    """

    def __init__(self, decode: Callable[[list[int]], str], before: Sequence[int]) -> None:
        self._decode = _Decoder(decode)
        self._detokenizer = Detokenizer(self._decode, before)
        self._ends: list[int] = []
        """Where the text of each token ends."""
        self.text = ""

    @property
    def pending(self) -> bool:
        """Whether the last token ends inside a character."""
        return self._detokenizer.pending

    def add(self, token: int) -> str:
        """The model has sampled a token; return the text that is certain now."""
        text = self._detokenizer.add(token)
        self.text += text
        self._ends.append(len(self.text))
        return text

    def finish(self) -> str:
        """The turn has ended; return what of its text was not certain."""
        text = self._detokenizer.finish()
        self.text += text
        return text

    def take_back(self, encode: Callable[[str], list[int]], before: Sequence[int]) -> tuple[int, list[int]]:
        """Make each `[INTR]` in it inert; return how many tokens at the end give way, and to which.

        Args:
            encode: tokens of plain text.
            before: all tokens of the row, the sampled ones included.
        """
        at = self.text.index(INTR)
        first = next(n for n, end in enumerate(self._ends) if end > at)
        start = self._ends[first - 1] if first else 0
        old, tail = len(self._ends) - first, self.text[start:].replace(INTR, INERT_INTR)
        tokens = encode(tail)
        self.text = self.text[:start] + tail
        self._ends[first:] = [len(self.text)] * len(tokens)
        self._detokenizer = Detokenizer(self._decode, [*before[: len(before) - old], *tokens])
        return old, tokens


class _Decoder:
    """What the detokenizer needs of a tokenizer."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode

    def decode(self, tokens: list[int], **_: object) -> str:
        """As the tokenizers of transformers."""
        return self._decode(tokens)
