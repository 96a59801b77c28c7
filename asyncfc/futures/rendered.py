"""Rendered: a result that comes with its own text for the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncfc.futures.handle import Path
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import shorten


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a tool may return where its framework has a text of its own for the model.

    Redaction, truncation and the like are part of that text, so it is what is delivered (DESIGN D6).
    """

    value: Any
    """What other calls get where the model passes the handle on."""
    text: str
    """What the model reads."""
    own: Any = None
    """The framework's own object, for an answer within grace."""


class RenderedValue(Value):
    """A value with a text of its own."""

    __slots__ = ("_text", "_value")

    def __init__(self, value: Value, text: str) -> None:
        self._value = value
        self._text = text

    @property
    def is_artifact(self) -> bool:  # type: ignore[override]
        """As of the value."""
        return self._value.is_artifact

    def __repr__(self) -> str:
        return f"RenderedValue({self.preview(60)})"

    @property
    def size(self) -> int:
        """Of both."""
        return self._value.size + len(self._text)

    def get(self) -> Any:
        """Return a copy of the value."""
        return self._value.get()

    def at(self, path: Path) -> Any:
        """Return a copy of a part of the value.

        Raises:
            UnresolvedPath: the path does not exist.
        """
        return self._value.at(path)

    def text(self) -> str:
        """Return the text that came with it."""
        return self._text

    def preview(self, max_chars: int) -> str:
        """Return the start of the text."""
        return shorten(self._text, max_chars)
