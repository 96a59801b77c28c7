"""Whatever the tools take: every outcome is told once, no block is split, and the answers are right."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfc import Session, Tool, Wording
from asyncfc.gpu_engine.chat import ChatSettings
from asyncfc.gpu_engine.events import Done, Event, Text
from asyncfc.testing.loop import run_virtual
from tests.gpu_engine.writer import END, START, Writer, call, converse, dialect, rows_of

RESPONSE = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)


class Program(NamedTuple):
    """Calls by message, each with the place of the call whose result it takes, if any, and its latency."""

    messages: list[list[tuple[int | None, float]]]
    told: list[int]
    chat: ChatSettings
    final: str

    @property
    def calls(self) -> list[tuple[int | None, float]]:
        return [one for message in self.messages for one in message]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    messages: list[list[tuple[int | None, float]]] = []
    count = 0
    inject: Literal["turn", "call"] = draw(st.sampled_from(("turn", "call")))
    for _ in range(draw(st.integers(1, 3))):
        size = 1 if inject == "call" else draw(st.integers(1, 3))
        latency = st.sampled_from([0.0, 0.5, 3.0, 40.0, 400.0])
        source = st.none() if not count else st.none() | st.integers(0, count - 1)
        messages.append([(draw(source), draw(latency)) for _ in range(size)])
        count += size
    told = draw(st.lists(st.integers(0, count - 1), max_size=3))
    chat = ChatSettings(inject=inject, in_place=draw(st.booleans()))
    return Program(messages, told, chat, draw(st.sampled_from(["deliver", "substitute"])))


def value_of(program: Program, place: int) -> str:
    source, _ = program.calls[place]
    return f"<{place}>" if source is None else f"<{place}:{value_of(program, source)}>"


def writer(program: Program) -> Writer:
    """A model that names results as it has been told them: by handle, or by value."""

    def named(context: str, place: int) -> str:
        # The answer to the call with this number, whatever has been put in between.
        own = [
            text
            for turn, text in _turns(context)
            if '"await_future", "arguments": {"handles": ["$' not in turn
            for text in RESPONSE.findall(text)
        ]
        return str(own[place])

    def turn(calls: list[tuple[int | None, float]], first: int, context: str) -> str:
        return "\n".join(
            call("work", place=str(first + n), q="" if source is None else named(context, source))
            for n, (source, _) in enumerate(calls)
        )

    turns: list[Any] = []
    count = 0
    for message in program.messages:
        turns.append(lambda context, message=message, first=count: turn(message, first, context))
        count += len(message)
    turns.append(lambda context: " and ".join(["so", *(named(context, place) for place in program.told)]))
    return Writer(*turns, again=True)


def _turns(text: str) -> list[tuple[str, str]]:
    """Each turn of the assistant with what comes behind it."""
    found = []
    for part in text.split(START)[1:]:
        turn, _, behind = part.partition(END)
        found.append((turn, behind))
    return found


async def _play(program: Program) -> tuple[list[Event], str, list[tuple[int, str]]]:
    made: list[tuple[int, str]] = []

    async def work(place: str, q: str) -> str:
        made.append((int(place), q))
        await asyncio.sleep(program.calls[int(place)][1])
        return f"<{place}:{q}>" if q else f"<{place}>"

    tools = [Tool(work, effects="pure")]
    async with Session(tools, id="s", wording=Wording(placeholder="{handle}")) as session:
        rows = rows_of(writer(program))
        events, row = await converse(rows, session, chat=program.chat, final=program.final)
        return events, dialect().decode(row.tokens), made


@pytest.mark.slow
@settings(max_examples=40)
@given(programs())
def test_every_outcome_is_told_once_and_the_answer_is_right(program: Program) -> None:
    events, text, made = run_virtual(_play(program))
    done = events[-1]
    assert isinstance(done, Done)
    values = [value_of(program, place) for place in range(len(program.calls))]
    # the calls got the values, whenever these came
    assert sorted(made) == [
        (place, "" if source is None else values[source]) for place, (source, _) in enumerate(program.calls)
    ]
    assert done.text == " and ".join(["so", *(values[place] for place in program.told)])
    # told once
    lines = [line for response in RESPONSE.findall(text) for line in response.split("\n")]
    for place, value in enumerate(values):
        assert lines.count(value) <= 1
        if program.final == "deliver":
            assert value in lines or place in program.told
    # nothing was put into a block, and people have read no handle
    blocks = re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL)
    assert all(json.loads(block)["name"] in ("work", "await_future") for block in blocks)
    assert text.count("<tool_call>") == len(blocks)
    assert "$" not in "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.slow
@settings(max_examples=10)
@given(programs())
def test_without_futures_the_same_calls_are_made_with_the_same_arguments(program: Program) -> None:
    async def synchronous() -> list[tuple[int, str]]:
        made: list[tuple[int, str]] = []

        async def work(place: str, q: str) -> str:
            made.append((int(place), q))
            return f"<{place}:{q}>" if q else f"<{place}>"

        async with Session([Tool(work, effects="pure")], id="s", grace=1e9) as session:
            await converse(rows_of(writer(program)), session, chat=program.chat)
        return made

    _, _, made = run_virtual(_play(program))
    assert sorted(run_virtual(synchronous())) == sorted(made)
