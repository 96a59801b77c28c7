"""Returns: where the result of a tool may go, and how the model is told what it will be.

Both read the schema of what tools return. Where that is not known, a result may be anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.marks import as_list, follow
from asyncfc.conversation.wording import Wording
from asyncfc.futures.schema import NONE, KindReader, Kinds, own_kinds

MAX_RETURN_CHARS = 300
_WORDING = Wording()
_MAX_LEVELS = 4
_MAX_DEPTH = 40
_MAX_LITERALS = 8


def may_come_from(position: Json, returns: Sequence[Json | None]) -> bool:
    """Whether a result, a part of one, or what a text in one holds as JSON may fill a position.

    Kinds alone are compared: a `true` answer costs some tokens, a wrong `false` a use of handles.

    Args:
        position: the schema of the position; `$ref`s are looked up in its own `$defs`.
        returns: what each tool returns, None where that is not known.
    """
    wanted = _kinds(position)
    wanted = wanted - {"null"} or wanted
    if wanted == {"string"}:  # takes every value as its canonical text (DESIGN V2)
        return bool(returns)
    return any(schema is None or _may_hold(schema, wanted) for schema in returns)


def _kinds(schema: Json) -> Kinds:
    return KindReader(schema).kinds(schema, ())


def _may_hold(root: Json, wanted: Kinds) -> bool:
    """Whether the value, or a part that a path leads to, may be of a wanted kind."""
    reader = KindReader(root)
    waiting: list[tuple[Any, bool]] = [(root, True)]
    seen: set[tuple[int, bool]] = set()
    while waiting:
        part, is_whole = waiting.pop()
        if part is False or (id(part), is_whole) in seen:
            continue
        seen.add((id(part), is_whole))
        if not isinstance(part, Mapping) or (is_whole and reader.kinds(part, ()) & wanted) or _is_open(part):
            return True
        waiting += _parts(part)
        if "$ref" in part:
            waiting.append((follow(root, part["$ref"])[1], False))
    return False


def _is_open(schema: Mapping[str, Any]) -> bool:
    """Whether it takes values of which it says nothing more, and in which a path may find anything."""
    kinds = own_kinds(schema) if "type" in schema else NONE
    told = {"allOf", "anyOf", "oneOf", "$ref"} & schema.keys()
    return (
        schema.get("additionalProperties") is True
        or ("string" in kinds and not {"enum", "const", "format"} & schema.keys())
        or ("array" in kinds and not told and not {"items", "prefixItems"} & schema.keys())
        or ("object" in kinds and not told and not {*_BY_NAME, "additionalProperties"} & schema.keys())
    )


_BY_NAME = ("properties", "patternProperties")
_ONE_OR_LIST = ("items", "prefixItems", "additionalProperties", "additionalItems")


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """The schemas inside, and whether each is all that is said of some value."""
    for word in _BY_NAME:
        if isinstance(schema.get(word), Mapping):
            yield from ((part, True) for part in schema[word].values())
    for word in _ONE_OR_LIST:
        if schema.get(word, True) is not True:
            yield from ((part, True) for part in as_list(schema[word]))
    for word in ("anyOf", "oneOf", "allOf"):
        yield from ((part, False) for part in as_list(schema.get(word, [])) if isinstance(part, Mapping))


def describe_return(
    description: str,
    returns: Json | None,
    max_chars: int = MAX_RETURN_CHARS,
    template: str = _WORDING.returns,
) -> str:
    """The description of a tool, with a last line that tells what it returns, if that is known.

    So the model knows where a handle fits and which paths it has. Example of a type:
    `{id: integer, lines: [{name: string, price?: number | null}]}`.

    Args:
        description: of the tool.
        returns: the schema of what it returns, None if not known.
        max_chars: at most so many characters for the type; what is further in is left out first.
        template: of the last line, filled by `str.format` with `type`.
    """
    if not isinstance(returns, Mapping):
        return description
    sketch = _sketch(returns, max_chars)
    if sketch == "any":
        return description
    told = template.format(type=sketch)
    return f"{description}\n{told}" if description else told


def _sketch(schema: Json, max_chars: int) -> str:
    text = ""
    for levels in range(_MAX_LEVELS, 0, -1):
        sketch = _Sketch(schema, max_chars)
        text = sketch.type(schema, levels)
        if sketch.left and len(text) <= max_chars:
            return text
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


class _Sketch:
    """Writes a schema as a type, as short as can be."""

    def __init__(self, root: Json, max_parts: int) -> None:
        self.left = max_parts
        """How many more parts are written; each takes a character at least."""
        self._root = root

    def type(self, schema: Any, levels: int, depth: int = 0) -> str:
        """The type of a value; containers are opened `levels` deep."""
        if not self.left:
            return "…"
        self.left -= 1
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return "any"
        if "const" in schema or isinstance(schema.get("enum"), list):
            return _literals([schema["const"]] if "const" in schema else schema["enum"])
        if "$ref" in schema:
            return self.type(follow(self._root, schema["$ref"])[1], levels, depth + 1)
        for word, separator in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
            if not _CONTAINING & schema.keys() and isinstance(schema.get(word), list):
                return separator.join(
                    dict.fromkeys(self.type(part, levels, depth + 1) for part in schema[word])
                )
        kinds = as_list(schema["type"]) if "type" in schema else [_implied(schema)]
        return " | ".join(self._kind(kind, schema, levels, depth) for kind in kinds)

    def _kind(self, kind: Any, schema: Mapping[str, Any], levels: int, depth: int) -> str:
        if kind == "object" and levels:
            return self._object(schema, levels - 1, depth + 1) or "object"
        if kind == "array" and levels:
            return self._array(schema, levels - 1, depth + 1) or "array"
        return str(kind)

    def _object(self, schema: Mapping[str, Any], levels: int, depth: int) -> str:
        properties, rest = schema.get("properties"), schema.get("additionalProperties")
        required = as_list(schema.get("required", []))
        parts = []
        for name, part in properties.items() if isinstance(properties, Mapping) else ():
            if not self.left:
                parts.append("…")
                break
            shown = name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
            parts.append(f"{shown}{'' if name in required else '?'}: {self.type(part, levels, depth)}")
        if isinstance(rest, Mapping):
            parts.append(f"[key]: {self.type(rest, levels, depth)}")
        return f"{{{', '.join(parts)}}}" if parts else ""

    def _array(self, schema: Mapping[str, Any], levels: int, depth: int) -> str:
        parts = [self.type(part, levels, depth) for part in as_list(schema.get("prefixItems", []))]
        if isinstance(schema.get("items"), Mapping):
            rest = self.type(schema["items"], levels, depth)
            parts.append(f"...{rest}" if parts else rest)
        return f"[{', '.join(parts)}]" if parts else ""


_CONTAINING = {"properties", "items", "prefixItems"}
_PLAIN_NAME = re.compile(r"[\w-]+")


def _implied(schema: Mapping[str, Any]) -> str:
    """The type of a schema that names none."""
    if "properties" in schema:
        return "object"
    return "array" if _CONTAINING & schema.keys() else "any"


def _literals(values: list[Any]) -> str:
    """The values themselves, if they are few."""
    if len(values) > _MAX_LITERALS:
        return f"one of {len(values)} values"
    return " | ".join(json.dumps(value, ensure_ascii=False, default=str) for value in values)
