"""Replies of OpenAI Chat Completions and of the many servers that speak it, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

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
    put,
    rewrite_deltas,
    text_of,
)
from asyncfc.futures.call import Call

# OpenAI has the first two; the others are what compatible servers (Mistral, DeepSeek, vLLM, OpenRouter) say.
# Any other reason counts as complete, since compatible servers invent many words for "stop".
CUT: Final = frozenset(
    {
        "length",
        "content_filter",
        "model_length",
        "max_tokens",
        "insufficient_system_resource",
        "abort",
        "error",
    }
)
# What a reply has and a request does not accept back as it is.
REPLY_ONLY: Final = frozenset({"annotations", "audio", "function_call"})
TEXTS: Final = ("content", "refusal")


def read_call(item: Mapping[str, Any]) -> ReplyCall:
    """An element of `tool_calls`; arguments that a server wrote as an object become JSON text."""
    call_id = as_text(item.get("id"))
    if item.get("type") == "custom":
        custom = as_object(item.get("custom"))
        return ReplyCall(Call(call_id, as_text(custom.get("name")), as_text(custom.get("input"))), "foreign")
    function = as_object(item.get("function"))
    return ReplyCall(Call(call_id, as_text(function.get("name")), json_text(function.get("arguments"))))


def read_calls(message: Mapping[str, Any]) -> tuple[ReplyCall, ...]:
    """The calls of an assistant's message."""
    return tuple(read_call(item) for item in as_list(message.get("tool_calls")) if isinstance(item, Mapping))


def read_text(message: Mapping[str, Any]) -> str:
    """The text of a message; a refusal is one too."""
    return text_of(message.get("content")) + as_text(message.get("refusal"))


