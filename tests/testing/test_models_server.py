"""The model server speaks to the providers' own SDKs, streamed or not, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import anthropic
import openai
import openai.resources.chat
import openai.resources.responses  # here, so that no test pays for what the SDK imports late
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import RawMessageStreamEvent
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Ask, Emit, ModelServer, model_of, play
from asyncfc.testing.models.model import APIS, FormatName

Json: TypeAlias = dict[str, Any]
Said: TypeAlias = tuple[str, list[tuple[str, str, Any]]]
"""Text, and calls as (id, name, arguments)."""

SPEECH = Emit("Grüße,\u2028 and on 🎈", [("f", {"x": ["ä", 1]}), ("g", {})], thinking="hm")
HI: Any = [{"role": "user", "content": "hi"}]
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
OPTIONS: Any = {"api_key": "k", "max_retries": 0}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Let the SDKs build what they build on first use, so that no test pays for it."""
    with ModelServer(play(after=SPEECH)) as server:
        for api in APIS:
            ask_sync(server.url, api, stream=True)


def read_chat(reply: Any) -> Said:
    message = reply.choices[0].message
    made = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()]
    return message.content, made


def read_response(reply: Any) -> Said:
    calls = [item for item in reply.output if item.type == "function_call"]
    return reply.output_text, [(call.call_id, call.name, json.loads(call.arguments)) for call in calls]


def read_message(reply: Any) -> Said:
    made = [(block.id, block.name, block.input) for block in reply.content if block.type == "tool_use"]
    return "".join(block.text for block in reply.content if block.type == "text"), made


def ask_sync(url: str, api: FormatName, *, stream: bool) -> Said:
    if api == "messages":
        with Anthropic(base_url=url, **OPTIONS) as other:
            about: Any = {"model": "m", "max_tokens": 4096, "messages": HI, "thinking": THINKING}
            if not stream:
                return read_message(other.messages.create(**about))
            with other.messages.stream(**about) as told:
                return read_message(told.get_final_message())
    with OpenAI(base_url=f"{url}/v1", **OPTIONS) as client:
        if api == "chat":
            if not stream:
                return read_chat(client.chat.completions.create(model="m", messages=HI))
            with client.chat.completions.stream(model="m", messages=HI) as chunks:
                return read_chat(chunks.get_final_completion())
        if not stream:
            return read_response(client.responses.create(model="m", input="hi"))
        with client.responses.stream(model="m", input="hi") as events:
            return read_response(events.get_final_response())


async def ask_async(url: str, api: FormatName, *, stream: bool) -> Said:
    if api == "messages":
        async with AsyncAnthropic(base_url=url, **OPTIONS) as other:
            about: Any = {"model": "m", "max_tokens": 4096, "messages": HI, "thinking": THINKING}
            if not stream:
                return read_message(await other.messages.create(**about))
            async with other.messages.stream(**about) as told:
                return read_message(await told.get_final_message())
    async with AsyncOpenAI(base_url=f"{url}/v1", **OPTIONS) as client:
        if api == "chat":
            if not stream:
                return read_chat(await client.chat.completions.create(model="m", messages=HI))
            async with client.chat.completions.stream(model="m", messages=HI) as chunks:
                return read_chat(await chunks.get_final_completion())
        if not stream:
            return read_response(await client.responses.create(model="m", input="hi"))
        async with client.responses.stream(model="m", input="hi") as events:
            return read_response(await events.get_final_response())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_an_sdk_reads_what_the_script_says(
    api: FormatName, kind: Literal["sync", "async"], stream: bool
) -> None:
    with ModelServer(play(SPEECH)) as server:
        if kind == "sync":
            text, calls = ask_sync(server.url, api, stream=stream)
        else:
            text, calls = asyncio.run(ask_async(server.url, api, stream=stream))
    prefix = "toolu" if api == "messages" else "call"
    assert text == SPEECH.text
    assert calls == [(f"{prefix}_1", "f", {"x": ["ä", 1]}), (f"{prefix}_2", "g", {})]
    assert [request.body["model"] for request in server.requests] == ["m"]
    assert len(server.replies) == 1
    assert not server.rejections


WIDE = [
    SPEECH,
    Emit("x", stop="length"),
    Emit("x", stop="filter"),
    Emit("no", stop="refusal"),
    Emit("", [("f", '{"x": ')], stop="length", deltas=0),
    Emit(""),
]


