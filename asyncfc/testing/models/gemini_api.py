"""Gemini's `generateContent`, streamed or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from asyncfc.testing.models.api import Event, Utterance
from asyncfc.testing.models.chat_api import tokens
from asyncfc.testing.models.gemini_checks import (
    answers_in,
    calls_in,
    check_body,
    json_schema_of,
    signature_of,
    turns_of,
)
from asyncfc.testing.models.rejection import Rejected, need
from asyncfc.testing.models.script import GivenAnswer, Json, MadeCall, Message, OfferedTool

_STOPS = {
    "length": "MAX_TOKENS",
    "filter": "PROHIBITED_CONTENT",
    "refusal": "SAFETY",
    "pause": "CONTINUATION",
}
_STATUS = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


class GeminiApi:
    """See `Api`. With repeated ids it gives none, as models before Gemini 3 do: names and order tell."""

    path = "enerateContent"  # `models/{model}:generateContent` and `models/{model}:streamGenerateContent`
    call_prefix = "fc_"

    def __init__(self) -> None:
        self._gives_ids = True

    def authorise(self, headers: Mapping[str, str]) -> None:
        """A key or a bearer token."""
        if not (headers.get("x-goog-api-key") or headers.get("authorization", "").startswith("Bearer ")):
            message = "Method doesn't allow unregistered callers (callers without established identity)."
            raise Rejected(message, status=401)

    def check(self, body: Json, *, repeated_ids: bool) -> None:
        """See `gemini_checks`."""
        self._gives_ids = not repeated_ids
        check_body(body)

    def system(self, body: Json) -> str:
        """The system instruction."""
        return "\n\n".join(part["text"] for part in (body.get("systemInstruction") or {}).get("parts", ()))

    def messages(self, body: Json) -> list[Message]:
        """A turn of the user that answers calls becomes two: of the tools, and of the user."""
        found: list[Message] = []
        waiting: list[MadeCall] = []
        for role, parts in turns_of(body):
            between = "" if role == "model" else "\n"  # it may have been kept chunk by chunk
            text = between.join(part["text"] for part in parts if "text" in part and not part.get("thought"))
            if role == "model":
                waiting = [self._made(index, call) for index, call in enumerate(calls_in(parts))]
                found.append(Message("assistant", text, tuple(waiting)))
                continue
            answers = answers_in(parts)
            if answers:
                found.append(Message("tool", answers=tuple(_given(answer, waiting) for answer in answers)))
            if text or not answers:
                found.append(Message("user", text))
        return found

    def _made(self, index: int, call: Json) -> MadeCall:
        arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
        return MadeCall(call.get("id") or f"{self.call_prefix}{index}", call["name"], arguments)

    def tools(self, body: Json) -> list[OfferedTool]:
        """The functions."""
        return [
            OfferedTool(
                one["name"],
                json_schema_of(one) or one.get("parameters") or {},
                one.get("description") or "",
            )
            for tool in body.get("tools") or ()
            for one in tool.get("functionDeclarations") or ()
        ]

    def thinks(self, body: Json) -> bool | None:
        """Thoughts are shown if the request asks for them."""
        config = (body.get("generationConfig") or {}).get("thinkingConfig") or {}
        return bool(config.get("includeThoughts"))

    def reply(self, body: Json, said: Utterance) -> Json:
        """A reply with one candidate."""
        return self._response(body, said, self._parts(said), _finish(said))

    def events(self, body: Json, said: Utterance, reply: Json) -> list[Event]:
        """One reply for each piece of text and each call; the last says how the message ended."""
        del reply
        pieces: list[Json] = []
        for part in self._parts(said):
            texts = said.pieces(part["text"]) if "text" in part else []
            pieces += [{**part, "text": text} for text in texts] or [part]
        chunks = [self._response(body, said, [piece], None) for piece in pieces[:-1]]
        return [(None, chunk) for chunk in [*chunks, self._response(body, said, pieces[-1:], _finish(said))]]

    def error(self, rejected: Rejected) -> Json:
        """Google's form."""
        status = _STATUS.get(rejected.status, "INVALID_ARGUMENT")
        return {"error": {"code": rejected.status, "message": rejected.message, "status": status}}

    def _parts(self, said: Utterance) -> list[Json]:
        parts: list[Json] = [{"text": said.thinking, "thought": True}] if said.thinking else []
        parts += [{"text": said.text}] if said.text else []
        calls = [self._call(call) for call in said.calls if _is_whole(call)]
        for call in calls[:1]:
            call["thoughtSignature"] = signature_of(call["functionCall"])
        return [*parts, *calls]

    def _call(self, call: MadeCall) -> Json:
        need(call.kind == "model", "Gemini knows neither programs that call tools nor tools without JSON.")
        about: Json = {"name": call.name, "args": json.loads(call.arguments)}
        return {"functionCall": {"id": call.id, **about} if self._gives_ids else about}

    def _response(self, body: Json, said: Utterance, parts: list[Json], finish: str | None) -> Json:
        asked, answered = tokens(body, said)
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        if not parts:
            del candidate["content"]["parts"]
        if finish:
            candidate["finishReason"] = finish
        usage = {
            "promptTokenCount": asked,
            "candidatesTokenCount": answered,
            "totalTokenCount": asked + answered,
        }
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": "scripted",
            "responseId": f"resp_{said.number}",
        }


def _is_whole(call: MadeCall) -> bool:
    """A call that is cut off does not arrive at all: arguments come as an object."""
    try:
        return isinstance(json.loads(call.arguments), dict)
    except ValueError:
        return False


def _finish(said: Utterance) -> str:
    whole = all(map(_is_whole, said.calls))
    return _STOPS[said.stop] if said.stop else "STOP" if whole else "MALFORMED_FUNCTION_CALL"


def _given(answer: Json, waiting: list[MadeCall]) -> GivenAnswer:
    """An answer, with the call that it belongs to: by its id, else by name and order."""
    mine = [call for call in waiting if call.id == answer.get("id")]
    named = [call for call in waiting if call.name == answer["name"]]
    call = next(iter(mine or named), None)
    if call is not None:
        waiting.remove(call)
    return GivenAnswer(call.id if call else "", answer["name"], _read(answer["response"]))


def _read(response: Mapping[str, Any]) -> str:
    """What the model reads of an answer: the output or error, or else all of it."""
    told: Any = response.get("output") or response.get("error") or response
    if isinstance(told, dict) and len(told) == 1:
        (told,) = told.values()
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