def first_choice(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The choice with index 0; asyncfc looks at no other."""
    choices = as_list(body.get("choices"))
    return next((as_object(choice) for choice in choices if _is_first(choice)), None)


def _is_first(choice: Any) -> bool:
    return as_object(choice).get("index") in (0, None)


def with_first_choice(body: Json, change: Callable[[Any], Any]) -> Json:
    """A reply or chunk with its first choice changed."""
    changed = map_list(body.get("choices"), lambda choice: change(choice) if _is_first(choice) else choice)
    result: Json = put(body, "choices", changed) if "choices" in body else body
    return result


def read_message(message: Mapping[str, Any], finish: str) -> Reply:
    """The reply that an assistant's message and its `finish_reason` make."""
    calls = read_calls(message)
    refused = bool(calls and as_text(message.get("refusal")))
    cut = finish if finish in CUT else "refusal" if refused else None
    return Reply(read_text(message), calls, cut, (as_item(message),))


def as_item(message: Mapping[str, Any]) -> Json:
    """The message as a request accepts it back; fields that we do not know (reasoning) are kept."""
    item: Json = {"role": "assistant", "content": None}
    item |= {key: value for key, value in message.items() if value is not None and key not in REPLY_ONLY}
    if not item.get("tool_calls"):
        item.pop("tool_calls", None)  # OpenAI refuses an empty list
        item["content"] = "" if item["content"] is None else item["content"]
    return item


def with_text(body: Json, change: Callable[[str], str]) -> Json:
    """`Format.with_text`."""

    def of_message(message: Any) -> Any:
        for field in TEXTS:
            if field in message:
                message = put(message, field, map_content(message[field], change))
        return message

    def of_choice(choice: Any) -> Any:
        message = as_object(choice).get("message")
        return put(choice, "message", of_message(message)) if isinstance(message, Mapping) else choice

    return with_first_choice(body, of_choice)


class _Slot:
    """One call while it is streamed."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.kind = "function"
        self.pieces: list[str] = []
        self.extra: Json = {}
        self.sealed = False

    def is_meant(self, index: Any, call_id: str) -> bool:
        """Whether a delta belongs to this call: some servers give all calls one index, but different ids."""
        return (index is None or index == self.index) and (not call_id or not self.id or call_id == self.id)

    def take(self, delta: Mapping[str, Any]) -> bool:
        """Add what a delta says; whether that changes the arguments."""
        self.id = self.id or as_text(delta.get("id"))
        self.kind = "custom" if delta.get("type") == "custom" or "custom" in delta else self.kind
        body = as_object(delta.get(self.kind))
        name = as_text(body.get("name"))
        self.name += "" if name == self.name else name  # some servers repeat the whole name
        piece = json_text(body.get("input" if self.kind == "custom" else "arguments"))
        self.pieces.append(piece)
        known = ("index", "id", "type", "function", "custom")
        self.extra |= {key: value for key, value in delta.items() if key not in known and value is not None}
        return bool(piece)

    def item(self) -> Json:
        """The call as an element of `tool_calls`."""
        field = "input" if self.kind == "custom" else "arguments"
        body = {"name": self.name, field: "".join(self.pieces)}
        return {"id": self.id, "type": self.kind, self.kind: body, **self.extra}


class ChatReader:
    """`StreamReader` of Chat Completions. A call is sealed when the next one begins, or at a complete end."""

    def __init__(self) -> None:
        self._message: Json = {}
        self._slots: list[_Slot] = []
        self._finish = ""
        self._broken: str | None = None

    def feed(self, event: Mapping[str, Any]) -> list[Part]:
        """What an event brings."""
        if self._finish or self._broken == "error":
            self._check_quiet(event)
            return []
        if event.get("error"):  # how compatible servers report a failure in the middle of a stream
            self._broken = "error"
            return [Ended()]
        choice = first_choice(event)
        if choice is None:
            return []
        delta = as_object(choice.get("delta"))
        parts = self._take_texts(delta)
        for call in as_list(delta.get("tool_calls")):
            parts += self._take_call(as_object(call))
        self._finish = as_text(choice.get("finish_reason"))
        return parts + self._end() if self._finish else parts

    def _check_quiet(self, event: Mapping[str, Any]) -> None:
        delta = as_object((first_choice(event) or {}).get("delta"))
        if delta.get("tool_calls"):
            self._broken = self._broken or INCONSISTENT

    def _take_texts(self, delta: Mapping[str, Any]) -> list[Part]:
        for key, value in delta.items():
            if key in ("role", "tool_calls", *REPLY_ONLY) or value is None:
                continue
            old = self._message.get(key)
            grows = isinstance(value, str | list) and type(old) is type(value)
            self._message[key] = old + value if grows else value
        return [TextDelta(text) for key in TEXTS if (text := as_text(delta.get(key)))]

    def _take_call(self, delta: Mapping[str, Any]) -> list[Part]:
        index, call_id = delta.get("index"), as_text(delta.get("id"))
        slot = next((slot for slot in reversed(self._slots) if slot.is_meant(index, call_id)), None)
        parts: list[Part] = []
        if slot is None:
            parts = [*self._seal_last(), CallBegun()]
            slot = _Slot(index)
            self._slots.append(slot)
        if slot.take(delta) and slot.sealed:
            self._broken = INCONSISTENT
        return parts

    def _seal_last(self) -> list[Part]:
        if not self._slots or self._slots[-1].sealed:
            return []
        self._slots[-1].sealed = True
        return [CallSealed(read_call(self._slots[-1].item()))]

    def _end(self) -> list[Part]:
        complete = self._broken is None and self._read().cut is None
        return [*(self._seal_last() if complete else ()), Ended()]

    def _read(self) -> Reply:
        calls = [slot.item() for slot in self._slots]
        return read_message({**self._message, **({"tool_calls": calls} if calls else {})}, self._finish)

    def reply(self) -> Reply:
        """The message as far as it came."""
        reply = self._read()
        cut = self._broken or (reply.cut if self._finish else BROKEN_OFF)
        return Reply(reply.text, reply.calls, cut, reply.items)

    def rewrite(self, events: Sequence[Json], change: Callable[[str], str]) -> list[Json]:
        """The events with their text changed."""
        return rewrite_deltas(events, change, _texts, _with_texts)


def _texts(event: Json) -> dict[Hashable, str]:
    delta = as_object((first_choice(event) or {}).get("delta"))
    return {field: text for field in TEXTS if (text := as_text(delta.get(field)))}


def _with_texts(event: Json, texts: Mapping[Hashable, str]) -> Json | None:
    def of_choice(choice: Any) -> Any:
        return {**choice, "delta": {**choice["delta"], **texts}}

    changed = with_first_choice(event, of_choice)
    return changed if _says_anything(changed) else None


def _says_anything(event: Json) -> bool:
    choices = as_list(event.get("choices"))
    choice = as_object(choices[0])
    return bool(
        len(choices) > 1
        or event.get("usage")
        or choice.get("finish_reason")
        or any(value not in (None, "") for value in as_object(choice.get("delta")).values())
    )
