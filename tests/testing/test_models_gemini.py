"""The judge of requests to Gemini."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from asyncfc.testing.models import Ask, Emit, Model, Rejected, View, model_of, play
from asyncfc.testing.models.script import Json

GO: Json = {"role": "user", "parts": [{"text": "go"}]}


def answer(name: str, told: str = "x", **more: Any) -> Json:
    return {"functionResponse": {"name": name, "response": {"result": told}, **more}}


def said(model: Model, *contents: Json, **body: Any) -> Json:
    reply: Json = asyncio.run(model({"contents": list(contents), **body}))
    return reply


def content(reply: Json) -> Json:
    found: Json = reply["candidates"][0]["content"]
    return found


def calls_two() -> Model:
    return model_of(play(Emit(calls=[("f", {"x": 1}), ("g", {})]), after=Emit("done")), "gemini")


def asked(model: Model) -> tuple[Json, list[Json]]:
    """The message with the calls, and its parts."""
    found = content(said(model, GO))
    return found, found["parts"]


def test_answers_to_all_calls_are_taken() -> None:
    model = calls_two()
    calls, parts = asked(model)
    answers = {"role": "user", "parts": [answer("f", id=parts[0]["functionCall"]["id"]), answer("g")]}
    assert content(said(model, GO, calls, answers))["parts"] == [{"text": "done"}]


def without_signature(calls: Json) -> Json:
    first, *rest = calls["parts"]
    return {**calls, "parts": [{"functionCall": first["functionCall"]}, *rest]}


def other_arguments(calls: Json) -> Json:
    first, *rest = calls["parts"]
    return {**calls, "parts": [{**first, "functionCall": {**first["functionCall"], "args": {"x": 2}}}, *rest]}


BOTH = {"role": "user", "parts": [answer("f"), answer("g")]}
WRONG: dict[str, Any] = {
    "multiturn requests begin with a user turn": lambda calls: [calls, BOTH],
    "number of function response parts": lambda calls: [GO, calls, {"role": "user", "parts": [answer("f")]}],
    "is equal to the number of function call parts": lambda calls: [GO, calls],
    "comes immediately after a function call turn": lambda calls: [
        GO,
        calls,
        {"role": "user", "parts": [{"text": "!"}, *BOTH["parts"]]},
    ],
    "function response names match": lambda calls: [
        GO,
        calls,
        {"role": "user", "parts": [answer("f"), answer("h")]},
    ],
    "match no calls": lambda calls: [
        GO,
        calls,
        {"role": "user", "parts": [answer("f", id="other"), answer("g")]},
    ],
    "missing a thought_signature": lambda calls: [GO, without_signature(calls), BOTH],
    "Thought signature is not valid": lambda calls: [GO, other_arguments(calls), BOTH],
    "must not be empty": lambda calls: [GO, calls, {"role": "user", "parts": []}],
    "valid role": lambda calls: [GO, calls, {"role": "tool", "parts": BOTH["parts"]}],
    "must have one initialized field": lambda calls: [
        GO,
        calls,
        {"role": "user", "parts": [{"text": "a", **answer("f")}, answer("g")]},
    ],
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_conversation_is_refused(message: str) -> None:
    model = calls_two()
    calls, _ = asked(model)
    with pytest.raises(Rejected, match=re.escape(message)):
        said(model, *WRONG[message](calls))


def test_an_answer_to_no_call_is_refused() -> None:
    with pytest.raises(Rejected, match="immediately after a function call turn"):
        said(calls_two(), BOTH)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ({"name": "1f"}, "Invalid function name"),
        ({"name": "f", "parameters": {"type": "OBJECT", "$defs": {}}}, "Cannot find field"),
        ({"name": "f", "parameters": {"type": "object"}}, "'object'"),
        (
            {"name": "f", "parameters": {"type": "OBJECT"}, "parametersJsonSchema": {"type": "object"}},
            "both be set",
        ),
        ({"name": "f", "parameters_json_schema": {"type": "string"}}, "must have type 'object'"),
    ],
)
def test_a_wrong_declaration_is_refused(function: Json, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        said(calls_two(), GO, tools=[{"functionDeclarations": [function]}])


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(Rejected, match="Duplicate"):
        said(calls_two(), GO, tools=[{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}])


def test_a_refusal_has_googles_form() -> None:
    with pytest.raises(Rejected) as raised:
        said(calls_two())
    assert raised.value.error["error"]["status"] == "INVALID_ARGUMENT"


def test_older_models_give_no_ids() -> None:
    model = model_of(play(Emit(calls=[("f", {})]), after=Emit("done")), "gemini", repeat_ids=True)
    calls, parts = asked(model)
    assert "id" not in parts[0]["functionCall"]
    assert content(said(model, GO, calls, {"role": "user", "parts": [answer("f")]}))["parts"] == [
        {"text": "done"}
    ]


def test_a_stream_says_the_same_and_its_chunks_may_be_kept_one_by_one() -> None:
    views: list[View] = []

    def last(view: View) -> Emit:
        views.append(view)
        return Emit("done")

    model = model_of(play(Emit("hello", calls=[("f", {}), ("f", {"x": 1})], deltas=2), after=last), "gemini")

    async def chunks() -> list[Json]:
        return [chunk async for chunk in model.stream({"contents": [GO]})]

    events = asyncio.run(chunks())
    assert [event["candidates"][0].get("finishReason") for event in events] == [None] * 4 + ["STOP"]
    answers = {"role": "user", "parts": [answer("f", "a"), answer("f", "b")]}
    said(model, GO, *map(content, events), answers)
    (view,) = views
    assert view.turn == 1
    assert view.messages[1].text == "hello"
    assert [given.text for given in view.answers("f")] == ["a", "b"]


def test_a_call_that_is_cut_off_does_not_arrive() -> None:
    model = model_of(play(Emit("a", calls=[Ask("f", '{"x": ')], stop="length")), "gemini")
    reply = said(model, GO)
    assert content(reply)["parts"] == [{"text": "a"}]
    assert reply["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_thoughts_come_if_they_are_asked_for() -> None:
    model = model_of(play(after=Emit("a", thinking="hm")), "gemini")
    thinking = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    assert content(said(model, GO, **thinking))["parts"][0] == {"text": "hm", "thought": True}
    assert content(said(model, GO))["parts"] == [{"text": "a"}]
