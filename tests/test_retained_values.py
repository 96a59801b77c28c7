"""V3 in a session: seen values are dropped when there are too many bytes, and a reference to one says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import DeclarationError, ValueDropped
from asyncfc.futures.outcome import Value
from asyncfc.futures.retention import Dropped
from asyncfc.session import Answer, Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import tool

BIG = "x" * 1_000
ROOM = 2_500
"""For two of the big values, not for three."""

Story = Callable[[Session, Puppet], Awaitable[None]]


@tool(pure=True)
async def make() -> str:
    return BIG


@tool(pure=True)
async def measure(x: str) -> int:
    return len(x)


def play(story: Story, **settings: Any) -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        settings.setdefault("max_retained_bytes", ROOM)
        async with Session([make, measure, doll.tool], id="play", **settings) as session:
            await story(session, doll)

    run_virtual(main)


async def answer(session: Session, name: str, id: str = "c", **arguments: Any) -> Answer:
    (given,) = await session.submit([Call(id, name, arguments)])
    return given


async def show(session: Session) -> None:
    """Send a request that delivers what there is."""
    await settle_loop()
    with session.sampling():
        pass


async def filled(session: Session) -> list[Answer]:
    """Four big values, each seen before the next is made: two more than there is room for."""
    answers = []
    for _ in range(4):
        answers.append(await answer(session, "make"))
        await show(session)
    return answers


def is_dropped(given: Answer) -> bool:
    outcome = given.future.outcome
    return isinstance(outcome, Value) and isinstance(outcome, Dropped)


def test_the_oldest_seen_values_go_and_the_newest_stay() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        assert [is_dropped(given) for given in await filled(session)] == [True, True, False, False]

    play(story)


def test_without_a_bound_everything_stays() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        assert not any(is_dropped(given) for given in await filled(session))

    play(story, max_retained_bytes=None)


def test_a_wrong_bound_is_refused() -> None:
    with pytest.raises(DeclarationError, match="max_retained_bytes=-1"):
        Session([make], max_retained_bytes=-1)


@pytest.mark.parametrize("text", ["{}", "{}[0]", "see {} there", "${{{}.a}}"])
def test_a_call_that_refers_to_a_dropped_value_fails_at_once_and_says_so(text: str) -> None:
    async def story(session: Session, doll: Puppet) -> None:
        lost, *_ = await filled(session)
        handle = str(lost.future.handle)
        reference = text.format(handle[1:] if "{{" in text else handle)
        refused = await answer(session, "doll", x=reference)
        assert isinstance(refused.error, ValueDropped)
        assert refused.text.startswith(f"Error: ValueDropped: the value of {handle} is no longer kept: make")
        assert "Call make again" in refused.text
        assert doll.runs == []
        fine = await answer(session, "measure", x=str((await answer(session, "make")).future.handle))
        assert await fine.future == len(BIG)

    play(story)


def test_a_program_that_asks_for_a_dropped_value_is_told_the_same() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        lost, *_ = await filled(session)
        with pytest.raises(ValueDropped):
            await lost.future
        refused = await session.submit([Call("c", "measure", {"x": lost.future})])
        assert isinstance(refused[0].error, ValueDropped)

    play(story)


def test_awaiting_a_dropped_handle_tells_the_model_what_happened() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        lost, *_ = await filled(session)
        (delivery,) = (await session.await_future(str(lost.future.handle))).settled
        assert "ValueDropped" in delivery.text
        await show(session)

    play(story)


def test_what_the_model_has_not_seen_stays() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        unseen = [await answer(session, "make") for _ in range(5)]
        await settle_loop()
        with pytest.raises(OSError), session.sampling():  # the request fails
            raise OSError
        assert not any(is_dropped(given) for given in unseen)
        await show(session)
        assert [is_dropped(given) for given in unseen] == [True, True, True, False, False]

    play(story)


def test_what_a_waiting_call_refers_to_stays_until_that_call_is_done() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        value = await answer(session, "make")
        await show(session)
        blocker = await answer(session, "doll")
        waiting = await answer(
            session, "measure", x=f"{value.future.handle} {blocker.future.handle}", id="waits"
        )
        await filled(session)
        assert not is_dropped(value)
        doll.running[0].succeed("!")
        assert await waiting.future == len(BIG) + 2
        await filled(session)
        assert is_dropped(value)

    play(story)


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_a_call_that_never_runs_lets_go_of_what_it_referred_to(end: str) -> None:
    async def story(session: Session, doll: Puppet) -> None:
        value = await answer(session, "make")
        await show(session)
        blocker = await answer(session, "doll")
        waiting = await answer(session, "doll", x=value.future.handle, y=blocker.future.handle)
        await settle_loop()
        if end == "cancel":
            assert session.cancel(waiting.future)
        else:
            doll.running[0].fail(LookupError())
        await filled(session)
        assert is_dropped(value)

    play(story)


def test_values_of_a_message_that_was_cut_off_go_like_seen_ones() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        message = session.message()
        lost = message.seal(Call("c", "make", {}))
        await lost
        message.withdraw()
        assert isinstance(lost.outcome, Value)
        await filled(session)
        assert isinstance(lost.outcome, Dropped)

    play(story)


def test_an_answer_within_grace_keeps_the_tools_own_object() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        given = await answer(session, "make")
        assert given.text == given.value == BIG
        await show(session)
        assert is_dropped(given)
        assert given.value == BIG

    play(story, grace=1, max_retained_bytes=0)


def test_a_session_keeps_no_more_than_its_bound_however_long_it_is() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        answers = []
        for n in range(100):
            answers.append(await answer(session, "make", id=f"c{n}"))
            await show(session)
        assert sum(not is_dropped(given) for given in answers) == 2
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    play(story)
