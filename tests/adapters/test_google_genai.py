"""Every surface of Google's SDK works, wrapped; the suite in `conformance` plays whole conversations."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types
from google.genai.errors import APIError, ClientError, ServerError
from pydantic import BaseModel

from asyncfc import Tool, tool
from asyncfc.adapters.google_genai import wrap
from asyncfc.adapters.wrapped import Wrapped
from asyncfc.errors import DeclarationError, TranscriptError
from asyncfc.testing.models import Emit, ModelServer, Script, View, gemini_checks, play
from asyncfc.testing.models.rejection import need
from tests.adapters.conformance.google_genai_harness import SSL, declarations, new_client


class Point(BaseModel):
    x: int
    y: int = 0


@tool(pure=True)
def price(item: str) -> int:
    """Look up a price."""
    return 21


@tool(pure=True)
def double(n: int, times: int = 1) -> int:
    """Double a number."""
    return 2 * n * times


@tool(pure=True)
def distance(to: Point, tags: list[Point] | None = None) -> int:
    """Measure."""
    assert isinstance(to, Point)
    return to.x + to.y


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


def tells(view: View) -> Emit:
    return Emit("told: " + " | ".join(answer.text for answer in view.answers()))


def opens(gate: Gate, emit: Emit) -> Any:
    def step(_: View) -> Emit:
        gate.opened.set()
        return emit

    return step


@contextmanager
def wrapped(
    script: Script, tools: Any, *, server: Any = None, **settings: Any
) -> Iterator[tuple[ModelServer, Wrapped[Any]]]:
    with ModelServer(script, **server or {}) as running:
        made = wrap(new_client(running), tools, **settings)
        with made.client:
            yield running, made


def contents(*parts: types.Part) -> list[Any]:
    return [types.UserContent("go"), *parts]


# --- the SDK calls the functions itself ---


def test_a_handle_may_stand_for_a_number_that_the_sdk_would_check() -> None:
    gate = Gate()

    def slow(text: str) -> int:
        """Count letters, in the end."""
        assert gate.opened.wait(10)
        return len(text)

    def doubles(view: View) -> Emit:
        return Emit(calls=[("double", {"n": view.passed_on("slow")})])

    script = play(
        Emit(calls=[("slow", {"text": "abc"})]), doubles, opens(gate, Emit("Later.")), after=Emit("Bye.")
    )
    with wrapped(script, [Tool(slow, effects="pure"), double], grace=0) as (server, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        assert chat.send_message("go").text == "Bye."
    (told,) = server.requests[-1].body["contents"][-1]["parts"]
    assert "has ended:\n6" in told["text"]
    assert server.rejections == []


def test_the_sdk_declares_the_functions_as_it_would_without_asyncfc() -> None:
    def declared(function: Any) -> Any:
        declaration = types.FunctionDeclaration.from_callable_with_api_option(
            callable=function, api_option="GEMINI_API", use_json_schema=True
        )
        return declaration.model_dump(exclude_none=True, exclude={"response_json_schema"})

    with wrapped(play(after=Emit("fine")), [price, double, distance]) as (_, made):
        functions = dict(
            zip(["price", "double", "distance", "await_future", "cancel_future"], made.tools, strict=True)
        )
    for plain in (price, double, distance):
        assert declared(functions[plain.name]) == declared(plain.function)
    assert declared(functions["cancel_future"])["parameters_json_schema"]["required"] == ["handle"]
    assert not declared(functions["await_future"])["parameters_json_schema"].get("required")


def test_a_tool_that_takes_a_model_of_pydantic_gets_one() -> None:
    script = play(Emit(calls=[("distance", {"to": {"x": 3}})]), after=tells)
    with wrapped(script, [distance], grace=60.0) as (_, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        assert chat.send_message("go").text == "told: 3"


def test_a_tool_with_a_schema_of_its_own_is_declared_by_it() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "integer", "minimum": 3}}, "required": ["q"]}
    own = Tool(lambda **given: given["q"], name="own", description="Own.", schema=schema, effects="pure")
    script = play(Emit(calls=[("own", {"q": 4})]), after=tells)
    with wrapped(script, [own], grace=60.0, relax="none") as (server, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        assert chat.send_message("go").text == "told: 4"
    (function, *_) = server.requests[0].body["tools"][0]["functionDeclarations"]
    assert function["parameters_json_schema"] == schema


def test_without_control_the_model_gets_no_function_for_it() -> None:
    with wrapped(play(after=Emit("fine")), {"price": price}, control=False) as (_, made):
        assert list(made.tools) == ["price"]


def test_an_error_of_a_tool_is_the_sdks_to_tell() -> None:
    def broken(text: str) -> str:
        """Break."""
        raise ValueError("no " + text)

    script = play(Emit(calls=[("broken", {"text": "way"})]), after=tells)
    with wrapped(script, [Tool(broken, effects="pure")], grace=60.0) as (_, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        assert "no way" in (chat.send_message("go").text or "")


def test_a_streamed_message_is_over_before_the_sdk_makes_its_calls() -> None:
    """It makes them while it reads the stream; writes must not run before the message is complete."""
    written: list[str] = []

    @tool(writes=["notes"])
    def note(text: str) -> str:
        """Write down."""
        written.append(text)
        return f"noted {text}"

    script = play(
        Emit("I note", calls=[("note", {"text": "a"}), ("note", {"text": "b"})], deltas=2), after=tells
    )
    with wrapped(script, [note], grace=60.0) as (_, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        text = "".join(
            part.text or "" for chunk in chat.send_message_stream("go") for part in chunk.parts or ()
        )
    assert text == "I notetold: noted a | noted b"
    assert written == ["a", "b"]


def test_a_chat_that_is_streamed_now_and_then_is_one_conversation() -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]), opens(gate, Emit("Later.")), Emit("Here."), after=Emit("Bye.")
    )
    with wrapped(script, [gate.tool()], grace=0) as (server, made):
        chat = made.client.chats.create(model="m", config={"tools": made.tools})
        assert chat.send_message("go").text == "Here."
        assert "".join(chunk.text or "" for chunk in chat.send_message_stream("and?")) == "Bye."
    bodies = [json.dumps(request.body["contents"]) for request in server.requests]
    assert [body.count("has ended") for body in bodies] == [0, 0, 1, 1]


@pytest.mark.parametrize("repeat_ids", [False, True])
def test_answers_find_their_calls_with_ids_and_without(repeat_ids: bool) -> None:
    gate = Gate()
    script = play(
        Emit(calls=[("slow", {"text": "a"}), ("slow", {"text": "b"})]), opens(gate, Emit("$")), after=tells
    )
    with wrapped(script, [gate.tool()], grace=0, server={"repeat_ids": repeat_ids}) as (server, made):
        made.client.chats.create(model="m", config={"tools": made.tools}).send_message("go")
    answers = [part["functionResponse"] for part in server.requests[1].body["contents"][2]["parts"]]
    assert [("id" in one, one["response"]["result"].startswith("$")) for one in answers] == [
        (False, True)
    ] * 2
    assert not any(one["response"]["result"].startswith("$$") for one in answers)


# --- loops by hand ---


@pytest.mark.parametrize("key", ["output", "result"])
def test_a_loop_by_hand_over_googles_own_schemas(key: str) -> None:
    schema = types.Schema(type=types.Type.OBJECT, properties={"n": types.Schema(type=types.Type.INTEGER)})
    declared = [
        types.Tool(function_declarations=[types.FunctionDeclaration(name="double", parameters=schema)])
    ]
    config = types.GenerateContentConfig(tools=list(declared))
    script = play(Emit(calls=[("double", {"n": 2})]), after=tells)
    with wrapped(script, {"double": double}, grace=60.0) as (server, made):
        models = made.client.models
        messages: list[Any] = [types.UserContent("go")]
        first = models.generate_content(model="m", contents=messages, config=config)
        (call,) = first.function_calls
        response = types.FunctionResponse(
            id=call.id, name=call.name, response={key: made.tools["double"](**call.args)}
        )
        messages += [first.candidates[0].content, types.UserContent([types.Part(function_response=response)])]
        assert models.generate_content(model="m", contents=messages, config=config).text == "told: 4"
    (function, *_) = server.requests[0].body["tools"][0]["functionDeclarations"]
    assert {"$ref": "#/$defs/handle"} in function["parametersJsonSchema"]["properties"]["n"]["anyOf"]


def test_parsed_output_is_of_the_programs_own_class() -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Point)
    with wrapped(play(after=Emit('{"x": 3}')), [price]) as (_, made):
        assert made.client.models.generate_content(model="m", contents="go", config=config).parsed == Point(
            x=3
        )


def test_requests_that_are_not_to_a_model_pass() -> None:
    with wrapped(play(after=Emit("fine")), [price]) as (_, made), pytest.raises(ClientError, match="404"):
        made.client.models.count_tokens(model="m", contents="go")


def test_a_refused_schema_is_sent_again_without_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, schema: Any, **_: Any) -> None:
        need("$defs" not in schema, f"Invalid schema for {name}: unknown field $defs")

    monkeypatch.setattr(gemini_checks, "check_schema", check)
    config = types.GenerateContentConfig(tools=list(declarations([double])))
    with wrapped(play(after=Emit("fine")), {"double": double}) as (server, made):
        assert made.client.models.generate_content(model="m", contents="go", config=config).text == "fine"
    assert ["$defs" in json.dumps(request.body) for request in server.requests] == [True, False]


# --- what goes wrong ---


@pytest.mark.parametrize(("fault", "error"), [("400", ClientError), ("500", ServerError)])
def test_errors_of_the_provider_are_the_sdks(fault: str, error: type[APIError]) -> None:
    with (
        wrapped(play(after=Emit("fine")), [price], server={"faults": [fault, fault]}) as (_, made),
        pytest.raises(error),
    ):
        made.client.models.generate_content(model="m", contents="go")


def test_an_error_in_the_middle_of_a_stream_that_has_begun_is_the_sdks_too() -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), opens(gate, Emit("Done.")), after=Emit("Bye."))
    with wrapped(script, {"slow": gate.tool()}, grace=0, server={"faults": [None, None, "400"]}) as (_, made):
        config = types.GenerateContentConfig(tools=list(declarations([gate.tool()])))
        models = made.client.models
        first = models.generate_content(model="m", contents="go", config=config)
        given = types.Part.from_function_response(
            name="slow", response={"result": made.tools["slow"](text="a")}
        )
        history = [types.UserContent("go"), first.candidates[0].content, types.UserContent([given])]
        with pytest.raises(APIError, match="INVALID_ARGUMENT"):
            list(models.generate_content_stream(model="m", contents=history, config=config))


def test_two_requests_at_a_time_are_refused() -> None:
    with wrapped(play(after=Emit("one two")), [price]) as (_, made):
        stream = made.client.models.generate_content_stream(model="m", contents="go")
        next(stream)
        with pytest.raises(TranscriptError, match="under way"):
            made.client.models.generate_content(model="m", contents="go")
        stream.close()


@pytest.mark.parametrize("client", [None, object(), genai])
def test_what_is_no_client_is_refused(client: Any) -> None:
    with pytest.raises(DeclarationError, match="no client of Google's SDK"):
        wrap(client, [price])


def test_a_client_that_sends_by_httpx_is_refused() -> None:
    options = types.HttpOptions(
        httpx_client=httpx.Client(),
        async_client_args={"verify": SSL, "ssl": SSL},
        client_args={"verify": SSL},
    )
    with pytest.raises(DeclarationError, match="httpx2"):
        wrap(genai.Client(api_key="k", http_options=options), [price])


def test_the_other_kind_of_client_says_how_to_wrap_it() -> None:
    with wrapped(play(after=Emit("fine")), [price]) as (_, made):

        async def ask() -> Any:
            return await made.client.aio.models.generate_content(model="m", contents="go")

        with pytest.raises(DeclarationError, match="wrap its `aio`"):
            asyncio.run(ask())


def test_closing_the_wrapped_client_closes_the_session_and_the_original_goes_on_until_then() -> None:
    with ModelServer(play(after=Emit("fine"))) as server:
        made = wrap(new_client(server), [price])
        # Nobody here holds the client itself; collected, it would close its HTTP client.
        assert made.client.models.generate_content(model="m", contents="go").text == "fine"
        made.client.close()
        with pytest.raises(Exception, match="closed"):
            made.client.models.generate_content(model="m", contents="go")


def test_an_asynchronous_client_closes_its_session_once() -> None:
    async def main(server: ModelServer) -> str | None:
        made = wrap(new_client(server).aio, {"price": price}, grace=60.0)
        async with made.client as client:
            chat = client.chats.create(model="m", config={"tools": list(made.tools.values())})
            reply = await chat.send_message("go")
        await client.aclose()
        return reply.text

    with ModelServer(play(Emit(calls=[("price", {"item": "a"})]), after=tells)) as server:
        assert asyncio.run(main(server)) == "told: 21"


def test_a_missing_sdk_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.google_genai")
    monkeypatch.setitem(sys.modules, "google.genai", None)
    with pytest.raises(ImportError, match=r"pip install 'asyncfc\[google-genai\]'"):
        import asyncfc.adapters.google_genai  # noqa: F401
