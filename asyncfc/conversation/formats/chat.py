"""OpenAI Chat Completions: requests, and the `Format` as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asyncfc.conversation.formats import chat_reply
from asyncfc.conversation.formats.base import Format, Json, Reply, StreamReader, ToolSchema
from asyncfc.conversation.formats.common import (
    ROLES,
    ToolShape,
    append_text,
    as_list,
    as_object,
    as_text,
    json_text,
    map_content,
    no_answer,
    put,
    with_schemas,
)
from asyncfc.conversation.providers import OPENAI_CHAT, Provider
from asyncfc.conversation.transcript import CallAnswer, Entry

_SHAPE = ToolShape("parameters", strict=False)
# Fields in which compatible servers keep the model's reasoning.
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks")


class Chat:
    """`Format` of OpenAI Chat Completions, and of everything that speaks it."""

    def provider(self, body: Json) -> Provider:  # noqa: ARG002 - one row for all
        """The row of the table; what speaks the same protocol elsewhere cannot be told apart here."""
        return OPENAI_CHAT

    def messages(self, body: Json) -> list[Any]:
        """The items of a request, as they are."""
        return as_list(body.get("messages"))

    def with_messages(self, body: Json, items: Sequence[Any]) -> Json:
        """The request with these items instead."""
        return {**body, "messages": list(items)}

    def with_note(self, body: Json, note: str) -> Json:
        """The request with a text behind its leading system messages, or one in front."""
        items = self.messages(body)
        leading = next((n for n, item in enumerate(items) if _role(item) != "system"), len(items))
        if leading == 0:
            return self.with_messages(body, [{"role": "system", "content": note}, *items])
        last = items[leading - 1]
        items[leading - 1] = {**last, "content": append_text(last.get("content"), note, between="\n\n")}
        return self.with_messages(body, items)

    def with_tools(
        self, body: Json, change: Callable[[ToolSchema], ToolSchema], add: Sequence[ToolSchema]
    ) -> Json:
        """The request with its client tools changed, and others behind them."""
        return with_schemas(body, _read_tool, _write_tool, _new_tool, change, add)

    def tool_names(self, body: Json) -> list[str]:
        """The names of the client tools."""
        schemas = (_read_tool(tool) for tool in as_list(body.get("tools")))
        return [schema.name for schema in schemas if schema is not None]

    def continues(self, body: Json) -> bool:  # noqa: ARG002 - never
        """Whether the provider keeps the messages before."""
        return False

    def is_structured(self, body: Json) -> bool:
        """Whether the final text is to be JSON."""
        kind = as_object(body.get("response_format")).get("type")
        return kind in ("json_schema", "json_object")

    def read(self, item: Any) -> Entry:
        """An item as an entry."""
        role = _role(item)
        item = as_object(item)
        if role == "assistant":
            calls = tuple(reply_call.call for reply_call in chat_reply.read_calls(item))
            thinking = any(item.get(field) for field in _REASONING)
            return Entry(role, chat_reply.read_text(item), calls, thinking=thinking)
        text = chat_reply.read_text(item)
        if role == "tool":
            answer = CallAnswer(as_text(item.get("tool_call_id")), text)
            return Entry(role, answers=(answer,) if "content" in item else ())
        return Entry(role, text)

    def write(self, entry: Entry) -> list[Any]:
        """An entry as items: one for each answer, and a user's message for a text behind the answers."""
        if entry.role == "tool":
            items = [
                {"role": "tool", "tool_call_id": answer.call_id, "content": answer.text}
                for answer in entry.answers
            ]
            return [*items, {"role": "user", "content": entry.text}] if entry.text else items
        if not entry.calls:
            return [{"role": entry.role, "content": entry.text}]
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.tool, "arguments": json_text(call.arguments)},
            }
            for call in entry.calls
        ]
        return [{"role": entry.role, "content": entry.text or None, "tool_calls": calls}]

    def extend(self, item: Any, text: str) -> Any:
        """An item with a text behind its last answer.

        Raises:
            TranscriptError: it answers no call.
        """
        if _role(item) != "tool":
            raise no_answer(item, "a message of role 'tool'")
        return {**item, "content": append_text(item.get("content"), text)}

    def map_texts(self, item: Any, change: Callable[[str, str | None], str]) -> Any:
        """An item of a user or tool, with every text changed."""
        role = _role(item)
        if role not in ("user", "tool") or not isinstance(item, Mapping) or "content" not in item:
            return item
        call_id = as_text(item.get("tool_call_id")) if role == "tool" else None
        return put(item, "content", map_content(item["content"], lambda text: change(text, call_id)))

    def reply(self, body: Json) -> Reply:
        """The message of the model in a whole reply."""
        choice = chat_reply.first_choice(body) or {}
        message = as_object(choice.get("message"))
        return chat_reply.read_message(message, as_text(choice.get("finish_reason")))

    def with_text(self, body: Json, change: Callable[[str], str]) -> Json:
        """The reply with its texts changed."""
        return chat_reply.with_text(body, change)

    def reader(self) -> StreamReader:
        """A reader for one streamed reply."""
        return chat_reply.ChatReader()


def _role(item: Any) -> Any:
    return ROLES.get(as_text(as_object(item).get("role")), "user")


def _read_tool(tool: Any) -> ToolSchema | None:
    function = as_object(tool).get("function")
    if as_object(tool).get("type") != "function" or not isinstance(function, Mapping):
        return None
    return _SHAPE.read(function)


def _write_tool(tool: Any, schema: ToolSchema) -> Any:
    return put(tool, "function", _SHAPE.write(tool["function"], schema))


def _new_tool(schema: ToolSchema) -> Json:
    return {"type": "function", "function": _SHAPE.write({}, schema)}


CHAT: Final[Format] = Chat()
