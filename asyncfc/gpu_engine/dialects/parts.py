"""Parts: what a turn of the model consists of, and what answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Arguments: TypeAlias = Mapping[str, Any] | str
"""JSON text exactly as the model wrote it where its format is JSON, else the mapping that was read."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the user, as far as they are certain to be no markup.

    White space at the edges of a stretch of words (next to a call, a thought, the ends of the turn) is
    layout and is left out.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning: not for the user, and no place for calls."""

    text: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A complete call.

    `raw` is the whole region that it was read from, delimiters included; formats that put several calls
    into one region give each of them the same `raw`.
    """

    name: str
    arguments: Arguments
    raw: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A call that cannot be read; `name` where it can be told, `reason` in words for the model."""

    raw: str
    reason: str
    name: str | None = None


Part: TypeAlias = Text | Thought | Sealed | Malformed


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A call of the turn that just ended, and the text that answers it.

    What a chat template writes behind a turn may depend on the id and the name, and on `arguments` in none
    that is known.
    """

    id: str
    name: str
    arguments: Arguments
    text: str
