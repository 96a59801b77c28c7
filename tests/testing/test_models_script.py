"""Scripts see the same conversation whatever the provider; a model in the process takes virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from asyncfc.testing.loop import Deadlock, run_virtual
from asyncfc.testing.models import Ask, Emit, Rejected, View, model_of, play
from asyncfc.testing.models.model import FormatName
from asyncfc.testing.models.script import GivenAnswer, MadeCall, Message

Json = dict[str, Any]
FORMATS: tuple[FormatName, ...] = ("chat", "responses", "messages")
HI = {"role": "user", "content": "hi"}
SCHEMA: Json = {"type": "object"}
BODIES: dict[FormatName, Json] = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
            HI,
            {"role": "assistant", "content": "let me", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "$$k7qz_9"}]},
            {"role": "tool", "tool_call_id": "a", "content": "$k7qz_1 is running: $k7qz_1"},
            {"role": "user", "content": [{"type": "text", "text": "and?"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    },
    "responses": {
        "model": "m",
        "instructions": "be brief",
        "input": [
            HI,
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "let me"}]},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x": 1}'},
            {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "b", "output": "$$k7qz_9"},
            {"type": "function_call_output", "call_id": "a", "output": "$k7qz_1 is running: $k7qz_1"},
            {"role": "user", "content": [{"type": "input_text", "text": "and?"}]},
        ],
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
                  {"type": "web_search"}],
    },
    "messages": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "be brief"}],
        "messages": [
            HI,
            {"role": "assistant", "content": [
                {"type": "text", "text": "let me"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "b",
                 "content": [{"type": "text", "text": "$$k7qz_9"}]},
                {"type": "tool_result", "tool_use_id": "a", "content": "$k7qz_1 is running: $k7qz_1"},
                {"type": "text", "text": "and?"}]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA},
                  {"type": "web_search_20250305", "name": "web_search"}],
    },
}  # fmt: skip


def view_of(format: FormatName, body: Json) -> View:
    """What a script is shown."""
    seen: list[View] = []

    def script(view: View) -> Emit:
        seen.append(view)
        return Emit("ok")

    async def main() -> None:
        await model_of(script, format)(body)

    run_virtual(main)
    return seen[0]


@pytest.mark.parametrize("format", FORMATS)
def test_a_conversation_reads_the_same_in_every_format(format: FormatName) -> None:
    view = view_of(format, BODIES[format])
    calls = (MadeCall("a", "f", '{"x": 1}'), MadeCall("b", "g", "{}"))
    given = (GivenAnswer("b", "g", "$$k7qz_9"), GivenAnswer("a", "f", "$k7qz_1 is running: $k7qz_1"))
    assert view.messages == (
        Message("user", "hi"),
        Message("assistant", "let me", calls, issued=False),
        Message("tool", answers=given),
        Message("user", "and?"),
    )
    assert view.system == "be brief"
    assert {name: (tool.schema, tool.description) for name, tool in view.tools.items()} == {
        "f": (SCHEMA, "d")
    }
    assert view.body == BODIES[format]


def test_a_view_finds_answers_and_handles() -> None:
    view = view_of("chat", BODIES["chat"])
    assert view.handles() == ["$k7qz_1"]  # an escaped one is none
    assert view.answer_of("g") == view.answer_of("g", -1) == view.passed_on("g") == "$$k7qz_9"
    assert view.passed_on("f") == "$k7qz_1"
    assert view.last_texts() == ["$$k7qz_9", "$k7qz_1 is running: $k7qz_1", "and?"]
    assert [call.name for call in view.calls()] == ["f", "g"]
    with pytest.raises(LookupError, match="'h' has 0 answers"):
        view.answer_of("h")


@pytest.mark.parametrize("format", FORMATS)
def test_messages_that_were_inserted_are_no_turns_of_the_model(format: FormatName) -> None:
    assert view_of(format, BODIES[format]).turn == 0


def reply_with(format: FormatName, body: Json, reply: Json) -> Json:
    """The next request after a message with one call."""
    if format == "chat":
        said = reply["choices"][0]["message"]
        answer = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "7"}
        return {**body, "messages": [*body["messages"], said, answer]}
    if format == "responses":
        call_id = reply["output"][-1]["call_id"]
        answer = {"type": "function_call_output", "call_id": call_id, "output": "7"}
        return {**body, "input": [*body["input"], *reply["output"], answer]}
    result = {"type": "tool_result", "tool_use_id": reply["content"][-1]["id"], "content": "7"}
    said = {"role": "assistant", "content": reply["content"]}
    return {**body, "messages": [*body["messages"], said, {"role": "user", "content": [result]}]}


def first_of(format: FormatName) -> Json:
    if format == "responses":
        return {"model": "m", "input": [HI]}
    return {"model": "m", "max_tokens": 9, "messages": [HI]}


@pytest.mark.parametrize("format", FORMATS)
def test_a_play_goes_by_the_conversation_so_a_repeated_request_gets_the_same_step(format: FormatName) -> None:
    async def main() -> None:
        model = model_of(play(Emit("a", [("f", {})]), lambda view: Emit(view.answer_of("f"))), format)
        await model(first_of(format))
        reply = await model(first_of(format))
        follow = reply_with(format, first_of(format), reply)
        for _ in range(2):
            assert '"7"' in json.dumps(await model(follow))

    run_virtual(main)


def test_a_play_that_is_over_says_so_unless_it_has_more() -> None:
    async def main() -> None:
        with pytest.raises(LookupError, match="0 steps, but the model is asked once more"):
            await model_of(play())(first_of("chat"))
        reply = await model_of(play(after=Emit("still here")))(first_of("chat"))
        assert "still here" in str(reply)

    run_virtual(main)


def test_items_of_two_responses_are_two_messages_though_nothing_stands_between() -> None:
    async def main() -> None:
        model = model_of(play(Emit("a"), Emit("b"), Emit("c")), "responses")
        body = first_of("responses")
        for wanted in "abc":
            reply = await model(body)
            assert reply["output"][0]["content"][0]["text"] == wanted
            body = {**body, "input": [*body["input"], *reply["output"]]}

    run_virtual(main)


@pytest.mark.parametrize("format", FORMATS)
def test_arguments_go_out_as_the_script_wrote_them(format: FormatName) -> None:
    async def main() -> None:
        model = model_of(play(Emit(calls=[("f", '{"x":  1, "x')], stop="length")), format)
        events = [event async for event in model.stream(first_of(format))]
        pieces = []
        for event in events:
            if format == "chat":
                calls = event["choices"][0]["delta"].get("tool_calls") or ()
                pieces += [call["function"]["arguments"] for call in calls]
            elif "delta" in event:
                delta = event["delta"]
                pieces.append(delta if isinstance(delta, str) else delta.get("partial_json", ""))
        assert "".join(pieces) == '{"x":  1, "x'

    run_virtual(main)


@pytest.mark.parametrize("format", FORMATS)
def test_the_length_fault_cuts_the_last_call(format: FormatName) -> None:
    async def main() -> None:
        script = play(Emit(calls=[("f", {"x": 1}), ("f", {"long": "text"})]))
        model = model_of(script, format, faults=["length"])
        told = "".join(
            json.dumps(event) for event in [event async for event in model.stream(first_of(format))]
        )
        assert "length" in told or "max_" in told
        assert "text" not in told.replace("response.output_text", "")

    run_virtual(main)


@pytest.mark.parametrize("format", ["chat", "responses"])
def test_a_custom_call_is_read_back_with_its_raw_input(format: FormatName) -> None:
    seen: list[View] = []

    def second(view: View) -> Emit:
        seen.append(view)
        return Emit("done")

    async def main() -> None:
        model = model_of(play(Emit(calls=[Ask("sh", "ls -l", "custom")]), second), format)
        reply = await model(first_of(format))
        body = reply_with(format, first_of(format), reply)
        if format == "responses":
            body["input"][-1]["type"] = "custom_tool_call_output"
        await model(body)

    run_virtual(main)
    assert seen[0].calls() == [MadeCall("call_1", "sh", "ls -l", "custom")]
    assert seen[0].answer_of("sh") == "7"


def test_developer_messages_of_a_response_belong_to_the_system_prompt() -> None:
    body = {**BODIES["responses"], "include": ["reasoning.encrypted_content"], "reasoning": {}}
    body["input"] = [*body["input"], {"role": "developer", "content": "in French"}]
    assert view_of("responses", body).system == "be brief\n\nin French"


@pytest.mark.parametrize(("format", "kind"), [("chat", "program"), ("messages", "custom")])
def test_a_call_that_the_provider_does_not_have_cannot_be_scripted(format: FormatName, kind: Any) -> None:
    async def main() -> None:
        with pytest.raises(Rejected, match="knows no"):
            await model_of(play(Emit(calls=[Ask("f", {}, kind)])), format)(first_of(format))

    run_virtual(main)


@pytest.mark.parametrize("format", FORMATS)
def test_decoding_takes_its_time_whole_or_streamed(format: FormatName) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        model = model_of(play(Emit("hello world")), format, decode=2.0)
        await model(first_of(format))
        assert loop.time() == 2.0
        times = [loop.time() async for _ in model.stream(first_of(format))]
        steps = [later - earlier for earlier, later in zip([2.0, *times], times, strict=False)]
        assert times[-1] == pytest.approx(4.0)
        assert steps == pytest.approx([2.0 / len(times)] * len(times))

    run_virtual(main)


def test_what_was_asked_and_said_is_on_record_and_later_changes_do_not_reach_it() -> None:
    async def main() -> None:
        model = model_of(play(Emit("hello")))
        body = first_of("chat")
        reply = await model(body)
        body["messages"].append("x")
        reply["choices"].clear()
        assert model.requests == [first_of("chat")]
        assert model.replies[0]["choices"][0]["message"]["content"] == "hello"

    run_virtual(main)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("fault", "error"),
    [("429", Rejected), ("drop", ConnectionResetError), ("drop after 2 events", ConnectionResetError),
     ("drop after 99 events", ConnectionResetError), ("malformed", json.JSONDecodeError)],
)  # fmt: skip
def test_faults_without_sockets(format: FormatName, fault: str, error: type[Exception]) -> None:
    async def main() -> None:
        model = model_of(play(Emit("hello world")), format, faults=[fault, fault])
        with pytest.raises(error):
            await model(first_of(format))
        with pytest.raises(error):
            [event async for event in model.stream(first_of(format))]
        assert "hello" in str(await model(first_of(format)))

    run_virtual(main)


def test_a_model_that_never_answers_is_a_deadlock_in_virtual_time() -> None:
    async def main() -> None:
        await model_of(play(Emit("x")), faults=["timeout"])(first_of("chat"))

    with pytest.raises(Deadlock):
        run_virtual(main)
