"""Gemini's `generateContent`: requests, and the `Format` as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from asyncfc.conversation.formats import gemini_reply
from asyncfc.conversation.formats.base import Format, Json, Reply, StreamReader, ToolSchema
from asyncfc.conversation.formats.common import (
    as_list,
    as_object,
    as_text,
    json_text,
    map_list,
    no_answer,
    parsed_object,
    put,
)
from asyncfc.conversation.formats.gemini_ids import (
    Ids,
    given_id,
    is_answer,
    parts_of,
    with_ids,
    without_restored,
)
from asyncfc.conversation.formats.gemini_reply import is_text
from asyncfc.conversation.formats.gemini_schema import json_schema
from asyncfc.conversation.providers import GEMINI as GEMINI_ROW
from asyncfc.conversation.providers import Provider
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.futures.call import Call
from asyncfc.futures.plain import map_strings

# Where a declaration keeps its JSON schema; Google's own SDK for Python writes the second.
_JSON_SCHEMA: Final = ("parametersJsonSchema", "parameters_json_schema")
# Where an answer keeps what the model is to read; without one of them, all of it is that. The last is what
# Google's SDK writes.
_OUTPUTS: Final = ("output", "error", "result")


class Gemini:
    """`Format` of Gemini."""

    def provider(self, body: Json) -> Provider:  # noqa: ARG002 - one row for all
        """The row of the table."""
        return GEMINI_ROW

    def messages(self, body: Json) -> list[Any]:
        """The items of a request; an answer that has lost the id of its call has it here."""
        return with_ids(as_list(body.get("contents")))

    def with_messages(self, body: Json, items: Sequence[Any]) -> Json:
        """The request with these items instead; an id that was put back does not go out."""
        return {**body, "contents": [without_restored(item) for item in items]}

    def with_note(self, body: Json, note: str) -> Json:
        """The request with a text behind its system instruction."""
        system = as_object(body.get("systemInstruction"))
        return {**body, "systemInstruction": {**system, "parts": [*parts_of(system), {"text": note}]}}

    def with_tools(
        self, body: Json, change: Callable[[ToolSchema], ToolSchema], add: Sequence[ToolSchema]
    ) -> Json:
        """The request with its functions changed, and others behind them."""
        names = self.tool_names(body)
        if not names:
            return body
        new = [_written({}, schema) for schema in add if schema.name not in names]

        def of_tool(tool: Any) -> Any:
            declared = as_list(as_object(tool).get("functionDeclarations"))
            if not declared:
                return tool
            changed = [
                _written(one, change(_read(one))) if isinstance(one, Mapping) else one for one in declared
            ]
            changed += new
            new.clear()
            return put(tool, "functionDeclarations", changed)

        return put(body, "tools", map_list(body["tools"], of_tool))  # type: ignore[no-any-return]

    def tool_names(self, body: Json) -> list[str]:
        """The names of the functions."""
        declared = [
            as_list(as_object(tool).get("functionDeclarations")) for tool in as_list(body.get("tools"))
        ]
        return [as_text(as_object(one).get("name")) for group in declared for one in group]

    def continues(self, body: Json) -> bool:  # noqa: ARG002 - never
        """Whether the provider keeps the messages before."""
        return False

    def is_structured(self, body: Json) -> bool:
        """Whether the final text is to be JSON."""
        config = as_object(body.get("generationConfig"))
        asked = any(config.get(key) for key in ("responseSchema", "responseJsonSchema"))
        return asked or config.get("responseMimeType") == "application/json"

    def read(self, item: Any) -> Entry:
        """A content as an entry; one that answers calls is a tool's."""
        parts = parts_of(item)
        if as_object(item).get("role") == "model":
            calls = tuple(call.call for call in gemini_reply.read_calls(parts))
            thinking = any(as_object(part).keys() & {"thought", "thoughtSignature"} for part in parts)
            return Entry("assistant", gemini_reply.text_of(parts), calls, thinking=thinking)
        ids = Ids()
        answers = tuple(_read_answer(part["functionResponse"], ids) for part in parts if is_answer(part))
        return Entry("tool" if answers else "user", gemini_reply.text_of(parts), answers=answers)

    def write(self, entry: Entry) -> list[Any]:
        """An entry as items; one with nothing in it gives none. A text behind answers is the user's own."""
        answers = [_write_answer(answer) for answer in entry.answers]
        text = [{"text": entry.text}] if entry.text else []
        if entry.role == "assistant":
            parts = [*text, *(_write_call(call) for call in entry.calls)]
            return [{"role": "model", "parts": parts}] if parts else []
        return [{"role": "user", "parts": parts} for parts in (answers, text) if parts]

    def extend(self, item: Any, text: str) -> Any:
        """A content with a text in its last answer: a part beside the answers is not allowed.

        Raises:
            TranscriptError: it answers no call.
        """
        parts = parts_of(item)
        places = [place for place, part in enumerate(parts) if is_answer(part)]
        if not places:
            raise no_answer(item, "a content with a part 'functionResponse'")
        about = parts[places[-1]]["functionResponse"]
        response = _extended(as_object(about.get("response")), text)
        parts[places[-1]] = {**parts[places[-1]], "functionResponse": {**about, "response": response}}
        return {**item, "parts": parts}

    def map_texts(self, item: Any, change: Callable[[str, str | None], str]) -> Any:
        """A content of the user with every text changed, those in answers included."""
        if as_object(item).get("role") == "model" or "parts" not in as_object(item):
            return item
        ids = Ids()

        def of_part(part: Any) -> Any:
            if not is_answer(part):
                return put(part, "text", change(part["text"], None)) if is_text(part) else part
            about = part["functionResponse"]
            call_id = ids.next(about)
            response = map_strings(about.get("response"), lambda text: change(text, call_id))
            return put(part, "functionResponse", put(about, "response", response))

        return put(item, "parts", map_list(item["parts"], of_part))

    def reply(self, body: Json) -> Reply:
        """The message of the model in a whole reply."""
        candidate = gemini_reply.first_candidate(body)
        parts, finish = parts_of(candidate.get("content")), as_text(candidate.get("finishReason"))
        return gemini_reply.read_reply(parts, finish, gemini_reply.refusal_of(body))

    def with_text(self, body: Json, change: Callable[[str], str]) -> Json:
        """The reply with its texts changed."""
        return gemini_reply.with_text(body, change)

    def reader(self) -> StreamReader:
        """A reader for one streamed reply."""
        return gemini_reply.GeminiReader()


