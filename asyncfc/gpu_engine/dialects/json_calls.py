"""Calls written as JSON, with the text of their arguments kept exactly as the model wrote it."""

from __future__ import annotations

import json
import re
from typing import Any

from asyncfc.gpu_engine.dialects.called import Called, NoCall, Unreadable

WRITTEN_NAME = re.compile(r'"(?:name|function)"\s*:\s*"([^"\\]+)"')
_SPACE = " \t\r\n"
_BETWEEN = _SPACE + ",;"
"""What stands between two calls: a comma in an array, a semicolon or a line break outside of one."""


def json_calls(body: str) -> list[Called]:
    """Read one object with "name" and "arguments" (or "parameters"), several, or an array of them.

    Raises:
        Unreadable: it is no JSON, an object holds a key twice, or a call has no name.
    """
    try:
        return _calls(body)
    except Unreadable as error:
        found = WRITTEN_NAME.search(body)
        raise Unreadable(error.reason, found.group(1) if found else None) from None


def unmarked_json_calls(body: str) -> list[Called]:
    """Read a turn that is one or several calls without any delimiter.

    Raises:
        NoCall: it is an object of another kind, such as an answer in JSON.
        Unreadable: see `json_calls`.
    """
    at = _skip(body, 0)
    try:
        members, _ = _members(body, at)
    except Unreadable:
        return json_calls(body)
    if not members.keys() & {"arguments", "parameters", "function"}:
        raise NoCall
    return json_calls(body)


def json_arguments(text: str, name: str) -> Called:
    """Read the arguments of a call whose name stands before them; nothing at all means none.

    Raises:
        Unreadable: they are no JSON, an object holds a key twice, or there is no name.
    """
    if not name:
        raise Unreadable("there is no name in front of the arguments")
    text = text.strip()
    try:
        check_json(text or "{}")
    except Unreadable as error:
        raise Unreadable(error.reason, name) from None
    return Called(name, text or "{}")


def check_json(text: str) -> Any:
    """Return the value of JSON text.

    Raises:
        Unreadable: it is no JSON, or an object holds a key twice.
    """
    text = text.strip()
    value, end = _value(text, 0)
    if end != len(text):
        raise Unreadable(f"there is more after the JSON: {_near(text, end)}")
    return value


def _calls(body: str) -> list[Called]:
    at = _skip(body, 0)
    many = body[at : at + 1] == "["
    at = _skip(body, at + many)
    found = []
    while at < len(body) and body[at] != "]":
        members, at = _members(body, at)
        found.append(_call(members))
        at = _skip(body, at, _BETWEEN)
    if _skip(body, at + many) != len(body) or (many and body[at : at + 1] != "]"):
        raise Unreadable(f"the array of calls does not end where it should: {_near(body, at)}")
    if not found:
        raise Unreadable("there is no call in it")
    return found


def _call(members: dict[str, str]) -> Called:
    if "name" not in members and members.get("function", "").startswith("{"):
        members = _members(members["function"], 0)[0]
    name = json.loads(members.get("name", members.get("function", "null")))
    if not isinstance(name, str) or not name:
        raise Unreadable('a call needs a "name", which is a string')
    arguments = members.get("arguments", members.get("parameters", "{}"))
    if arguments.startswith('"'):  # JSON in a JSON string, as the providers' APIs write it
        arguments = json.loads(arguments)
    return Called(name, "{}" if arguments == "null" else arguments)


def _members(text: str, at: int) -> tuple[dict[str, str], int]:
    """Return the raw text of each member of the object at `at`, and where the object ends."""
    value, end = _value(text, at)
    if not isinstance(value, dict):
        raise Unreadable(f"a call is a JSON object, which this is not: {_near(text, at)}")
    members: dict[str, str] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _value(text, at)
        start = _skip(text, _skip(text, at) + 1)  # over the colon
        at = _value(text, start)[1]
        members[key] = text[start:at]
        at = _skip(text, at, _BETWEEN)
    return members, end


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        return _decode(text, at)
    except _Twice as error:
        raise Unreadable(f"an object holds the key {error} twice") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"it is not valid JSON: {error.msg}, {_near(text, error.pos)}") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise Unreadable(f"it cannot be read: {error}") from None


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twice(repr(next(key for key in members if keys.count(key) > 1)))
    return members


_decode = json.JSONDecoder(object_pairs_hook=_once).raw_decode


def _skip(text: str, at: int, what: str = _SPACE) -> int:
    while at < len(text) and text[at] in what:
        at += 1
    return at


def _near(text: str, at: int) -> str:
    return f"at character {at}, near {text[max(0, at - 20) : at + 20]!r}"
