"""Messages: requests as the SDK types them, and replies that end in Anthropic's many ways."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types import MessageParam, ToolUnionParam
from hypothesis import given
from hypothesis import strategies as st
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
from asyncfc.conversation.formats.messages import MESSAGES
from asyncfc.conversation.providers import ANTHROPIC, ANTHROPIC_THINKING
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call

MESSAGE: TypeAdapter[Any] = TypeAdapter(MessageParam)
TOOL: TypeAdapter[Any] = TypeAdapter(ToolUnionParam)
LOOK = {"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
BASH = {"type": "bash_20250124", "name": "bash"}
THINKING = {"type": "thinking", "thinking": "deep", "signature": "c2ln"}


def text(content: str) -> Json:
    return {"type": "text", "text": content}


def tool_use(call_id: str = "t", given_: Any = None, **more: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": "look", "input": given_ or {}, **more}


def result(call_id: str, content: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def body(*content: Json, stop: str | None = "end_turn") -> Json:
    return {"role": "assistant", "content": list(content), "stop_reason": stop}


def start(index: int, block: Json) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str | None) -> Json:
    return {"type": "message_delta", "delta": {"stop_reason": reason}}


def feed(*events: Json) -> tuple[list[Part], Any]:
    reader = MESSAGES.reader()
    return [part for event in events for part in reader.feed(event)], reader.reply()


def sealed(call_id: str = "t", arguments: str = "{}") -> CallSealed:
    return CallSealed(ReplyCall(Call(call_id, "look", arguments)))


# --- Requests


@pytest.mark.parametrize("content", ["hi", [text("hi")], []])
def test_a_text_goes_behind_no_message_without_results(content: Any) -> None:
    with pytest.raises(TranscriptError, match="'user' answers no call"):
        MESSAGES.extend({"role": "user", "content": content}, "more")


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (None, "note"),
        ("be brief", "be brief\n\nnote"),
        ([text("be brief")], [text("be brief"), text("note")]),
    ],
)
def test_the_note_stands_behind_the_system_prompt(system: Any, expected: Any) -> None:
    request = {} if system is None else {"system": system}
    assert MESSAGES.with_note(request, "note") == {"system": expected}


def test_only_client_tools_change_and_none_is_added_twice() -> None:
    custom = {"type": "custom", "name": "grep", "input_schema": {"type": "object"}, "strict": True}
    add = [ToolSchema("look", "", {}, False), ToolSchema("wait", "waits", {"type": "object"}, True)]
    request = {"tools": [LOOK, SEARCH, custom, BASH]}
    tools = MESSAGES.with_tools(request, lambda tool: replace(tool, strict=False), add)["tools"]
    wait = {"name": "wait", "description": "waits", "input_schema": {"type": "object"}, "strict": True}
    assert tools == [LOOK, SEARCH, {**custom, "strict": False}, BASH, wait]
    assert MESSAGES.tool_names(request) == ["look", "grep"]
    for tool in tools:
        TOOL.validate_python(tool)


def test_a_request_with_server_tools_alone_stays_as_it_is() -> None:
    request = {"tools": [SEARCH]}
    assert MESSAGES.with_tools(request, lambda tool: tool, [ToolSchema("wait", "", {}, False)]) is request


@pytest.mark.parametrize(
    ("request_", "structured"),
    [
        ({}, False),
        ({"output_config": {"effort": "low"}}, False),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, True),
        ({"output_format": {"type": "json_schema", "schema": {}}}, True),
    ],
)
def test_structured_output_is_recognised(request_: Json, structured: bool) -> None:
    assert MESSAGES.is_structured(request_) is structured


@pytest.mark.parametrize(
    ("request_", "provider"),
    [
        ({}, ANTHROPIC),
        (
            {"thinking": {"type": "disabled"}, "messages": [{"role": "assistant", "content": [THINKING]}]},
            ANTHROPIC,
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, ANTHROPIC_THINKING),
        ({"thinking": {"type": "adaptive"}}, ANTHROPIC_THINKING),
        ({"thinking": {"type": "between_tools"}}, ANTHROPIC_THINKING),
        ({"messages": [{"role": "assistant", "content": [THINKING]}]}, ANTHROPIC_THINKING),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, ANTHROPIC),
    ],
)
def test_thinking_chooses_the_row_of_the_table(request_: Json, provider: Any) -> None:
    assert MESSAGES.provider(request_) is provider


@pytest.mark.parametrize(
    ("item", "entry"),
    [
        ({"role": "system", "content": "be brief"}, Entry("system", "be brief")),
        ({"role": "assistant", "content": "hi"}, Entry("assistant", "hi")),
        (
            {"role": "assistant", "content": [THINKING, text("a"), tool_use("t", {"x": 1}), text("b")]},
            Entry("assistant", "ab", (Call("t", "look", '{"x":1}'),), thinking=True),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "server_tool_use", "id": "s", "name": "w", "input": {}}],
            },
            Entry("assistant"),
        ),
        (
            {
                "role": "user",
                "content": [result("t", "a"), result("u", [text("b"), text("c")]), text("and?")],
            },
            Entry("tool", "and?", answers=(CallAnswer("t", "a"), CallAnswer("u", "bc"))),
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True}]},
            Entry("tool", answers=(CallAnswer("t", ""),)),
        ),
        ({"role": "user", "content": [{"type": "image", "source": {}}]}, Entry("user")),
    ],
)
def test_items_are_read(item: Json, entry: Entry) -> None:
    assert MESSAGES.read(item) == entry


texts = st.text(max_size=8)
arguments = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3), max_size=3)
calls = st.builds(
    Call,
    st.text(min_size=1, max_size=4),
    st.text(max_size=4),
    arguments.map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))),
)
answers = st.lists(st.builds(CallAnswer, st.text(min_size=1, max_size=4), texts), min_size=1, max_size=3).map(
    tuple
)
entries = st.one_of(
    st.builds(Entry, st.sampled_from(["system", "user", "assistant"]), texts.filter(bool)),
    st.builds(Entry, st.just("assistant"), texts, st.lists(calls, min_size=1, max_size=3).map(tuple)),
    st.builds(Entry, st.just("tool"), texts, answers=answers),
)


@given(entries)
def test_what_is_written_is_read_back_and_is_what_the_sdk_sends(entry: Entry) -> None:
    (item,) = MESSAGES.write(entry)
    MESSAGE.validate_python(item)
    assert MESSAGES.read(item) == entry


def test_an_entry_with_nothing_in_it_is_not_written() -> None:
    assert MESSAGES.write(Entry("user")) == MESSAGES.write(Entry("tool")) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [("old", "old+new"), (None, "+new"), ([text("old")], [text("old"), text("+new")])],
)
def test_a_text_goes_behind_the_last_answer(content: Any, expected: Any) -> None:
    item = {"role": "user", "content": [result("s", "first"), result("t", content), text("and?")]}
    extended = MESSAGES.extend(item, "+new")
    assert extended["content"] == [result("s", "first"), result("t", expected), text("and?")]
    MESSAGE.validate_python(extended)


def test_texts_are_changed_with_the_call_that_they_answer() -> None:
    def mark(content: str, call_id: str | None) -> str:
        return f"{content}/{call_id}"

    def found(content: str) -> Json:
        return {"type": "search_result", "source": "s", "title": "t", "content": [text(content)]}

    def document(content: str) -> Json:
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": content}}

    image = {"type": "image", "source": {"type": "url", "url": "x"}}
    item = {
        "role": "user",
        "content": [result("t", "a"), result("u", [text("b"), image, found("c")]), document("d"), text("e")],
    }
    changed = MESSAGES.map_texts(item, mark)
    assert changed["content"] == [
        result("t", "a/t"),
        result("u", [text("b/u"), image, found("c/u")]),
        document("d/None"),
        text("e/None"),
    ]
    assert MESSAGES.map_texts({"role": "user", "content": "a"}, mark)["content"] == "a/None"
    for other in ({"role": "assistant", "content": "a"}, {"role": "system", "content": "a"}):
        assert MESSAGES.map_texts(other, mark) is other


# --- Whole replies


@pytest.mark.parametrize(
    "reason", ["max_tokens", "refusal", "model_context_window_exceeded", "not_yet_invented"]
)
def test_a_reply_that_did_not_end_by_itself_is_cut(reason: str) -> None:
    assert MESSAGES.reply(body(tool_use(), stop=reason)).cut == reason


@pytest.mark.parametrize(
    ("reason", "final"),
    [("end_turn", True), ("tool_use", True), ("pause_turn", False), ("compaction", False)],
)
def test_a_pause_is_neither_cut_nor_final(reason: str, final: bool) -> None:
    reply = MESSAGES.reply(body(text("a"), stop=reason))
    assert (reply.cut, reply.final) == (None, final)
    _, streamed = feed(start(0, text("a")), stop(0), ended(reason))
    assert streamed == reply


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "model"),
        ({"caller": {"type": "direct"}}, "model"),
        ({"caller": {"type": "code_execution_20260120", "tool_id": "s"}}, "program"),
        ({"toolset_name": "computer"}, "foreign"),
    ],
)
def test_whose_call_it_is(more: Json, kind: str) -> None:
    (call,) = MESSAGES.reply(body(tool_use("t", {"x": "\u20ac"}, **more))).calls
    assert call == ReplyCall(Call("t", "look", '{"x":"\u20ac"}'), kind)  # type: ignore[arg-type]


def test_the_item_of_a_reply_is_its_content_without_blank_texts() -> None:
    content = [
        THINKING,
        text("\n"),
        tool_use(),
        {"type": "server_tool_use", "id": "s", "name": "w", "input": {}},
    ]
    (item,) = MESSAGES.reply(body(*content, stop="tool_use")).items
    assert item == {"role": "assistant", "content": [content[0], *content[2:]]}
    MESSAGE.validate_python(item)


def test_a_reply_that_says_nothing_leaves_no_item() -> None:
    assert MESSAGES.reply(body()).items == MESSAGES.reply(body(text(""))).items == ()


def test_only_texts_that_a_user_reads_are_changed() -> None:
    changed = MESSAGES.with_text(body(THINKING, text("a"), tool_use("t", {"x": "a"}), text("b")), str.upper)
    assert changed["content"] == [THINKING, text("A"), tool_use("t", {"x": "a"}), text("B")]


# --- Streams


def test_the_end_of_its_own_block_does_not_seal_a_call() -> None:
    events = [start(0, tool_use()), delta(0, "input_json_delta", partial_json='{"a'), stop(0)]
    assert feed(*events)[0] == [CallBegun()]
    parts, reply = feed(*events, ended("max_tokens"))
    assert parts == [CallBegun(), Ended()]
    assert [call.call.arguments for call in reply.calls] == ['{"a']
    assert reply.items[0]["content"] == [tool_use()]


@pytest.mark.parametrize(
    "block", [text(""), tool_use("u"), {"type": "server_tool_use", "id": "s", "name": "w", "input": {}}]
)
def test_the_next_block_seals_a_call(block: Json) -> None:
    parts, _ = feed(
        start(0, tool_use()), delta(0, "input_json_delta", partial_json='{"a": 1}'), stop(0), start(1, block)
    )
    assert parts[1] == sealed("t", '{"a": 1}')


def test_behind_a_fallback_to_another_model_calls_wait_for_the_end() -> None:
    fallback = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    events = [
        start(0, tool_use("a")),
        stop(0),
        start(1, fallback),
        stop(1),
        start(2, tool_use("b")),
        stop(2),
        start(3, text("x")),
    ]
    assert feed(*events)[0] == [CallBegun(), CallBegun(), TextDelta("x")]
    parts, _ = feed(*events, stop(3), ended("tool_use"))
    assert parts[3:] == [sealed("a"), sealed("b"), Ended()]


def test_a_call_that_goes_on_after_it_was_sealed_cuts_the_message() -> None:
    parts, reply = feed(
        start(0, tool_use("a")),
        stop(0),
        start(1, tool_use("b")),
        delta(0, "input_json_delta", partial_json="{}"),
        stop(1),
        ended("tool_use"),
    )
    assert parts == [CallBegun(), sealed("a"), CallBegun(), Ended()]
    assert reply.cut == "the stream contradicts itself"


@pytest.mark.parametrize(
    ("event", "cut"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "overloaded_error"),
        ({"type": "error"}, "error"),
        ({"type": "message_stop"}, "the stream broke off"),
    ],
)
def test_a_stream_that_fails_is_cut(event: Json, cut: str) -> None:
    parts, reply = feed(start(0, tool_use()), stop(0), event)
    assert parts == [CallBegun(), Ended()]
    assert reply.cut == cut


def test_a_block_that_begins_twice_cuts_the_message() -> None:
    parts, reply = feed(start(0, tool_use("a")), stop(0), start(0, tool_use("b")), ended("tool_use"))
    assert parts == [CallBegun(), sealed("a"), Ended()]
    assert reply.cut == "the stream contradicts itself"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    parts, _ = feed(
        start(0, tool_use()), delta(0, "input_json_delta", partial_json=""), stop(0), ended("tool_use")
    )
    assert parts[1] == sealed("t", "{}")


def test_a_server_that_sends_the_arguments_with_the_start_is_understood() -> None:
    parts, _ = feed(start(0, tool_use("t", {"x": 1})), stop(0), ended("tool_use"))
    assert parts[1] == sealed("t", '{"x":1}')


def test_every_kind_of_delta_is_in_the_item() -> None:
    citation = {"type": "char_location", "cited_text": "x"}
    _, reply = feed(
        {"type": "message_start", "message": {}},
        start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        delta(0, "thinking_delta", thinking="de"),
        delta(0, "thinking_delta", thinking="ep"),
        delta(0, "signature_delta", signature="c2ln"),
        stop(0),
        start(1, {**text(""), "citations": []}),
        delta(1, "text_delta", text="a"),
        delta(1, "citations_delta", citation=citation),
        stop(1),
        start(2, {"type": "server_tool_use", "id": "s", "name": "w", "input": {}}),
        delta(2, "input_json_delta", partial_json='{"q": 1}'),
        stop(2),
        start(3, {"type": "compaction", "content": None}),
        delta(3, "compaction_delta", content="short"),
        stop(3),
        ended("pause_turn"),
    )
    assert reply.items[0]["content"] == [
        THINKING,
        {**text("a"), "citations": [citation]},
        {"type": "server_tool_use", "id": "s", "name": "w", "input": {"q": 1}},
        {"type": "compaction", "content": "short"},
    ]
    assert (reply.calls, reply.cut, reply.final) == ((), None, False)


def test_each_block_keeps_its_own_text_when_a_stream_is_rewritten() -> None:
    events = [
        start(0, text("a")),
        delta(0, "text_delta", text="b"),
        delta(0, "citations_delta", citation={}),
        stop(0),
        start(1, THINKING),
        delta(1, "thinking_delta", thinking="x"),
        start(2, text("")),
        delta(2, "text_delta", text="c"),
        delta(2, "text_delta", text="d"),
    ]
    assert MESSAGES.reader().rewrite(events, str.upper) == [
        start(0, text("AB")),
        *events[2:7],
        delta(2, "text_delta", text="CD"),
    ]
