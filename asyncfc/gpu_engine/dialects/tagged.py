"""Calls written with tags around plain values: what a value is, the tool's schema must tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from asyncfc.gpu_engine.dialects.called import Called, Unreadable
from asyncfc.gpu_engine.dialects.json_calls import check_json
from asyncfc.gpu_engine.dialects.pythonic import HANDLE

Types: TypeAlias = Mapping[str, Mapping[str, frozenset[str]]]
"""Of each tool, of each parameter: the JSON types that its schema admits; empty where it does not say."""

_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*(?=<parameter=|\Z)", re.DOTALL)
_PAIR = re.compile(
    r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*(?=<arg_key>|\Z)", re.DOTALL
)
_PYTHON = {"True": True, "False": False, "None": None}
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def xml_calls(body: str, types: Types) -> list[Called]:
    """Read `<function=name>` with `<parameter=key>` inside, values on lines of their own.

    Raises:
        Unreadable: a tag is missing, misplaced or there twice.
    """
    found = _FUNCTION.fullmatch(body)
    if found is None:
        started = re.match(r"\s*<function=([^>\n]+)>", body)
        raise Unreadable(
            "expected <function=name> ... </function>", started.group(1).strip() if started else None
        )
    name = found[1].strip()
    return [Called(name, _arguments(_PARAMETER, found[2], "<parameter=key>", name, types))]


def pair_calls(body: str, types: Types) -> list[Called]:
    """Read a name, then pairs of `<arg_key>` and `<arg_value>`.

    Raises:
        Unreadable: a tag is missing, misplaced or there twice.
    """
    name, mark, rest = body.partition("<arg_key>")
    name = name.strip()
    if not name or "<" in name:
        raise Unreadable("expected the name of the tool, then pairs of <arg_key> and <arg_value>")
    return [Called(name, _arguments(_PAIR, mark + rest, "<arg_key>", name, types))]


def _arguments(pattern: re.Pattern[str], text: str, tag: str, name: str, types: Types) -> dict[str, Any]:
    declared = types.get(name, {})
    arguments: dict[str, Any] = {}
    at = 0
    while text[at:].strip():
        found = pattern.match(text, at)
        if found is None:
            raise Unreadable(f"expected {tag} and its closing tags, near {text[at : at + 40]!r}", name)
        key = found[1].strip()
        if key in arguments:
            raise Unreadable(f"the argument {key!r} is given twice", name)
        arguments[key] = value_of(found[2], declared.get(key, frozenset()))
        at = found.end()
    return arguments


def value_of(text: str, types: frozenset[str]) -> Any:
    """Return what plain text stands for: JSON where the types admit that value, else the text itself."""
    if types == {"string"}:
        return text
    if types & {"boolean", "null"} and text.strip() in _PYTHON:
        return _PYTHON[text.strip()]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, str):  # text stands in tags as it is: these quotes belong to it
        return text
    return value if not types or _type_of(value) & types else text


def _type_of(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    name = _JSON_TYPES[type(value)]
    whole = name == "integer" or (name == "number" and value.is_integer())
    return {name, "number", "integer"} if whole else {name}


def declared_types(tools: Sequence[Mapping[str, Any]]) -> Types:
    """Return the types that the schemas of `tools` (as chat templates take them) give each parameter."""
    functions = [tool.get("function", tool) for tool in tools]
    return {
        function["name"]: {
            name: frozenset(_admitted(schema))
            for name, schema in (function.get("parameters") or {}).get("properties", {}).items()
        }
        for function in functions
    }


def _admitted(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    written = schema.get("type", [])
    types = {written} if isinstance(written, str) else set(written)
    for union in ("anyOf", "oneOf"):
        for choice in schema.get(union) or []:
            types |= _admitted(choice)
    return types | ({"null"} if schema.get("nullable") else set())


_GEMMA_CALL = re.compile(r"\s*call:\s*([^\s{]+)\s*(\{.*\})\s*", re.DOTALL)
_GEMMA_TOKEN = re.compile(
    r'<\|"\|>(?P<text>.*?)<\|"\|>'
    r'|(?P<json>"(?:\\.|[^"\\])*")'
    rf"|(?P<handle>{HANDLE})"
    r"|(?P<key>[A-Za-z_][\w.-]*)(?=\s*:)",
    re.DOTALL,
)


def gemma_calls(body: str) -> list[Called]:
    """Read `call:name{key:value}`: JSON with bare keys, and strings between quotes of their own.

    Raises:
        Unreadable: it is not of that form.
    """
    found = _GEMMA_CALL.fullmatch(body)
    if found is None:
        started = re.match(r"\s*call:\s*([^\s{]+)", body)
        raise Unreadable("expected call:name{key:value}", started.group(1) if started else None)
    try:
        arguments = check_json(_GEMMA_TOKEN.sub(_as_json, found[2]))
    except Unreadable as error:
        raise Unreadable(error.reason, found[1]) from None
    return [Called(found[1], arguments)]


def _as_json(found: re.Match[str]) -> str:
    text = next(found[name] for name in ("text", "json", "handle", "key") if found[name] is not None)
    return text if found["json"] is not None else json.dumps(text)
