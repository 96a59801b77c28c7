"""OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping

from asyncfc.testing.models.api import Event, Utterance, named_answers
from asyncfc.testing.models.chat_api import check_bearer, openai_error, text_of, tokens
from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.responses_checks import CALLS, OUTPUTS, check_items, check_shape, type_of
from asyncfc.testing.models.responses_events import events_of
from asyncfc.testing.models.script import Json, MadeCall, Message, OfferedTool

_CREATED = 1_700_000_000
_PROGRAM = {"type": "program", "caller_id": "prog_1"}


class ResponsesApi:
    """See `Api`. It remembers its responses, for `previous_response_id` and item references."""

    path = "/v1/responses"
    call_prefix = "call_"

    def __init__(self) -> None:
        self._stored: dict[str, list[Json]] = {}
        """Conversations by the id of their last response."""
        self._items: dict[str, Json] = {}
        """All stored items, by id."""
        self._reasoning: dict[str, str] = {}
        """Ids of call items, each with the id of the reasoning item before it."""
        self._origin: dict[str, str] = {}
        """Ids of items, each with the id of its response."""

    def authorise(self, headers: Mapping[str, str]) -> None:
        """A bearer token."""
        check_bearer(headers)

    def check(self, body: Json, *, repeated_ids: bool) -> None:
        """See `responses_checks`; with item ids of their own, calls may have ids that repeat."""
        del repeated_ids
        check_shape(body)
        check_items(self._conversation(body), self._reasoning)

    def system(self, body: Json) -> str:
        """The instructions, and system and developer messages of the input."""
        parts = [body.get("instructions") or ""]
        parts += [text_of(item["content"]) for item in self._conversation(body) if _is_system(item)]
        return "\n\n".join(filter(None, parts))

    def messages(self, body: Json) -> list[Message]:
        """Items of the model in a row are one message, unless they came in different responses."""
        found: list[Message] = []
        origin: str | None = None
        for item in self._conversation(body):
            if _is_system(item):
                continue
            kind = type_of(item)
            if kind in OUTPUTS:
                earlier = found.pop().answers if found and found[-1].role == "tool" else ()
                pair = (item["call_id"], text_of(item["output"]))
                found.append(Message("tool", answers=(*earlier, *named_answers([pair], found))))
            elif kind == "message" and item["role"] == "user":
                found.append(Message("user", text_of(item["content"])))
            else:
                source = self._origin.get(item.get("id") or "")
                same = source is None or origin is None or source == origin
                joins = same and found and found[-1].role == "assistant"
                before = found.pop() if joins else Message("assistant")
                found.append(_joined(before, item))
                origin = source or (origin if joins else None)
        return found

    def tools(self, body: Json) -> list[OfferedTool]:
        """Function tools and custom tools."""
        return [
            OfferedTool(tool["name"], tool.get("parameters") or {}, tool.get("description") or "")
            for tool in body.get("tools") or ()
            if tool["type"] in {"function", "custom"}
        ]

    def thinks(self, body: Json) -> bool | None:
        """Always if the request says anything about reasoning."""
        return True if body.get("reasoning") else None

    def reply(self, body: Json, said: Utterance) -> Json:
        """A response; remembered, unless `store` is false."""
        reply = _response(body, said)
        self._remember(body, reply)
        return reply

    def events(self, body: Json, said: Utterance, reply: Json) -> list[Event]:
        """See `responses_events`."""
        del body
        return events_of(said, reply)

    def error(self, rejected: Rejected) -> Json:
        """OpenAI's form."""
        return openai_error(rejected)

    def _conversation(self, body: Json) -> list[Json]:
        """The stored part, if any, and the input."""
        given = body["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        return [*self._earlier(body), *map(self._resolved, items)]

    def _earlier(self, body: Json) -> list[Json]:
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        if previous not in self._stored:
            message = f"Previous response with id '{previous}' not found."
            raise Rejected(message, param="previous_response_id", code="previous_response_not_found")
        return self._stored[previous]

    def _resolved(self, item: Json) -> Json:
        if item.get("type") != "item_reference":
            return item
        if item["id"] not in self._items:
            raise Rejected(f"Item with id '{item['id']}' not found.", status=404, param="input")
        return self._items[item["id"]]

    def _remember(self, body: Json, reply: Json) -> None:
        thought: str | None = None
        for item in reply["output"]:
            self._origin[item["id"]] = reply["id"]
            if item["type"] == "reasoning":
                thought = item["id"]
            elif thought and item["type"] in CALLS:
                self._reasoning[item["id"]] = thought
        if body.get("store") is not False:
            self._stored[reply["id"]] = [*self._conversation(body), *reply["output"]]
            self._items.update({item["id"]: item for item in reply["output"]})


def _is_system(item: Json) -> bool:
    return type_of(item) == "message" and item["role"] in {"system", "developer"}


def _joined(before: Message, item: Json) -> Message:
    """A message of the model with one more item."""
    if type_of(item) in CALLS:
        return Message("assistant", before.text, (*before.calls, _made(item)))
    more = text_of(item["content"]) if type_of(item) == "message" else ""
    return Message("assistant", "\n".join(filter(None, (before.text, more))), before.calls)


def _made(item: Json) -> MadeCall:
    if item["type"] == "custom_tool_call":
        return MadeCall(item["call_id"], item["name"], item["input"], "custom")
    by_program = (item.get("caller") or {}).get("type") == "program"
    return MadeCall(item["call_id"], item["name"], item["arguments"], "program" if by_program else "model")


def _response(body: Json, said: Utterance) -> Json:
    reasons = {"length": "max_output_tokens", "filter": "content_filter"}
    reason = reasons.get(said.stop or "")
    asked, answered = tokens(body, said)
    usage = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + answered,
    }
    return {
        "id": f"resp_{said.number}",
        "object": "response",
        "created_at": _CREATED,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": body.get("instructions"),
        "model": body["model"],
        "output": _output(body, said, "incomplete" if reason else "completed"),
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "store": body.get("store", True),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "usage": usage,
    }


def _output(body: Json, said: Utterance, status: str) -> list[Json]:
    """The items; only the last one can be incomplete."""
    items: list[Json] = []
    if said.thinking is not None:
        summary = [{"type": "summary_text", "text": said.thinking}]
        items.append({"id": f"rs_{said.number}", "type": "reasoning", "summary": summary})
        if "reasoning.encrypted_content" in (body.get("include") or ()):
            items[-1]["encrypted_content"] = f"enc_{said.number}"
    if said.text:
        part: Json = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        if said.stop == "refusal":
            part = {"type": "refusal", "refusal": said.text}
        items.append({"id": f"msg_{said.number}", "type": "message", "role": "assistant", "content": [part]})
    late = {tool["name"] for tool in body.get("tools") or () if tool.get("async")}
    items += [_call(f"{said.number}_{n}", call, late) for n, call in enumerate(said.calls, 1)]
    for item in items:
        if item["type"] != "reasoning":
            item["status"] = status if item is items[-1] else "completed"
    return items


def _call(number: str, call: MadeCall, late: set[str]) -> Json:
    about = {"call_id": call.id, "name": call.name}
    if call.kind == "custom":
        return {"id": f"ctc_{number}", "type": "custom_tool_call", "input": call.arguments, **about}
    item: Json = {"id": f"fc_{number}", "type": "function_call", "arguments": call.arguments, **about}
    if call.kind == "program":
        item["caller"] = _PROGRAM
    if call.name in late:
        item["async"] = True
    return item