@pytest.mark.parametrize("emit", [*WIDE, Emit("", [Ask("f", {}, "program"), Ask("g", "raw", "custom")])])
def test_responses_have_the_shape_of_the_sdk_types(emit: Emit) -> None:
    reply, events = both(emit, "responses", {"model": "m", "input": "hi", "reasoning": {}})
    Response.model_validate(reply)
    for event in events:
        RESPONSE_EVENT.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("emit", WIDE)
def test_completions_have_the_shape_of_the_sdk_types(emit: Emit) -> None:
    options = {"include_usage": True}
    reply, events = both(emit, "chat", {"model": "m", "messages": HI, "stream_options": options})
    ChatCompletion.model_validate(reply)
    for event in events:
        ChatCompletionChunk.model_validate(event)
    assert [bool(event["usage"]) for event in events] == [False] * (len(events) - 1) + [True]


@pytest.mark.parametrize("emit", [*WIDE, Emit(stop="pause"), Emit("", [Ask("f", {}, "program")])])
def test_messages_have_the_shape_of_the_sdk_types(emit: Emit) -> None:
    body = {"model": "m", "max_tokens": 4096, "messages": HI, "thinking": THINKING}
    reply, events = both(emit, "messages", body)
    anthropic.types.Message.model_validate(reply)
    for event in events:
        if event["type"] != "ping":
            MESSAGE_EVENT.validate_python(event)


def both(emit: Emit, format: FormatName, body: Json) -> tuple[Json, list[Json]]:
    async def main() -> tuple[Json, list[Json]]:
        model = model_of(play(emit), format)
        return await model(body), [event async for event in model.stream(body)]

    return run_virtual(main)


def complete(server: ModelServer, **options: Any) -> Any:
    """One chat completion; a stream is read to its end."""
    stream = options.pop("stream", False)
    with OpenAI(base_url=f"{server.url}/v1", **{**OPTIONS, **options}) as client:
        reply: Any = client.chat.completions.create(model="m", messages=HI, stream=stream)
        return [chunk.choices[0] for chunk in reply] if stream else reply.choices[0]


def message(server: ModelServer, **options: Any) -> Any:
    """The same of Anthropic."""
    stream = options.pop("stream", False)
    with Anthropic(base_url=server.url, **{**OPTIONS, **options}) as client:
        reply: Any = client.messages.create(model="m", max_tokens=9, messages=HI, stream=stream)
        return list(reply) if stream else reply


Asking: TypeAlias = Callable[..., Any]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fault", "name"),
    [("400", "BadRequestError"),
     ("401", "AuthenticationError"),
     ("429", "RateLimitError"),
     ("500", "InternalServerError"),
     ("timeout", "APITimeoutError"),
     ("drop", "APIConnectionError")],
)  # fmt: skip
@pytest.mark.parametrize(("ask", "sdk"), [(complete, openai), (message, anthropic)])
def test_a_fault_is_the_error_that_the_sdk_has_for_it(
    ask: Asking, sdk: Any, fault: str, name: str, stream: bool
) -> None:
    with (
        ModelServer(play(Emit("hello world")), faults=[fault]) as server,
        pytest.raises(getattr(sdk, name)),
    ):
        ask(server, stream=stream, timeout=0.02 if fault == "timeout" else 10)


@pytest.mark.parametrize("ask", [complete, message])
def test_a_reply_that_is_no_json_is_none_for_the_sdk_either(ask: Asking) -> None:
    for stream in (False, True):
        with (
            ModelServer(play(Emit("hello world")), faults=["malformed"]) as server,
            pytest.raises(json.JSONDecodeError),
        ):
            ask(server, stream=stream)


