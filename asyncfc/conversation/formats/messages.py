"""Anthropic Messages: requests, and the `Format` as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asyncfc.conversation.formats import messages_reply
from asyncfc.conversation.formats.base import Format, Json, Reply, StreamReader, ToolSchema
from asyncfc.conversation.formats.common import (
    ROLES,
    ToolShape,
    append_text,
    as_list,
    as_object,
    as_text,
    map_content,
    map_list,
    map_part,
    no_answer,
    parsed_object,
    put,
    text_of,
    with_schemas,
)
from asyncfc.conversation.providers import ANTHROPIC, ANTHROPIC_THINKING, Provider
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.futures.call import Call

_SHAPE = ToolShape("input_schema", strict=False)
_THINKING_MODES = ("enabled", "adaptive", "between_tools")
_THINKING_BLOCKS = ("thinking", "redacted_thinking")


class Messages:
    """`Format` of Anthropic Messages."""

    def provider(self, body: Json) -> Provider:
        """Some models think unasked, so reasoning in the messages counts as thinking too."""
        asked = as_object(body.get("thinking")).get("type")
        thinks = asked in _THINKING_MODES or (
            asked is None and any(_thinks(item) for item in self.messages(body))
        )
        return ANTHROPIC_THINKING if thinks else ANTHROPIC

    def messages(self, body: Json) -> list[Any]:
        """The items of a request, as they are."""
        return as_list(body.get("messages"))

    def with_messages(self, body: Json, items: Sequence[Any]) -> Json:
        """The request with these items instead."""
        return {**body, "messages": list(items)}

    def with_note(self, body: Json, note: str) -> Json:
        """The request with a text behind its system prompt, as one more block if that is made of blocks."""
        return {**body, "system": append_text(body.get("system"), note, between="\n\n")}

    def with_tools(
        self, body: Json, change: Callable[[ToolSchema], ToolSchema], add: Sequence[ToolSchema]
    ) -> Json:
        """The request with its client tools changed, and others behind them."""
        return with_schemas(
            body, _read_tool, _SHAPE.write, lambda schema: _SHAPE.write({}, schema), change, add
        )

    def tool_names(self, body: Json) -> list[str]:
        """The names of the client tools."""
        schemas = (_read_tool(tool) for tool in as_list(body.get("tools")))
        return [schema.name for schema in schemas if schema is not None]

    def continues(self, body: Json) -> bool:
        """Whether the provider keeps the messages before."""
        return as_object(body.get("thread")).get("type") == "continue"

    def is_structured(self, body: Json) -> bool:
        """Whether the final text is to be JSON."""
        return bool(as_object(body.get("output_config")).get("format") or body.get("output_format"))

    def read(self, item: Any) -> Entry:
        """An item as an entry; a message that answers calls is a tool's."""
        item = as_object(item)
        role, content = ROLES.get(as_text(item.get("role")), "user"), item.get("content")
        text, blocks = text_of(content), as_list(content)
        if role == "assistant":
            calls = tuple(call.call for call in messages_reply.read_calls(blocks))
            return Entry(role, text, calls, thinking=_thinks(item))
        answers = tuple(_read_answer(block) for block in blocks if _is_answer(block))
        return Entry("tool" if answers else role, text, answers=answers)

    def write(self, entry: Entry) -> list[Any]:
        """An entry as one item; one with nothing in it gives none, since a content must not be empty."""
        if not entry.calls and not entry.answers:
            role = "user" if entry.role == "tool" else entry.role
            return [{"role": role, "content": entry.text}] if entry.text else []
        answers = [
            {"type": "tool_result", "tool_use_id": answer.call_id, "content": answer.text}
            for answer in entry.answers
        ]
        text = [{"type": "text", "text": entry.text}] if entry.text else []
        calls = [_write_call(call) for call in entry.calls]
        role = "assistant" if entry.role == "assistant" else "user"
        return [{"role": role, "content": [*answers, *text, *calls]}]

    def extend(self, item: Any, text: str) -> Any:
        """An item with a text behind its last answer.

        Raises:
            TranscriptError: it answers no call.
        """
        blocks = as_list(as_object(item).get("content"))
        places = [index for index, block in enumerate(blocks) if _is_answer(block)]
        if not places:
            raise no_answer(item, "a user's message with a block of type 'tool_result'")
        last = blocks[places[-1]]
        blocks[places[-1]] = {**last, "content": append_text(last.get("content"), text)}
        return {**item, "content": blocks}

    def map_texts(self, item: Any, change: Callable[[str, str | None], str]) -> Any:
        """A message of the user with every text changed, those in tool results and documents included."""
        if as_object(item).get("role") != "user" or "content" not in item:
            return item

        def of_block(block: Any) -> Any:
            if _is_answer(block):
                call_id = as_text(block.get("tool_use_id"))
                return _map_inside(block, lambda text: change(text, call_id))
            return _map_block(block, lambda text: change(text, None))

        content = item["content"]
        if isinstance(content, str):
            return put(item, "content", change(content, None))
        return put(item, "content", map_list(content, of_block))

    def reply(self, body: Json) -> Reply:
        """The message of the model in a whole reply."""
        blocks = as_list(body.get("content"))
        stop = as_text(body.get("stop_reason"))
        calls = messages_reply.read_calls(blocks)
        return messages_reply.read_blocks(blocks, calls, stop, messages_reply.why_cut(stop))

    def with_text(self, body: Json, change: Callable[[str], str]) -> Json:
        """The reply with its texts changed."""
        return messages_reply.with_text(body, change)

    def reader(self) -> StreamReader:
        """A reader for one streamed reply."""
        return messages_reply.MessagesReader()


def _thinks(item: Any) -> bool:
    item = as_object(item)
    blocks = as_list(item.get("content")) if item.get("role") == "assistant" else []
    return any(as_object(block).get("type") in _THINKING_BLOCKS for block in blocks)


def _is_answer(block: Any) -> bool:
    return as_object(block).get("type") == "tool_result"


def _read_answer(block: Mapping[str, Any]) -> CallAnswer:
    return CallAnswer(as_text(block.get("tool_use_id")), text_of(block.get("content")))


def _write_call(call: Call) -> Json:
    given = parsed_object(call.arguments) if isinstance(call.arguments, str) else dict(call.arguments)
    return {"type": "tool_use", "id": call.id, "name": call.tool, "input": given}


def _map_inside(block: Any, change: Callable[[str], str]) -> Any:
    """A block that holds others, with every text in it changed."""
    content = block.get("content")
    if isinstance(content, list | tuple):
        return put(block, "content", map_list(content, lambda inner: _map_block(inner, change)))
    return put(block, "content", map_content(content, change)) if "content" in block else block


def _map_block(block: Any, change: Callable[[str], str]) -> Any:
    """A block with its texts changed: its own, or those of a search result or a document of text."""
    kind = as_object(block).get("type")
    if kind == "search_result":
        content = map_list(block.get("content"), lambda inner: map_part(inner, change))
        return put(block, "content", content) if "content" in block else block
    source = as_object(block).get("source")
    if kind == "document" and as_object(source).get("type") == "text":
        return put(block, "source", put(source, "data", change(as_text(as_object(source).get("data")))))
    return map_part(block, change)


def _read_tool(tool: Any) -> ToolSchema | None:
    """A client tool; those with another type have schemas that the provider knows."""
    if not isinstance(tool, Mapping) or tool.get("type") not in (None, "custom"):
        return None
    return _SHAPE.read(tool)


MESSAGES: Final[Format] = Messages()
