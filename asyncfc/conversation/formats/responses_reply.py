"""Replies of OpenAI Responses, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from asyncfc.conversation.formats.base import (
    CallBegun,
    CallSealed,
    Ended,
    Json,
    Part,
    Reply,
    ReplyCall,
    TextDelta,
)
from asyncfc.conversation.formats.common import (
    BROKEN_OFF,
    INCONSISTENT,
    as_list,
    as_object,
    as_text,
    json_text,
    map_content,
    map_list,
    map_part,
    put,
    rewrite_deltas,
    text_of,
)
from asyncfc.futures.call import Call

# The items that are calls, and the field that holds what the tool is called with.
INPUTS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
# The deltas that a user reads, and the type and field of the part that they belong to.
_TEXT_DELTAS: Final = {
    "response.output_text.delta": ("output_text", "text"),
    "response.refusal.delta": ("refusal", "refusal"),
}
_TEXT_DONE: Final = {"response.output_text.done": "text", "response.refusal.done": "refusal"}
_INPUT_DELTAS: Final = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "error")


def item_type(item: Any) -> str:
    """The type of an item; a message may leave it out."""
    item = as_object(item)
    return as_text(item.get("type")) or ("message" if "role" in item else "")


def read_call(item: Mapping[str, Any]) -> ReplyCall | None:
    """The call that an item is, or None.

    A tool in a namespace is `foreign`: its name alone does not say which tool is meant.
    """
    field = INPUTS.get(item_type(item))
    if field is None:
        return None
    call = Call(as_text(item.get("call_id")), as_text(item.get("name")), json_text(item.get(field)))
    kind: Literal["model", "program", "foreign"] = "model"
    if item_type(item) == "custom_tool_call" or item.get("namespace"):
        kind = "foreign"
    elif as_object(item.get("caller")).get("type") not in (None, "direct"):
        kind = "program"
    return ReplyCall(call, kind, native=item.get("async") is True)


def read_calls(items: Iterable[Any]) -> tuple[ReplyCall, ...]:
    """The calls among items, in order."""
    return tuple(call for item in items if (call := read_call(as_object(item))) is not None)


def read_output(output: Sequence[Any], cut: str | None) -> Reply:
    """The reply that the output items make, cut for this reason or because it refuses and calls."""
    calls = read_calls(output)
    contents = [as_object(item).get("content") for item in output if item_type(item) == "message"]
    refused = any(
        as_object(part).get("type") == "refusal" for content in contents for part in as_list(content)
    )
    cut = cut or ("refusal" if refused and calls else None)
    return Reply("".join(map(text_of, contents)), calls, cut, tuple(output))


def why_cut(response: Mapping[str, Any]) -> str | None:
    """Why a response is not complete, or None; servers that leave the status out send complete ones."""
    status = as_text(response.get("status"))
    if status in ("completed", ""):
        return None
    details = as_object(response.get("incomplete_details")), as_object(response.get("error"))
    return as_text(details[0].get("reason")) or as_text(details[1].get("code")) or status


def with_text(body: Json, change: Callable[[str], str]) -> Json:
    """`Format.with_text`."""
    if "output" not in body:
        return body
    result: Json = put(body, "output", map_list(body["output"], lambda item: _with_item_text(item, change)))
    return result


def _with_item_text(item: Any, change: Callable[[str], str]) -> Any:
    if item_type(item) != "message" or "content" not in item:
        return item
    return put(item, "content", map_content(item["content"], change))


class ResponsesReader:
    """`StreamReader` of Responses. A call is sealed when its item is done, and the calls before it are."""

    def __init__(self) -> None:
        self._items: dict[int, Json] = {}
        self._done: set[int] = set()
        self._inputs: dict[int, str] = {}
        self._texts: dict[tuple[int, Any], Json] = {}
        self._sealed: list[ReplyCall] = []
        self._ended = False
        self._cut: str | None = BROKEN_OFF

    def feed(self, event: Mapping[str, Any]) -> list[Part]:
        """What an event brings."""
        kind, index = as_text(event.get("type")), event.get("output_index")
        if self._ended:
            return []
        if kind in _ENDS:
            return self._end(kind, event)
        if not isinstance(index, int):
            return []
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._take_item(index, event.get("item"), done=kind.endswith("done"))
        if kind in _TEXT_DELTAS:
            return self._take_text(kind, index, event)
        if kind in _INPUT_DELTAS and index not in self._done:
            self._inputs[index] = self._inputs.get(index, "") + as_text(event.get("delta"))
        return []

    def _take_item(self, index: int, item: Any, *, done: bool) -> list[Part]:
        if not isinstance(item, Mapping) or index in self._done:
            return []
        begins = index not in self._items and item_type(item) in INPUTS
        self._items[index] = dict(item)
        if done:
            self._done.add(index)
        return [*([CallBegun()] if begins else ()), *self._seal()]

    def _take_text(self, kind: str, index: int, event: Mapping[str, Any]) -> list[Part]:
        part_type, field = _TEXT_DELTAS[kind]
        text = as_text(event.get("delta"))
        empty = {"type": part_type, field: "", **({"annotations": []} if field == "text" else {})}
        part = self._texts.setdefault((index, _hashable(event.get("content_index"))), empty)
        part[field] = as_text(part.get(field)) + text
        return [TextDelta(text)] if text else []

    def _seal(self) -> list[Part]:
        """Seal what is complete, in order; an item that was cut off is done too, but not complete."""
        parts: list[Part] = []
        calls = [index for index in sorted(self._items) if item_type(self._items[index]) in INPUTS]
        for index in calls[len(self._sealed) :]:
            item = self._items[index]
            call = read_call(item)
            if index not in self._done or item.get("status") == "incomplete" or call is None:
                break
            self._sealed.append(call)
            parts.append(CallSealed(call))
        return parts

    def _end(self, kind: str, event: Mapping[str, Any]) -> list[Part]:
        self._ended = True
        response = as_object(event.get("response"))
        if kind == "error":
            self._cut = as_text(event.get("code")) or "error"
        elif kind != "response.completed":
            self._cut = why_cut(response) or kind.removeprefix("response.")
        else:
            self._cut = why_cut(response)
        begun = len(self._calls())
        self._take_final(as_list(response.get("output")))
        parts: list[Part] = [CallBegun() for _ in self._calls()[begun:]]
        if self._cut is None and self.reply().cut is None:
            calls = list(self._calls())
            parts += self._seal() if calls[: len(self._sealed)] == self._sealed else []
            self._cut = None if calls == self._sealed else INCONSISTENT
        return [*parts, Ended()]

    def _take_final(self, output: list[Any]) -> None:
        """Some servers stream no items, or do not finish them: then the final event has them."""
        if output and not (self._items and self._done == set(self._items)):
            self._items = {index: dict(as_object(item)) for index, item in enumerate(output)}
            self._done = set(self._items)

    def _calls(self) -> tuple[ReplyCall, ...]:
        return read_calls(self._output())

    def _output(self) -> list[Json]:
        return [self._item(index) for index in sorted(self._items)]

    def _item(self, index: int) -> Json:
        """An item as far as it came."""
        item = self._items[index]
        if index in self._done:
            return item
        item = {**item, "status": "incomplete"}
        field = INPUTS.get(item_type(item))
        if field and index in self._inputs:
            item[field] = self._inputs[index]
        texts = [part for (owner, _), part in self._texts.items() if owner == index]
        return {**item, "content": texts} if texts else item

    def reply(self) -> Reply:
        """The message as far as it came."""
        return read_output(self._output(), self._cut)

    def rewrite(self, events: Sequence[Json], change: Callable[[str], str]) -> list[Json]:
        """The events with their text changed."""
        rewritten = rewrite_deltas(events, change, _texts, _with_texts)
        return [_with_whole_text(event, change) for event in rewritten]


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _texts(event: Json) -> dict[Hashable, str]:
    text = as_text(event.get("delta"))
    if as_text(event.get("type")) not in _TEXT_DELTAS or not text:
        return {}
    return {(_hashable(event.get("output_index")), _hashable(event.get("content_index"))): text}


def _with_texts(event: Json, texts: Mapping[Hashable, str]) -> Json | None:
    text = "".join(texts.values())
    return {**event, "delta": text} if text else None


def _with_whole_text(event: Json, change: Callable[[str], str]) -> Json:
    """An event that repeats the text of a part, an item or the response, with that changed."""
    kind = as_text(event.get("type"))
    field = _TEXT_DONE.get(kind)
    if field:
        event = put(event, field, change(as_text(event.get(field))))
    elif kind.startswith("response.content_part.") and "part" in event:
        event = put(event, "part", map_part(event["part"], change))
    elif kind.startswith("response.output_item.") and "item" in event:
        event = put(event, "item", _with_item_text(event["item"], change))
    elif isinstance(event.get("response"), Mapping):
        event = put(event, "response", with_text(event["response"], change))
    return event
