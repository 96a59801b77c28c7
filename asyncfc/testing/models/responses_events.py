"""A response of OpenAI's Responses API as a stream."""

from __future__ import annotations

from collections.abc import Iterator

from asyncfc.testing.models.api import Event, Utterance
from asyncfc.testing.models.script import Json

_TEXTS = {"function_call": "arguments", "custom_tool_call": "input"}
_PARTS = {"output_text": ("text", "output_text"), "refusal": ("refusal", "refusal")}


def events_of(said: Utterance, reply: Json) -> list[Event]:
    """All events, numbered in sequence."""
    data = [{**event, "sequence_number": number} for number, event in enumerate(_events(said, reply))]
    return [(event["type"], event) for event in data]


def _events(said: Utterance, reply: Json) -> Iterator[Json]:
    begun = {**reply, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(reply["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": _empty(item)}
        for event in _inside(said, item):
            yield {**event, "output_index": index, "item_id": item["id"]}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{reply['status']}", "response": reply}


def _empty(item: Json) -> Json:
    """An item as it is at its beginning."""
    blank = {"content": [], "summary": [], "arguments": "", "input": "", "status": "in_progress"}
    return {key: blank.get(key, value) for key, value in item.items()}


def _inside(said: Utterance, item: Json) -> Iterator[Json]:
    if item["type"] == "message":
        yield from _message(said, item)
    elif item["type"] == "reasoning":
        yield from _summary(said, item)
    else:
        yield from _call(said, item)


def _call(said: Utterance, item: Json) -> Iterator[Json]:
    key = _TEXTS[item["type"]]
    name = "response.function_call_arguments" if key == "arguments" else "response.custom_tool_call_input"
    for piece in said.pieces(item[key]):
        yield {"type": f"{name}.delta", "delta": piece}
    yield {"type": f"{name}.done", key: item[key]}


def _message(said: Utterance, item: Json) -> Iterator[Json]:
    part = item["content"][0]
    key, name = _PARTS[part["type"]]
    logprobs: Json = {"logprobs": []} if key == "text" else {}
    yield {"type": "response.content_part.added", "content_index": 0, "part": {**part, key: ""}}
    for piece in said.pieces(part[key]):
        yield {"type": f"response.{name}.delta", "content_index": 0, "delta": piece, **logprobs}
    yield {"type": f"response.{name}.done", "content_index": 0, key: part[key], **logprobs}
    yield {"type": "response.content_part.done", "content_index": 0, "part": part}


def _summary(said: Utterance, item: Json) -> Iterator[Json]:
    part = item["summary"][0]
    name, at = "response.reasoning_summary", {"summary_index": 0}
    yield {"type": f"{name}_part.added", "part": {**part, "text": ""}, **at}
    for piece in said.pieces(part["text"]):
        yield {"type": f"{name}_text.delta", "delta": piece, **at}
    yield {"type": f"{name}_text.done", "text": part["text"], **at}
    yield {"type": f"{name}_part.done", "part": part, **at}
