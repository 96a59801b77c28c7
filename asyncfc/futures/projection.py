"""Projection: the JSON form of what a tool returned, taken once, when the call ends (DESIGN V1).

Real tools return live aliases of their state, so the projection is built from fresh containers. It is
the snapshot, and everything later uses it: references, paths, delivery, the trace.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    MappingView,
)
from typing import Any, NoReturn, TypeAlias

from asyncfc.errors import ProjectionError
from asyncfc.futures.handle import show_path
from asyncfc.futures.plain import CONTAINERS, canonical_text, copy_json, safe_text

__all__ = ["MAX_DEPTH", "NoJsonForm", "canonical_text", "copy_json", "project"]

MAX_DEPTH = 200
"""Containers inside each other; no deeper, so that recursion over projected values is safe."""
MAX_ITEMS = 20_000_000
"""Items in all; a container counts as ten. A small value whose parts are shared can unfold to far more."""
MAX_INT = 10**4300 - 1
"""Python writes no integer of more digits as text, and reads none back."""
MIN_INT = -MAX_INT

_PLAIN = frozenset((str, float, bool, type(None)))


class NoJsonForm(Exception):  # never leaves this package: the store makes an artifact of it
    """Some leaf of the value has no JSON form."""


class _Problem(Exception):  # becomes a ProjectionError when the path is complete
    """Why a value has no projection; on its way out it collects the path, and the containers on it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str | int] = []
        self.containers: list[int] = []

    def passed(self, container: object, step: str | int) -> None:
        self.steps.append(step)
        self.containers.append(id(container))


def project(value: Any) -> Any:
    """Return the JSON form of a value: fresh dicts and lists, exact `str`, `int`, `float`, `bool`, `None`.

    NaN and the infinities stay floats, lone surrogates stay in their strings. Sets become lists, sorted by
    canonical text. Exceptions of the value's own code pass through: the store gives them their name.

    Raises:
        ProjectionError: a cycle, more than 200 containers inside each other, two keys with the same text,
            or an integer too long for text; with the path to it.
        NoJsonForm: a leaf, or a key, has no JSON form; the whole value is then an artifact.
    """
    try:
        return _project(value, 1, [MAX_ITEMS])
    except _Problem as problem:
        raise ProjectionError(_explain(problem)) from None


def _project(value: Any, depth: int, room: list[int]) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is int and MIN_INT <= value <= MAX_INT):
        return value
    return _handler(kind)(value, depth, room)


_Handler: TypeAlias = Callable[[Any, int, list[int]], Any]
"""Projects one value that stands at a depth; `room` holds the number of items that may still come."""


def _handler(kind: type) -> _Handler:
    """What projects values of this type. The type decides: what an object says of itself is not asked."""
    handler = _EXACT.get(kind)
    if handler is not None:
        return handler
    if issubclass(kind, str | int | float):
        return _scalar
    if issubclass(kind, Mapping):
        return _mapping
    if issubclass(kind, list | tuple | deque | MappingView):
        return _sequence
    if issubclass(kind, set | frozenset):
        return _set
    if issubclass(kind, Iterator | AsyncIterator | Awaitable):
        return _refuse  # pydantic would use it up, and perhaps never come to an end
    if dataclasses.is_dataclass(kind) and not hasattr(kind, _PYDANTIC):
        return _dataclass
    return _leaf


_PYDANTIC = "__pydantic_serializer__"
"""Models and dataclasses that have it know their own JSON form."""


def _enter(count: int, depth: int, room: list[int]) -> None:
    if depth > MAX_DEPTH:
        raise _Problem(f"more than {MAX_DEPTH} containers inside each other")
    room[0] -= count + 10
    if room[0] < 0:
        raise _Problem(f"more than {MAX_ITEMS} items in all (a container counts as ten)")


def _dict(value: dict[Any, Any], depth: int, room: list[int]) -> dict[str, Any]:
    _enter(len(value), depth, room)
    result: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            kind = type(item)
            if type(key) is not str:
                return _mapping(value, depth, room)
            if kind in _PLAIN or (kind is int and MIN_INT <= item <= MAX_INT):
                result[key] = item
            else:
                result[key] = _handler(kind)(item, depth + 1, room)
    except _Problem as problem:
        if type(key) is str:  # else `_mapping` has noted the path
            problem.passed(value, key)
        raise
    return result


