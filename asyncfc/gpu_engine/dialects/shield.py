"""Shield: keeps the values in a rendered conversation from becoming its structure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from asyncfc.gpu_engine.dialects.detokenize import REPLACEMENT
from asyncfc.gpu_engine.dialects.encoder import LONE_SURROGATE, Encoder, alternatives

MARK = "zQhereQz"
"""What shows where a rendered turn of the model ends; no value contains it, since values are shielded."""
_OPEN, _CLOSE = "zQx", "xQz"
_STAND_IN = re.compile(rf"{_OPEN}(\d+){_CLOSE}")


class Hidden:
    """What to look for in values, compiled once.

    Args:
        control: the tokens that are structure.
        of_others: those of them that the model may not write; the rest may stand in what it said.
    """

    def __init__(self, control: Iterable[str], of_others: Iterable[str]) -> None:
        tokens = list(control)
        own = (_OPEN, MARK)
        self.tokens = re.compile(alternatives([*tokens, *own]))
        self.of_others = re.compile(alternatives([*of_others, *own]))
        # A value must not complete to a token with what the template puts next to it either.
        parts = {token[:size] for token in tokens for size in range(1, len(token))}
        rests = {token[size:] for token in tokens for size in range(1, len(token))}
        self.edges = re.compile(rf"{alternatives(parts)}\Z|\A{alternatives(rests)}")


class Shield:
    """The stand-ins of one rendering.

    A control token in a value is replaced by letters and digits before the chat template sees it, and
    tokenized as plain words afterwards. So the template may do with values what it does (trim, quote).
    """

    def __init__(self, hidden: Hidden) -> None:
        self._hidden = hidden
        self._texts: list[str] = []

    def hide(self, value: Any) -> Any:
        """Return a copy of a JSON value in which no text can be taken for structure, keys included."""
        if isinstance(value, str):
            text = self._hidden.tokens.sub(self._stand_in, LONE_SURROGATE.sub(REPLACEMENT, value))
            return self._hidden.edges.sub(self._stand_in, text)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(each) for each in value]
        return value

    def hide_in_answer(self, text: Any) -> Any:
        """Do so for what the model said: its thoughts keep their delimiters, turns of others are words."""
        if not isinstance(text, str):
            return self.hide(text)
        return self._hidden.of_others.sub(self._stand_in, LONE_SURROGATE.sub(REPLACEMENT, text))

    def tokens(self, text: str, encoder: Encoder, *, start: bool = False) -> list[int]:
        """Tokenize rendered text; `start`: it begins the conversation."""
        ids: list[int] = []
        for index, piece in enumerate(_STAND_IN.split(text)):
            if index % 2:
                ids += encoder.words(self._texts[int(piece)])
            elif piece:
                ids += encoder.start(piece) if start and not index else encoder.middle(piece)
        return ids

    def _stand_in(self, found: re.Match[str]) -> str:
        self._texts.append(found.group())
        return f"{_OPEN}{len(self._texts) - 1}{_CLOSE}"