@pytest.mark.parametrize("count", [0, 1, 3, 99])
def test_a_stream_can_end_after_any_number_of_events(count: int) -> None:
    chunks: list[Any] = []

    def read(client: OpenAI) -> None:
        for chunk in client.chat.completions.create(model="m", messages=HI, stream=True):
            chunks.append(chunk)  # noqa: PERF402  (extend would lose those before the error)

    with (
        ModelServer(play(Emit("hello world")), faults=[f"drop after {count} events"]) as server,
        OpenAI(base_url=f"{server.url}/v1", **OPTIONS) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        read(client)
    assert len(chunks) == min(count, 4)  # never the fifth, with which the message would be complete


def test_the_length_fault_cuts_a_message_in_the_middle() -> None:
    script = play(Emit("hello world"))
    with ModelServer(script, faults=["length", "length"]) as server:
        whole = complete(server)
        *_, last = complete(server, stream=True)
    assert (whole.finish_reason, whole.message.content) == ("length", "hello")
    assert last.finish_reason == "length"


@pytest.mark.parametrize("ask", [complete, message])
def test_a_retry_of_the_sdk_gets_the_same_message_without_waiting(ask: Asking) -> None:
    with ModelServer(play(Emit("hello")), faults=["429", "500"]) as server:
        assert "hello" in str(ask(server, max_retries=2))
    assert len(server.requests) == 3
    assert [rejected.status for rejected in server.rejections] == [429, 500]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault 'earthquake'"):
        ModelServer(play(), faults=["earthquake"])


def post(server: ModelServer, path: str, body: bytes, *headers: str) -> tuple[int, Json]:
    """A request by hand."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        lines = [f"POST {path} HTTP/1.1", "Connection: close", *headers]
        if not any("chunked" in header for header in headers):
            lines.append(f"Content-Length: {len(body)}")
        raw.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        with raw.makefile("rb") as reply:
            status = int(reply.readline().split()[1])
            length = 0
            while line := reply.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name == b"content-length" else length
            return status, json.loads(reply.read(length))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_a_request_without_authorisation_is_401(path: str) -> None:
    with ModelServer(play()) as server:
        status, error = post(server, path, b"{}")
    assert status == 401
    assert error["error"]["type"] == "authentication_error"
    assert not server.requests


def test_anthropic_wants_its_version() -> None:
    with ModelServer(play()) as server:
        status, error = post(server, "/v1/messages", b"{}", "X-Api-Key: k")
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_that_is_no_json_is_400_and_an_unknown_path_404() -> None:
    with ModelServer(play()) as server:
        assert post(server, "/v1/chat/completions", b"{", "Authorization: Bearer k")[0] == 400
        assert post(server, "/v2/anything", b"{}", "Authorization: Bearer k")[0] == 404


def test_a_body_may_come_in_chunks() -> None:
    body = json.dumps({"model": "m", "messages": HI}).encode()
    raw = (
        b"5\r\n" + body[:5] + b"\r\n" + f"{len(body) - 5:x}".encode() + b"\r\n" + body[5:] + b"\r\n0\r\n\r\n"
    )
    headers = ["Authorization: Bearer k", "Transfer-Encoding: chunked"]
    with ModelServer(play(Emit("hello"))) as server:
        status, reply = post(server, "/v1/chat/completions?beta=true", raw, *headers)
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "hello")


def test_what_the_script_raises_comes_out_of_the_with_block() -> None:
    with pytest.raises(LookupError, match="asked once more"), ModelServer(play()) as server:  # noqa: PT012
        with pytest.raises(openai.InternalServerError, match="the script failed"):
            complete(server, max_retries=5)
        assert len(server.requests) == 1  # the SDK was told not to try again


def test_text_that_utf8_cannot_hold_goes_out_escaped() -> None:
    with ModelServer(play(Emit("half of \ud83c"))) as server:
        assert complete(server).message.content == "half of \ud83c"


def test_requests_at_once_are_answered_each_by_its_own_conversation() -> None:
    async def main(url: str) -> list[str]:
        async with AsyncOpenAI(base_url=f"{url}/v1", **OPTIONS) as client:
            asked: list[Any] = [
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": str(number)}])
                for number in range(8)
            ]
            return [reply.choices[0].message.content for reply in await asyncio.gather(*asked)]

    with ModelServer(lambda view: Emit(view.last_texts()[0])) as server:
        assert asyncio.run(main(server.url)) == [str(number) for number in range(8)]


def test_closing_ends_what_still_goes_on_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with ModelServer(play(Emit("x")), faults=["timeout"]) as server, socket.socket() as idle:
        host, port = server.url.removeprefix("http://").split(":")
        idle.connect((host, int(port)))
        with pytest.raises(openai.APITimeoutError):
            complete(server, timeout=0.01)
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port))):
        pass
