"""Gemini's own schemas, a dialect of OpenAPI 3.0, as JSON schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.formats.common import as_list, as_object
from asyncfc.futures.schema import MAX_NESTING

# Numbers that its JSON writes as texts, since they are 64-bit integers.
_COUNTS: Final = frozenset(
    ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
)
_BY_NAME: Final = frozenset(("properties", "defs", "$defs"))
_ONE: Final = frozenset(("items", "additionalProperties"))
_JSON_SCHEMA_WORDS: Final[Mapping[str, str]] = {"ref": "$ref", "defs": "$defs"}
_TO_CAPITAL: Final = re.compile(r"_([a-z])")  # Google's SDK for Python writes `any_of`, further in
_NOT_JSON_SCHEMA: Final = frozenset(("nullable", "example"))


def json_schema(schema: Any, depth: int = 0) -> Any:
    """The JSON schema that says the same; parts that are nested too deeply stay as they are."""
    if not isinstance(schema, Mapping) or depth > MAX_NESTING:
        return schema
    result: Json = {}
    for written, value in schema.items():
        word = _TO_CAPITAL.sub(lambda found: found[1].upper(), written)
        if word not in _NOT_JSON_SCHEMA:
            result[_JSON_SCHEMA_WORDS.get(word, word)] = _value(word, value, depth + 1)
    if result.get("format") == "enum":
        del result["format"]
    return _nullable(result) if schema.get("nullable") is True else result


def _value(word: str, value: Any, depth: int) -> Any:
    if word == "type" and isinstance(value, str):
        return value.lower()
    if word in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    if word in _BY_NAME:
        return {name: json_schema(part, depth) for name, part in as_object(value).items()}
    if word == "anyOf":
        return [json_schema(part, depth) for part in as_list(value)]
    return json_schema(value, depth) if word in _ONE else value


def _nullable(schema: Json) -> Json:
    if isinstance(schema.get("type"), str) and "enum" not in schema and "anyOf" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [*as_list(schema.get("anyOf") or [schema]), {"type": "null"}]}
