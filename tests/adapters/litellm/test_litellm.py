"""What is special about LiteLLM's functions, wrapped; the suite plays whole conversations."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import litellm
import pytest
from pydantic import BaseModel

from asyncfc import Tool, tool
from asyncfc.adapters.litellm import wrap
from asyncfc.adapters.litellm.talk import _ChatOfAny
from asyncfc.adapters.wrapped import Wrapped
from asyncfc.conversation import providers
from asyncfc.errors import DeclarationError, TranscriptError
from asyncfc.testing.models import Emit, ModelServer, Script, View, chat_checks, play
from asyncfc.testing.models.rejection import need
from tests.adapters.litellm.harness import MARKS, answer, schemas

pytestmark = MARKS

GO: list[Any] = [{"role": "user", "content": "go"}]


class Sum(BaseModel):
    total: int


@tool(pure=True)
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def tells(view: View) -> Emit:
    return Emit("told: " + " | ".join(answer.text for answer in view.answers()))


class Gate:
    """A tool that does not end before it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def tool(self) -> Tool:
        def slow(text: str) -> str:
            """Take a while."""
            assert self.opened.wait(10)
            return f"result {text}"

        return Tool(slow, effects="pure")

    def open(self, emit: Emit) -> Script:
        def step(_: View) -> Emit:
            self.opened.set()
            return emit

        return step


@contextmanager
def wrapped(
    script: Script, tools: Any, *, server: Any = None, **settings: Any
) -> Iterator[tuple[ModelServer, Wrapped[Any], dict[str, Any]]]:
    """A scripted server, the wrapped function, and the arguments that lead to the one through the other."""
    with ModelServer(script, **server or {}) as running:
        made = wrap(litellm.completion, tools, **settings)
        about = {"model": "openai/m", "api_base": f"{running.url}/v1", "api_key": "k", "max_retries": 0}
        try:
            yield running, made, about
        finally:
            made.close()


# --- LiteLLM's own loop ---


def test_the_loop_of_litellm_runs_over_the_wrapped_function() -> None:
    gate = Gate()
    slow = gate.tool()
    script = play(Emit(calls=[("slow", {"text": "a"})]), gate.open(Emit("Later.")), after=Emit("Here."))
    with wrapped(script, {"slow": slow}, grace=0) as (server, made, about):

        def execute(call: Any) -> Any:
            text = made.tools[call.function.name](**json.loads(call.function.arguments))
            return {"role": "tool", "tool_call_id": call.id, "content": text}

        loop = made.client.run_tool_loop
        assert loop(messages=GO, tools=schemas([slow]), execute_tool=execute, **about) == "Here."
    assert len(server.requests) == 3


def test_the_loop_ends_after_so_many_rounds() -> None:
    script = play(after=lambda view: Emit(calls=[("double", {"n": len(view.messages)})]))
    with wrapped(script, {"double": double}, grace=60.0) as (server, made, about):

        def execute(call: Any) -> Any:
            return asyncio.run(answer(made.tools, call))

        loop = made.client.run_tool_loop
        with pytest.raises(litellm.ToolLoopMaxRoundsExceeded):
            loop(messages=GO, tools=schemas([double]), execute_tool=execute, max_rounds=2, **about)
    assert len(server.requests) == 2


def test_the_asynchronous_loop_does_the_same() -> None:
    async def main(server: ModelServer) -> Any:
        made = wrap(litellm.acompletion, {"double": double}, grace=60.0)
        about = {"model": "openai/m", "api_base": f"{server.url}/v1", "api_key": "k"}
        try:
            return await made.client.run_tool_loop(
                messages=GO,
                tools=schemas([double]),
                execute_tool=lambda call: answer(made.tools, call),
                **about,
            )
        finally:
            await made.aclose()

    with ModelServer(play(Emit(calls=[("double", {"n": 4})]), after=tells)) as server:
        assert asyncio.run(main(server)) == "told: 8"


# --- requests and replies ---


def test_a_reply_that_need_not_change_is_litellms_own_object() -> None:
    made = wrap(lambda **_: reply, {"double": double})
    reply = litellm.completion("openai/m", GO, mock_response="fine")
    try:
        assert made.client("openai/m", GO) is reply
    finally:
        made.close()


def test_arguments_may_stand_in_their_order_and_messages_may_be_objects() -> None:
    with wrapped(play(Emit(calls=[("double", {"n": 1})]), after=tells), [double], grace=60.0) as (
        server,
        made,
        about,
    ):
        model = about.pop("model")
        message = made.client(model, GO, tools=schemas([double]), **about).choices[0].message
        given = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": str(made.tools[0](n=1))}
        reply = made.client(model, [*GO, message, given], tools=schemas([double]), **about)
    assert reply.choices[0].message.content == "told: 2"
    assert server.rejections == []