def _mapping(value: Mapping[Any, Any], depth: int, room: list[int]) -> dict[str, Any]:
    """A mapping of any type with keys of any type."""
    _enter(len(value), depth, room)
    result: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for key, item in value.items():
        text = _key_text(key)
        if text in result:
            raise _Problem(f"the keys {_key_name(keys[text])} and {_key_name(key)} are both {text!r} in JSON")
        keys[text] = key
        try:
            result[text] = _project(item, depth + 1, room)
        except _Problem as problem:
            problem.passed(value, text)
            raise
    return result


def _sequence(value: Collection[Any], depth: int, room: list[int]) -> list[Any]:
    _enter(len(value), depth, room)
    result: list[Any] = []
    try:
        for item in value:
            kind = type(item)
            if kind in _PLAIN or (kind is int and MIN_INT <= item <= MAX_INT):
                result.append(item)
            else:
                result.append(_handler(kind)(item, depth + 1, room))
    except _Problem as problem:
        problem.passed(value, len(result))
        raise
    return result


def _set(value: Collection[Any], depth: int, room: list[int]) -> list[Any]:
    # Equal texts of different types, such as 1 and "1", are told apart by the type.
    return sorted(_sequence(value, depth, room), key=lambda item: (canonical_text(item), type(item).__name__))


def _dataclass(value: Any, depth: int, room: list[int]) -> dict[str, Any]:
    """A plain dataclass, as the dict of its fields."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    try:
        return _dict(fields, depth, room)
    except _Problem as problem:
        if problem.containers:  # the last one noted is `fields`
            problem.containers[-1] = id(value)
        raise


def _scalar(value: Any, _depth: int, _room: list[int]) -> Any:
    """An integer, or a subclass of str, int or float (enums too) without whatever it adds."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    number = int.__int__(value)
    if not MIN_INT <= number <= MAX_INT:
        raise _Problem("an integer of more than 4300 digits")
    return number


def _leaf(value: Any, depth: int, room: list[int]) -> Any:
    """Anything else: as pydantic writes it, if it does."""
    return _project(_pydantic_form(value), depth, room)


def _refuse(_value: Any, _depth: int, _room: list[int]) -> NoReturn:
    raise NoJsonForm


def _pydantic_form(value: Any) -> Any:
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(value)
    except PydanticSerializationError as error:
        if error.__cause__ is not None:  # a serializer of the value's own class raised
            raise error.__cause__ from None
        raise NoJsonForm from None
    except UnicodeDecodeError:  # bytes that are no text
        raise NoJsonForm from None
    except ValueError as error:
        if "Circular reference" in str(error):
            raise _Problem("a cycle, or too many objects inside each other") from None
        raise


_EXACT: dict[type, _Handler] = {
    dict: _dict,
    list: _sequence,
    tuple: _sequence,
    set: _set,
    frozenset: _set,
    int: _scalar,
}


def _key_text(key: Any) -> str:
    """The text of a key, as JSON writes the key as a value; a key that has none is no key of JSON."""
    if type(key) is str:
        return key
    plain = _project(key, 1, [MAX_ITEMS])
    if type(plain) in CONTAINERS:
        raise NoJsonForm
    return canonical_text(plain)


def _key_name(key: Any) -> str:
    return f"{safe_text(key, 60)!r} ({type(key).__name__})"


def _explain(problem: _Problem) -> str:
    """The message: where, and why; a depth without end is the cycle that it is."""
    steps, containers = tuple(reversed(problem.steps)), problem.containers[::-1]
    first: dict[int, int] = {}
    for place, container in enumerate(containers):
        start = first.setdefault(container, place)
        if start != place:
            again = _where(steps[:start])
            return f"the result has no JSON form at {_where(steps[:place])}: a cycle, this is {again} again"
    return f"the result has no JSON form at {_where(steps)}: {problem.reason}"


def _where(steps: tuple[str | int, ...]) -> str:
    if not steps:
        return "its top level"
    text = show_path(steps)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-100:]}"
