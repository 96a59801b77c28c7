"""Call: what the model asked for, and its arguments as an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncfc.errors import BadArguments
from asyncfc.futures.plain import safe_text

NEAR = 20
"""Characters of the faulty text that a message quotes on each side of the fault."""
LONGEST_NAME = 80
"""Characters of an id or a name that a message quotes."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the model asked for.

    `arguments` is JSON text as the model wrote it, or the parsed object; in the latter, programs may put
    futures in place of handles.
    """

    id: str
    tool: str
    arguments: str | Mapping[str, Any]


def parse_arguments(call: Call) -> dict[str, Any]:
    """Return the arguments as a new dict; nothing at all (empty text or None) means no arguments.

    Only the outermost object is new: finding the references copies the rest (DESIGN V2).

    Raises:
        BadArguments: the text is no JSON, holds a key twice, or is no object. Python's `json` keeps the
            last of two equal keys without a word; the model would never learn which one counted.
    """
    arguments: Any = call.arguments
    if isinstance(arguments, str):
        parsed = _parse_text(arguments, call)
        if type(parsed) is dict:
            return parsed
        raise _bad(call, f"are {_JSON_NAMES[type(parsed)]}")
    if arguments is None:
        return {}
    if type(arguments) is not dict and not isinstance(arguments, Mapping):
        raise _bad(call, f"are of the Python type {type(arguments).__name__}")
    return dict(arguments)


_JSON_NAMES = {
    list: "a JSON array",
    str: "a JSON string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


class _DuplicateKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    keys = [key for key, _ in pairs]
    raise _DuplicateKey(next(key for key in result if keys.count(key) > 1))


_decode = json.JSONDecoder(object_pairs_hook=_object).decode


def _parse_text(text: str, call: Call) -> Any:
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            return {}
        near = text[max(0, error.pos - NEAR) : error.pos + NEAR]
        raise _bad(
            call,
            f"are not valid JSON: {error.msg} at character {error.pos} (line {error.lineno}), near {near!r}",
        ) from None
    except _DuplicateKey as error:
        raise _bad(call, f"hold the key {short_name(error)!r} twice in one object") from None
    except RecursionError:
        raise _bad(call, "are nested too deeply") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise _bad(call, f"cannot be read: {error}") from None


def _bad(call: Call, fault: str) -> BadArguments:
    return BadArguments(
        f"the arguments of call {short_name(call.id)!r} to {short_name(call.tool)!r} {fault}. "
        'Expected one JSON object, such as {"name": "value"}; the call did not run'
    )


def short_name(name: object) -> str:
    """Return an id or a name as a message quotes it: bounded, since both are whatever the model wrote."""
    return safe_text(name, LONGEST_NAME)
