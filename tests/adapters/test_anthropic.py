"""Every surface of the Anthropic SDK works, wrapped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from anthropic import Anthropic, beta_async_tool, beta_tool
from openai import OpenAI
from pydantic import BaseModel

from asyncfc.adapters.anthropic import wrap
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, ModelServer, View, play
from tests.adapters import loops
from tests.adapters.loops import GO, PATIENT, Gate, fetch, search

MESSAGES: Any = GO
BODY: Any = {"model": "m", "max_tokens": 4096, "messages": MESSAGES}


class Sum(BaseModel):
    total: int


def tells(view: View) -> Emit:
    return Emit("told: " + " | ".join(answer.text for answer in view.answers()))


def test_raw_and_streaming_responses_give_what_the_sdk_gives() -> None:
    with loops.wrapped(play(after=Emit("fine")), "messages", [fetch]) as (_, made):
        raw = made.client.messages.with_raw_response.create(**BODY)
        assert raw.http_response.headers["x-request-id"] == "req_1"
        assert raw.parse().content[0].text == "fine"
        with made.client.messages.with_streaming_response.create(**BODY) as response:
            assert json.loads(response.read())["content"][0]["text"] == "fine"
        with made.client.messages.with_streaming_response.create(**BODY, stream=True) as response:
            lines = list(response.iter_lines())
        assert "event: message_stop" in lines
        assert response.elapsed.total_seconds() > 0


def test_the_events_of_a_stream_are_those_of_the_provider() -> None:
    with loops.wrapped(play(after=Emit("one two three", deltas=4)), "messages", [fetch]) as (_, made):
        kinds = [event.type for event in made.client.messages.create(**BODY, stream=True)]
        with made.client.messages.stream(**BODY) as stream:
            assert "".join(stream.text_stream) == "one two three"
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


def test_a_client_with_other_options_is_the_same_conversation() -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), gate.open(Emit("Done.")), after=tells)
    slow = gate.tool()
    with loops.wrapped(script, "messages", {"slow": slow}, grace=0) as (_, made):
        other = made.client.with_options(timeout=30, max_retries=1)
        said = loops.loop(other, "messages", made.tools, list(GO), [slow])
    assert "result a" in said.text


def test_structured_output_waits_for_all_outcomes_and_holds_no_handle() -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        gate.open(Emit('{"total": 0}')),
        after=lambda view: Emit(json.dumps({"total": len(view.answers())})),
    )
    slow = gate.tool()
    with loops.wrapped(script, "messages", {"slow": slow}, grace=0, final="open") as (_, made):
        messages = list(GO)
        said = loops.ask(made.client, "messages", **loops.request_of("messages", messages, [slow]))
        messages += [
            *said.items,
            *loops.answer_items("messages", [(said.calls[0].id, made.tools["slow"]("a"))]),
        ]
        schemas = loops.schemas_of("messages", [slow])
        parsed = made.client.messages.parse(
            model="m", max_tokens=99, messages=messages, tools=schemas, output_format=Sum
        )
    assert parsed.parsed_output.total >= 2


@pytest.mark.parametrize("grace", [0, PATIENT])
def test_the_tool_runner_of_the_sdk_runs_wrapped_tools(grace: float) -> None:
    script = play(
        Emit(calls=[("fetch", {"url": "a"}), ("fetch", {"url": "b"})]),
        lambda view: Emit(calls=[("fetch", {"url": view.passed_on("fetch")})]),
        after=tells,
    )

    def fetch(url: str, mode: str = "fast") -> str:
        """Fetch.

        Args:
            url: of the page.
            mode: of fetching.
        """
        return f"{mode} page of {url}"

    with loops.wrapped(script, "messages", {"fetch": fetch}, grace=grace) as (_, made):
        runner = made.client.beta.messages.tool_runner(
            **BODY, thread=False, tools=[beta_tool(made.tools["fetch"])]
        )
        said = runner.until_done()
    assert "fast page of fast page of a" in said.content[0].text


def test_the_asynchronous_tool_runner_runs_wrapped_tools() -> None:
    script = play(Emit(calls=[("look", {"text": "a"})]), after=tells)

    async def look(text: str) -> str:
        """Look."""
        return f"saw {text}"

    async def main() -> str:
        with ModelServer(script) as server:
            client = loops.new_client(server, "messages", asynchronous=True)
            client, tools = wrap(client, {"look": look}, grace=PATIENT)
            async with client:
                runner = client.beta.messages.tool_runner(
                    **BODY, thread=False, tools=[beta_async_tool(tools["look"])]
                )
                text: str = (await runner.until_done()).content[0].text
                return text

    assert asyncio.run(main()) == "told: saw a"


@pytest.mark.parametrize("stream", [False, True])
def test_with_thinking_nothing_is_put_into_the_models_mouth(stream: bool) -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"})], thinking="hm"),
        gate.open(Emit("Done, I think.")),
        after=lambda view: Emit(" ".join(view.last_texts())),
    )
    slow = gate.tool()
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with loops.wrapped(script, "messages", {"slow": slow}, grace=0) as (server, made):
        messages = list(GO)
        said = loops.loop(
            made.client, "messages", made.tools, messages, [slow], stream=stream, thinking=thinking
        )
    assert "result a" in said.text
    assert "await_future" not in json.dumps(server.requests[-1].body["messages"])


def test_a_refusal_ends_the_turn() -> None:
    with loops.wrapped(play(after=Emit("I cannot.", stop="refusal")), "messages", [fetch]) as (_, made):
        reply = made.client.messages.create(**BODY)
    assert reply.stop_reason == "refusal"
    assert made.dialogue.extra_messages == 0


def test_counting_tokens_is_no_message_of_the_model() -> None:
    with (
        loops.wrapped(play(), "messages", [search]) as (server, made),
        pytest.raises(Exception, match="Unknown request URL"),
    ):
        made.client.messages.count_tokens(model="m", messages=MESSAGES)
    assert server.requests == []


def test_a_client_of_another_sdk_is_refused_by_name() -> None:
    wrong: Any = OpenAI(api_key="k")
    with wrong, pytest.raises(DeclarationError, match="no client of the Anthropic SDK"):
        wrap(wrong, [search])
    no_http: Any = Anthropic(api_key="k")
    with no_http:
        sdk_client, no_http._client = no_http._client, object()
        with pytest.raises(DeclarationError, match="no httpx2 client"):
            wrap(no_http, [search])
        no_http._client = sdk_client
