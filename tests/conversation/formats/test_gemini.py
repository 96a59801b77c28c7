from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.formats.base import CallSealed, Ended, Json, ToolSchema
from asyncfc.conversation.formats.gemini import GEMINI
from asyncfc.conversation.formats.gemini_schema import json_schema
from asyncfc.conversation.relaxation import relax
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call
from asyncfc.futures.handle import HandleGrammar
from asyncfc.streamed import Streamed


def user(*parts: Json) -> Json:
    return {"role": "user", "parts": list(parts)}


def model(*parts: Json) -> Json:
    return {"role": "model", "parts": list(parts)}


def call(name: str, id: str | None = None, **args: Any) -> Json:
    return {"functionCall": {**({"id": id} if id else {}), "name": name, "args": args}}


def answer(name: str, told: Any, id: str | None = None) -> Json:
    response = told if isinstance(told, dict) else {"result": told}
    return {"functionResponse": {**({"id": id} if id else {}), "name": name, "response": response}}


def chunk(*parts: Json, finish: str | None = None) -> Json:
    candidate: Json = {"content": model(*parts), **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate]}


# --- requests ---


@pytest.mark.parametrize("item", [user(), user({"text": "hi"}), model({"text": "x"}), "go", None, 3])
def test_what_answers_no_call_cannot_be_extended(item: Any) -> None:
    with pytest.raises(TranscriptError, match="functionResponse"):
        GEMINI.extend(item, "more")


def test_calls_have_their_name_in_their_id_and_their_number_where_there_is_none() -> None:
    entry = GEMINI.read(model({"text": "a"}, call("f", x=1), call("g"), call("f", x=2), call("f", "id7")))
    assert [c.id for c in entry.calls] == ["f:1", "g:1", "f:2", "f:id7"]
    assert entry.calls[0].arguments == '{"x":1}'
    assert entry.text == "a"


def test_thoughts_are_no_text_and_their_signatures_are_thinking() -> None:
    entry = GEMINI.read(model({"text": "hm", "thought": True}, {**call("f"), "thoughtSignature": "s"}))
    assert (entry.text, entry.thinking) == ("", True)


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"result": "r"}, "r"),
        ({"output": [1, 2], "result": "r"}, "[1,2]"),
        ({"error": "no"}, "no"),
        ({"a": 1, "b": "x"}, '{"a":1,"b":"x"}'),
    ],
)
def test_an_answer_reads_as_what_the_model_takes_for_output(response: Json, text: str) -> None:
    entry = GEMINI.read(user(answer("f", response)))
    assert (entry.role, entry.answers) == ("tool", (CallAnswer("f:1", text),))


@pytest.mark.parametrize(
    ("response", "extended"),
    [
        ({"result": "r"}, {"result": "r\n\nmore"}),
        ({"output": {"a": 1}}, {"output": '{"a":1}\n\nmore'}),
        ({"error": "no", "code": 3}, {"error": "no\n\nmore", "code": 3}),
        ({"a": 1}, {"a": 1, "more": "more"}),
    ],
)
def test_a_text_goes_into_the_last_answer_and_beside_none(response: Json, extended: Json) -> None:
    item = user(answer("f", "first"), answer("g", response))
    found = GEMINI.extend(item, "\n\nmore")
    assert found == user(answer("f", "first"), answer("g", extended))
    assert item == user(answer("f", "first"), answer("g", response))


def test_an_answer_that_has_lost_its_id_gets_it_back_by_name_and_order() -> None:
    asked = model(call("f", "1"), call("g", "2"), call("f", "3"))
    body = {"contents": [asked, user(answer("f", "a"), answer("f", "b"), answer("g", "c"))]}
    ids = [part["functionResponse"].get("id") for part in GEMINI.messages(body)[1]["parts"]]
    assert ids == ["1", "3", "2"]


def test_an_id_that_was_put_back_does_not_go_out() -> None:
    body = {"contents": [user({"text": "go"}), model(call("f", "a1")), user(answer("f", "x"))]}
    assert GEMINI.with_messages(body, GEMINI.messages(body)) == body
    given = {"contents": [model(call("f", "a1")), user(answer("f", "x", "a1"))]}
    assert GEMINI.with_messages(given, GEMINI.messages(given)) == given


