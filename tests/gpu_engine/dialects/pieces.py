"""A tokenizer for which any cutting of a text into tokens will do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from asyncfc.gpu_engine.dialects.detokenize import Detokenizer
from asyncfc.gpu_engine.dialects.families import FAMILIES, Family
from asyncfc.gpu_engine.dialects.parts import Part, Text, Thought
from asyncfc.gpu_engine.dialects.reader import Reader
from asyncfc.gpu_engine.dialects.tagged import declared_types

STOP = 0
BY_NAME = {family.name: family for family in FAMILIES}


class Pieces:
    """Tokens are stretches of bytes, numbered as they are met; token 0 ends the turn."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = [b""]

    def cut(self, text: str, places: Iterable[int]) -> list[int]:
        data = text.encode()
        edges = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
        tokens = []
        for start, end in pairwise(edges):
            self._pieces.append(data[start:end])
            tokens.append(len(self._pieces) - 1)
        return tokens

    def decode(self, tokens: Sequence[int], **_: Any) -> str:
        return b"".join(self._pieces[token] for token in tokens).decode(errors="replace")


def reader(
    family: str | Family,
    *,
    stop: str = "",
    prefix: str = "",
    tools: Sequence[Mapping[str, Any]] = (),
    pieces: Pieces | None = None,
) -> Reader:
    of = BY_NAME[family] if isinstance(family, str) else family
    return Reader(of, Detokenizer(pieces or Pieces()), prefix, {STOP: stop}, declared_types(tools))


def read(
    family: str | Family,
    text: str,
    places: Iterable[int] | None = None,
    *,
    stop: str = "",
    prefix: str = "",
    tools: Sequence[Mapping[str, Any]] = (),
    ended: bool = True,
) -> list[Part]:
    """Read a whole turn, cut into tokens at `places` (bytes; None: between all of them)."""
    pieces = Pieces()
    of = reader(family, stop=stop, prefix=prefix, tools=tools, pieces=pieces)
    cut = range(len(text.encode()) + 1) if places is None else places
    tokens = [*pieces.cut(text, cut), *([STOP] if ended else [])]
    return joined([part for token in tokens for part in of.feed(token)] + of.finish())


def joined(parts: Sequence[Part]) -> list[Part]:
    whole: list[Part] = []
    for part in parts:
        last = whole[-1] if whole else None
        if isinstance(part, Text) and isinstance(last, Text):
            whole[-1] = Text(last.text + part.text)
        elif isinstance(part, Thought) and isinstance(last, Thought):
            whole[-1] = Thought(last.text + part.text)
        else:
            whole.append(part)
    return whole
