"""Anthropic's Messages API."""

from __future__ import annotations

import json
from collections.abc import Mapping

from asyncfc.testing.models.api import Event, Utterance, named_answers
from asyncfc.testing.models.chat_api import text_of, tokens
from asyncfc.testing.models.messages_checks import blocks_of, check_body, signature_of, thinks
from asyncfc.testing.models.rejection import Rejected, need
from asyncfc.testing.models.script import Json, MadeCall, Message, OfferedTool

_STOPS = {"length": "max_tokens", "filter": "refusal", "refusal": "refusal", "pause": "pause_turn"}
_EMPTY = {"thinking": "", "text": "", "input": {}, "signature": ""}
_PROGRAM = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}


class MessagesApi:
    """See `Api`."""

    path = "/v1/messages"
    call_prefix = "toolu_"

    def authorise(self, headers: Mapping[str, str]) -> None:
        """A key or a bearer token, and the version of the API."""
        if not (headers.get("x-api-key") or headers.get("authorization", "").startswith("Bearer ")):
            raise Rejected("x-api-key header is required", status=401)
        need("anthropic-version" in headers, "anthropic-version: header is required")

    def check(self, body: Json, *, repeated_ids: bool) -> None:
        """See `messages_checks`."""
        check_body(body, repeated_ids=repeated_ids)

    def system(self, body: Json) -> str:
        """The system prompt, and system messages between others."""
        parts = [text_of(body.get("system"))]
        parts += [text_of(message["content"]) for message in body["messages"] if message["role"] == "system"]
        return "\n\n".join(filter(None, parts))

    def messages(self, body: Json) -> list[Message]:
        """A user's message that answers calls becomes two: of the tools, and of the user."""
        found: list[Message] = []
        for raw in body["messages"]:
            blocks = blocks_of(raw)
            text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
            if raw["role"] == "assistant":
                found.append(Message("assistant", text, _calls(blocks)))
            elif raw["role"] == "user":
                results = [block for block in blocks if block["type"] == "tool_result"]
                pairs = [(block["tool_use_id"], text_of(block.get("content"))) for block in results]
                if pairs:
                    found.append(Message("tool", answers=named_answers(pairs, found)))
                if text or not pairs:
                    found.append(Message("user", text))
        return found

    def tools(self, body: Json) -> list[OfferedTool]:
        """Client tools."""
        return [
            OfferedTool(tool["name"], tool["input_schema"], tool.get("description") or "")
            for tool in body.get("tools") or ()
            if tool.get("type") in {None, "custom"}
        ]

    def thinks(self, body: Json) -> bool | None:
        """Only and always if it is enabled."""
        return thinks(body)

    def reply(self, body: Json, said: Utterance) -> Json:
        """A message."""
        asked, answered = tokens(body, said)
        stop = "tool_use" if said.calls else "end_turn"
        return {
            "id": f"msg_{said.number}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": _blocks(said),
            "stop_reason": _STOPS[said.stop] if said.stop else stop,
            "stop_sequence": None,
            "usage": {"input_tokens": asked, "output_tokens": answered},
        }

    def events(self, body: Json, said: Utterance, reply: Json) -> list[Event]:
        """The message as events, with a ping among them."""
        del body
        begun = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
        data: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
        arguments = iter(call.arguments for call in said.calls)
        for index, block in enumerate(reply["content"]):
            start = {key: _EMPTY.get(key, value) for key, value in block.items()}
            data.append({"type": "content_block_start", "index": index, "content_block": start})
            data += [
                {"type": "content_block_delta", "index": index, "delta": delta}
                for delta in _deltas(block, said, next(arguments) if block["type"] == "tool_use" else "")
            ]
            data.append({"type": "content_block_stop", "index": index})
        delta = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
        usage = {"output_tokens": reply["usage"]["output_tokens"]}
        data += [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]
        return [(event["type"], event) for event in data]

    def error(self, rejected: Rejected) -> Json:
        """Anthropic's form."""
        kinds = {
            401: "authentication_error",
            404: "not_found_error",
            429: "rate_limit_error",
            500: "api_error",
        }
        kind = kinds.get(rejected.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": rejected.message}, "request_id": "req_1"}


def _calls(blocks: list[Json]) -> tuple[MadeCall, ...]:
    return tuple(_made(block) for block in blocks if block["type"] == "tool_use")


def _made(block: Json) -> MadeCall:
    caller = (block.get("caller") or {}).get("type", "direct")
    arguments = json.dumps(block["input"], ensure_ascii=False)
    return MadeCall(block["id"], block["name"], arguments, "model" if caller == "direct" else "program")


def _blocks(said: Utterance) -> list[Json]:
    blocks: list[Json] = []
    if said.thinking is not None:
        signature = signature_of(said.thinking)
        blocks.append({"type": "thinking", "thinking": said.thinking, "signature": signature})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    return [*blocks, *(_use(call) for call in said.calls)]


def _use(call: MadeCall) -> Json:
    need(call.kind != "custom", "The Messages API knows no tools without JSON arguments.")
    use = {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
    return {**use, "caller": _PROGRAM} if call.kind == "program" else use


def _input(arguments: str) -> Json:
    """Arguments as JSON; of those that are cut off, nothing."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _deltas(block: Json, said: Utterance, arguments: str) -> list[Json]:
    if block["type"] == "tool_use":
        pieces = ["", *said.pieces(arguments)]  # the API sends an empty piece first
        return [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    if block["type"] == "text":
        return [{"type": "text_delta", "text": piece} for piece in said.pieces(block["text"])]
    thought = [{"type": "thinking_delta", "thinking": piece} for piece in said.pieces(block["thinking"])]
    return [*thought, {"type": "signature_delta", "signature": block["signature"]}]