def test_answers_in_another_order_keep_their_ids() -> None:
    asked = model(call("f", "1"), call("f", "2"))
    body = {"contents": [asked, user(answer("f", "b", "2"), answer("f", "a"))]}
    ids = [part["functionResponse"].get("id") for part in GEMINI.messages(body)[1]["parts"]]
    assert ids == ["2", "1"]


def test_ids_are_found_where_a_stream_was_kept_chunk_by_chunk() -> None:
    contents = [
        model({"text": "a"}),
        model(call("f", "1")),
        model(call("f", "2")),
        user(answer("f", "x"), answer("f", "y")),
    ]
    ids = [part["functionResponse"].get("id") for part in GEMINI.messages({"contents": contents})[3]["parts"]]
    assert ids == ["1", "2"]


def test_contents_without_ids_are_the_very_same_objects() -> None:
    contents = [user({"text": "go"}), model(call("f")), user(answer("f", "a")), "bare", {"role": "user"}]
    assert all(new is old for new, old in zip(GEMINI.messages({"contents": contents}), contents, strict=True))


def test_every_text_of_a_user_and_of_answers_is_mapped_and_nothing_else_copied() -> None:
    seen: list[tuple[str, str | None]] = []

    def change(text: str, call_id: str | None) -> str:
        seen.append((text, call_id))
        return text

    item = user({"text": "t"}, answer("f", {"result": ["a", {"b": "c"}]}, "7"), {"inlineData": {}})
    assert GEMINI.map_texts(item, change) is item
    assert seen == [("t", None), ("a", "f:7"), ("c", "f:7")]
    assert GEMINI.map_texts(item, lambda text, _: text.upper())["parts"][1] == answer(
        "f", {"result": ["A", {"b": "C"}]}, "7"
    )
    assert GEMINI.map_texts(model({"text": "m"}), lambda *_: "x") == model({"text": "m"})


def test_the_note_goes_behind_the_system_instruction() -> None:
    assert GEMINI.with_note({}, "n") == {"systemInstruction": {"parts": [{"text": "n"}]}}
    before = {"systemInstruction": {"role": "user", "parts": [{"text": "be"}]}}
    assert GEMINI.with_note(before, "n")["systemInstruction"]["parts"] == [{"text": "be"}, {"text": "n"}]


def test_what_is_written_reads_as_it_was() -> None:
    entries = [
        Entry("user", "go"),
        Entry("assistant", "hm", calls=(Call("f:1", "f", '{"x":1}'), Call("f:id7", "f", "{}"))),
        Entry("tool", answers=(CallAnswer("f:1", "a"), CallAnswer("f:id7", "b"))),
    ]
    items = [item for entry in entries for item in GEMINI.write(entry)]
    assert [GEMINI.read(item) for item in items] == entries
    assert GEMINI.write(Entry("assistant")) == []
    assert GEMINI.write(Entry("tool", "more", answers=(CallAnswer("f:1", "a"),)))[1] == user({"text": "more"})


# --- tools ---

OWN = {
    "type": "OBJECT",
    "properties": {
        "n": {"type": "INTEGER", "nullable": True, "minimum": 1},
        "l": {"type": "ARRAY", "items": {"type": "STRING"}, "min_items": "2"},
        "e": {"type": "STRING", "format": "enum", "enum": ["a", "b"]},
        "u": {"any_of": [{"type": "NUMBER"}, {"type": "STRING"}], "nullable": True, "example": 3},
    },
    "required": ["n"],
}
AS_JSON = {
    "type": "object",
    "properties": {
        "n": {"type": ["integer", "null"], "minimum": 1},
        "l": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "e": {"type": "string", "enum": ["a", "b"]},
        "u": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]},
    },
    "required": ["n"],
}


def declared(**about: Any) -> Json:
    return {
        "tools": [
            {"googleSearch": {}},
            {"functionDeclarations": [{"name": "f", "description": "d", **about}]},
        ]
    }


