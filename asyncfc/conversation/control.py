"""Control: the two tools by which a model deals with calls that run, `await_future` and `cancel_future`.

Only their form, and how to read what models write in it. They are no calls of the graph (DESIGN E5).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from asyncfc.conversation.formats.base import ToolSchema
from asyncfc.conversation.wording import Wording
from asyncfc.errors import BadArguments
from asyncfc.futures.call import Call, parse_arguments, short_name
from asyncfc.futures.handle import HandleGrammar, read_path
from asyncfc.futures.plain import safe_text

AWAIT_FUTURE = "await_future"
CANCEL_FUTURE = "cancel_future"

HANDLE_KEYS = ("handles", "handle", "futures", "future", "ids", "id")
"""The first is what the schema says; models also write the others."""


@dataclass(frozen=True, slots=True)
class AwaitRequest:
    """What the model waits for. `handles` are as it wrote them, known or not; None: all that are running."""

    handles: tuple[str, ...] | None
    mode: Literal["all", "any"] = "all"
    timeout: float | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Which call the model wants to stop."""

    handle: str


def await_tool(wording: Wording) -> ToolSchema:
    """`await_future` as a request declares it."""
    handles = {"type": "array", "items": {"type": "string"}, "description": wording.await_handles}
    mode = {"type": "string", "enum": ["all", "any"], "description": wording.await_mode}
    timeout = {"type": "number", "description": wording.await_timeout}
    properties = {"handles": handles, "mode": mode, "timeout": timeout}
    return _tool(AWAIT_FUTURE, wording.await_tool, properties, [])


def cancel_tool(wording: Wording) -> ToolSchema:
    """`cancel_future` as a request declares it."""
    handle = {"type": "string", "description": wording.cancel_handle}
    return _tool(CANCEL_FUTURE, wording.cancel_tool, {"handle": handle}, ["handle"])


def read_await(call: Call, grammar: HandleGrammar) -> AwaitRequest:
    """What a call of `await_future` asks for.

    Handles may come as a list or in one text, with paths and braces or without, under any of several keys.

    Raises:
        BadArguments: no object of this form; says what was expected.
        BadReference: an endless path.
    """
    arguments = _arguments(call, ("mode", "timeout"))
    handles = tuple(dict.fromkeys(_handles(call, arguments, grammar)))
    everything = not handles or handles in (("all",), ("*",))
    return AwaitRequest(
        None if everything else handles,
        _mode(call, arguments.get("mode")),
        _timeout(call, arguments.get("timeout")),
    )


def read_cancel(call: Call, grammar: HandleGrammar) -> CancelRequest:
    """What a call of `cancel_future` asks for.

    Raises:
        BadArguments: it does not name exactly one handle.
        BadReference: an endless path.
    """
    handles = tuple(dict.fromkeys(_handles(call, _arguments(call, ()), grammar)))
    if len(handles) != 1:
        raise _bad(call, f"name {len(handles)} handles; expected one as 'handle'. Make one call for each")
    return CancelRequest(handles[0])


def _tool(name: str, description: str, properties: dict[str, Any], required: list[str]) -> ToolSchema:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return ToolSchema(name, description, parameters, strict=False)


def _arguments(call: Call, others: tuple[str, ...]) -> dict[str, Any]:
    arguments = parse_arguments(call)
    unknown = [short_name(key) for key in arguments if key not in (*HANDLE_KEYS, *others)]
    if unknown:
        known = [HANDLE_KEYS[0] if others else HANDLE_KEYS[1], *others]
        raise _bad(call, f"have the unknown keys {unknown}; expected only {known}")
    return arguments


def _handles(call: Call, arguments: Mapping[str, Any], grammar: HandleGrammar) -> Iterator[str]:
    for key in HANDLE_KEYS:
        given = arguments.get(key)
        for item in given if isinstance(given, list) else [] if given is None else [given]:
            if not isinstance(item, str):
                raise _bad(call, f"hold {safe_text(item, 40)!r} as {key!r}; expected handles, each a string")
            yield from _handles_in(item, grammar)


_WORD = re.compile(r"""[^\s,;:."'()\[\]{}]+""")


def _handles_in(text: str, grammar: HandleGrammar) -> Iterator[str]:
    """The handles in a text, without their paths, and every other word as it is: it names nothing."""
    done = 0
    for match in grammar.mention.finditer(text):
        if match.start() < done:
            continue  # inside a quoted key of the path before
        yield from _WORD.findall(text[done : match.start()])
        done = read_path(text, match.end())[1]
        yield match[0].replace("{", "", 1)
    yield from _WORD.findall(text[done:])


def _mode(call: Call, mode: Any) -> Literal["all", "any"]:
    match mode.strip().lower() if isinstance(mode, str) else mode:
        case "any":
            return "any"
        case "all" | None:
            return "all"
    raise _bad(call, f"hold {safe_text(mode, 40)!r} as 'mode'; expected 'all' or 'any'")


def _timeout(call: Call, timeout: Any) -> float | None:
    if timeout is None:
        return None
    try:
        seconds = math.nan if isinstance(timeout, bool) else float(timeout)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _bad(
            call, f"hold {safe_text(timeout, 40)!r} as 'timeout'; expected a number of seconds, 0 or more"
        )
    return seconds


def _bad(call: Call, fault: str) -> BadArguments:
    return BadArguments(f"the arguments of call {short_name(call.id)!r} to {short_name(call.tool)!r} {fault}")
