"""What OpenAI's Responses API asks of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncfc.testing.models.rejection import need
from asyncfc.testing.models.schemas import check_name, check_schema
from asyncfc.testing.models.script import Json

CALLS = ("function_call", "custom_tool_call")
OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_ROLES = ("user", "assistant", "system", "developer")
_TYPES = ("message", "reasoning", "item_reference", *CALLS, *OUTPUTS)
_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_OTHER_PARTS = ("input_image", "input_file", "input_audio")


def type_of(item: Json) -> str:
    """The type of an item; a message may leave it out."""
    return str(item.get("type") or "message")


def check_shape(body: Json) -> None:
    """Reject a request whose parts are not what they should be."""
    need(
        isinstance(body.get("model"), str) and body["model"], "Missing required parameter: 'model'.", "model"
    )
    items = body.get("input")
    need(isinstance(items, str | list), "Missing required parameter: 'input'.", "input")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        _check_item(item, f"input[{index}]")
    said = body.get("instructions")
    need(said is None or isinstance(said, str), "Invalid type for 'instructions': expected a string.")
    _check_tools(body)


def check_items(items: Sequence[Json], reasoning: Mapping[str, str]) -> None:
    """Reject a conversation in which calls, outputs and reasoning do not go together.

    Args:
        items: the whole conversation, the stored part included.
        reasoning: ids of function calls, each with the id of the reasoning item that it came after.
    """
    _check_outputs(items)
    _check_reasoning(items, reasoning)


def _check_item(item: Any, at: str) -> None:
    need(isinstance(item, dict), f"Invalid type for '{at}': expected an object.", at)
    kind = type_of(item)
    known = kind in _TYPES or kind.endswith(("_call", "_call_output"))
    need(known, f"Invalid value: {kind!r}. Supported values are: {', '.join(_TYPES)}.", at)
    if kind == "message":
        role = item.get("role")
        need(
            role in _ROLES,
            f"Invalid value: {role!r}. Supported values are: {', '.join(_ROLES)}.",
            f"{at}.role",
        )
        _check_content(item.get("content"), f"{at}.content")
    elif kind in CALLS:
        wanted = ("call_id", "name", "arguments" if kind == "function_call" else "input")
        for key in wanted:
            need(isinstance(item.get(key), str), f"Missing required parameter: '{at}.{key}'.", f"{at}.{key}")
    elif kind in OUTPUTS:
        need(isinstance(item.get("call_id"), str), f"Missing required parameter: '{at}.call_id'.", at)
        _check_content(item.get("output"), f"{at}.output")


def _check_content(content: Any, at: str) -> None:
    need(isinstance(content, str | list), f"Invalid type for '{at}': expected a string or parts.", at)
    for index, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        need(kind in _PARTS or kind in _OTHER_PARTS, f"Invalid value: {kind!r} for '{at}[{index}].type'.", at)
        text = part.get(_PARTS[kind]) if kind in _PARTS else ""
        need(isinstance(text, str), f"Invalid type for '{at}[{index}]': expected a string.", at)


def _check_outputs(items: Sequence[Json]) -> None:
    """Every output has a call before it; every call has one output, unless it may come later."""
    waiting: dict[str, bool] = {}
    answered: set[str] = set()
    for item in items:
        kind = type_of(item)
        if kind in CALLS:
            waiting[item["call_id"]] = bool(item.get("async"))
            answered.discard(item["call_id"])  # a repeated id is a new call
        elif kind in OUTPUTS:
            call_id = item["call_id"]
            need(
                call_id not in answered, f"Duplicate tool output found for function call {call_id}.", "input"
            )
            need(
                call_id in waiting,
                f"No tool call found for function call output with call_id {call_id}.",
                "input",
            )
            del waiting[call_id]
            answered.add(call_id)
    for call_id, may_be_late in waiting.items():
        need(may_be_late, f"No tool output found for function call {call_id}.", "input")


def _check_reasoning(items: Sequence[Json], reasoning: Mapping[str, str]) -> None:
    """Reasoning and what came of it go together."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        kind, item_id = type_of(item), str(item.get("id"))
        if kind == "reasoning":
            seen.add(item_id)
            after = type_of(items[index + 1]) if index + 1 < len(items) else None
            follows = after in {"message", "reasoning", *CALLS}
            need(
                follows and (after != "message" or items[index + 1].get("role") == "assistant"),
                f"Item '{item_id}' of type 'reasoning' was provided without its required following item.",
                "input",
            )
        wanted = reasoning.get(item_id) if kind in CALLS else None
        need(
            wanted is None or wanted in seen,
            f"Item '{item_id}' of type '{kind}' was provided without its required 'reasoning' item: "
            f"'{wanted}'.",
            "input",
        )


def _check_tools(body: Json) -> None:
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        at = f"tools[{index}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        need(isinstance(kind, str), f"Missing required parameter: '{at}.type'.", at)
        if kind not in {"function", "custom"}:
            continue
        check_name(tool.get("name"), 64, at)
        names.append(tool["name"])
        if kind == "function":
            # Strict is the default of this API, but a request that leaves it out is not rejected for it.
            schema, strict = tool.get("parameters"), bool(tool.get("strict"))
            if schema is not None:
                check_schema(tool["name"], schema, strict=strict, param=f"{at}.parameters")
    need(len(set(names)) == len(names), f"Tool names must be unique: {names}.", "tools")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        need(
            choice.get("name") in names, f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
        )
