"""OpenAI's Chat Completions API, and that of the many servers that copy it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncfc.testing.models.api import Event, Utterance, named_answers
from asyncfc.testing.models.chat_checks import check_body
from asyncfc.testing.models.rejection import Rejected, need
from asyncfc.testing.models.script import Json, MadeCall, Message, OfferedTool

_CREATED = 1_700_000_000


class ChatApi:
    """See `Api`."""

    path = "/v1/chat/completions"
    call_prefix = "call_"

    def authorise(self, headers: Mapping[str, str]) -> None:
        """A bearer token."""
        check_bearer(headers)

    def check(self, body: Json, *, repeated_ids: bool) -> None:
        """See `chat_checks`; ids are unique within a message only, whether or not the server repeats them."""
        del repeated_ids
        check_body(body)

    def system(self, body: Json) -> str:
        """All system and developer messages, wherever they stand."""
        return "\n\n".join(text_of(m["content"]) for m in body["messages"] if _is_system(m))

    def messages(self, body: Json) -> list[Message]:
        """Tool messages in a row are one."""
        found: list[Message] = []
        for raw in body["messages"]:
            if _is_system(raw):
                continue
            if raw["role"] == "tool":
                pair = (raw["tool_call_id"], text_of(raw["content"]))
                earlier = found.pop().answers if found and found[-1].role == "tool" else ()
                found.append(Message("tool", answers=(*earlier, *named_answers([pair], found))))
            else:
                text = text_of(raw.get("content") or raw.get("refusal"))
                calls = tuple(_made(call) for call in raw.get("tool_calls") or ())
                found.append(Message(raw["role"], text, calls))
        return found

    def tools(self, body: Json) -> list[OfferedTool]:
        """Function tools and custom tools."""
        about = [tool[tool["type"]] for tool in body.get("tools") or ()]
        return [OfferedTool(a["name"], a.get("parameters") or {}, a.get("description") or "") for a in about]

    def thinks(self, body: Json) -> bool | None:
        """As the script has it: some servers' models think, asked or not."""
        del body
        return None

    def reply(self, body: Json, said: Utterance) -> Json:
        """A completion with one choice."""
        refused = said.stop == "refusal"
        message: Json = {
            "role": "assistant",
            "content": None if refused or not said.text else said.text,
            "refusal": said.text if refused else None,
            "annotations": [],
        }
        if said.thinking:
            message["reasoning_content"] = said.thinking  # as DeepSeek and vLLM send it
        if said.calls:
            message["tool_calls"] = [_call(call) for call in said.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said)}
        return {
            "id": f"chatcmpl-{said.number}",
            "object": "chat.completion",
            "created": _CREATED,
            "model": body["model"],
            "choices": [choice],
            "usage": _usage(body, said),
            "service_tier": "default",
            "system_fingerprint": "fp_scripted",
        }

    def events(self, body: Json, said: Utterance, reply: Json) -> list[Event]:
        """Chunks, the last with the usage if asked for, and `[DONE]`."""
        chunk = {key: reply[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
        chunk["object"] = "chat.completion.chunk"
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        blank: Json = {"usage": None} if counted else {}
        chunks = [{**chunk, "choices": [_choice(delta)], **blank} for delta in _deltas(said)]
        chunks.append({**chunk, "choices": [_choice({}, _finish(said))], **blank})
        if counted:
            chunks.append({**chunk, "choices": [], "usage": reply["usage"]})
        return [*((None, data) for data in chunks), (None, "[DONE]")]

    def error(self, rejected: Rejected) -> Json:
        """OpenAI's form, also of the Responses API."""
        return openai_error(rejected)


def check_bearer(headers: Mapping[str, str]) -> None:
    """OpenAI's authorisation."""
    if not headers.get("authorization", "").startswith("Bearer "):
        raise Rejected("You didn't provide an API key.", status=401, code="invalid_api_key")


def openai_error(rejected: Rejected) -> Json:
    """The error body of OpenAI's APIs."""
    kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
    kind = kinds.get(rejected.status, "invalid_request_error")
    about = {"message": rejected.message, "type": kind, "param": rejected.param, "code": rejected.code}
    return {"error": about}


def text_of(content: Any) -> str:
    """The text of a content: a string, or the texts of its parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in content)


def _is_system(message: Json) -> bool:
    return message["role"] in {"system", "developer"}


def _made(call: Json) -> MadeCall:
    about = call[call["type"]]
    if call["type"] == "custom":
        return MadeCall(call["id"], about["name"], about["input"], "custom")
    return MadeCall(call["id"], about["name"], about["arguments"])


def _call(call: MadeCall) -> Json:
    need(call.kind != "program", "Chat Completions knows no programs that call tools.")
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(said: Utterance) -> str:
    if said.stop in {"length", "filter"}:
        return "length" if said.stop == "length" else "content_filter"
    return "tool_calls" if said.calls and said.stop is None else "stop"


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _deltas(said: Utterance) -> list[Json]:
    text = "refusal" if said.stop == "refusal" else "content"
    deltas: list[Json] = [{"role": "assistant", "content": "" if said.text else None, "refusal": None}]
    deltas += [{"reasoning_content": piece} for piece in said.pieces(said.thinking or "")]
    deltas += [{text: piece} for piece in said.pieces(said.text)]
    for index, call in enumerate(said.calls):
        whole = _call(call)
        key = "arguments" if whole["type"] == "function" else "input"
        begun = {**whole, whole["type"]: {**whole[whole["type"]], key: ""}, "index": index}
        deltas.append({"tool_calls": [begun]})
        deltas += [
            {"tool_calls": [{"index": index, whole["type"]: {key: piece}}]}
            for piece in said.pieces(call.arguments)
        ]
    return deltas


def _usage(body: Json, said: Utterance) -> Json:
    asked, answered = tokens(body, said)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def tokens(body: Json, said: Utterance) -> tuple[int, int]:
    """A rough count of the tokens of request and reply, about 4 characters each."""
    spoken = len(said.text) + sum(len(call.name) + len(call.arguments) for call in said.calls)
    return len(str(body)) // 4 + 1, spoken // 4 + 1
