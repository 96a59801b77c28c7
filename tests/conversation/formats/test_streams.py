"""Streamed replies: however cut into deltas, the same message; rewritten, the SDKs read the change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import anthropic.types
import openai.types.chat
import openai.types.responses
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from pydantic import TypeAdapter

from asyncfc.conversation.formats.base import (
    CallBegun,
    CallSealed,
    Ended,
    Format,
    Json,
    Part,
    Reply,
    TextDelta,
)
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.formats.messages import MESSAGES
from asyncfc.conversation.formats.responses import RESPONSES

Split = Callable[[str], list[str]]


@dataclass(frozen=True)
class Said:
    """What a model says."""

    text: str
    calls: tuple[Json, ...] = ()
    """The arguments of calls of `look`, in order."""
    late: str = ""
    """Text behind the calls."""
    cut: bool = False
    arguments: list[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        made = [json.dumps(call, separators=(",", ":")) for call in self.calls]
        object.__setattr__(self, "arguments", made)


def whole(text: str) -> list[str]:
    return [text] if text else []


# --- Chat Completions


def chat_events(said: Said, split: Split) -> Iterator[Json]:
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "service_tier": "default",
    }

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return {**base, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    yield from (chunk({"content": piece}) for piece in split(said.text + said.late))
    for index, arguments in enumerate(said.arguments):
        function = {"name": "look", "arguments": ""}
        call = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
        yield chunk({"tool_calls": [call]})
        for piece in split(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "length" if said.cut else "tool_calls" if said.calls else "stop")
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    yield {**base, "choices": [], "usage": usage}


def chat_body(said: Said) -> Json:
    calls = [
        {"id": f"call_{index}", "type": "function", "function": {"name": "look", "arguments": arguments}}
        for index, arguments in enumerate(said.arguments)
    ]
    message = {
        "role": "assistant",
        "content": said.text + said.late,
        "refusal": None,
        "annotations": [],
        **({"tool_calls": calls} if calls else {}),
    }
    finish = "length" if said.cut else "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def chat_sdk(events: list[Json]) -> tuple[str, list[str]]:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in events:
        list(state.handle_chunk(openai.types.chat.ChatCompletionChunk.model_validate(event)))
    message = state.get_final_completion().choices[0].message
    return message.content or "", [call.function.arguments for call in message.tool_calls or []]


# --- Responses


def responses_items(said: Said) -> list[Json]:
    def message(number: int, text: str) -> Json:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }

    calls = [
        {
            "type": "function_call",
            "id": f"fc_{index}",
            "call_id": f"call_{index}",
            "name": "look",
            "arguments": arguments,
            "status": "completed",
        }
        for index, arguments in enumerate(said.arguments)
    ]
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    messages = [message(number, text) for number, text in enumerate((said.text, said.late)) if text]
    return [reasoning, *messages[:1], *calls, *messages[1:]]


def responses_body(said: Said) -> Json:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "model": "m",
        "status": "incomplete" if said.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if said.cut else None,
        "output": responses_items(said),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def responses_events(said: Said, split: Split) -> Iterator[Json]:
    body = responses_body(said)
    events = [{"type": "response.created", "response": {**body, "status": "in_progress", "output": []}}]
    for index, item in enumerate(body["output"]):
        events += responses_item_events(index, item, split)
    events.append({"type": f"response.{body['status']}", "response": body})
    yield from ({**event, "sequence_number": number} for number, event in enumerate(events))


def responses_item_events(index: int, item: Json, split: Split) -> Iterator[Json]:
    at = {"output_index": index, "item_id": item["id"]}
    started = dict(item)
    if "status" in item:
        started["status"] = "in_progress"
    if item["type"] == "function_call":
        started["arguments"] = ""
    elif item["type"] == "message":
        started["content"] = []
    yield {"type": "response.output_item.added", "output_index": index, "item": started}
    if item["type"] == "function_call":
        for piece in split(item["arguments"]):
            yield {"type": "response.function_call_arguments.delta", "delta": piece, **at}
        yield {"type": "response.function_call_arguments.done", "arguments": item["arguments"], **at}
    elif item["type"] == "message":
        part = item["content"][0]
        at["content_index"] = 0
        yield {"type": "response.content_part.added", "part": {**part, "text": ""}, **at}
        for piece in split(part["text"]):
            yield {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **at}
        yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **at}
        yield {"type": "response.content_part.done", "part": part, **at}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(openai.types.responses.ResponseStreamEvent)


def responses_sdk(events: list[Json]) -> tuple[str, list[str]]:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    deltas = ""
    done = ""
    for event in events:
        for fired in state.handle_event(RESPONSE_EVENT.validate_python(event)):
            deltas += fired.delta if fired.type == "response.output_text.delta" else ""
            done += fired.text if fired.type == "response.output_text.done" else ""
    final = openai.types.responses.Response.model_validate(events[-1]["response"])
    assert deltas == done == final.output_text
    return done, [item.arguments for item in final.output if item.type == "function_call"]


# --- Messages


def messages_blocks(said: Said) -> list[Json]:
    calls = [
        {"type": "tool_use", "id": f"toolu_{index}", "name": "look", "input": call}
        for index, call in enumerate(said.calls)
    ]
    before, after = ([{"type": "text", "text": text}] if text else [] for text in (said.text, said.late))
    thinking = {"type": "thinking", "thinking": "hm, $ab12_1", "signature": "c2ln"}
    return [thinking, *before, *calls, *after]


def messages_stop(said: Said) -> str:
    return "max_tokens" if said.cut else "tool_use" if said.calls else "end_turn"


def messages_body(said: Said) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": messages_blocks(said),
        "stop_reason": messages_stop(said),
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def messages_events(said: Said, split: Split) -> Iterator[Json]:
    body = messages_body(said)
    yield {"type": "message_start", "message": {**body, "content": [], "stop_reason": None}}
    yield {"type": "ping"}
    for index, block in enumerate(body["content"]):
        field_, kind, text = {
            "text": ("text", "text_delta", block.get("text")),
            "thinking": ("thinking", "thinking_delta", block.get("thinking")),
            "tool_use": (
                "partial_json",
                "input_json_delta",
                json.dumps(block.get("input"), separators=(",", ":")),
            ),
        }[block["type"]]
        empty: Json = {"input": {}} if block["type"] == "tool_use" else {field_: ""}
        started = {**block, **empty, **({"signature": ""} if "signature" in block else {})}
        yield {"type": "content_block_start", "index": index, "content_block": started}
        deltas = [{"type": kind, field_: piece} for piece in split(text)]
        if "signature" in block:
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": body["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)


def messages_sdk(events: list[Json]) -> tuple[str, list[str]]:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] == "ping":
            continue
        parsed = MESSAGE_EVENT.validate_python(event)
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    calls = [
        json.dumps(block.input, separators=(",", ":"))
        for block in snapshot.content
        if block.type == "tool_use"
    ]
    assert [block.thinking for block in snapshot.content if block.type == "thinking"] == ["hm, $ab12_1"]
    return "".join(block.text for block in snapshot.content if block.type == "text"), calls


@dataclass(frozen=True)
class Protocol:
    name: str
    format: Format
    events: Callable[[Said, Split], Iterator[Json]]
    body: Callable[[Said], Json]
    sdk: Callable[[list[Json]], tuple[str, list[str]]]
    parse: Callable[[Json], Any]


CHAT_COMPLETION = openai.types.chat.ChatCompletion.model_validate
RESPONSE = openai.types.responses.Response.model_validate
PROTOCOLS = [
    Protocol("chat", CHAT, chat_events, chat_body, chat_sdk, CHAT_COMPLETION),
    Protocol("responses", RESPONSES, responses_events, responses_body, responses_sdk, RESPONSE),
    Protocol(
        "messages",
        MESSAGES,
        messages_events,
        messages_body,
        messages_sdk,
        anthropic.types.Message.model_validate,
    ),
]
EACH = pytest.mark.parametrize("protocol", PROTOCOLS, ids=[protocol.name for protocol in PROTOCOLS])

texts = st.text(st.sampled_from("ab $_1\u20ac"), max_size=8).map(lambda text: f"<{text}>" if text else "")
arguments = st.dictionaries(
    st.sampled_from(["city", "n", "x"]), st.sampled_from([1, None, "Oslo", ["a", {"b": 2}]])
)
calls_of_one_message = st.lists(arguments, max_size=3).map(tuple)
sayings = st.builds(Said, texts, calls_of_one_message, texts, st.booleans())


@st.composite
def splits(draw: st.DrawFn) -> Split:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))

    def split(text: str) -> list[str]:
        pieces: list[str] = []
        while text:
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(text[:size])
            text = text[size:]
        return pieces

    return split


def read(format: Format, events: list[Json]) -> tuple[list[Part], Reply]:
    reader = format.reader()
    return [part for event in events for part in reader.feed(event)], reader.reply()


def joined(parts: list[Part]) -> list[Part]:
    """The parts, with texts that follow each other made one."""
    result: list[Part] = []
    for part in parts:
        if isinstance(part, TextDelta) and result and isinstance(result[-1], TextDelta):
            result[-1] = TextDelta(result[-1].text + part.text)
        else:
            result.append(part)
    return result


def sealed(parts: list[Part]) -> list[Any]:
    return [part.call for part in parts if isinstance(part, CallSealed)]


@EACH
@given(said=sayings, split=splits(), data=st.data())
def test_a_stream_cut_short_seals_nothing_that_the_whole_one_does_not(
    protocol: Protocol, said: Said, split: Split, data: st.DataObject
) -> None:
    events = list(protocol.events(said, split))
    parts, _ = read(protocol.format, events)
    short, reply = read(protocol.format, events[: data.draw(st.integers(0, len(events)))])
    assert short == parts[: len(short)]
    assert sealed(short) == list(reply.calls)[: len(sealed(short))]
    assert (reply.cut is None) == (Ended() in short and not said.cut)


@EACH
@settings(max_examples=25)
@given(said=sayings, split=splits())
def test_how_a_reply_is_cut_into_deltas_changes_nothing(protocol: Protocol, said: Said, split: Split) -> None:
    unsplit, expected = read(protocol.format, list(protocol.events(said, whole)))
    parts, reply = read(protocol.format, list(protocol.events(said, split)))
    assert reply == expected
    assert joined(parts) == joined(unsplit)


@EACH
@given(said=sayings, split=splits())
def test_a_streamed_reply_is_the_whole_one(protocol: Protocol, said: Said, split: Split) -> None:
    parts, reply = read(protocol.format, list(protocol.events(said, split)))
    assert reply == protocol.format.reply(protocol.body(said))
    assert reply.text == said.text + said.late == "".join(p.text for p in parts if isinstance(p, TextDelta))
    assert [call.call.arguments for call in reply.calls] == said.arguments
    assert parts.count(CallBegun()) == len(reply.calls)
    assert parts[-1] == Ended()
    assert (reply.cut is not None) == said.cut
    if not said.cut:
        assert sealed(parts) == list(reply.calls)


@pytest.mark.parametrize("protocol", [PROTOCOLS[0], PROTOCOLS[2]], ids=["chat", "messages"])
@given(said=st.builds(Said, texts, calls_of_one_message, texts, st.just(True)))
def test_a_message_cut_at_the_limit_does_not_seal_its_last_call(protocol: Protocol, said: Said) -> None:
    parts, reply = read(protocol.format, list(protocol.events(said, whole)))
    behind = bool(said.late) and protocol.format is MESSAGES
    assert len(sealed(parts)) == max(0, len(reply.calls) - (0 if behind else 1))


def fill(text: str) -> str:
    return text.replace("$ab12_1", "forty-two")


@EACH
@settings(max_examples=25)
@given(said=st.builds(Said, texts, calls_of_one_message, texts), split=splits())
def test_the_sdk_reads_a_rewritten_stream_as_the_changed_text(
    protocol: Protocol, said: Said, split: Split
) -> None:
    said = Said(f"{said.text}so $ab12_1 it is", said.calls, said.late)
    events = list(protocol.events(said, split))
    before = deepcopy(events)
    rewritten = protocol.format.reader().rewrite(events, fill)
    assert protocol.sdk(rewritten) == (fill(said.text + said.late), said.arguments)
    assert events == before


@EACH
@settings(max_examples=25)
@given(split=splits(), data=st.data())
def test_what_was_passed_on_before_the_handle_stays(
    protocol: Protocol, split: Split, data: st.DataObject
) -> None:
    said = Said("the answer is $ab12_1, or $ab12_1.")
    events = list(protocol.events(said, split))
    reader = protocol.format.reader()
    seen, held = "", 0
    for event in events:
        seen += "".join(part.text for part in reader.feed(event) if isinstance(part, TextDelta))
        if "$" in seen:
            break
        held += 1
    held = data.draw(st.integers(0, held))
    rewritten = reader.rewrite(events[held:], fill)
    assert protocol.sdk(events[:held] + rewritten) == (fill(said.text), [])


@EACH
@settings(max_examples=25)
@given(said=sayings, split=splits())
def test_a_stream_that_need_not_change_keeps_its_very_events(
    protocol: Protocol, said: Said, split: Split
) -> None:
    events = list(protocol.events(said, split))
    rewritten = protocol.format.reader().rewrite(events, str)
    assert all(new is old for new, old in zip(rewritten, events, strict=True))


@EACH
@given(said=sayings)
def test_the_sdk_parses_a_whole_reply_with_its_text_changed(protocol: Protocol, said: Said) -> None:
    body = protocol.body(said)
    before = deepcopy(body)
    changed = protocol.format.with_text(body, lambda text: text + "!")
    assert protocol.format.with_text(body, str) is body
    protocol.parse(changed)
    old, new = protocol.format.reply(body), protocol.format.reply(changed)
    assert old.calls == new.calls
    assert new.text.replace("!", "") == old.text
    assert new.text.endswith("!") or not old.text
    assert body == before


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value."""
    yield path
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield from places(member, (*path, key))


SPECIMEN = Said("so $ab12_1", ({"city": "Oslo"}, {"n": 1}), "late")
GARBAGE: list[Any] = [None, True, 7, "tool_use", "$ab12_1", [], {}, [[]], ["x"], {"type": []}, [{"type": {}}]]


@EACH
@given(data=st.data())
def test_one_broken_value_anywhere_raises_nothing(protocol: Protocol, data: st.DataObject) -> None:
    events = list(protocol.events(SPECIMEN, lambda text: [text[:3], text[3:]]))
    event = data.draw(st.integers(0, len(events) - 1))
    path = data.draw(st.sampled_from([path for path in places(events[event]) if path]))
    owner: Any = deepcopy(events[event])
    events[event] = owner
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = data.draw(st.sampled_from(GARBAGE))
    parts, reply = read(protocol.format, events)
    if reply.cut is None:
        assert sealed(parts) == list(reply.calls)
    protocol.format.reader().rewrite(events, fill)
