"""Marks: what is said of one part of a JSON schema in other parts of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from asyncfc.conversation.formats.base import Json

UNIONS = ("anyOf", "oneOf")


class Marks:
    """What is told of a part of the schema in other places of it. Parts are known by their identity."""

    def __init__(self, root: Json) -> None:
        self.passed: set[int] = set()
        """Parts that a `$ref` leads through: wrapped, they would have their insides elsewhere."""
        self.one_of_passed: set[int] = set()
        """Parts that a `$ref` leads through by their `oneOf`."""
        self.tags: set[tuple[int, str]] = set()
        """Parts, and the names of their properties that say which form of a union they are."""
        for part in _all_objects(root):
            way, _ = follow(root, part.get("$ref"))
            self.passed.update(id(node) for node, _ in way)
            self.one_of_passed.update(id(node) for node, step in way if step == "oneOf")
            if isinstance(discriminator := part.get("discriminator"), dict):
                self._tag(root, part, discriminator.get("propertyName"))

    def _tag(self, root: Json, union: Json, name: Any) -> None:
        waiting: list[Any] = [union]
        seen: set[int] = set()
        while waiting:
            form = waiting.pop()
            if not isinstance(form, dict) or id(form) in seen or not isinstance(name, str):
                continue
            seen.add(id(form))
            self.tags.add((id(form), name))
            waiting.append(follow(root, form.get("$ref"))[1])
            for word in (*UNIONS, "allOf"):
                waiting += as_list(form.get(word, []))


def _all_objects(root: Json) -> Iterator[Json]:
    """Every object in the schema, whatever it stands for."""
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            yield node
        waiting += node.values() if isinstance(node, dict) else node


def follow(root: Json, ref: Any) -> tuple[list[tuple[Any, str]], Any]:
    """The parts on the way of a local `$ref`, each with the step from there, and where it leads.

    One that leads nowhere, or out of this schema, has no way, and leads to None.
    """
    if not isinstance(ref, str) or not ref.startswith("#"):
        return [], None
    way: list[tuple[Any, str]] = []
    target: Any = root
    for step in unquote(ref[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        way.append((target, name))
        if isinstance(target, dict) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            return [], None
    return way, target


def as_list(value: Any) -> list[Any]:
    """The value, as the list of one if it is none."""
    return value if isinstance(value, list) else [value]
