"""With every answer inside grace a loop runs as it did before (P19)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from asyncfc import Session, tool
from asyncfc.adapters.openai import FORMATS
from asyncfc.adapters.passage import Wire
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.dialogue import Dialogue
from asyncfc.testing.models import Emit, ModelServer, View, play
from tests.adapters import loops
from tests.adapters.loops import APIS, GO, PATIENT, fetch, search

ON = (False, True)
OFF: Any = {"note": False, "relax": "none", "control": False}
TOOLS = {"search": search, "fetch": fetch}
STORY = play(
    Emit("Let me see.", calls=[("search", {"text": "cats"}), ("fetch", {"url": "a"})]),
    lambda view: Emit(calls=[("fetch", {"url": view.answer_of("search")})]),
    lambda view: Emit("Done: " + view.answer_of("fetch", -1)),
)


def story(api: str, *, stream: bool, wrap: bool, **settings: Any) -> tuple[list[Any], list[Any]]:
    """The loop's own messages at the end, and the bodies of its requests."""
    messages = list(GO)
    with ModelServer(STORY) as server:
        client, tools = loops.new_client(server, api), TOOLS
        if wrap:
            client, tools = loops.wrap(client, TOOLS, grace=PATIENT, **settings)
        with client:
            loops.loop(client, api, tools, messages, list(TOOLS.values()), stream=stream)
    return messages, [request.body for request in server.requests]


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_a_loop_keeps_the_same_messages_as_without_asyncfc(api: str, stream: bool) -> None:
    plain, _ = story(api, stream=stream, wrap=False)
    ours, requests = story(api, stream=stream, wrap=True)
    assert ours == plain
    assert json.dumps(requests).count("await_future") >= 3  # it was there all the same


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_with_all_additions_off_the_requests_are_the_same_too(api: str, stream: bool) -> None:
    _, plain = story(api, stream=stream, wrap=False)
    _, ours = story(api, stream=stream, wrap=True, **OFF)
    assert [json.dumps(body) for body in ours] == [json.dumps(body) for body in plain]


@pytest.mark.parametrize("off", [True, False])
def test_a_request_without_additions_goes_out_byte_for_byte(off: bool) -> None:
    message = {"role": "assistant", "content": "Done."}
    reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    sent: list[tuple[bytes, list[tuple[bytes, bytes]]]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append((request.content, request.headers.raw))
        return httpx2.Response(200, json=reply)

    for wrap in ON:
        http = httpx2.Client(transport=httpx2.MockTransport(answer))
        client: Any = OpenAI(api_key="k", http_client=http)
        if wrap:
            client, _ = loops.wrap(client, TOOLS, **(OFF if off else {}))
        with client:
            body = loops.request_of("chat", [{"role": "user", "content": "Grüße 🎈"}], TOOLS.values())
            client.chat.completions.create(**body)
    assert (sent[0] == sent[1]) is off


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_an_asynchronous_loop_keeps_the_same_messages_too(api: str, stream: bool) -> None:
    async def ours() -> list[Any]:
        messages = list(GO)
        with ModelServer(STORY) as server:
            client, tools = loops.wrap(loops.new_client(server, api, asynchronous=True), TOOLS, grace=PATIENT)
            async with client:
                schemas = list(TOOLS.values())
                await loops.loop_async(client, api, tools, messages, schemas, stream=stream)
        return messages

    assert asyncio.run(ours()) == story(api, stream=stream, wrap=False)[0]


def one_call(name: str, then: Callable[[View], Emit] = lambda view: Emit("Done.")) -> Any:
    return play(Emit(calls=[(name, {})]), then)


def test_the_loop_gets_the_very_object_that_the_tool_returned() -> None:
    made: list[object] = []

    @tool(pure=True)
    def rows() -> object:
        made.append({"rows": (1, 2)})
        return made[-1]

    with loops.wrapped(one_call("rows"), "chat", [rows], grace=PATIENT) as (_, (client, (rows_, *_rest))):
        loops.ask(client, "chat", **loops.request_of("chat", GO, [rows]))
        assert rows_() is made[0]


def test_an_object_that_a_later_call_may_change_is_handed_over_as_it_was() -> None:
    state = {"n": 0}

    @tool(reads=["state"])
    def look() -> dict[str, int]:
        return state

    @tool(writes=["state"])
    def add() -> str:
        state["n"] += 1
        return "added"

    script = play(Emit(calls=[("look", {}), ("add", {})]), Emit("Done."))
    with loops.wrapped(script, "messages", {"look": look, "add": add}, grace=PATIENT) as (_, made):
        loops.ask(made.client, "messages", **loops.request_of("messages", GO, [look, add]))
        assert made.tools["add"]() == "added"
        assert made.tools["look"]() == {"n": 0}
    assert state == {"n": 1}


class NotThere(Exception):
    pass


@pytest.mark.parametrize("api", APIS)
def test_an_exception_of_the_tool_is_raised_where_the_loop_calls_it(api: str) -> None:
    error = NotThere("no such file")

    @tool(pure=True)
    def broken() -> str:
        raise error

    with loops.wrapped(one_call("broken"), api, {"broken": broken}, grace=PATIENT) as (_, made):
        loops.ask(made.client, api, **loops.request_of(api, GO, [broken]))
        with pytest.raises(NotThere, match="no such file") as caught:
            made.tools["broken"]()
    assert caught.value is error


def test_an_exception_in_an_asynchronous_loop_is_the_tools_own() -> None:
    @tool(pure=True)
    async def broken() -> str:
        raise NotThere("no such file")

    async def main() -> None:
        with ModelServer(one_call("broken")) as server:
            client, tools = loops.wrap(
                loops.new_client(server, "chat", asynchronous=True), {"broken": broken}, grace=PATIENT
            )
            async with client:
                await loops.ask_async(client, "chat", **loops.request_of("chat", GO, [broken]))
                with pytest.raises(NotThere, match="no such file"):
                    await tools["broken"]()

    asyncio.run(main())


def test_a_tool_called_before_any_request_runs_as_before() -> None:
    with loops.wrapped(play(), "chat", TOOLS) as (_, made):
        assert made.tools["search"]("x") == ["x", "x!"]
        assert made.tools["fetch"](url="x") == "page of x"


def test_what_calls_no_model_passes_untouched() -> None:
    with loops.wrapped(play(), "chat", TOOLS) as (server, made):
        with pytest.raises(Exception, match="Unknown request URL: /v1/embeddings"):
            made.client.embeddings.create(model="m", input="x")
        with pytest.raises(Exception, match="Unknown request URL: /v1/models"):
            made.client.models.list()
        with pytest.raises(Exception, match="Unknown request URL: /v1/chat/completions/x"):
            made.client.chat.completions.update("x", metadata={})
    assert server.requests == []


def test_a_long_path_of_a_gateway_is_recognised_by_its_end() -> None:
    wire = Wire(Dialogue(Session([search])), FORMATS)
    azure = "https://x.azure.com/openai/deployments/mine/chat/completions?api-version=1"
    found = wire.find(httpx2.Request("POST", azure))
    assert found is not None
    assert found.format is CHAT
    assert wire.find(httpx2.Request("POST", "https://x/v1/messages/count_tokens")) is None
    assert wire.find(httpx2.Request("GET", azure)) is None