def relaxed(schema: ToolSchema) -> ToolSchema:
    return ToolSchema(
        schema.name, schema.description, relax(schema.parameters, HandleGrammar()), schema.strict
    )


def test_geminis_own_schema_says_the_same_in_json_schema() -> None:
    assert json_schema(OWN) == AS_JSON
    assert json_schema({"type": "STRING", "enum": ["a"], "nullable": True}) == {
        "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]
    }
    assert json_schema({"ref": "#/defs/x", "defs": {"x": {"type": "OBJECT"}}}) == {
        "$ref": "#/defs/x",
        "$defs": {"x": {"type": "object"}},
    }


def test_parameters_that_admit_handles_become_a_json_schema() -> None:
    body = GEMINI.with_tools(declared(parameters=OWN), relaxed, [])
    (function,) = body["tools"][1]["functionDeclarations"]
    assert "parameters" not in function
    assert function["parametersJsonSchema"]["properties"]["n"]["anyOf"][1] == {"$ref": "#/$defs/handle"}


@pytest.mark.parametrize("key", ["parametersJsonSchema", "parameters_json_schema"])
def test_a_json_schema_stays_under_its_name(key: str) -> None:
    body = GEMINI.with_tools(declared(**{key: AS_JSON}), relaxed, [])
    (function,) = body["tools"][1]["functionDeclarations"]
    assert function.keys() == {"name", "description", key}


def test_unchanged_tools_leave_the_request_as_it_is_and_others_come_behind_once() -> None:
    body = declared(parameters=OWN)
    assert GEMINI.with_tools(body, lambda schema: schema, []) is body
    more = ToolSchema("g", "new", {"type": "object"}, strict=False)
    found = GEMINI.with_tools(body, lambda schema: schema, [more, ToolSchema("f", "other", {}, strict=False)])
    assert GEMINI.tool_names(found) == ["f", "g"]
    assert found["tools"][0] is body["tools"][0]
    without: Json = {"tools": [{"googleSearch": {}}]}
    assert GEMINI.with_tools(without, relaxed, [more]) is without


@pytest.mark.parametrize(
    ("config", "is_structured"),
    [
        ({}, False),
        ({"responseMimeType": "text/plain"}, False),
        ({"responseMimeType": "application/json"}, True),
        ({"responseJsonSchema": {"type": "object"}}, True),
    ],
)
def test_a_request_says_whether_its_reply_is_json(config: Json, is_structured: bool) -> None:
    assert GEMINI.is_structured({"generationConfig": config}) is is_structured


# --- replies ---


