"""The whole state of the API instances in a canonical, comparable form.

Everything counts: private attributes, random generators, caches, the working directory, the order of
keys, the types of numbers, and which objects are one and the same. BFCL's own checker compares public
attributes by value only. The one thing left out is the wall clock.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

_WALL_CLOCK = frozenset({"_last_modified"})


def snapshot(instances: Mapping[str, Any]) -> dict[str, str]:
    """The state of each attribute of each instance, as JSON text under the name `Class.attribute`."""
    walk = _Walk()
    return {
        f"{name}.{attribute}": json.dumps(walk.visit(value, f"{name}.{attribute}"))
        for name, instance in instances.items()
        for attribute, value in sorted(vars(instance).items(), key=_public_first)
    }


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names under which two snapshots differ, sorted."""
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))


def _public_first(item: tuple[str, Any]) -> tuple[bool, str]:
    """Order of visit, so that a private pointer into a public tree shows as a place in that tree."""
    return item[0].startswith("_"), item[0]


class _Walk:
    """One pass over an object graph. State: where each mutable object was met first."""

    def __init__(self) -> None:
        self._met: dict[int, str] = {}
        self._alive: list[Any] = []  # so that no id is given out twice

    def visit(self, value: Any, place: str) -> Any:
        """The canonical form of a value; an object met before is the place where that was."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, random.Random):
            return {"random": hashlib.sha256(repr(value.getstate()).encode()).hexdigest()}
        if isinstance(value, dict | list | set) or hasattr(value, "__dict__"):
            if id(value) in self._met:
                return {"same": self._met[id(value)]}
            self._met[id(value)] = place
            self._alive.append(value)
        return self._contents(value, place)

    def _contents(self, value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {
                "dict": [[repr(key), self.visit(item, f"{place}[{key!r}]")] for key, item in value.items()]
            }
        if isinstance(value, list | tuple):
            kind = type(value).__name__
            return {kind: [self.visit(item, f"{place}[{index}]") for index, item in enumerate(value)]}
        if isinstance(value, set | frozenset):
            return {"set": sorted(json.dumps(self.visit(item, f"{place}{{}}")) for item in value)}
        if hasattr(value, "__dict__"):
            attributes = sorted(vars(value).keys() - _WALL_CLOCK)
            parts = [[name, self.visit(vars(value)[name], f"{place}.{name}")] for name in attributes]
            return {type(value).__name__: parts}
        return {type(value).__name__: repr(value)}
