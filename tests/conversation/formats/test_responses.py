"""Responses: requests as the SDK types them, and replies whose items are done, or not quite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItemParam, ToolParam
from pydantic import TypeAdapter

from asyncfc.conversation.formats.base import (
    CallBegun,
    CallSealed,
    Ended,
    Json,
    Part,
    ReplyCall,
    TextDelta,
    ToolSchema,
)
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.providers import OPENAI_RESPONSES
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call

ITEM: TypeAdapter[Any] = TypeAdapter(ResponseInputItemParam)
TOOL: TypeAdapter[Any] = TypeAdapter(ToolParam)
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False, "async": True}
SEARCH = {"type": "web_search"}


def function_call(call_id: str = "c", arguments: str = "{}", **more: Any) -> Json:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": "look",
        "arguments": arguments,
        **more,
    }


def message(*texts: str) -> Json:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": parts}


def body(*output: Json, status: str | None = "completed", **more: Any) -> Json:
    return {"status": status, "output": list(output), **more}


def added(index: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: Json) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def ended(*output: Json, status: str = "completed", **more: Any) -> Json:
    return {"type": f"response.{status}", "response": body(*output, status=status, **more)}


def feed(*events: Json) -> tuple[list[Part], Any]:
    reader = RESPONSES.reader()
    return [part for event in events for part in reader.feed(event)], reader.reply()


def sealed(call_id: str = "c", arguments: str = "{}") -> CallSealed:
    return CallSealed(ReplyCall(Call(call_id, "look", arguments)))


# --- Requests


def test_a_text_goes_behind_no_item_but_an_answer() -> None:
    with pytest.raises(TranscriptError, match="'message' answers no call"):
        RESPONSES.extend(message("hi"), "more")


def test_a_bare_string_is_one_item_and_stays_a_string_as_long_as_nothing_is_added() -> None:
    request = {"input": "hi"}
    items = RESPONSES.messages(request)
    assert items == [{"role": "user", "content": "hi"}]
    assert RESPONSES.with_messages(request, items) is request
    assert RESPONSES.with_messages(request, [*items, *items]) == {"input": [*items, *items]}


@pytest.mark.parametrize(
    ("given_", "expected"), [(None, "note"), ("", "note"), ("be brief", "be brief\n\nnote")]
)
def test_the_note_stands_behind_the_instructions(given_: Any, expected: str) -> None:
    assert RESPONSES.with_note({"instructions": given_}, "note") == {"instructions": expected}


def test_only_client_tools_change_and_those_added_say_whether_they_are_strict() -> None:
    add = [ToolSchema("look", "", {}, False), ToolSchema("wait", "waits", {"type": "object"}, False)]
    tools = RESPONSES.with_tools(
        {"tools": [LOOK, SEARCH]}, lambda tool: replace(tool, description="see"), add
    )["tools"]
    wait = {
        "type": "function",
        "name": "wait",
        "description": "waits",
        "parameters": {"type": "object"},
        "strict": False,
    }
    assert tools == [{**LOOK, "description": "see"}, SEARCH, wait]
    for tool in tools:
        TOOL.validate_python(tool)


@pytest.mark.parametrize(("strict", "expected"), [(None, True), (True, True), (False, False)])
def test_a_tool_that_does_not_say_so_is_strict(strict: bool | None, expected: bool) -> None:
    seen: list[bool] = []

    def look(tool: ToolSchema) -> ToolSchema:
        seen.append(tool.strict)
        return tool

    request = {"tools": [{**LOOK, "strict": strict}]}
    assert RESPONSES.with_tools(request, look, []) is request
    assert seen == [expected]


def test_a_request_with_hosted_tools_alone_stays_as_it_is() -> None:
    request = {"tools": [SEARCH, {"type": "custom", "name": "grep"}]}
    assert RESPONSES.with_tools(request, lambda tool: tool, [ToolSchema("wait", "", {}, False)]) is request


@pytest.mark.parametrize(
    ("kind", "structured"), [("text", False), ("json_object", True), ("json_schema", True)]
)
def test_structured_output_is_recognised(kind: str, structured: bool) -> None:
    assert RESPONSES.is_structured({"text": {"format": {"type": kind}}}) is structured
    assert not RESPONSES.is_structured({"text": {"verbosity": "low"}})


def test_the_row_of_the_table_allows_late_outputs() -> None:
    assert RESPONSES.provider({}) is OPENAI_RESPONSES


@pytest.mark.parametrize(
    ("item", "entry"),
    [
        ({"role": "developer", "content": "be brief"}, Entry("system", "be brief")),
        ({"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, Entry("user", "hi")),
        (message("a", "b"), Entry("assistant", "ab")),
        (
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "x"}]},
            Entry("assistant", thinking=True),
        ),
        (function_call("c", '{"a": 1}'), Entry("assistant", calls=(Call("c", "look", '{"a": 1}'),))),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "grep", "input": "x"},
            Entry("assistant", calls=(Call("c", "grep", "x"),)),
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "a"}]},
            Entry("tool", answers=(CallAnswer("c", "a"),)),
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "a"},
            Entry("tool", answers=(CallAnswer("c", "a"),)),
        ),
        ({"type": "computer_call_output", "call_id": "c", "output": {}}, Entry("tool")),
        ({"type": "web_search_call", "id": "ws"}, Entry("assistant")),
        ({"type": "item_reference", "id": "x"}, Entry("assistant")),
    ],
)
def test_items_are_read(item: Json, entry: Entry) -> None:
    assert RESPONSES.read(item) == entry


texts = st.text(max_size=8)
calls = st.builds(
    Call, st.text(min_size=1, max_size=4), st.text(max_size=4), st.sampled_from(['{"a":1}', "{", ""])
)
entries = st.one_of(
    st.builds(Entry, st.sampled_from(["system", "user", "assistant"]), texts),
    st.builds(Entry, st.just("assistant"), st.just(""), calls.map(lambda call: (call,))),
    st.builds(
        lambda call_id, text: Entry("tool", answers=(CallAnswer(call_id, text),)), st.text(min_size=1), texts
    ),
)


@given(entries)
def test_what_is_written_is_read_back_and_is_what_the_sdk_sends(entry: Entry) -> None:
    (item,) = RESPONSES.write(entry)
    ITEM.validate_python(item)
    assert RESPONSES.read(item) == entry


def test_text_calls_and_answers_become_items_of_their_own() -> None:
    asked = RESPONSES.write(Entry("assistant", "look", (Call("a", "look", {"x": 1}), Call("b", "look", ""))))
    assert [item["type"] for item in asked] == ["message", "function_call", "function_call"]
    assert asked[1]["arguments"] == '{"x":1}'
    told = RESPONSES.write(Entry("tool", "and?", answers=(CallAnswer("a", "1"), CallAnswer("b", "2"))))
    assert [item["type"] for item in told] == ["function_call_output", "function_call_output", "message"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("old", "old+new"),
        (
            [{"type": "input_text", "text": "old"}],
            [{"type": "input_text", "text": "old"}, {"type": "input_text", "text": "+new"}],
        ),
    ],
)
def test_a_text_goes_behind_an_answer(output: Any, expected: Any) -> None:
    item = {"type": "function_call_output", "call_id": "c", "output": output}
    assert RESPONSES.extend(item, "+new") == {**item, "output": expected}
    ITEM.validate_python(RESPONSES.extend(item, "+new"))


def test_texts_are_changed_with_the_call_that_they_answer() -> None:
    def mark(text: str, call_id: str | None) -> str:
        return f"{text}/{call_id}"

    image = {"type": "input_image", "image_url": "x", "detail": "auto"}
    user = {"role": "user", "content": [{"type": "input_text", "text": "a"}, image]}
    answer = {"type": "function_call_output", "call_id": "c", "output": "b"}
    assert RESPONSES.map_texts(user, mark)["content"] == [{"type": "input_text", "text": "a/None"}, image]
    assert RESPONSES.map_texts(answer, mark)["output"] == "b/c"
    for item in (message("a"), function_call(), {"role": "developer", "content": "a"}):
        assert RESPONSES.map_texts(item, mark) is item


# --- Whole replies


@pytest.mark.parametrize(
    ("reply", "cut"),
    [
        (body(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "max_output_tokens"),
        (body(status="incomplete", incomplete_details=None), "incomplete"),
        (body(status="failed", error={"code": "server_error", "message": "x"}), "server_error"),
        (body(status="in_progress"), "in_progress"),
        (body(status=None), None),
        (body(), None),
    ],
)
def test_a_reply_that_is_not_complete_is_cut(reply: Json, cut: str | None) -> None:
    assert RESPONSES.reply(reply).cut == cut


def test_a_refusal_cuts_only_a_message_with_calls() -> None:
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    assert (RESPONSES.reply(body(refusal)).text, RESPONSES.reply(body(refusal)).cut) == ("no", None)
    assert RESPONSES.reply(body(refusal, function_call())).cut == "refusal"


@pytest.mark.parametrize(
    ("item", "kind", "native"),
    [
        (function_call(), "model", False),
        (function_call(caller={"type": "direct"}), "model", False),
        (function_call(caller=None), "model", False),
        (function_call(caller={"type": "program", "caller_id": "p"}), "program", False),
        ({**function_call(), "async": True}, "model", True),
        ({**function_call(), "async": False}, "model", False),
        (function_call(namespace="crm"), "foreign", False),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "grep", "input": "x", "async": True},
            "foreign",
            True,
        ),
    ],
)
def test_whose_call_it_is(item: Json, kind: str, native: bool) -> None:
    (call,) = RESPONSES.reply(body(item)).calls
    assert (call.kind, call.native, call.call.id) == (kind, native, "c")


def test_the_items_of_a_reply_are_its_output_unchanged() -> None:
    output = [
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": None},
        message("a"),
        function_call(),
    ]
    reply = RESPONSES.reply(body(*output))
    assert all(item is given_ for item, given_ in zip(reply.items, output, strict=True))


def test_only_texts_that_a_user_reads_are_changed() -> None:
    reasoning = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "a"}]}
    changed = RESPONSES.with_text(body(reasoning, message("a", "b"), function_call("c", "a")), str.upper)[
        "output"
    ]
    assert changed == [reasoning, message("A", "B"), function_call("c", "a")]


# --- Streams


def test_an_item_that_is_done_but_incomplete_is_not_sealed() -> None:
    cut = function_call("c", '{"a', status="incomplete")
    parts, reply = feed(
        added(0, function_call("c", "")), done(0, cut), ended(cut, status="incomplete", incomplete_details={})
    )
    assert parts == [CallBegun(), Ended()]
    assert (reply.cut, reply.items) == ("incomplete", (cut,))


def test_calls_are_sealed_in_order_even_if_they_are_done_in_another() -> None:
    a, b = function_call("a"), function_call("b")
    parts, _ = feed(added(0, a), added(1, b), done(1, b), done(0, a), ended(a, b))
    assert parts == [CallBegun(), CallBegun(), sealed("a"), sealed("b"), Ended()]


def test_a_server_that_streams_no_items_has_them_in_the_last_event() -> None:
    parts, reply = feed(ended(message("hi"), function_call()))
    assert parts == [CallBegun(), sealed(), Ended()]
    assert (reply.text, reply.cut) == ("hi", None)


def test_a_server_that_leaves_the_last_event_empty_has_streamed_them() -> None:
    parts, reply = feed(added(0, function_call("c", "")), done(0, function_call()), ended())
    assert parts == [CallBegun(), sealed(), Ended()]
    assert reply.items == (function_call(),)


def test_an_item_that_never_gets_done_cuts_the_message() -> None:
    parts, reply = feed(added(0, function_call("c", "")), ended())
    assert parts == [CallBegun(), Ended()]
    assert reply.cut == "the stream contradicts itself"


def test_a_last_event_with_other_calls_than_those_sealed_cuts_the_message() -> None:
    parts, reply = feed(
        done(0, function_call("a")),
        added(1, function_call("b", "")),
        ended(function_call("x"), function_call("b")),
    )
    assert parts == [CallBegun(), sealed("a"), CallBegun(), Ended()]
    assert reply.cut == "the stream contradicts itself"


def test_an_item_that_is_done_twice_counts_once() -> None:
    parts, reply = feed(done(0, function_call("a")), done(0, function_call("b")), ended())
    assert parts == [CallBegun(), sealed("a"), Ended()]
    assert reply.items == (function_call("a"),)


@pytest.mark.parametrize(
    ("event", "cut"),
    [
        ({"type": "error", "code": "rate_limit", "message": "x"}, "rate_limit"),
        ({"type": "error", "code": None, "message": "x"}, "error"),
        (ended(status="failed", error={"code": "server_error"}), "server_error"),
        ({"type": "response.failed"}, "failed"),
    ],
)
def test_a_stream_that_fails_is_cut(event: Json, cut: str) -> None:
    parts, reply = feed(event)
    assert parts == [Ended()]
    assert reply.cut == cut


def test_what_a_broken_stream_brought_so_far_is_in_the_reply() -> None:
    at = {"output_index": 0, "content_index": 0}
    parts, reply = feed(
        added(0, {**message(), "status": "in_progress"}),
        {"type": "response.output_text.delta", "delta": "so ", **at},
        {"type": "response.refusal.delta", "delta": "no", "output_index": 0, "content_index": 1},
        added(1, function_call("c", "")),
        {"type": "response.function_call_arguments.delta", "delta": '{"a', "output_index": 1},
    )
    assert parts == [TextDelta("so "), TextDelta("no"), CallBegun()]
    assert (reply.text, reply.cut) == ("so no", "the stream broke off")
    assert [call.call for call in reply.calls] == [Call("c", "look", '{"a')]
    assert [item["status"] for item in reply.items] == ["incomplete", "incomplete"]


def test_refusals_are_rewritten_too() -> None:
    at = {"output_index": 0, "content_index": 0}
    part = {"type": "refusal", "refusal": "ab"}
    item = {"type": "message", "role": "assistant", "content": [part]}

    def events(*texts: str) -> list[Json]:
        refused = {**part, "refusal": texts[-1]}
        return [
            *({"type": "response.refusal.delta", "delta": text, **at} for text in texts[:-1]),
            {"type": "response.refusal.done", "refusal": texts[-1], **at},
            {"type": "response.content_part.done", "part": refused, **at},
            done(0, {**item, "content": [refused]}),
        ]

    assert RESPONSES.reader().rewrite(events("a", "b", "ab"), str.upper) == events("AB", "AB")
