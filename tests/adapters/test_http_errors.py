"""What goes wrong between an SDK and its provider the SDK says in its own words, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from asyncfc import tool
from asyncfc.errors import TranscriptError
from asyncfc.testing.models import Emit, ModelServer, Rejected, View, play
from tests.adapters import loops
from tests.adapters.loops import APIS, GO, Gate, answer_items, fetch, request_of

ON = (False, True)
SHORT: Any = {"timeout": 0.15}


def errors(api: str) -> Any:
    return anthropic if api == "messages" else openai


def tells(view: View) -> Emit:
    """Say everything that tools have answered."""
    return Emit("told: " + " | ".join(answer.text for answer in view.answers()))


class Story:
    """A loop up to the request that goes wrong: a slow call has been answered with a handle."""

    def __init__(self, api: str, made: Any, slow: Any, *, stream: bool) -> None:
        self.api = api
        self.made = made
        self.stream = stream
        self.tools = [slow]
        said = loops.ask(made.client, api, stream=stream, **request_of(api, GO, self.tools))
        (call,) = said.calls
        self.messages = [*GO, *said.items]
        self.messages += answer_items(api, [(call.id, made.tools["slow"](**call.arguments))])

    def again(self) -> loops.Said:
        return loops.ask(
            self.made.client, self.api, stream=self.stream, **request_of(self.api, self.messages, self.tools)
        )


FAULTS = {
    "400": "BadRequestError",
    "401": "AuthenticationError",
    "429": "RateLimitError",
    "500": "InternalServerError",
    "timeout": "APITimeoutError",
    "drop": "APIConnectionError",
}


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_sdks_own_error_surfaces_and_the_same_request_works_again(
    api: str, stream: bool, fault: str
) -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=tells)
    server: Any = {"faults": [None, fault]}
    options = SHORT if fault == "timeout" else {}
    slow = gate.tool()
    with loops.wrapped(script, api, {"slow": slow}, server=server, client=options, grace=0) as (_, made):
        story = Story(api, made, slow, stream=stream)
        with pytest.raises(getattr(errors(api), FAULTS[fault])) as caught:
            story.again()
        assert type(caught.value).__module__.split(".")[0] == errors(api).__name__
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        said = story.again()
        assert "result a" in said.text
        assert said.text.count("has ended") == 1
        assert made.session.owed == []
    assert gate.calls == ["a"]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("fault", ["drop after 3 events", "malformed"])
def test_a_stream_that_breaks_raises_and_the_same_request_works_again(api: str, fault: str) -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=tells)
    server: Any = {"faults": [None, fault]}
    slow = gate.tool()
    with loops.wrapped(script, api, {"slow": slow}, server=server, grace=0) as (_, made):
        story = Story(api, made, slow, stream=True)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each SDK and fault has its own
            story.again()
        assert not isinstance(caught.value, TranscriptError | AssertionError)
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        assert "result a" in story.again().text
        assert made.session.owed == []


@pytest.mark.parametrize("fault", ["drop after 3 events", "malformed", "drop after 0 events"])
@pytest.mark.parametrize("api", APIS)
def test_a_stream_breaks_for_the_program_as_it_does_without_asyncfc(api: str, fault: str) -> None:
    raised: list[type[BaseException]] = []
    for wrap in ON:
        with ModelServer(play(Emit("one two three four")), faults=[fault]) as server:
            client = loops.new_client(server, api)
            if wrap:
                client, _ = loops.wrap(client, [fetch])
            with client, pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
                loops.ask(client, api, stream=True, **request_of(api, GO, [fetch]))
            raised.append(type(caught.value))
    assert raised[0] is raised[1]


@pytest.mark.parametrize("api", APIS)
def test_a_reply_that_is_no_json_raises_as_without_asyncfc(api: str) -> None:
    raised: list[str] = []
    for wrap in ON:
        with ModelServer(play(after=Emit("fine")), faults=["malformed"]) as server:
            client = loops.new_client(server, api)
            if wrap:
                client, _ = loops.wrap(client, [fetch])
            with client:
                try:
                    raised.append(repr(type(loops.ask(client, api, **request_of(api, GO, [fetch])))))
                except Exception as error:
                    raised.append(repr(type(error)))
                assert loops.ask(client, api, **request_of(api, GO, [fetch])).text == "fine"
    assert raised[0] == raised[1]


@pytest.mark.parametrize("api", APIS)
def test_a_reply_that_is_no_message_is_not_taken_for_the_models_last_word(api: str) -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=tells)
    server: Any = {"faults": [None, "malformed"]}
    slow = gate.tool()
    with loops.wrapped(script, api, {"slow": slow}, server=server, grace=0) as (running, made):
        story = Story(api, made, slow, stream=False)
        with suppress(Exception):  # what comes of it is the SDK's business, see above
            story.again()
        assert len(running.requests) == 2
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        assert story.again().text.count("has ended") == 1
        assert len(running.requests) == 3


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("api", APIS)
def test_the_sdks_own_retries_send_what_is_delivered_once(api: str, stream: bool) -> None:
    gate = Gate()
    script = play(Emit(calls=[("slow", {"text": "a"})]), after=tells)
    server: Any = {"faults": [None, "429", "500"]}
    slow = gate.tool()
    client: Any = {"max_retries": 2}
    with loops.wrapped(script, api, {"slow": slow}, server=server, client=client, grace=0) as (running, made):
        story = Story(api, made, slow, stream=stream)
        gate.opened.set()
        made.session.wait_for(made.session.owed)
        said = story.again()
    assert said.text.count("has ended") == 1
    sent = [json.dumps(request.body) for request in running.requests[1:]]
    assert sent[0] == sent[1] == sent[2]


@pytest.mark.parametrize("stream", ON)
@pytest.mark.parametrize("fault", ["429", "drop"])
@pytest.mark.parametrize("api", APIS)
def test_an_extra_request_that_fails_loses_nothing(api: str, stream: bool, fault: str) -> None:
    """The model says that it is done while a call runs; asked again, the provider fails."""
    gate = Gate()

    def done_or_tells(view: View) -> Emit:
        gate.opened.set()
        return tells(view) if any("has ended" in a.text for a in view.answers()) else Emit("I am done.")

    script = play(Emit(calls=[("slow", {"text": "a"})]), after=done_or_tells)
    server: Any = {"faults": [None, None, fault]}
    slow = gate.tool()
    with loops.wrapped(script, api, {"slow": slow}, server=server, grace=0) as (_, made):
        story = Story(api, made, slow, stream=stream)
        with pytest.raises((openai.APIError, anthropic.APIError, httpx2.RequestError)):
            story.again()
        said = story.again()
        assert "result a" in said.text
        assert made.session.owed == []


@pytest.mark.parametrize("api", APIS)
def test_a_relaxed_schema_that_is_refused_is_given_up_once(api: str) -> None:
    """The provider cannot compile the schema with handles in it."""
    tries: list[bool] = []

    @tool(pure=True)
    def add(n: int) -> int:
        """Add."""
        return n + 1

    def script(view: View) -> Emit:
        relaxed = "anyOf" in json.dumps(view.tools["add"].schema)
        tries.append(relaxed)
        if relaxed:
            raise Rejected(
                "Invalid schema for function 'add': the compiled grammar is too large.", status=400
            )
        return Emit("fine")

    with loops.wrapped(script, api, {"add": add}) as (_, made):
        for _ in range(2):
            assert loops.ask(made.client, api, **request_of(api, GO, [add])).text == "fine"
    assert tries == [True, False, False]


@pytest.mark.parametrize("api", APIS)
def test_a_second_request_while_one_is_under_way_says_so_in_our_words(api: str) -> None:
    settings: Any = {"client": {"max_retries": 2}}
    with loops.wrapped(play(after=Emit("one two three")), api, [fetch], **settings) as (_, made):
        body = request_of(api, GO, [fetch])
        stream = loops.surface(made.client, api).create(**body, stream=True)
        next(iter(stream))
        with pytest.raises(TranscriptError, match="under way already"):
            loops.ask(made.client, api, **body)
        stream.close()
        assert loops.ask(made.client, api, **body).text == "one two three"


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_is_never_read_leaves_the_client_usable(api: str) -> None:
    with loops.wrapped(play(after=Emit("one two three")), api, [fetch]) as (_, made):
        body = request_of(api, GO, [fetch])
        loops.surface(made.client, api).create(**body, stream=True).close()
        with loops.surface(made.client, api).with_streaming_response.create(**body, stream=True):
            pass
        assert loops.ask(made.client, api, **body).text == "one two three"


def test_an_asynchronous_request_that_is_cancelled_leaves_the_client_usable() -> None:
    async def main() -> str:
        with ModelServer(play(after=Emit("fine")), faults=["timeout", "timeout"]) as server:
            made = loops.wrap(loops.new_client(server, "chat", asynchronous=True), [fetch])
            async with made.client:
                body = request_of("chat", GO, [fetch])
                for stream in ON:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await loops.ask_async(made.client, "chat", stream=stream, **body)
                return (await loops.ask_async(made.client, "chat", **body)).text

    assert asyncio.run(main()) == "fine"


def test_a_failed_request_leaves_no_thread_but_the_sessions() -> None:
    before = set(threading.enumerate())
    with ModelServer(play(after=Emit("fine")), faults=["500", "drop"]) as server:
        made = loops.wrap(loops.new_client(server, "chat"), [fetch])
        for _ in range(2):
            with pytest.raises(openai.APIError):
                loops.ask(made.client, "chat", **request_of("chat", GO, [fetch]))
        made.client.close()
    assert set(threading.enumerate()) <= before
