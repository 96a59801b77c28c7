"""What OpenAI's Chat Completions API asks of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncfc.testing.models.rejection import Rejected, need
from asyncfc.testing.models.schemas import check_name, check_schema
from asyncfc.testing.models.script import Json

_ROLES = ("system", "assistant", "user", "tool", "developer")
_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "tool": ("text",),
    "assistant": ("text", "refusal"),
    "user": ("text", "image_url", "input_audio", "file"),
}


def check_body(body: Json) -> None:
    """Reject what the API would reject."""
    need(isinstance(body.get("model"), str) and body["model"], "you must provide a model parameter")
    messages = body.get("messages")
    need(isinstance(messages, list), "Missing required parameter: 'messages'.", "messages")
    need(messages, "Invalid 'messages': empty array.", "messages")
    assert isinstance(messages, list)
    for index, message in enumerate(messages):
        _check_message(message, f"messages.[{index}]")
    _check_answers(messages)
    _check_tools(body)


def _check_message(message: Any, at: str) -> None:
    need(isinstance(message, dict), f"Invalid type for '{at}': expected an object.", at)
    role = message.get("role")
    supported = ", ".join(map(repr, _ROLES))
    need(role in _ROLES, f"Invalid value: {role!r}. Supported values are: {supported}.", f"{at}.role")
    _check_content(message, role, f"{at}.content")
    if role == "tool":
        has_id = isinstance(message.get("tool_call_id"), str)
        need(has_id, f"Missing parameter 'tool_call_id': messages with role 'tool' must have it: {at}.", at)
    if message.get("tool_calls") is not None:
        need(role == "assistant", f"'tool_calls' is only allowed with role 'assistant': {at}.", at)
        _check_calls(message["tool_calls"], f"{at}.tool_calls")


def _check_content(message: Json, role: str, at: str) -> None:
    content = message.get("content")
    if content is None:
        may = role == "assistant" and (message.get("tool_calls") or message.get("refusal"))
        need(may, "Invalid value for 'content': expected a string, got null.", at)
    elif not isinstance(content, str):
        need(isinstance(content, list) and content, f"Invalid type for '{at}': expected a string.", at)
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            need(kind in _PARTS[role], f"Invalid value: {kind!r} for '{at}' of role {role!r}.", at)
            text = part.get(kind) if kind in {"text", "refusal"} else ""
            need(isinstance(text, str), f"Invalid type for '{at}': expected a string.", at)


def _check_calls(calls: Any, at: str) -> None:
    need(isinstance(calls, list) and calls, f"[] is too short - '{at}'", at)
    for call in calls:
        need(isinstance(call, dict) and isinstance(call.get("id"), str), f"Missing '{at}.id'.", at)
        kind = call.get("type")
        need(kind in {"function", "custom"}, f"Invalid value: {kind!r} for '{at}.type'.", at)
        made = call.get(kind)
        wanted = ("name", "arguments" if kind == "function" else "input")
        is_whole = isinstance(made, dict) and all(isinstance(made.get(key), str) for key in wanted)
        need(is_whole, f"Missing or invalid '{at}.{kind}': expected strings {wanted}.", at)
    ids = [call["id"] for call in calls]
    need(len(set(ids)) == len(ids), f"Duplicate ids in '{at}': {ids}.", at)


def _check_answers(messages: Sequence[Json]) -> None:
    """Every call is answered once, directly after its message."""
    waiting: list[str] = []
    answered: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] != "tool":
            _need_none(waiting)
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
            answered = []
            continue
        call_id, at = message["tool_call_id"], f"messages.[{index}].tool_call_id"
        need(call_id not in answered, f"Duplicate value for 'tool_call_id' of '{call_id}' in {at}.", at)
        need(
            call_id in waiting,
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            f"'tool_calls': {call_id!r} is none of {waiting} in {at}.",
            at,
        )
        waiting.remove(call_id)
        answered.append(call_id)
    _need_none(waiting)


def _need_none(waiting: Sequence[str]) -> None:
    need(
        not waiting,
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        "messages",
    )


def _check_tools(body: Json) -> None:
    tools = body.get("tools")
    if tools is None:
        for key in ("tool_choice", "parallel_tool_calls"):
            need(body.get(key) is None, f"'{key}' is only allowed when 'tools' are specified.", key)
        return
    need(isinstance(tools, list) and tools, "[] is too short - 'tools'", "tools")
    names = [_checked_name(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    need(len(set(names)) == len(names), f"Tool names must be unique: {names}.", "tools")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and "function" in choice:
        wanted = choice["function"].get("name")
        need(wanted in names, f"Tool choice '{wanted}' not found in 'tools' parameter.", "tool_choice")


def _checked_name(tool: Any, at: str) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in {"function", "custom"}:
        raise Rejected(f"Invalid value: {kind!r}. Supported values are: 'function' and 'custom'.", param=at)
    about = tool.get(kind)
    need(isinstance(about, dict), f"Missing required parameter: '{at}.{kind}'.", at)
    check_name(about.get("name"), 64, f"{at}.{kind}")
    described = about.get("description") is None or isinstance(about["description"], str)
    need(described, f"Invalid type for '{at}.{kind}.description': expected a string.", at)
    if kind == "function" and about.get("parameters") is not None:
        strict = bool(about.get("strict"))
        check_schema(about["name"], about["parameters"], strict=strict, param=f"{at}.function.parameters")
    return str(about["name"])
