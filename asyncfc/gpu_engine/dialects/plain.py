"""Plain: calls and results as text, for chat templates that know neither (Gemma 2 and 3).

A convention of this library, not of the models: calls stand in the model's turn as Hermes writes them,
results in a user turn, and the tools are described in the first message. The tags are plain words here, so
that a model can write the one around results too; what it writes stays its own turn, and is never taken for
a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

INTRODUCTION = """\
You can call tools. To call one, write <tool_call>{"name": "...", "arguments": {...}}</tool_call>, as often \
as you need to, and end your turn. The results come in the next message, each in <tool_response>. The tools:
"""


def as_plain(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the conversation with users and assistants only, in alternation."""
    plain: list[dict[str, Any]] = []
    before = [INTRODUCTION + "\n".join(_json(tool) for tool in tools)] if tools else []
    for message in messages:
        role, text = _plain(message)
        if role in {"system", "developer"}:
            before.append(text)
        elif plain and plain[-1]["role"] == role:
            plain[-1]["content"] += f"\n{text}"
        else:
            plain.append({"role": role, "content": text})
    if before:
        if not plain or plain[0]["role"] != "user":
            plain.insert(0, {"role": "user", "content": ""})
        plain[0]["content"] = "\n\n".join([*before, plain[0]["content"]]).strip()
    return plain


def _plain(message: Mapping[str, Any]) -> tuple[str, str]:
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    if message["role"] == "tool":
        return "user", f"<tool_response>\n{content}\n</tool_response>"
    calls = [_call(call.get("function", call)) for call in message.get("tool_calls") or ()]
    return message["role"], "\n".join(filter(None, [content, *calls]))


def _call(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    written = arguments if isinstance(arguments, str) else _json(arguments)
    return f'<tool_call>\n{{"name": {_json(function["name"])}, "arguments": {written}}}\n</tool_call>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