@pytest.mark.parametrize("final", ["deliver", "substitute"])
def test_structured_output_of_a_pydantic_class_waits_for_outcomes(final: str) -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        gate.open(Emit('{"total": 0}')),
        after=lambda view: Emit(json.dumps({"total": len(view.answers())})),
    )
    with wrapped(script, {"slow": gate.tool()}, grace=0, final=final) as (_, made, about):
        declared = schemas([gate.tool()])
        message = made.client(messages=GO, tools=declared, **about).choices[0].message
        (call,) = message.tool_calls
        given = {"role": "tool", "tool_call_id": call.id, "content": made.tools["slow"](text="a")}
        reply = made.client(messages=[*GO, message, given], tools=declared, response_format=Sum, **about)
    assert Sum.model_validate_json(reply.choices[0].message.content) == Sum(total=2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_handle_in_the_last_words_is_replaced_in_replies_and_chunks(stream: bool) -> None:
    gate = Gate()

    def tell(view: View) -> Emit:
        gate.opened.set()
        return Emit(f"It is {view.handles()[0]}.", deltas=3)

    script = play(Emit(calls=[("slow", {"text": "a"})]), tell)
    with wrapped(script, {"slow": gate.tool()}, grace=0, final="substitute") as (_, made, about):
        message = made.client(messages=GO, tools=schemas([gate.tool()]), **about).choices[0].message
        given = {
            "role": "tool",
            "tool_call_id": message.tool_calls[0].id,
            "content": made.tools["slow"](text="a"),
        }
        reply = made.client(messages=[*GO, message, given], stream=stream, **about)
        if stream:
            reply = litellm.stream_chunk_builder(list(reply))
    assert reply.choices[0].message.content == "It is result a."


def test_a_refused_schema_is_sent_again_without_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, schema: Any, **_: Any) -> None:
        need("$defs" not in schema, f"Invalid schema for function '{name}'")

    monkeypatch.setattr(chat_checks, "check_schema", check)
    with wrapped(play(after=Emit("fine")), {"double": double}) as (server, made, about):
        reply = made.client(messages=GO, tools=schemas([double]), **about)
    assert reply.choices[0].message.content == "fine"
    assert ["$defs" in json.dumps(request.body) for request in server.requests] == [True, False]


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ({"model": "gemini/gemini-3-pro"}, providers.GEMINI),
        ({"model": "anthropic/claude-opus-5"}, providers.ANTHROPIC),
        ({"model": "bedrock/us.Claude-x", "thinking": {"type": "enabled"}}, providers.ANTHROPIC_THINKING),
        ({"model": "mistral/large"}, providers.MISTRAL),
        ({"model": "openai/gpt-5"}, providers.CHAT_COMPATIBLE),
        ({}, providers.CHAT_COMPATIBLE),
    ],
)
def test_the_models_name_tells_what_its_provider_allows(body: Any, row: providers.Provider) -> None:
    assert _ChatOfAny().provider(body) is row


# --- what goes wrong ---


def test_errors_are_litellms_and_leave_the_conversation_usable() -> None:
    with wrapped(play(after=Emit("fine")), [double], server={"faults": ["400"]}) as (_, made, about):
        with pytest.raises(litellm.BadRequestError):
            made.client(messages=GO, **about)
        assert made.client(messages=GO, **about).choices[0].message.content == "fine"


def test_a_stream_that_is_read_no_further_leaves_the_conversation_usable() -> None:
    with wrapped(play(after=Emit("one two three")), [double]) as (_, made, about):
        for chunk in made.client(messages=GO, stream=True, **about):
            assert chunk.choices
            break
        assert made.client(messages=GO, **about).choices[0].message.content == "one two three"


def test_two_requests_at_a_time_are_refused() -> None:
    with wrapped(play(after=Emit("one two three")), [double]) as (_, made, about):
        chunks = made.client(messages=GO, stream=True, **about)
        next(chunks)
        with pytest.raises(TranscriptError, match="under way"):
            made.client(messages=GO, **about)
        chunks.close()


def test_a_stream_that_breaks_off_is_litellms_to_tell_of() -> None:
    with wrapped(
        play(after=Emit("one two three")), [double], server={"faults": ["drop after 2 events"]}
    ) as made:
        _, function, about = made
        with pytest.raises(Exception, match=r"peer closed|incomplete|MidStream"):
            list(function.client(messages=GO, stream=True, **about))
        assert function.client(messages=GO, **about).choices[0].message.content == "one two three"


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"litellm\.completion"):
        wrap("gpt-5", [double])  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.litellm")
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ImportError, match=r"pip install 'asyncfc\[litellm\]'"):
        import asyncfc.adapters.litellm  # noqa: F401
