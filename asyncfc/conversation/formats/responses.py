"""OpenAI Responses: requests, and the `Format` as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncfc.conversation.formats import responses_reply
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
    text_of,
    with_schemas,
)
from asyncfc.conversation.formats.responses_reply import item_type
from asyncfc.conversation.providers import OPENAI_RESPONSES, Provider, Role
from asyncfc.conversation.transcript import CallAnswer, Entry

# A tool that does not say whether it is strict is made strict where its schema allows it.
_SHAPE = ToolShape("parameters", strict=True)
_ANSWERS = ("function_call_output", "custom_tool_call_output")
# What else the client answers: calls of hosted tools that run on its side.
_OTHER_ANSWERS = (
    "apply_patch_call_output",
    "computer_call_output",
    "local_shell_call_output",
    "mcp_approval_response",
    "shell_call_output",
)


class Responses:
    """`Format` of OpenAI Responses."""

    def provider(self, body: Json) -> Provider:  # noqa: ARG002 - one row for all
        """The row of the table."""
        return OPENAI_RESPONSES

    def messages(self, body: Json) -> list[Any]:
        """The items of a request; a bare string is one of the user."""
        given = body.get("input")
        return [{"role": "user", "content": given}] if isinstance(given, str) else as_list(given)

    def with_messages(self, body: Json, items: Sequence[Any]) -> Json:
        """The request with these items; a bare string stays one as long as nothing was added."""
        return body if list(items) == self.messages(body) else {**body, "input": list(items)}

    def with_note(self, body: Json, note: str) -> Json:
        """The request with a text behind its instructions."""
        return {**body, "instructions": append_text(body.get("instructions"), note, between="\n\n")}

    def with_tools(
        self, body: Json, change: Callable[[ToolSchema], ToolSchema], add: Sequence[ToolSchema]
    ) -> Json:
        """The request with its client tools changed, and others behind them."""
        return with_schemas(body, _read_tool, _SHAPE.write, _new_tool, change, add)

    def tool_names(self, body: Json) -> list[str]:
        """The names of the client tools."""
        schemas = (_read_tool(tool) for tool in as_list(body.get("tools")))
        return [schema.name for schema in schemas if schema is not None]

    def continues(self, body: Json) -> bool:
        """Whether the provider keeps the messages before."""
        return bool(body.get("previous_response_id") or body.get("conversation"))

    def is_structured(self, body: Json) -> bool:
        """Whether the final text is to be JSON."""
        kind = as_object(as_object(body.get("text")).get("format")).get("type")
        return kind in ("json_schema", "json_object")

    def read(self, item: Any) -> Entry:
        """An item as an entry."""
        item, kind = as_object(item), item_type(item)
        if kind == "message":
            return Entry(ROLES.get(as_text(item.get("role")), "user"), text_of(item.get("content")))
        if kind in _ANSWERS:
            answer = CallAnswer(as_text(item.get("call_id")), text_of(item.get("output")))
            return Entry("tool", answers=(answer,) if answer.call_id else ())
        call = responses_reply.read_call(item)
        if call is not None:
            return Entry("assistant", calls=(call.call,), late=call.native)
        return Entry(_other_role(item, kind), thinking=kind == "reasoning")

    def write(self, entry: Entry) -> list[Any]:
        """An entry as items: the text is a message of its own, as is each call and each answer."""
        if entry.role == "tool":
            items = [
                {"type": "function_call_output", "call_id": answer.call_id, "output": answer.text}
                for answer in entry.answers
            ]
            return [*items, _message("user", entry.text)] if entry.text else items
        calls = [
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.tool,
                "arguments": json_text(call.arguments),
            }
            for call in entry.calls
        ]
        return [_message(entry.role, entry.text), *calls] if entry.text or not calls else list(calls)

    def extend(self, item: Any, text: str) -> Any:
        """An item with a text behind its last answer.

        Raises:
            TranscriptError: it answers no call.
        """
        if item_type(item) not in _ANSWERS:
            raise no_answer(item, "an item of type 'function_call_output'")
        return {**item, "output": append_text(item.get("output"), text, kind="input_text")}

    def map_texts(self, item: Any, change: Callable[[str, str | None], str]) -> Any:
        """An item of a user or tool, with every text changed."""
        kind = item_type(item)
        if kind in _ANSWERS and "output" in item:
            call_id = as_text(item.get("call_id"))
            return put(item, "output", map_content(item["output"], lambda text: change(text, call_id)))
        if kind == "message" and item.get("role") == "user" and "content" in item:
            return put(item, "content", map_content(item["content"], lambda text: change(text, None)))
        return item

    def reply(self, body: Json) -> Reply:
        """The message of the model in a whole reply."""
        return responses_reply.read_output(as_list(body.get("output")), responses_reply.why_cut(body))

    def with_text(self, body: Json, change: Callable[[str], str]) -> Json:
        """The reply with its texts changed."""
        return responses_reply.with_text(body, change)

    def reader(self) -> StreamReader:
        """A reader for one streamed reply."""
        return responses_reply.ResponsesReader()


def _other_role(item: Any, kind: str) -> Role:
    if kind in _OTHER_ANSWERS:
        return "tool"
    # Everything else that has no role is the model's, or the work of a tool on the server.
    return ROLES.get(as_text(item.get("role")), "assistant" if kind else "user")


def _message(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": text}


def _read_tool(tool: Any) -> ToolSchema | None:
    return _SHAPE.read(tool) if as_object(tool).get("type") == "function" else None


def _new_tool(schema: ToolSchema) -> Json:
    # Said in so many words: left out, it would be taken for strict.
    tool: Json = _SHAPE.write({"type": "function", "strict": schema.strict}, schema)
    return tool


RESPONSES: Final[Format] = Responses()
