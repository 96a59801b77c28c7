"""Calls start while their message is still streamed, as far as they may."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncfc import Tool
from asyncfc.errors import TranscriptError
from asyncfc.testing.models import Emit, ModelServer, play
from tests.adapters import loops
from tests.adapters.loops import APIS, GO, Gate, request_of

TALK = Emit("I will.", calls=[("look", {"text": "a"}), ("put", {"text": "b"}), ("look", {"text": "c" * 40})])


class World:
    """A read that is declared, and a write."""

    def __init__(self) -> None:
        self.read, self.write = Gate(), Gate()
        self.read.opened.set()
        self.write.opened.set()
        self.tools = {
            "look": self.read.tool("look", reads=["x"]),
            "put": self.write.tool("put", writes=["y"]),
        }

    def body(self, api: str) -> dict[str, Any]:
        return {**request_of(api, GO, list(self.tools.values())), "stream": True}


def length(api: str) -> int:
    """How many events the message has."""
    with ModelServer(play(TALK)) as server, loops.new_client(server, api) as client:
        return sum(1 for _ in loops.surface(client, api).create(**World().body(api)))


@pytest.mark.parametrize("api", APIS)
def test_when_the_stream_breaks_reads_have_begun_and_writes_have_not(api: str) -> None:
    world = World()
    faults = [f"drop after {length(api) - 3} events"]
    with loops.wrapped(play(TALK, Emit("Done.")), api, world.tools, server={"faults": faults}) as (_, made):
        with pytest.raises(Exception):  # noqa: B017, PT011 - each SDK has its own
            for _ in loops.surface(made.client, api).create(**world.body(api)):
                pass
        assert world.read.began.wait(5)
        assert world.write.calls == []
        assert made.session.owed == []
        for _ in loops.surface(made.client, api).create(**world.body(api)):  # the same request again
            pass
        assert made.tools["put"]("b") is not None
        made.session.finish()
    assert world.read.calls == ["a", "c" * 40]  # the read that ran was adopted
    assert world.write.calls == ["b"]


def test_what_is_left_of_a_broken_message_keeps_nobody_waiting() -> None:
    """Undeclared tools are ordered against everything, so that the program's own call would wait for it."""

    def undeclared(text: str) -> str:
        """Do anything."""
        return f"did {text}"

    script = play(Emit(calls=[("undeclared", {"text": "a"}), ("undeclared", {"text": "b" * 60})]))
    with loops.wrapped(
        script, "messages", {"undeclared": undeclared}, server={"faults": ["drop after 12 events"]}
    ) as (_, made):
        body = request_of("messages", GO, made.session.inner.tools.values())
        with pytest.raises(Exception):  # noqa: B017, PT011 - the SDK's own
            for _ in made.client.messages.create(**body, stream=True):
                pass
        assert made.tools["undeclared"]("mine") == "did mine"
        assert made.session.finish(timeout=5).left == ()


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_the_program_leaves_starts_no_write(api: str) -> None:
    world = World()
    with loops.wrapped(play(TALK), api, world.tools, server={"chunk_latency": 0.001}) as (_, made):
        stream = loops.surface(made.client, api).create(**world.body(api))
        next(iter(stream))
        stream.close()
        made.session.close()
    assert world.write.calls == []


def test_a_write_begins_once_its_message_is_complete_before_the_loop_makes_the_call() -> None:
    world = World()
    with loops.wrapped(play(TALK), "messages", world.tools) as (_, made):
        for _ in made.client.messages.create(**world.body("messages")):
            pass
        assert world.write.began.wait(5)


@pytest.mark.parametrize("api", APIS)
def test_a_call_made_before_its_message_has_ended_is_refused_and_not_made_twice(api: str) -> None:
    """A loop that acts on each call as it is complete."""
    world = World()
    faults = [f"drop after {length(api) - 3} events"]
    refused: list[str] = []

    with loops.wrapped(play(TALK), api, world.tools, server={"faults": faults}) as (_, made):

        def act() -> None:
            with pytest.raises(TranscriptError) as caught:
                made.tools["look"]("a")
            refused.append(str(caught.value))

        def read() -> None:
            for _ in loops.surface(made.client, api).create(**world.body(api)):
                if not refused and world.read.began.wait(0.02):
                    act()

        with pytest.raises(Exception):  # noqa: B017, PT011 - each SDK has its own
            read()
    assert "read the stream to its end first" in refused[0]
    assert world.read.calls == ["a"]


@pytest.mark.parametrize("api", APIS)
def test_a_handle_in_a_streamed_answer_is_never_shown_in_pieces(api: str) -> None:
    gate = Gate()
    slow = gate.tool()
    script = play(
        Emit(calls=[("slow", {"text": "a"})]),
        lambda view: gate.open(Emit(f"It is {view.passed_on('slow')}, surely.", deltas=2))(view),
    )
    with loops.wrapped(script, api, {"slow": slow}, grace=0, final="open") as (_, made):
        said = loops.loop(made.client, api, made.tools, list(GO), [slow], stream=True)
    assert said.text == "It is result a, surely."
    assert "".join(said.shown) == said.text
    assert "$" not in "".join(said.shown)


@pytest.mark.parametrize("api", APIS)
def test_text_in_front_of_calls_is_streamed_as_it_comes(api: str) -> None:
    gate = Gate()
    gate.opened.set()
    slow = gate.tool()
    with loops.wrapped(play(Emit("Let me see.", calls=[("slow", {"text": "a"})])), api, {"slow": slow}) as (
        _,
        made,
    ):
        said = loops.ask(made.client, api, stream=True, **request_of(api, GO, [slow]))
    assert "".join(said.shown) == "Let me see."
    assert len(said.shown) > 1


@pytest.mark.parametrize("api", APIS)
def test_asynchronous_streams_do_the_same(api: str) -> None:
    world = World()
    world.tools["look"] = Tool(world.tools["look"].function, name="look", effects={"reads": ["x"]})
    faults = [f"drop after {length(api) - 3} events"]

    async def main() -> None:
        with ModelServer(play(TALK), faults=faults) as server:
            made = loops.wrap(loops.new_client(server, api, asynchronous=True), world.tools)
            async with made.client:
                with pytest.raises(Exception):  # noqa: B017, PT011 - each SDK has its own
                    async for _ in await loops.surface(made.client, api).create(**world.body(api)):
                        pass
                assert world.write.calls == []
                async for _ in await loops.surface(made.client, api).create(**world.body(api)):
                    pass
                assert made.tools["put"]("b") is not None
                await made.session.finish()

    asyncio.run(main())
    assert world.read.calls == ["a", "c" * 40]
    assert world.write.calls == ["b"]
