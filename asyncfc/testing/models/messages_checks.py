"""What Anthropic's Messages API asks of a request."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from asyncfc.testing.models.rejection import need
from asyncfc.testing.models.schemas import check_name, check_schema
from asyncfc.testing.models.script import Json

_BLOCKS = {
    "system": ("text",),
    "user": ("text", "image", "document", "tool_result", "search_result", "container_upload"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking", "server_tool_use"),
}


def signature_of(thinking: str) -> str:
    """The signature of a thinking block: of this text, and of no other."""
    return "sig-" + hashlib.sha256(thinking.encode("utf-8", "surrogatepass")).hexdigest()


def thinks(body: Json) -> bool:
    """Whether the request enables thinking."""
    return (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}


def blocks_of(message: Json) -> list[Json]:
    """The content of a message as blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check_body(body: Json, *, repeated_ids: bool) -> None:
    """Reject what the API would reject."""
    need(isinstance(body.get("model"), str) and body["model"], "model: Field required")
    limit = body.get("max_tokens")
    need(isinstance(limit, int) and limit > 0, "max_tokens: Field required; a number greater than 0")
    _check_system(body.get("system"))
    messages = body.get("messages")
    need(isinstance(messages, list), "messages: Field required")
    need(messages, "messages: at least one message is required")
    assert isinstance(messages, list)
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}", last=index == len(messages) - 1)
    need(messages[0]["role"] == "user", 'messages: first message must use the "user" role')
    _check_results(messages)
    if not repeated_ids:
        _check_unique(messages)
    _check_thinking(body, messages)
    _check_tools(body)


def _check_system(system: Any) -> None:
    if isinstance(system, list):
        for index, block in enumerate(system):
            is_text = isinstance(block, dict) and block.get("type") == "text"
            need(is_text, f"system.{index}: Input should be a text block")
            need(block.get("text"), f"system.{index}: text content blocks must be non-empty")
    else:
        need(system is None or isinstance(system, str), "system: Input should be a string or text blocks")


def _check_message(message: Any, at: str, *, last: bool) -> None:
    need(isinstance(message, dict), f"{at}: Input should be an object")
    role, content = message.get("role"), message.get("content")
    need(role in _BLOCKS, f"{at}.role: Input should be 'user', 'assistant' or 'system', not {role!r}")
    need(isinstance(content, str | list), f"{at}.content: Input should be a string or a list of blocks")
    may_be_empty = last and role == "assistant"
    need(
        content or may_be_empty,
        f"{at}: all messages must have non-empty content except for the optional final assistant message",
    )
    for index, block in enumerate(content if isinstance(content, list) else ()):
        _check_block(block, role, f"{at}.content.{index}")


def _check_block(block: Any, role: str, at: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    known = kind in _BLOCKS[role] or (role == "assistant" and str(kind).endswith("_tool_result"))
    need(known, f"{at}: Input tag {kind!r} found is none of the expected tags: {_BLOCKS[role]}")
    if kind == "text":
        need(isinstance(block.get("text"), str), f"{at}.text: Input should be a valid string")
        need(block["text"], f"{at}: text content blocks must be non-empty")
    elif kind == "tool_use":
        need(isinstance(block.get("id"), str), f"{at}.tool_use.id: Field required")
        need(isinstance(block.get("name"), str), f"{at}.tool_use.name: Field required")
        need(isinstance(block.get("input"), dict), f"{at}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result":
        need(isinstance(block.get("tool_use_id"), str), f"{at}.tool_result.tool_use_id: Field required")
        _check_result_content(block.get("content"), f"{at}.tool_result.content")


def _check_result_content(content: Any, at: str) -> None:
    if content is None or isinstance(content, str):
        return
    need(isinstance(content, list), f"{at}: Input should be a string or a list of blocks")
    for index, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        known = kind in {"text", "image", "document", "search_result", "tool_reference"}
        need(known, f"{at}.{index}: Input tag {kind!r} found is none of the expected tags")
        if kind == "text":
            need(block.get("text"), f"{at}.{index}: text content blocks must be non-empty")


def _check_results(messages: Sequence[Json]) -> None:
    """Every call is answered once, in the next message, before anything else in it."""
    asked: list[str] = []
    for index, message in enumerate(messages):
        at = f"messages.{index}"
        blocks = blocks_of(message)
        given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        leading = [b["type"] == "tool_result" for b in blocks[: len(given)]]
        for call_id in given:
            need(
                call_id in asked,
                f"{at}.content: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
            )
            need(
                given.count(call_id) == 1,
                f"{at}.content: each tool_use must have a single result. Found multiple `tool_result` "
                f"blocks with id: {call_id}",
            )
        missing = asked if not all(leading) else [call_id for call_id in asked if call_id not in given]
        _need_none(missing, f"messages.{index - 1}")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
    _need_none(asked, f"messages.{len(messages) - 1}")


def _need_none(missing: Sequence[str], at: str) -> None:
    need(
        not missing,
        f"{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message.",
    )


def _check_unique(messages: Sequence[Json]) -> None:
    seen: set[str] = set()
    for index, message in enumerate(messages):
        for block in blocks_of(message):
            if block["type"] == "tool_use":
                need(block["id"] not in seen, f"messages.{index}: `tool_use` ids must be unique")
                seen.add(block["id"])


def _check_thinking(body: Json, messages: Sequence[Json]) -> None:
    asked = body.get("thinking") or {}
    if asked.get("type") == "enabled":
        budget = asked.get("budget_tokens")
        is_enough = isinstance(budget, int) and 1024 <= budget < body["max_tokens"]
        need(is_enough, "thinking.enabled.budget_tokens: at least 1024, and less than max_tokens")
    for index, message in enumerate(messages):
        for number, block in enumerate(blocks_of(message)):
            signed = block["type"] != "thinking" or block.get("signature") == signature_of(block["thinking"])
            need(signed, f"messages.{index}.content.{number}: Invalid `signature` in `thinking` block")
    if thinks(body):
        _check_last_turn(messages)


def _check_last_turn(messages: Sequence[Json]) -> None:
    said = [(index, blocks_of(m)) for index, m in enumerate(messages) if m["role"] == "assistant"]
    if not said:
        return
    index, blocks = said[-1]
    uses = any(block["type"] == "tool_use" for block in blocks)
    first = blocks[0]["type"] if blocks else None
    need(
        not uses or first in {"thinking", "redacted_thinking"},
        f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. "
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block "
        "(preceeding the lastmost set of `tool_use` and `tool_result` blocks).",
    )


def _check_tools(body: Json) -> None:
    tools = body.get("tools") or []
    choice = body.get("tool_choice")
    need(tools or choice is None, "tool_choice: may only be specified while providing tools")
    names = []
    for index, tool in enumerate(tools):
        at = f"tools.{index}"
        need(isinstance(tool, dict), f"{at}: Input should be an object")
        check_name(tool.get("name"), 128, at)
        names.append(tool["name"])
        if tool.get("type") in {None, "custom"}:
            need("input_schema" in tool, f"{at}.custom.input_schema: Field required")
            strict = bool(tool.get("strict"))
            check_schema(tool["name"], tool["input_schema"], strict=strict, param=f"{at}.custom.input_schema")
    need(len(set(names)) == len(names), f"tools: Tool names must be unique: {names}")
    if choice and choice.get("type") == "tool":
        need(choice.get("name") in names, f"tool_choice: Tool '{choice.get('name')}' not found in tools")
