"""What providers ask of a tool's schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from asyncfc.testing.models.rejection import need
from asyncfc.testing.models.script import Json

_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
_UNDER_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_UNDER_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_UNDER_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_NOT_AT_ROOT = ("oneOf", "anyOf", "allOf", "enum", "not")
_NOT_IN_STRICT = (
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
)


def check_name(name: Any, limit: int, param: str) -> None:
    """A tool's name, by its letters."""
    need(isinstance(name, str), f"Missing required parameter: '{param}.name'.", param)
    need(
        re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{limit}}}", name),
        f"Invalid '{param}.name': string does not match pattern '^[a-zA-Z0-9_-]{{1,{limit}}}$': {name!r}",
        f"{param}.name",
    )


def check_schema(name: str, schema: Any, *, strict: bool, param: str) -> None:
    """The schema of a tool's parameters: an object at the root, well-formed, in strict mode closed."""
    wrong = f"Invalid schema for function '{name}': "
    need(isinstance(schema, Mapping), f"{wrong}{schema!r} is not of type 'object'.", param)
    need(
        schema.get("type") == "object" and not any(key in schema for key in _NOT_AT_ROOT),
        f"{wrong}schema must have type 'object' and not have {_listed(_NOT_AT_ROOT)} at the top level.",
        param,
    )
    for place, part in _parts(schema):
        where = f"{wrong}In context=({', '.join(map(repr, place))}), "
        _check_part(part, schema, where, param)
        if strict and isinstance(part, Mapping):
            _check_strict(part, where, param)


def _listed(keys: tuple[str, ...]) -> str:
    return "/".join(f"'{key}'" for key in keys)


def _parts(root: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All schemas in a schema, each with the way to it."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while todo:
        place, part = todo.pop()
        yield place, part
        if not isinstance(part, Mapping):
            continue
        for key in _UNDER_NAMES:
            if isinstance(part.get(key), Mapping):
                todo += [((*place, key, name), inner) for name, inner in part[key].items()]
        for key in _UNDER_LISTS:
            if isinstance(part.get(key), list):
                todo += [((*place, key, str(index)), inner) for index, inner in enumerate(part[key])]
        todo += [((*place, key), part[key]) for key in _UNDER_ONE if key in part]


def _check_part(part: Any, root: Mapping[str, Any], where: str, param: str) -> None:
    need(isinstance(part, Mapping | bool), f"{where}{part!r} is not a schema.", param)
    if isinstance(part, bool):
        return
    kinds = part.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        need(isinstance(kind, str) and kind in _TYPES, f"{where}{kind!r} is not a valid type.", param)
    for key in _UNDER_LISTS:
        need(isinstance(part.get(key, [1]), list) and part.get(key, [1]), f"{where}{key!r} is empty.", param)
    properties = part.get("properties", {})
    need(isinstance(properties, Mapping), f"{where}'properties' is not an object.", param)
    required = part.get("required", [])
    named = isinstance(required, list) and all(isinstance(name, str) for name in required)
    need(named and len(set(required)) == len(required), f"{where}'required' is no list of names.", param)
    need("$ref" not in part or _resolves(part["$ref"], root), f"{where}$ref leads nowhere.", param)
    need(_is_pattern(part.get("pattern", "")), f"{where}'pattern' is not a regex.", param)


def _is_pattern(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def _resolves(reference: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(reference, str) or not re.match(r"#(/|$)", reference):
        return False
    place: Any = root
    for raw in reference.split("/")[1:]:
        key = raw.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, Mapping) or key not in place:
            return False
        place = place[key]
    return True


def _check_strict(part: Json | Mapping[str, Any], where: str, param: str) -> None:
    for key in _NOT_IN_STRICT:
        need(key not in part, f"{where}'{key}' is not permitted.", param)
    need(
        "$ref" not in part or len(part) == 1,
        f"{where}$ref cannot have keywords {sorted(part.keys() - {'$ref'})}.",
        param,
    )
    need("(?" not in part.get("pattern", "").replace("(?:", ""), f"{where}lookaround in 'pattern'.", param)
    kinds = part.get("type", [])
    if kinds != "object" and "object" not in kinds and "properties" not in part:
        return
    need(
        part.get("additionalProperties") is False,
        f"{where}'additionalProperties' is required to be supplied and to be false.",
        param,
    )
    names = list(part.get("properties", {}))
    missing = [name for name in names if name not in part.get("required", [])]
    need(
        not missing,
        f"{where}'required' is required to be supplied and to be an array including every key in properties. "
        f"Missing {', '.join(map(repr, missing))}.",
        param,
    )
