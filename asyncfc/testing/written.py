"""How a call of a program is written: by a model, with handles, or by a program, with futures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.testing.oracle import Ref, Text


def written(arguments: Any, futures: Sequence[Future], *, first: int, as_text: bool) -> Any:
    """The arguments as a model writes them, or as a program does, with the futures themselves.

    Args:
        arguments: with `Ref` and `Text` in them; other text that looks like a handle is escaped.
        futures: of the calls so far.
        first: which call is the first of the same message: from it on, a call is named by its place.
        as_text: whether all references must be text.
    """
    match arguments:
        case Ref(call, ()) if not as_text:
            return futures[call]
        case Ref(call, path):
            return f"{_name(call, futures, first)}{_show(path)}"
        case Text(parts):
            return "".join(_inside(part, futures, first) for part in parts)
        case str():
            return _literal(arguments)
        case Mapping():
            return {
                key: written(item, futures, first=first, as_text=as_text) for key, item in arguments.items()
            }
        case list():
            return [written(item, futures, first=first, as_text=as_text) for item in arguments]
        case _:
            return arguments


def _name(call: int, futures: Sequence[Future], first: int) -> str:
    if call >= first:
        return f"$this_{call - first + 1}"
    handle = futures[call].handle
    assert handle is not None, f"call {call} has no handle although its message was committed"
    return handle


def _inside(part: str | Ref, futures: Sequence[Future], first: int) -> str:
    """Part of a text: a path behind a handle needs braces there."""
    if isinstance(part, str):
        return _literal(part)
    name = _name(part.call, futures, first)
    return f"${{{name[1:]}{_show(part.path)}}}" if part.path else name


def _literal(text: str) -> str:
    """Text that may look like handles, of whatever session, and is none."""
    return DEFAULT_GRAMMAR.mention.sub(lambda match: DEFAULT_GRAMMAR.sigil + match[0], text)


def _show(path: tuple[str | int, ...]) -> str:
    return "".join(f".{key}" if str(key).isidentifier() else f"[{json.dumps(key)}]" for key in path)
