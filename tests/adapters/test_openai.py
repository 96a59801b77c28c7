"""Every surface of the OpenAI SDK works, wrapped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, AzureOpenAI
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from pydantic import BaseModel

from asyncfc.adapters.openai import wrap
from asyncfc.testing.models import Emit, ModelServer, View, play
from tests.adapters import loops
from tests.adapters.loops import GO, PATIENT, Gate, answer_items, fetch, request_of, schemas_of

ON = (False, True)
CHAT: Any = {"model": "m", "messages": GO}
RESPONSE: Any = {"model": "m", "input": "go"}


class Sum(BaseModel):
    total: int


def tells(view: View) -> Emit:
    return Emit("told: " + " | ".join(answer.text for answer in view.answers()))


def done_then_tells(gate: Gate) -> Any:
    """Done at first; once results were delivered, tell them."""

    def step(view: View) -> Emit:
        gate.opened.set()
        return tells(view) if any("has ended" in a.text for a in view.answers()) else Emit("Done.")

    return step


def test_raw_and_streaming_responses_give_what_the_sdk_gives() -> None:
    with loops.wrapped(play(after=Emit("fine")), "chat", [fetch]) as (_, made):
        completions = made.client.chat.completions
        raw = completions.with_raw_response.create(**CHAT)
        assert raw.headers["x-request-id"] == "req_1"
        assert raw.parse().choices[0].message.content == "fine"
        assert raw.elapsed.total_seconds() > 0
        with completions.with_streaming_response.create(**CHAT) as response:
            assert json.loads(response.read())["choices"][0]["message"]["content"] == "fine"
        with completions.with_streaming_response.create(**CHAT, stream=True) as response:
            assert list(response.iter_lines())[-2:] == ["data: [DONE]", ""]
        assert response.elapsed.total_seconds() > 0
        with made.client.responses.with_streaming_response.create(**RESPONSE) as response:
            assert response.parse().output_text == "fine"


def test_chunks_come_as_the_provider_sends_them() -> None:
    with loops.wrapped(play(after=Emit("one two three", deltas=4)), "chat", [fetch]) as (_, made):
        chunks = list(made.client.chat.completions.create(**CHAT, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
        events = [event.type for event in made.client.responses.create(**RESPONSE, stream=True)]
    assert events[0] == "response.created"
    assert events[-1] == "response.completed"


def test_a_client_with_other_options_is_the_same_conversation() -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=done_then_tells(gate))
    slow = gate.tool()
    with loops.wrapped(script, "chat", {"slow": slow}, grace=0) as (_, made):
        other = made.client.with_options(timeout=30, max_retries=1)
        said = loops.loop(other, "chat", made.tools, list(GO), [slow])
    assert "result a" in said.text


@pytest.mark.parametrize("final", ["deliver", "substitute", "open"])
def test_structured_output_waits_for_all_outcomes_and_holds_no_handle(final: str) -> None:
    gate = Gate()
    slow = gate.tool()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        gate.open(Emit('{"total": 0}')),
        after=lambda view: Emit(json.dumps({"total": len(view.answers())})),
    )
    with loops.wrapped(script, "chat", {"slow": slow}, grace=0, final=final) as (_, made):
        messages = list(GO)
        said = loops.ask(made.client, "chat", **request_of("chat", messages, [slow]))
        messages += [*said.items, *answer_items("chat", [(said.calls[0].id, made.tools["slow"]("a"))])]
        parse = made.client.chat.completions.parse
        parsed = parse(model="m", messages=messages, response_format=Sum).choices[0].message.parsed
        assert made.session.owed == []
    assert parsed.total == 2


def test_a_parsed_response_is_of_the_programs_own_class() -> None:
    with loops.wrapped(play(after=Emit('{"total": 3}')), "responses", [fetch]) as (_, made):
        assert made.client.responses.parse(**RESPONSE, text_format=Sum).output_parsed == Sum(total=3)


def told_at_last(view: View) -> Emit:
    texts = [answer.text for answer in view.answers()]
    return Emit("told: " + texts[-1]) if any("has ended" in text for text in texts) else Emit("Done.")


@pytest.mark.parametrize("stream", ON)
def test_a_conversation_that_the_server_keeps_gets_its_deliveries_once(stream: bool) -> None:
    """Each request names the response before, and brings only what is new."""
    gate = Gate()
    slow = gate.tool()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=done_then_tells(gate))
    with loops.wrapped(script, "responses", {"slow": slow}, grace=0) as (server, made):
        tools = schemas_of("responses", [slow])
        first = made.client.responses.create(**RESPONSE, tools=tools)
        (call,) = [item for item in first.output if item.type == "function_call"]
        output = made.tools["slow"](**json.loads(call.arguments))
        asked: Any = {
            "model": "m",
            "tools": tools,
            "previous_response_id": first.id,
            "input": answer_items("responses", [(call.call_id, output)]),
        }
        if stream:
            with made.client.responses.stream(**asked) as events:
                second = events.get_final_response()
        else:
            second = made.client.responses.create(**asked)
        third = made.client.responses.create(
            model="m", tools=tools, previous_response_id=second.id, input="And now?"
        )
    assert "result a" in second.output_text
    assert third.output_text.count("has ended") == 1
    assert len(server.requests[-1].body["input"]) == 1 or server.requests[-1].body["input"] == "And now?"


def test_what_the_server_keeps_is_not_put_in_again_where_the_user_says_the_same_again() -> None:
    gate = Gate()
    slow = gate.tool()
    tools = schemas_of("responses", [slow])
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=lambda view: Emit(str(len(view.answers()))))
    with loops.wrapped(script, "responses", {"slow": slow}, grace=0, final="open") as (server, made):
        said = made.client.responses.create(**RESPONSE, tools=tools)
        output = made.tools["slow"]("a")
        answers: Any = answer_items("responses", [(said.output[0].call_id, output)])
        ask = made.client.responses.create
        said = ask(model="m", tools=tools, previous_response_id=said.id, input=answers)
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        for _ in range(3):
            said = ask(model="m", tools=tools, previous_response_id=said.id, input="again")
    sent = [json.dumps(request.body["input"]) for request in server.requests]
    assert [text.count("result a") for text in sent] == [0, 0, 1, 0, 0]
    assert said.output_text == "2"


@pytest.mark.parametrize("grace", [0, PATIENT])
def test_the_tool_runner_of_the_sdk_runs_wrapped_tools(grace: float) -> None:
    gate = Gate()
    gate.opened.set()
    slow = gate.tool()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=done_then_tells(gate))
    with loops.wrapped(script, "responses", {"slow": slow}, grace=grace) as (_, made):
        (schema,) = schemas_of("responses", [slow])
        function = RegisteredFunction(schema, lambda arguments: str(made.tools["slow"](**arguments)))
        runner = ResponsesToolRunner(functions=[function])
        params: Any = RESPONSE
        reply = runner.run(made.client, params)
    assert reply.output_text in {"told: result a", "Done."} or "result a" in reply.output_text
    assert gate.calls == ["a"]


@pytest.mark.parametrize("marked", ON)
def test_a_call_that_may_be_answered_late_is_answered_late(marked: bool) -> None:
    """Where the mark has got lost on the way, as the SDK loses it, it is answered at once like any other."""
    gate = Gate()
    slow = gate.tool()
    (schema,) = schemas_of("responses", [slow])

    def script(view: View) -> Emit:
        if not view.calls():
            return Emit(calls=[("slow", {"text": "a"})])
        gate.opened.set()
        return tells(view) if any("has ended" in answer.text for answer in view.answers()) else Emit("Done.")

    with loops.wrapped(script, "responses", {"slow": slow}, grace=0) as (server, made):
        body: Any = {"model": "m", "extra_body": {"tools": [{**schema, "async": True}]}}
        messages: list[Any] = list(GO)
        reply = made.client.responses.create(**body, input=messages)
        (call,) = reply.output
        messages += [call.model_dump(exclude_none=True, by_alias=True) if marked else call]
        messages += answer_items("responses", [(call.call_id, made.tools["slow"]("a"))])
        said = loops.ask(made.client, "responses", **body, input=messages)
    sent = server.requests[-1].body["input"]
    outputs = [item["call_id"] for item in sent if item.get("type") == "function_call_output"]
    assert "result a" in said.text
    assert outputs == [call.call_id] if marked else outputs[0] == call.call_id
    assert ("await_future" in json.dumps(sent)) is not marked


def test_a_client_of_azure_is_wrapped_like_any_other() -> None:
    client = AzureOpenAI(
        azure_endpoint="http://127.0.0.1:9", api_key="k", api_version="1", azure_deployment="x"
    )
    made = wrap(client, [fetch])
    with made.client:
        assert type(made.client) is AzureOpenAI


def test_an_asynchronous_client_can_be_wrapped_before_its_loop_runs() -> None:
    with ModelServer(play(Emit(calls=[("fetch", {"url": "a"})]), after=tells)) as server:
        client, tools = wrap(
            AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k"), {"fetch": fetch}, grace=PATIENT
        )

        async def main() -> str:
            async with client:
                return (await loops.loop_async(client, "chat", tools, list(GO), [fetch])).text

        assert asyncio.run(main()) == "told: page of a"
