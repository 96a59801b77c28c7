"""Plain JSON values: their text, copies, sizes and descriptions."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

CONTAINERS = frozenset((dict, list))

encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))


def canonical_text(value: Any) -> str:
    """Return the one text of a JSON value: strings raw, else compact JSON, key order kept (DESIGN V2)."""
    return value if isinstance(value, str) else encoder.encode(value)


def copy_json(value: Any) -> Any:
    """Return a structural copy of projected JSON: new containers, shared strings."""
    kind = type(value)
    if kind is dict:
        return {key: copy_json(item) if type(item) in CONTAINERS else item for key, item in value.items()}
    if kind is list:
        return [copy_json(item) if type(item) in CONTAINERS else item for item in value]
    return value


def encodable(text: str) -> str:
    r"""Return the text with lone surrogates spelled out as `\udc80`: no request could be sent with them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def safe_text(value: Any, max_chars: int) -> str:
    """Return `str(value)`, cut to a length; whatever that raises, Ctrl-C apart, is named instead.

    For objects of unknown classes and for exceptions: their `__str__` is not ours to trust.
    """
    try:
        text = str.__str__(str(value))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = f"<{type(value).__name__} object whose text cannot be had: {type(error).__name__}>"
    return shorten(text, max_chars)


def describe(value: Any) -> str:
    """Say what a JSON value is, for a message; the keys of an object as far as there is room."""
    if isinstance(value, dict):
        if not value:
            return "an empty object"
        shown = ", ".join(shorten(key, 40) for key in list(value)[:12])
        rest = f" and {len(value) - 12} more" if len(value) > 12 else ""
        return f"an object with the keys {shown}{rest}"
    if isinstance(value, list):
        return f"a list of length {len(value)}, [0] to [{len(value) - 1}]" if value else "an empty list"
    if isinstance(value, str):
        return f"text that holds no JSON object or array: {shorten(value, 40)!r}"
    return f"the plain value {shorten(canonical_text(value), 40)}"


def shorten(text: str, max_chars: int) -> str:
    """Cut a text to `max_chars` characters, the last one `…` if something is missing."""
    return text if len(text) <= max_chars else f"{text[: max(0, max_chars - 1)]}…"[:max_chars]


def size_of(value: Any) -> int:
    """Roughly the bytes that a JSON value takes, strings that it holds twice counted twice."""
    total, todo = 0, [value]
    while todo:
        item = todo.pop()
        total += sys.getsizeof(item)
        if type(item) is dict:
            total += sum(map(sys.getsizeof, item))
            todo.extend(item.values())
        elif type(item) is list:
            todo.extend(item)
    return total


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a JSON value with every string in it changed, keys apart."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    return value
