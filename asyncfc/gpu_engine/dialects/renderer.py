"""Renderer: conversations as the chat template of a model writes them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.plain import as_plain
from asyncfc.gpu_engine.dialects.shield import Shield

Message = Mapping[str, Any]
_SHORT_ID = re.compile("[A-Za-z0-9]{9}")


@dataclass(frozen=True, slots=True)
class Habits:
    """In which form a chat template takes messages with calls.

    Attributes:
        text_arguments: arguments are JSON text rather than an object.
        no_content: the content is None rather than "".
        short_ids: ids of calls are 9 letters and digits.
        one_call: a message has one call at most.
        plain: calls and results are text.
    """

    text_arguments: bool = False
    no_content: bool = False
    short_ids: bool = False
    one_call: bool = False
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders conversations.

    Attributes:
        tokenizer: of transformers.
        chat_template: in Jinja.
        habits: of that template.
    """

    tokenizer: Any
    chat_template: str
    habits: Habits = Habits()

    def text(self, messages: Sequence[Message], tools: Sequence[Message] = (), *, prompt: bool = True) -> str:
        """Return the conversation as text; `prompt`: with what makes the model go on as assistant.

        Raises:
            DeclarationError: the chat template does not take these messages.
        """
        taken = [self._taken(message) for message in messages]
        if self.habits.one_call:
            taken = _one_by_one(taken)
        if self.habits.plain:
            taken, tools = as_plain(taken, tools), ()
        try:
            # What `apply_chat_template` does, but for its dropping of None: some templates ask for it.
            rendered: Any = render_jinja_template(
                conversations=[taken],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self.chat_template,
                add_generation_prompt=prompt,
                **self.tokenizer.special_tokens_map,
            )
        except Exception as error:
            raise DeclarationError(
                f"the chat template does not take these messages: {error!r}. "
                f"Their roles: {', '.join(str(message.get('role')) for message in messages)}"
            ) from error
        return str(rendered[0][0])

    def call(self, name: str, arguments: Any, id: str) -> dict[str, Any]:
        """Return one entry of "tool_calls"."""
        return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _taken(self, message: Message) -> dict[str, Any]:
        taken = {key: value for key, value in message.items() if value is not None}
        if isinstance(taken.get("tool_call_id"), str):
            taken["tool_call_id"] = self.id_of(taken["tool_call_id"])
        if calls := taken.get("tool_calls"):
            taken["tool_calls"] = [self._call(call) for call in calls]
            taken["content"] = taken.get("content") or (None if self.habits.no_content else "")
        return taken

    def _call(self, call: Message) -> dict[str, Any]:
        function = dict(call.get("function", call))
        function["arguments"] = self._arguments(function.get("arguments"))
        return {"id": self.id_of(str(call.get("id", ""))), "type": "function", "function": function}

    def _arguments(self, arguments: Any) -> Any:
        if self.habits.text_arguments:
            return (
                arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
            )
        if not isinstance(arguments, str):
            return arguments or {}
        try:
            parsed = json.loads(arguments) if arguments.strip() else {}
        except ValueError:
            parsed = None
        # What the model wrote may be no arguments at all; a template that takes objects takes only these.
        return parsed if isinstance(parsed, Mapping) else {"arguments": arguments}

    def id_of(self, id: str) -> str:
        """Return the id of a call in the form that the chat template takes."""
        if not self.habits.short_ids or _SHORT_ID.fullmatch(id):
            return id
        return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:9]


def _one_by_one(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages with one call each, and its result behind it, for templates that take no more."""
    results = {message["tool_call_id"]: message for message in messages if message.get("tool_call_id")}
    found: list[dict[str, Any]] = []
    for message in messages:
        calls = message.get("tool_calls") or ()
        if len(calls) > 1:
            for place, call in enumerate(calls):
                found.append({**message, "tool_calls": [call], **({} if place == 0 else {"content": ""})})
                found += [results.pop(call["id"])] if call["id"] in results else []
        elif message.get("role") != "tool" or message.get("tool_call_id") in (None, *results):
            found.append(message)
    return found


def shielded(messages: Sequence[Message], shield: Shield) -> list[dict[str, Any]]:
    """Return messages of which the values cannot become structure. What the developer writes is trusted."""
    return [_shielded(message, shield) for message in messages]


def _shielded(message: Message, shield: Shield) -> dict[str, Any]:
    role = message.get("role")
    if role in {"system", "developer"}:
        return dict(message)
    result = {key: value if key == "role" else shield.hide(value) for key, value in message.items()}
    if role == "assistant":
        said = {key for key, value in message.items() if key != "role" and isinstance(value, str)}
        result |= {key: shield.hide_in_answer(message[key]) for key in said}
    return result
