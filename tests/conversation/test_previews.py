"""`max_chars`: the model is shown the start of a long value, and passes on the whole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.wording import Wording
from asyncfc.errors import DeclarationError
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool

LONG = "abcdefghij" * 10


def play(story: Callable[[Session], Awaitable[None]], result: Any = LONG, **settings: Any) -> None:
    """Run a story in a session with `look`, which takes a second, and `size`, of what it is given."""

    async def look() -> Any:
        await asyncio.sleep(1)
        if isinstance(result, Exception):
            raise result
        return result

    async def size(of: Any) -> int:
        return len(of)

    async def main() -> None:
        settings.setdefault("max_chars", 20)
        async with Session([look, Tool(size, effects="pure")], id="play", **settings) as session:
            await story(session)

    run_virtual(main)


@pytest.mark.parametrize("max_chars", [0, -1, 2.0, "20", True])
def test_a_bound_that_is_none_is_refused(max_chars: Any) -> None:
    with pytest.raises(
        DeclarationError, match=r"max_chars=.*: expected None or a whole number of at least 1"
    ):
        Session([], max_chars=max_chars)


def test_errors_have_their_own_bound() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        assert answer.text == f"Error: ValueError: {LONG}"

    play(story, ValueError(LONG), grace=2)


@pytest.mark.parametrize("result", ["x" * 20, [1, 2, 3], None])
def test_what_is_short_enough_is_shown_whole(result: Any) -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        assert "Only the start" not in answer.text

    play(story, result, grace=2)


def test_an_answer_shows_the_start_and_says_how_much_there_is_and_how_to_pass_it_on() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        start, told = answer.text.split("\n")
        assert start == f"{LONG[:19]}…"
        assert "start of 100 characters" in told
        assert answer.future.handle
        assert told.count(answer.future.handle) == 3
        assert answer.value is LONG
        (size,) = await session.submit([Call("d", "size", {"of": answer.future.handle})])
        assert size.value == 100

    play(story, grace=2)


def test_deliveries_and_awaits_show_the_same() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        await answer.future
        shown: list[str] = []
        broken = ConnectionError()
        with suppress(ConnectionError), session.sampling() as deliveries:
            shown += (delivery.text for delivery in deliveries)
            raise broken
        shown += (delivery.text for delivery in (await session.await_future()).settled)
        assert shown[0] == shown[1]
        assert f"has ended:\n{LONG[:19]}…\n[Only the start of 100 characters." in shown[0]
        assert LONG[:20] not in shown[0]

    play(story)


def test_seen_is_the_preview() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        with session.sampling():
            pass
        assert answer.future.seen

    play(story, grace=2)


def test_a_container_is_cut_in_its_text_and_its_parts_are_within_reach() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        assert answer.text.startswith('{"items":["abcdefgh…\n')
        (size,) = await session.submit([Call("d", "size", {"of": f"{answer.future.handle}.items[0]"})])
        assert size.value == 100

    play(story, {"items": [LONG]}, grace=2)


def test_the_last_line_is_wording() -> None:
    async def story(session: Session) -> None:
        (answer,) = await session.submit([Call("c", "look", {})])
        assert answer.text == f"{LONG[:19]}…|100|{answer.future.handle}"

    play(story, grace=2, wording=Wording(preview="{text}|{total}|{handle}"))


@given(st.text(st.sampled_from("$k7qz_1{a")), st.integers(1, 20))
def test_a_preview_keeps_its_bound_and_holds_no_handle_that_is_not_inert(said: str, max_chars: int) -> None:
    wording = Wording(preview="{text}\n{total}")

    def escape(text: str) -> str:
        return DEFAULT_GRAMMAR.escape(text, "k7qz")

    value = MemoryStore().put(f"{said}{LONG}")
    text = wording.outcome(value, tool="look", handle="$k7qz_9", escape=escape, max_chars=max_chars)
    start, total = text.split("\n")
    assert len(start) <= max_chars
    assert int(total) == len(said) + len(LONG)
    assert not re.search(r"(?<!\$)\$\{?k7qz_\d", start)
