"""Arguments of a call that Gemini streams in pieces, put together.

Each piece names a place in the arguments (`$.city`, `$.tags[0]`) and what stands there: a text, of which
there may be more to come, a number, a boolean or null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.formats.common import as_list, as_object, as_text

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]")
_VALUES: Final = ("stringValue", "numberValue", "boolValue")


class PartialCall:
    """A call on its way in.

    Args:
        part: that it began with; what else stands there (its signature) stays.
    """

    def __init__(self, part: Mapping[str, Any]) -> None:
        self._part = dict(part)
        self._about: Json = {}
        self._arguments: Json = {}

    @staticmethod
    def begins(about: Mapping[str, Any]) -> bool:
        """Whether a `functionCall` is the first piece of one."""
        return bool(about.get("willContinue") or about.get("partialArgs"))

    def take(self, about: Mapping[str, Any]) -> bool:
        """Add a piece; whether the call is complete with it."""
        self._about |= {key: about[key] for key in ("id", "name") if about.get(key)}
        self._arguments |= as_object(about.get("args"))
        for piece in as_list(about.get("partialArgs")):
            self._put(as_object(piece))
        return not about.get("willContinue")

    def part(self) -> Json:
        """The call as far as it came, as Gemini writes it whole."""
        return {**self._part, "functionCall": {**self._about, "args": self._arguments}}

    def _put(self, piece: Mapping[str, Any]) -> None:
        steps = [
            int(index) if index else name or quoted
            for name, index, quoted in _STEP.findall(as_text(piece.get("jsonPath")))
        ]
        value = next((piece[key] for key in _VALUES if key in piece), None)
        place: Any = self._arguments
        for step, following in pairwise(steps):
            place = _inside(place, step, [] if isinstance(following, int) else {})
        if steps:
            old = _inside(place, steps[-1], None)
            more = isinstance(old, str) and isinstance(value, str)
            _set(place, steps[-1], old + value if more else value)


def _inside(place: Any, step: int | str, new: Any) -> Any:
    """What stands at a step, or something new."""
    if isinstance(place, list) and isinstance(step, int):
        if step >= len(place):
            place.append(new)
        return place[min(step, len(place) - 1)]
    return place.setdefault(step, new) if isinstance(place, dict) else new


def _set(place: Any, step: int | str, value: Any) -> None:
    if isinstance(place, list) and isinstance(step, int):
        place[min(step, len(place) - 1)] = value
    elif isinstance(place, dict):
        place[step] = value
