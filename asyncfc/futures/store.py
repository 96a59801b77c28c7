"""Store: where values lie between the end of a call and their use (DESIGN V1).

In process, the projection itself. Behind these protocols it may as well lie elsewhere.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Protocol

from asyncfc.errors import ProjectionError, UnresolvedPath
from asyncfc.futures.handle import Path, show_path
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import (
    CONTAINERS,
    canonical_text,
    copy_json,
    describe,
    encoder,
    safe_text,
    shorten,
    size_of,
)
from asyncfc.futures.projection import NoJsonForm, project
from asyncfc.futures.rendered import Rendered, RenderedValue

MAX_PARSED_CHARS = 16_000_000
"""No longer text is parsed so that a path can index it."""
SMALL_CHARS = 10_000
"""Containers of no more JSON text than this are held as text."""
MAX_ARTIFACT_CHARS = 100_000
"""Characters of an artifact's text."""


class Store(Protocol):
    """Keeps the results of calls."""

    def put(self, value: Any) -> Value:
        """Take the snapshot of a result.

        Raises:
            ProjectionError: the result has no JSON form for a structural reason, or its code raised.
        """


class MemoryStore:
    """Keeps projections in this process."""

    __slots__ = ()

    def put(self, value: Any) -> Value:
        """Take the snapshot of a result, at once; later changes to the object change nothing.

        Raises:
            ProjectionError: the result has no JSON form for a structural reason, or its code raised.
        """
        if value is None:
            return _NOTHING
        if type(value) is Rendered:
            return RenderedValue(self.put(value.value), value.text)
        if type(value) in _ATOMS:
            return JsonValue(value)
        try:
            return JsonValue(project(value))
        except NoJsonForm:
            return Artifact(value)
        except (KeyboardInterrupt, ProjectionError):
            raise
        except BaseException as error:
            raise ProjectionError(
                f"the result, of type {type(value).__name__}, could not be read: its own code raised "
                f"{type(error).__name__}: {safe_text(error, 200)}"
            ) from error


_ATOMS = frozenset((str, float, bool))


_SHORT = frozenset((bool, float, type(None)))
"""Types of which the text is always short; an int may have any number of digits."""


class JsonValue(Value):
    """A value that has a JSON form. Small containers are held as JSON text, all else as it is.

    Text takes a fraction of the room, and is nothing that the garbage collector would have to walk for as
    long as the session lives. From large values, copies share the strings.
    """

    __slots__ = ("_data", "_parsed", "_size", "_text")

    is_artifact = False

    def __init__(self, value: Any) -> None:
        text = encoder.encode(value) if type(value) in CONTAINERS else None
        small = text is not None and len(text) <= SMALL_CHARS
        self._text = text if small else None
        self._data = None if small else value
        self._size: int | None = None
        self._parsed: dict[Path, Any] | None = None

    @classmethod
    def of_text(cls, text: str) -> JsonValue:
        """The value that `held` has given the text of."""
        value = cls(None)
        value._text = text
        return value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JsonValue):
            return NotImplemented
        return self._text == other._text and repr(self._data) == repr(other._data)

    def __hash__(self) -> int:
        return hash(self.text())

    def held(self) -> JsonValue | str:
        """Its text, if it is held as that."""
        return self if self._text is None else self._text

    def fits(self, max_chars: int) -> bool:
        """Whether its text is known to have no more characters; told without rendering it."""
        held = self._data if self._text is None else self._text
        return len(held) <= max_chars if type(held) is str else type(held) in _SHORT

    def __repr__(self) -> str:
        return f"JsonValue({self.preview(60)})"

    @property
    def size(self) -> int:
        """Roughly the bytes that the value takes; counted when first asked for."""
        if self._size is None:
            self._size = size_of(self._whole())
        return self._size

    def get(self) -> Any:
        """Return a structural copy of the value."""
        return copy_json(self._data) if self._text is None else json.loads(self._text)

    def at(self, path: Path) -> Any:
        """Return a copy of the part that the path leads to.

        Text on the way that holds a JSON object or array is indexed as that: most tools return text.

        Raises:
            UnresolvedPath: the path does not exist; says where it stopped and what was there.
        """
        value = self._whole()
        for place, part in enumerate(path):
            if type(value) is str:
                value = self._parse(path[:place], value)
            if not has_part(value, part):
                where = show_path(path[:place]) or "the value"
                raise UnresolvedPath(f"there is no {show_path((part,))}: {where} is {describe(value)}")
            value = value[part]
        return copy_json(value)

    def text(self) -> str:
        """Return the canonical text of the value."""
        return canonical_text(self._data) if self._text is None else self._text

    def preview(self, max_chars: int) -> str:
        """Return the start of the text; no more of it is rendered than needed."""
        known = self._data if type(self._data) is str else self._text
        if known is not None:
            return shorten(known[: max_chars + 1], max_chars)
        text = ""
        for chunk in encoder.iterencode(self._data):
            text += chunk
            if len(text) > max_chars:
                break
        return shorten(text, max_chars)

    def _whole(self) -> Any:
        """The value itself, not to be handed out."""
        return self._data if self._text is None else json.loads(self._text)

    def _parse(self, path: Path, text: str) -> Any:
        """What the text at a path holds if that is a JSON object or array, else the text; parsed once."""
        if self._parsed is None:
            self._parsed = {}
        if path not in self._parsed:
            self._parsed[path] = parse_container(text)
        return self._parsed[path]


_NOTHING = JsonValue(None)
"""What most writes return: one object for all of them."""


class Artifact(Value):
    """A value without a JSON form: passed whole, by identity, without paths.

    Its text is rendered once, when the call ends, so that it does not depend on later changes.
    """

    __slots__ = ("_size", "_text", "_value")

    is_artifact = True

    def __init__(self, value: Any) -> None:
        self._value = value
        self._text = safe_text(value, MAX_ARTIFACT_CHARS)
        self._size = _size_of_object(value) + len(self._text)

    def __repr__(self) -> str:
        return f"Artifact({self.preview(60)})"

    @property
    def size(self) -> int:
        """Roughly the bytes that the object itself and its text take."""
        return self._size

    def get(self) -> Any:
        """Return the very object that the tool returned."""
        return self._value

    def at(self, path: Path) -> Any:
        """Return the object for the empty path.

        Raises:
            UnresolvedPath: for every other path.
        """
        if not path:
            return self._value
        raise UnresolvedPath(
            f"there is no {show_path(path)}: the value, of type {type(self._value).__name__}, "
            "has no JSON form and can only be passed as a whole"
        )

    def text(self) -> str:
        """Return the text as it was when the call ended."""
        return self._text

    def preview(self, max_chars: int) -> str:
        """Return the start of the text."""
        return shorten(self._text, max_chars)


def has_part(value: Any, part: str | int) -> bool:
    """Whether one step of a path leads from a JSON value to a part of it."""
    if isinstance(part, str):
        return type(value) is dict and part in value
    return type(value) is list and -len(value) <= part < len(value)


def parse_container(text: str) -> Any:
    """Return the JSON object or array that a text holds, or the text itself if it holds none."""
    if len(text) > MAX_PARSED_CHARS or not _OPENING.match(text):
        return text
    try:
        return project(json.loads(text))  # which also bounds the depth
    except (ValueError, RecursionError, ProjectionError):
        return text


_OPENING = re.compile(r"[ \t\r\n]*+[\[{]")


def _size_of_object(value: Any) -> int:
    try:
        return sys.getsizeof(value)
    except Exception:
        return 0