@pytest.mark.parametrize(
    ("body", "cut"),
    [
        (chunk({"text": "a"}, finish="STOP"), None),
        (chunk({"text": "a"}), None),
        (chunk({"text": "a"}, finish="MAX_TOKENS"), "MAX_TOKENS"),
        (chunk(finish="MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
    ],
)
def test_a_reply_says_why_it_is_not_complete(body: Json, cut: str | None) -> None:
    assert GEMINI.reply(body).cut == cut


def test_a_pause_is_not_the_last_word() -> None:
    assert not GEMINI.reply(chunk({"text": "a"}, finish="CONTINUATION")).final


def test_a_reply_goes_back_with_its_signatures_and_only_its_text_changes() -> None:
    parts: list[Json] = [
        {"text": "t", "thought": True},
        {"text": "$x"},
        {**call("f"), "thoughtSignature": "s"},
    ]
    body = chunk(*parts, finish="STOP")
    assert GEMINI.reply(body).items == (model(*parts),)
    changed = GEMINI.with_text(body, lambda text: text.replace("$x", "5"))
    assert changed["candidates"][0]["content"]["parts"] == [parts[0], {"text": "5"}, parts[2]]
    assert GEMINI.with_text(body, lambda text: text) is body


def read(*events: Json) -> Any:
    reader = GEMINI.reader()
    parts = [part for event in events for part in reader.feed(event)]
    return reader.reply(), parts


def test_a_stream_is_read_as_the_whole_reply() -> None:
    events = [
        chunk({"text": "a"}),
        chunk(call("f", x=1)),
        chunk(call("f", x=2)),
        chunk({"text": ""}, finish="STOP"),
    ]
    reply, parts = read(*events)
    assert (reply.text, reply.cut) == ("a", None)
    assert [made.call.id for made in reply.calls] == ["f:1", "f:2"]
    assert [part.call for part in parts if isinstance(part, CallSealed)] == list(reply.calls)
    assert isinstance(parts[-1], Ended)


@pytest.mark.parametrize(
    ("last", "cut"),
    [
        (chunk({"text": "b"}), "the stream broke off"),
        (chunk(finish="SAFETY"), "SAFETY"),
        ({"error": {"code": 500}}, "error"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "OTHER"),
    ],
)
def test_a_stream_that_is_not_complete_says_why(last: Json, cut: str) -> None:
    assert read(chunk({"text": "a"}), last)[0].cut == cut


def test_arguments_that_come_in_pieces_are_put_together() -> None:
    def piece(*partial: Json, more: bool = True, **about: Any) -> Json:
        return chunk({"functionCall": {**about, "partialArgs": list(partial), "willContinue": more}})

    events = [
        piece(name="f", id="9"),
        piece({"jsonPath": "$.city", "stringValue": "New ", "willContinue": True}),
        piece({"jsonPath": "$.city", "stringValue": "York"}, {"jsonPath": "$.tags[0]", "stringValue": "a"}),
        piece({"jsonPath": "$.tags[1].n", "numberValue": 2}, {"jsonPath": "$.no", "nullValue": "NULL_VALUE"}),
        piece(more=False),
        chunk(finish="STOP"),
    ]
    reply, parts = read(*events)
    (made,) = reply.calls
    assert made.call.id == "f:9"
    assert json.loads(made.call.arguments) == {"city": "New York", "tags": ["a", {"n": 2}], "no": None}
    assert sum(isinstance(part, CallSealed) for part in parts) == 1
    assert read(*events[:2])[0].cut == "the stream broke off"


def test_a_call_is_read_of_only_when_its_message_has_ended() -> None:
    events = [chunk({"text": "a"}), chunk(call("f")), chunk({"text": "b"}), chunk(finish="STOP")]
    streamed = Streamed(GEMINI.reader(), lambda _: False)
    steps = [streamed.feed(event) for event in events]
    assert [len(step.passed) for step in steps] == [1, 0, 0, 3]
    assert [len(step.sealed) for step in steps] == [0, 1, 0, 0]


def test_a_changed_text_stands_where_the_message_ends() -> None:
    """The SDK takes a message with an empty chunk in it for a broken one."""
    events = [
        chunk({"text": "it is $k7"}),
        chunk({"text": "qz_1"}, {"inlineData": {}}),
        chunk({"text": "."}, finish="STOP"),
    ]
    found = GEMINI.reader().rewrite(events, lambda text: text.replace("$k7qz_1", "5"))
    assert found == [chunk({"inlineData": {}}), chunk({"text": "it is 5."}, finish="STOP")]
    assert GEMINI.reader().rewrite(events, str) == events


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "parts",
                    "role",
                    "text",
                    "functionCall",
                    "functionResponse",
                    "name",
                    "id",
                    "args",
                    "response",
                    "candidates",
                    "content",
                    "finishReason",
                    "tools",
                    "functionDeclarations",
                    "contents",
                    "partialArgs",
                    "jsonPath",
                    "parameters",
                    "type",
                    "items",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_garbage_is_read_without_an_error(value: Any) -> None:
    GEMINI.read(value)
    GEMINI.map_texts(value, lambda text, _: text)
    body = value if isinstance(value, dict) else {"contents": value, "tools": value, "candidates": value}
    for item in GEMINI.messages(body):
        GEMINI.read(item)
    GEMINI.with_tools(body, lambda schema: schema, [])
    GEMINI.reply(body)
    reader = GEMINI.reader()
    reader.feed(body)
    reader.reply()
    reader.rewrite([body], str.upper)
