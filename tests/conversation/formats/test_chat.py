"""Chat Completions: requests as the SDK types them, replies as OpenAI and compatible servers write them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import TypeAdapter

from asyncfc.conversation.formats.base import CallBegun, CallSealed, Ended, Json, Part, ReplyCall, ToolSchema
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.providers import OPENAI_CHAT
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call

MESSAGE: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
TOOL: TypeAdapter[Any] = TypeAdapter(ChatCompletionToolUnionParam)
LOOK = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}, "extra": 1},
}
CUSTOM = {"type": "custom", "custom": {"name": "grep"}}


def function(call_id: str, arguments: Any, name: str = "look") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def body(message: Json, finish: str | None = "stop") -> Json:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def chunk(delta: Json, finish: str | None = None, index: int = 0) -> Json:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def call_delta(index: int | None, arguments: Any = "", **more: Any) -> Json:
    at = {} if index is None else {"index": index}
    name = more.pop("name", None)
    return {**at, **more, "function": {"arguments": arguments, **({"name": name} if name else {})}}


def feed(*events: Json) -> tuple[list[Part], Any]:
    reader = CHAT.reader()
    return [part for event in events for part in reader.feed(event)], reader.reply()


def sealed(call_id: str, arguments: str, name: str = "look") -> CallSealed:
    return CallSealed(ReplyCall(Call(call_id, name, arguments)))


# --- Requests


def test_a_text_goes_behind_no_message_but_a_tools() -> None:
    with pytest.raises(TranscriptError, match="'user' answers no call"):
        CHAT.extend({"role": "user", "content": "hi"}, "more")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], [{"role": "system", "content": "note"}]),
        (
            [{"role": "user", "content": "hi"}, {"role": "system", "content": "later"}],
            [
                {"role": "system", "content": "note"},
                {"role": "user", "content": "hi"},
                {"role": "system", "content": "later"},
            ],
        ),
        (
            [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}],
            [{"role": "system", "content": "a"}, {"role": "developer", "content": "b\n\nnote"}],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": "a"}]}],
            [
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "note"}],
                }
            ],
        ),
    ],
)
def test_the_note_stands_behind_the_system_prompt(items: list[Json], expected: list[Json]) -> None:
    noted = CHAT.with_note({"model": "m", "messages": items}, "note")
    assert noted == {"model": "m", "messages": expected}
    for item in noted["messages"]:
        MESSAGE.validate_python(item)


def test_only_client_tools_change_and_none_is_added_twice() -> None:
    request = {"tools": [LOOK, CUSTOM]}
    add = [ToolSchema("look", "", {}, False), ToolSchema("wait", "waits", {"type": "object"}, True)]
    tools = CHAT.with_tools(request, lambda tool: replace(tool, description="see"), add)["tools"]
    expected = {**LOOK["function"], "description": "see"}  # type: ignore[dict-item]
    wait = {"name": "wait", "description": "waits", "parameters": {"type": "object"}, "strict": True}
    assert tools == [
        {"type": "function", "function": expected},
        CUSTOM,
        {"type": "function", "function": wait},
    ]
    assert tools[1] is CUSTOM
    for tool in tools:
        TOOL.validate_python(tool)


@pytest.mark.parametrize(
    "request_", [{}, {"tools": None}, {"tools": [CUSTOM]}, {"functions": [{"name": "old"}]}]
)
def test_a_request_without_client_tools_stays_as_it_is(request_: Json) -> None:
    assert CHAT.with_tools(request_, lambda tool: tool, [ToolSchema("wait", "", {}, False)]) is request_
    assert CHAT.tool_names(request_) == []


def test_tools_that_need_not_change_leave_the_request_as_it_is() -> None:
    request = {"tools": [LOOK]}
    assert CHAT.with_tools(request, lambda tool: tool, []) is request


@pytest.mark.parametrize(
    ("given_", "structured"),
    [
        (None, False),
        ({"type": "text"}, False),
        ({"type": "json_object"}, True),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, True),
    ],
)
def test_structured_output_is_recognised(given_: Any, structured: bool) -> None:
    assert CHAT.is_structured({"response_format": given_}) is structured


def test_the_row_of_the_table_is_openais() -> None:
    assert CHAT.provider({"model": "m"}) is OPENAI_CHAT


@pytest.mark.parametrize(
    ("item", "entry"),
    [
        ({"role": "developer", "content": "be brief"}, Entry("system", "be brief")),
        ({"role": "assistant"}, Entry("assistant")),
        ({"role": "assistant", "content": None, "refusal": "no"}, Entry("assistant", "no")),
        (
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            },
            Entry("assistant", "ab"),
        ),
        (
            {"role": "assistant", "content": "hm", "reasoning_content": "deep"},
            Entry("assistant", "hm", thinking=True),
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}],
            },
            Entry("assistant", calls=(Call("c", "g", "x"),)),
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "a"}]},
            Entry("tool", answers=(CallAnswer("c", "a"),)),
        ),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, Entry("user")),
    ],
)
def test_items_are_read(item: Json, entry: Entry) -> None:
    assert CHAT.read(item) == entry


texts = st.text(max_size=8)
calls = st.builds(
    Call, st.text(min_size=1, max_size=4), st.text(max_size=4), st.sampled_from(['{"a":1}', "{", ""])
)
entries = st.one_of(
    st.builds(Entry, st.sampled_from(["system", "user", "assistant"]), texts),
    st.builds(Entry, st.just("assistant"), texts, st.lists(calls, min_size=1, max_size=3).map(tuple)),
    st.builds(
        lambda call_id, text: Entry("tool", answers=(CallAnswer(call_id, text),)), st.text(min_size=1), texts
    ),
)


@given(entries)
def test_what_is_written_is_read_back_and_is_what_the_sdk_sends(entry: Entry) -> None:
    (item,) = CHAT.write(entry)
    MESSAGE.validate_python(item)
    assert CHAT.read(item) == entry


def test_several_answers_and_a_text_become_items_of_their_own() -> None:
    items = CHAT.write(Entry("tool", "and?", answers=(CallAnswer("a", "1"), CallAnswer("b", "2"))))
    assert [CHAT.read(item) for item in items] == [
        Entry("tool", answers=(CallAnswer("a", "1"),)),
        Entry("tool", answers=(CallAnswer("b", "2"),)),
        Entry("user", "and?"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("old", "old+new"),
        ("", "+new"),
        (None, "+new"),
        (
            [{"type": "text", "text": "old"}],
            [{"type": "text", "text": "old"}, {"type": "text", "text": "+new"}],
        ),
    ],
)
def test_a_text_goes_behind_an_answer(content: Any, expected: Any) -> None:
    item = {"role": "tool", "tool_call_id": "c", "content": content}
    extended = CHAT.extend(item, "+new")
    assert extended == {**item, "content": expected}
    MESSAGE.validate_python(extended)


def test_texts_are_changed_with_the_call_that_they_answer() -> None:
    def mark(text: str, call_id: str | None) -> str:
        return f"{text}/{call_id}"

    image = {"type": "image_url", "image_url": {"url": "x"}}
    user = {"role": "user", "content": [{"type": "text", "text": "a"}, image]}
    tool = {"role": "tool", "tool_call_id": "c", "content": "b"}
    assert CHAT.map_texts(user, mark)["content"] == [{"type": "text", "text": "a/None"}, image]
    assert CHAT.map_texts(tool, mark)["content"] == "b/c"
    for item in ({"role": "assistant", "content": "a"}, {"role": "system", "content": "a"}):
        assert CHAT.map_texts(item, mark) is item


# --- Whole replies


@pytest.mark.parametrize("finish", ["length", "content_filter", "insufficient_system_resource"])
def test_a_reply_that_did_not_end_by_itself_is_cut(finish: str) -> None:
    assert CHAT.reply(body({"role": "assistant", "content": "a"}, finish)).cut == finish


def test_a_refusal_cuts_only_a_message_with_calls() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "no"}
    assert CHAT.reply(body(refusal)).cut is None
    assert CHAT.reply(body(refusal)).text == "no"
    assert CHAT.reply(body({**refusal, "tool_calls": [function("a", "{}")]})).cut == "refusal"


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "eos", None])
def test_other_ends_are_complete(finish: str | None) -> None:
    assert CHAT.reply(body({"role": "assistant", "content": "a"}, finish)).cut is None


@pytest.mark.parametrize(
    ("given_", "text"), [({"a": 1}, '{"a":1}'), (None, ""), ("{", "{"), ([], "[]"), ({1, 2}, "")]
)
def test_arguments_become_json_text(given_: Any, text: str) -> None:
    (call,) = CHAT.reply(body({"tool_calls": [function("a", given_)]}, "tool_calls")).calls
    assert call == ReplyCall(Call("a", "look", text))


def test_a_custom_tool_is_foreign() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "grep", "input": "x.*"}}
    (call,) = CHAT.reply(body({"tool_calls": [custom]}, "tool_calls")).calls
    assert call == ReplyCall(Call("c", "grep", "x.*"), "foreign")


def test_the_item_of_a_reply_is_what_a_request_accepts() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "reasoning_content": "deep",
        "tool_calls": [{**function("a", "{}"), "extra_content": {"google": {"thought_signature": "s"}}}],
    }
    (item,) = CHAT.reply(body(message, "tool_calls")).items
    MESSAGE.validate_python(item)
    assert item == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "deep",
        "tool_calls": message["tool_calls"],
    }


def test_a_reply_that_says_nothing_has_an_empty_content_and_no_empty_calls() -> None:
    (item,) = CHAT.reply(body({"role": "assistant", "content": None, "tool_calls": []})).items
    assert item == {"role": "assistant", "content": ""}


def test_only_the_first_choice_counts() -> None:
    first, second = ({"index": n, "message": {"content": str(n)}, "finish_reason": "stop"} for n in (0, 1))
    reply = {"choices": [second, first]}
    assert CHAT.reply(reply).text == "0"
    changed = CHAT.with_text(reply, lambda text: text + "!")
    assert [choice["message"]["content"] for choice in changed["choices"]] == ["1", "0!"]
    assert changed["choices"][0] is second


# --- Streams of compatible servers


def test_one_index_for_all_calls_but_an_id_for_each() -> None:
    parts, reply = feed(
        chunk({"tool_calls": [call_delta(0, '{"a":1}', id="x", name="look")]}),
        chunk({"tool_calls": [call_delta(0, '{"a":2}', id="y", name="look")]}),
        chunk({}, "stop"),
    )
    x, y = sealed("x", '{"a":1}'), sealed("y", '{"a":2}')
    assert parts == [CallBegun(), x, CallBegun(), y, Ended()]
    assert reply.calls == (x.call, y.call)


def test_a_server_that_repeats_id_and_name_in_each_delta_makes_one_call() -> None:
    again = {"id": "x", "name": "look"}
    parts, _ = feed(
        chunk({"tool_calls": [call_delta(0, '{"a"', **again)]}),
        chunk({"tool_calls": [call_delta(0, ":1}", **again)]}),
        chunk({}, "tool_calls"),
    )
    assert parts == [CallBegun(), sealed("x", '{"a":1}'), Ended()]


def test_calls_without_ids_or_indices_and_with_arguments_as_an_object() -> None:
    parts, reply = feed(chunk({"tool_calls": [call_delta(None, {"a": 1}, name="look")]}, "tool_calls"))
    assert parts == [CallBegun(), sealed("", '{"a":1}'), Ended()]
    assert reply.cut is None


def test_several_calls_in_one_delta() -> None:
    two = [call_delta(0, "{}", id="x", name="look"), call_delta(1, "{}", id="y", name="look")]
    parts, _ = feed(chunk({"tool_calls": two}, "tool_calls"))
    assert parts == [CallBegun(), sealed("x", "{}"), CallBegun(), sealed("y", "{}"), Ended()]


def test_a_custom_call_is_streamed_as_foreign() -> None:
    head = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "grep", "input": ""}}
    parts, _ = feed(
        chunk({"tool_calls": [head]}),
        chunk({"tool_calls": [{"index": 0, "custom": {"input": "x"}}]}),
        chunk({}, "tool_calls"),
    )
    assert parts[1] == CallSealed(ReplyCall(Call("c", "grep", "x"), "foreign"))


def test_a_call_that_goes_on_after_it_was_sealed_cuts_the_message() -> None:
    parts, reply = feed(
        chunk({"tool_calls": [call_delta(0, "{}", id="x", name="look")]}),
        chunk({"tool_calls": [call_delta(1, "{}", id="y", name="look")]}),
        chunk({"tool_calls": [call_delta(0, "more")]}),
        chunk({}, "tool_calls"),
    )
    assert [part for part in parts if isinstance(part, CallSealed)] == [sealed("x", "{}")]
    assert reply.cut == "the stream contradicts itself"


def test_a_call_behind_the_end_cuts_the_message() -> None:
    _, reply = feed(chunk({}, "stop"), chunk({"tool_calls": [call_delta(0, "{}", id="x")]}))
    assert reply.cut == "the stream contradicts itself"


def test_an_error_in_the_middle_ends_and_cuts_the_message() -> None:
    parts, reply = feed(chunk({"content": "so"}), {"error": {"message": "overloaded"}})
    assert parts[-1] == Ended()
    assert reply.cut == "error"


def test_a_refusal_in_a_stream_cuts_a_message_with_calls() -> None:
    parts, reply = feed(
        chunk({"refusal": "no"}),
        chunk({"tool_calls": [call_delta(0, "{}", id="x", name="look")]}),
        chunk({}, "stop"),
    )
    assert not any(isinstance(part, CallSealed) for part in parts)
    assert (reply.text, reply.cut) == ("no", "refusal")


def test_other_choices_and_filter_chunks_bring_nothing() -> None:
    parts, reply = feed(
        {"choices": [], "prompt_filter_results": []}, chunk({"content": "b"}, "stop", index=1)
    )
    assert parts == []
    assert reply.cut == "the stream broke off"


def test_reasoning_and_what_else_a_server_adds_is_kept_in_the_item() -> None:
    _, reply = feed(
        chunk({"role": "assistant", "reasoning_content": "de", "reasoning_details": [1]}),
        chunk({"role": "assistant", "reasoning_content": "ep", "reasoning_details": [2]}),
        chunk(
            {"tool_calls": [call_delta(0, "{}", id="x", name="look", extra_content={"s": 1})]}, "tool_calls"
        ),
    )
    (item,) = reply.items
    assert item == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "deep",
        "reasoning_details": [1, 2],
        "tool_calls": [{**function("x", "{}"), "extra_content": {"s": 1}}],
    }


def test_chunks_that_say_more_than_text_stay_when_it_is_moved() -> None:
    events = [
        chunk({"role": "assistant", "content": "a"}),
        chunk({"content": "b"}),
        chunk({"content": "c"}, "stop"),
        {**chunk({"content": "other"}, index=1)},
    ]
    assert CHAT.reader().rewrite(events, str.upper) == [
        chunk({"role": "assistant", "content": "ABC"}),
        chunk({"content": ""}, "stop"),
        events[3],
    ]
