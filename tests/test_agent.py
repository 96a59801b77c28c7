"""`asyncfc.run`: a whole agent loop over any callable model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import asyncfc
from asyncfc.errors import DeclarationError, TranscriptError
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Emit, model_of, play
from asyncfc.testing.models.behaviours import answers_with_handles, tells
from asyncfc.testing.models.script import Script

Json = dict[str, Any]
USER = [{"role": "user", "content": "hi"}]


async def search(text: str) -> str:
    """Search."""
    await asyncio.sleep(5)
    return f"found {text}"


def whole(script: Script) -> Any:
    """A model that answers with whole replies."""
    model = model_of(script, decode=1.0)

    async def ask(messages: list[Json], tools: list[Json]) -> Json:
        return await model({"model": "m", "messages": messages, "tools": tools})

    return ask


def streaming(script: Script) -> Any:
    """A model that answers chunk by chunk."""
    model = model_of(script, decode=1.0)

    async def ask(messages: list[Json], tools: list[Json]) -> AsyncIterator[Json]:
        async for chunk in model.stream({"model": "m", "messages": messages, "tools": tools}):
            yield chunk

    return ask


def done(model: Any, **settings: Any) -> Any:
    return run_virtual(lambda: asyncfc.run(model, USER, [search], **settings))


def test_a_model_that_is_never_done_is_stopped() -> None:
    model = whole(lambda _: Emit(calls=[("search", {"text": "x"})]))
    with pytest.raises(TranscriptError, match="not done after max_messages=3 messages"):
        done(model, max_messages=3, grace=10)


@pytest.mark.parametrize("given", [7, None, [{"role": "assistant"}]])
def test_what_is_no_message_is_refused(given: Any) -> None:
    async def model(messages: list[Json], tools: list[Json]) -> Any:
        return given

    with pytest.raises(TranscriptError, match="expected a message of Chat Completions"):
        done(model)


def test_what_the_model_raises_is_raised_and_all_is_closed() -> None:
    async def model(messages: list[Json], tools: list[Json]) -> Any:
        raise ZeroDivisionError("no model")

    with pytest.raises(ZeroDivisionError, match="no model"):
        done(model)


def test_a_stream_without_an_end_is_an_error() -> None:
    async def model(messages: list[Json], tools: list[Json]) -> AsyncIterator[Json]:
        yield {"choices": [{"index": 0, "delta": {"content": "He"}, "finish_reason": None}]}

    with pytest.raises(TranscriptError, match="finish_reason"):
        done(model)


def test_a_setting_that_nobody_knows_is_refused() -> None:
    with pytest.raises((DeclarationError, TypeError)):
        done(whole(play(Emit("Hello."))), graze=1)


@pytest.mark.parametrize("kind", [whole, streaming])
def test_a_handle_in_the_last_words_is_replaced_and_nothing_provisional_is_shown(kind: Any) -> None:
    shown: list[str] = []
    result = done(kind(answers_with_handles(("search", {"text": "cats"}))), on_text=shown.append, grace=0)
    assert "found cats" in result.text
    assert "$" not in result.text
    assert "".join(shown) == result.text
    assert (result.model_messages, result.extra_messages) == (3, 1)


@pytest.mark.parametrize("kind", [whole, streaming])
def test_the_transcript_is_what_the_model_was_told(kind: Any) -> None:
    result = done(kind(play(Emit(calls=[("search", {"text": "x"})]), after=tells)), grace=10)
    assert [message["role"] for message in result.messages] == ["user", "assistant", "tool", "assistant"]
    assert result.messages[2]["content"] == "found x"
    assert USER == [{"role": "user", "content": "hi"}]


def test_a_bare_text_is_a_message_too() -> None:
    async def model(messages: list[Json], tools: list[Json]) -> str:
        return "Hello."

    assert done(model).text == "Hello."


def test_calls_of_one_message_run_beside_each_other() -> None:
    model = whole(play(Emit(calls=[("search", {"text": t}) for t in "abc"]), after=tells))

    async def main() -> float:
        await asyncfc.run(model, USER, {"search": asyncfc.tool(pure=True)(search)}, grace=0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) <= 8  # two messages, at most one more, and one search


def test_what_a_tool_returns_reads_the_same_however_often_it_is_sent() -> None:
    tag = asyncfc.Session([], id="agent").grammar.tag_for("agent")

    async def echo(text: str) -> str:
        """Says what it is told."""
        return f"${tag}_7"

    model = whole(play(Emit(calls=[("echo", {"text": "x"})]), after=tells))
    result = run_virtual(lambda: asyncfc.run(model, USER, [echo], grace=10, id="agent"))
    assert result.messages[2]["content"] == f"$${tag}_7"
