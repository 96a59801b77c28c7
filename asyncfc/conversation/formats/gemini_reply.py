"""Replies of Gemini's `generateContent`, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    as_list,
    as_object,
    as_text,
    json_text,
    map_list,
    put,
)
from asyncfc.conversation.formats.gemini_arguments import PartialCall
from asyncfc.conversation.formats.gemini_ids import Ids, is_call, parts_of
from asyncfc.futures.call import Call

# Any other reason is taken for a cut (MAX_TOKENS, SAFETY, MALFORMED_FUNCTION_CALL, what may come).
PAUSED: Final = "CONTINUATION"
COMPLETE: Final = frozenset({"", "STOP", "FINISH_REASON_UNSPECIFIED", PAUSED})


def read_calls(parts: Sequence[Any]) -> tuple[ReplyCall, ...]:
    """The client tool calls among parts; what runs on the server (`toolCall`) is none."""
    ids = Ids()
    return tuple(read_call(part["functionCall"], ids) for part in parts if is_call(part))


def read_call(about: Mapping[str, Any], ids: Ids) -> ReplyCall:
    """A `functionCall`; one without arguments has none to give."""
    return ReplyCall(Call(ids.next(about), as_text(about.get("name")), json_text(about.get("args") or {})))


def text_of(parts: Sequence[Any]) -> str:
    """The text that a user reads, thoughts apart."""
    return "".join(part["text"] for part in parts if is_text(part))


def is_text(part: Any) -> bool:
    """Whether a part is text for a user."""
    part = as_object(part)
    return isinstance(part.get("text"), str) and not part.get("thought")


def first_candidate(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first candidate, or an empty one; asyncfc looks at no other."""
    candidates = as_list(body.get("candidates"))
    return as_object(candidates[0]) if candidates else {}


def read_reply(parts: Sequence[Any], finish: str, refusal: str) -> Reply:
    """The reply that these parts make.

    Args:
        parts: of the model's content.
        finish: the candidate's `finishReason`.
        refusal: why the request got no candidate, if so.
    """
    kept = [part for part in parts if part]
    cut = refusal or (finish if finish not in COMPLETE else None)
    items = ({"role": "model", "parts": kept},) if kept else ()
    return Reply(text_of(parts), read_calls(parts), cut, items, final=finish != PAUSED)


def refusal_of(body: Mapping[str, Any]) -> str:
    """Why a request was refused; empty if it was not."""
    return as_text(as_object(body.get("promptFeedback")).get("blockReason"))


def with_parts(body: Json, change: Callable[[list[Any]], list[Any]]) -> Json:
    """A reply or event with the parts of its first candidate changed."""
    content = as_object(first_candidate(body).get("content"))
    if "parts" not in content:
        return body
    changed = change(parts_of(content))
    candidate = {**body["candidates"][0], "content": put(content, "parts", changed)}
    return (
        body if changed == content["parts"] else {**body, "candidates": [candidate, *body["candidates"][1:]]}
    )


def with_text(body: Json, change: Callable[[str], str]) -> Json:
    """`Format.with_text`."""

    def of_part(part: Any) -> Any:
        return put(part, "text", change(part["text"])) if is_text(part) else part

    return with_parts(body, lambda parts: map_list(parts, of_part))


class GeminiReader:
    """`StreamReader` of Gemini.

    Calls come whole, unless the request asks for their arguments in pieces: then one is complete with the
    first piece that says so. Google's SDK makes the calls while it still reads the stream, so that they are
    held until the message has ended.
    """

    def __init__(self) -> None:
        self._parts: list[Any] = []
        self._open: PartialCall | None = None
        self._ids = Ids()
        self._finish = ""
        self._refusal = ""
        self._ended = False

    def feed(self, event: Mapping[str, Any]) -> list[Part]:
        """What an event brings."""
        if self._ended:
            return []
        candidate = first_candidate(event)
        found: list[Part] = []
        for part in parts_of(candidate.get("content")):
            found += self._take(part)
        self._finish = as_text(candidate.get("finishReason"))
        self._refusal = refusal_of(event) or ("error" if event.get("error") else "")
        self._ended = bool(self._finish or self._refusal)
        return [*found, Ended()] if self._ended else found

    def _take(self, part: Any) -> list[Part]:
        if not is_call(part):
            self._parts.append(part)
            return [TextDelta(part["text"])] if is_text(part) and part["text"] else []
        about = part["functionCall"]
        if self._open is None and not PartialCall.begins(about):
            self._parts.append(part)
            return [CallBegun(held=True), CallSealed(read_call(about, self._ids))]
        begun: list[Part] = [] if self._open else [CallBegun(held=True)]
        self._open = self._open or PartialCall(part)
        if not self._open.take(about):
            return begun
        whole, self._open = self._open.part(), None
        self._parts.append(whole)
        return [*begun, CallSealed(read_call(whole["functionCall"], self._ids))]

    def reply(self) -> Reply:
        """The message as far as it came."""
        parts = [*self._parts, *([self._open.part()] if self._open else [])]
        reply = read_reply(parts, self._finish, self._refusal)
        cut = reply.cut or (None if self._ended and self._open is None else BROKEN_OFF)
        return Reply(reply.text, reply.calls, cut, reply.items, reply.final)

    def rewrite(self, events: Sequence[Json], change: Callable[[str], str]) -> list[Json]:
        """The events with their text changed.

        It goes into the last event with text rather than the first: that often has nothing else, and is the
        one that says how the message ended, and Google's SDK takes a message with an empty event for broken.
        """
        texts = [text_of(parts_of(first_candidate(event).get("content"))) for event in events]
        old = "".join(texts)
        new = change(old)
        if new == old:
            return list(events)
        last = max(place for place, text in enumerate(texts) if text)
        changed = [
            _retold(event, new if place == last else "") if texts[place] else event
            for place, event in enumerate(events)
        ]
        return [
            event for event, text in zip(changed, texts, strict=True) if not text or _says_anything(event)
        ]


def _retold(event: Json, text: str) -> Json:
    """The event with this text instead of its own."""

    def of_parts(parts: list[Any]) -> list[Any]:
        place = next(place for place, part in enumerate(parts) if is_text(part) and part["text"])
        told = [{**parts[place], "text": text}] if text else []
        rest = [part for part in parts[place + 1 :] if not is_text(part)]
        return [*parts[:place], *told, *rest]

    return with_parts(event, of_parts)


def _says_anything(event: Json) -> bool:
    candidate = first_candidate(event)
    return bool(parts_of(candidate.get("content")) or candidate.get("finishReason"))
