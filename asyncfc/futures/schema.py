"""What a position in the arguments admits, as far as the tool's JSON schema says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from asyncfc.futures.handle import Path

Kinds: TypeAlias = frozenset[str]

ANY: Kinds = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
NONE: Kinds = frozenset()
MAX_NESTING = 100


def admits_only_strings(schema: Mapping[str, Any], location: Path) -> bool:
    """Whether the position takes strings and nothing else, null apart (DESIGN V2).

    Args:
        schema: the schema of the whole arguments object; local `$ref`s are followed.
        location: keys and indices from the arguments object to the position.

    Returns:
        False where the schema does not say, or says it in a way that is not understood here.
    """
    return KindReader(schema).kinds(schema, location) - {"null"} == {"string"}


class KindReader:
    """Reads one schema. What it returns may be too wide, never too narrow."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], Kinds] = {}
        self._nesting = 0

    def kinds(self, schema: Any, location: Path) -> Kinds:
        """The JSON types that the schema admits at a location under it."""
        if schema is False:
            return NONE
        if not isinstance(schema, Mapping) or self._nesting == MAX_NESTING:
            return ANY
        key = (id(schema), len(location))
        if key not in self._known:
            # Stands while it is being found out: ends cycles of $ref, and each part is read once only.
            self._known[key] = ANY
            self._nesting += 1
            self._known[key] = self._read(schema, location)
            self._nesting -= 1
        return self._known[key]

    def _read(self, schema: Mapping[str, Any], location: Path) -> Kinds:
        kinds = self._child(schema, location) if location else own_kinds(schema)
        if "$ref" in schema:
            kinds &= self.kinds(self._target(schema["$ref"]), location)
        for part in _list(schema.get("allOf")):
            kinds &= self.kinds(part, location)
        for word in ("anyOf", "oneOf"):
            if options := _list(schema.get(word)):
                kinds &= NONE.union(*(self.kinds(option, location) for option in options))
        return kinds

    def _child(self, schema: Mapping[str, Any], location: Path) -> Kinds:
        """What the container that this schema describes admits further down."""
        step = location[0]
        if ("object" if isinstance(step, str) else "array") not in own_kinds(schema):
            return NONE  # this branch is not the one that describes the container
        inner = _property(schema, step) if isinstance(step, str) else _item(schema, step)
        return self.kinds(inner, location[1:])

    def _target(self, ref: Any) -> Any:
        """The part of the schema that a local reference (a JSON pointer) names; True, anything, if none."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            return True
        target: Any = self._root
        for step in unquote(ref[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping):
                target = target.get(name, True)
            elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            else:
                return True
        return target


def own_kinds(schema: Mapping[str, Any]) -> Kinds:
    """The types that the schema's own `type`, `enum` and `const` leave; a number may be an integer."""
    kinds = _named(schema.get("type"))
    if isinstance(schema.get("enum"), list):
        kinds &= _kinds_of(schema["enum"])
    if "const" in schema:
        kinds &= _kinds_of([schema["const"]])
    return kinds


def _named(names: Any) -> Kinds:
    """The kinds that a `type` keyword names: one, several, or any if a name is not one of JSON Schema's."""
    listed = [names] if isinstance(names, str) else _list(names)
    if not listed or not all(isinstance(name, str) and name in ANY for name in listed):
        return ANY
    return frozenset(listed) | ({"integer"} if "number" in listed else NONE)


_JSON_TYPES: dict[type, str] = {
    bool: "boolean", dict: "object", float: "number", int: "integer", list: "array", str: "string",
    type(None): "null",
}  # fmt: skip


def _kinds_of(values: Iterable[Any]) -> Kinds:
    return frozenset(_JSON_TYPES.get(type(value), "unknown") for value in values)


def _property(schema: Mapping[str, Any], name: str) -> Any:
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        return properties[name]
    if "patternProperties" in schema:
        return True
    return schema.get("additionalProperties", True)


def _item(schema: Mapping[str, Any], index: int) -> Any:
    items = schema.get("items", True)
    # Before draft 2020-12 the list form stood under `items`, and the rest under `additionalItems`.
    first, rest = (items, schema.get("additionalItems", True)) if isinstance(items, list) else ((), items)
    first = _list(schema.get("prefixItems")) or first
    return first[index] if index < len(first) else rest


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