def _read_answer(about: Mapping[str, Any], ids: Ids) -> CallAnswer:
    response = as_object(about.get("response"))
    told = next((response[key] for key in _OUTPUTS if key in response), response)
    return CallAnswer(ids.next(about), json_text(told))


def _write_answer(answer: CallAnswer) -> Json:
    name, _, _ = answer.call_id.rpartition(":")
    about = {"name": name or answer.call_id, "response": {"result": answer.text}}
    return {"functionResponse": {**given_id(answer.call_id), **about}}


def _write_call(call: Call) -> Json:
    given = parsed_object(call.arguments) if isinstance(call.arguments, str) else dict(call.arguments)
    return {"functionCall": {**given_id(call.id), "name": call.tool, "args": given}}


def _extended(response: Mapping[str, Any], text: str) -> Json:
    """The response with a text behind what the model reads of it."""
    key = next((key for key in _OUTPUTS if key in response), None)
    if key is None:
        return {**response, "more": text.strip()}
    return {**response, key: json_text(response[key]) + text}


def _read(declared: Mapping[str, Any]) -> ToolSchema:
    """A function's declaration; Gemini decodes by none of them strictly."""
    given = next((declared[key] for key in _JSON_SCHEMA if key in declared), None)
    parameters = json_schema(declared.get("parameters")) if given is None else given
    return ToolSchema(
        as_text(declared.get("name")),
        as_text(declared.get("description")),
        dict(as_object(parameters)),
        strict=False,
    )


def _written(declared: Mapping[str, Any], schema: ToolSchema) -> Any:
    """A declaration that says this; the very same object if it does already.

    Parameters that change become a JSON schema: Gemini's own dialect has no place for the pattern of handles.
    """
    old = _read(declared)
    result = dict(declared)
    if schema.name != old.name:
        result["name"] = schema.name
    if schema.description != old.description:
        result["description"] = schema.description
    if schema.parameters != old.parameters:
        result.pop("parameters", None)
        key = next((key for key in _JSON_SCHEMA if key in declared), _JSON_SCHEMA[0])
        result[key] = schema.parameters
    return declared if result == declared else result


GEMINI: Final[Format] = Gemini()
