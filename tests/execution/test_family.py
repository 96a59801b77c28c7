"""Calls submitted from inside the work of another (O5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import EffectEscape, WouldDeadlock
from asyncfc.futures.future import Future
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool

Body = Callable[[Session], Awaitable[Any]]


def play(body: Body, story: Callable[[Session, Puppet], Awaitable[None]], **options: Any) -> None:
    """A session with the tool `outer`, whose work is `body`, and the puppet `doll`."""
    effects = options.pop("outer_effects", None)

    async def main() -> None:
        doll = Puppet("doll", **options.pop("doll_effects", {}))

        async def outer() -> Any:
            return await body(session)

        async with Session([Tool(outer, effects=effects), doll.tool], id="family", **options) as session:
            await story(session, doll)

    run_virtual(main)


async def child(session: Session, name: str = "doll", **arguments: Any) -> Future:
    return (await session.submit([Call("child", name, arguments)]))[0].future


async def call_outer(session: Session) -> Future:
    return (await session.submit([Call("o", "outer", {})]))[0].future


def test_a_child_does_not_wait_for_its_parent_and_others_wait_for_both() -> None:
    async def body(session: Session) -> Any:
        return await (await child(session))

    async def story(session: Session, doll: Puppet) -> None:
        outer = await call_outer(session)
        later = await child(session)
        await settle_loop()
        (run,) = doll.running
        run.succeed("inner")
        assert await outer == "inner"
        await settle_loop()
        (run,) = doll.running
        run.succeed("later")
        assert await later == "later"

    play(body, story)


def test_a_parent_releases_only_when_its_children_have_ended() -> None:
    async def body(session: Session) -> str:
        await child(session)
        return "done"

    async def story(session: Session, doll: Puppet) -> None:
        outer = await call_outer(session)
        await child(session, n=2)
        assert await outer == "done"
        await settle_loop()
        (run,) = doll.running
        assert run.arguments == {}
        run.succeed()
        await settle_loop()
        assert [run.arguments for run in doll.running] == [{"n": 2}]

    play(body, story)


def test_children_are_ordered_among_themselves() -> None:
    async def body(session: Session) -> None:
        await child(session, n=1)
        await (await child(session, n=2))

    async def story(session: Session, doll: Puppet) -> None:
        await call_outer(session)
        for n in (1, 2):
            await settle_loop()
            (run,) = doll.running
            assert run.arguments == {"n": n}
            run.succeed()

    play(body, story)


def test_a_child_outside_its_parents_claim_fails_and_names_the_label_to_add() -> None:
    async def body(session: Session) -> Any:
        return await (await child(session))

    async def story(session: Session, doll: Puppet) -> None:
        with pytest.raises(EffectEscape, match=r"'db\.users'.*add that label.*'outer'"):
            await (await call_outer(session))

    play(body, story, outer_effects={"writes": "fs:/a"}, doll_effects={"writes": "db.users"})


def test_a_parent_that_awaits_a_child_gives_its_slot_back() -> None:
    async def body(session: Session) -> Any:
        return await (await child(session))

    async def story(session: Session, doll: Puppet) -> None:
        outer = await call_outer(session)
        await settle_loop()
        (run,) = doll.running
        run.succeed(7)
        assert await outer == 7

    play(body, story, limits={"*": 1})


def test_the_slot_is_taken_again_in_turn_before_the_parent_goes_on() -> None:
    running = 0

    async def body(session: Session) -> None:
        nonlocal running
        await (await child(session))
        running += 1
        assert running == 1
        await asyncio.sleep(1)
        running -= 1

    async def story(session: Session, doll: Puppet) -> None:
        outers = [await call_outer(session) for _ in range(3)]
        while not all(outer.settled for outer in outers):
            for run in doll.running:
                run.succeed()
            await asyncio.sleep(1)
        for outer in outers:
            assert await outer is None

    play(body, story, limits={"*": 1}, outer_effects="pure", doll_effects={"pure": True})


def test_waiting_for_a_call_that_waits_for_oneself_is_an_error_at_once() -> None:
    later: list[Future] = []

    async def body(session: Session) -> Any:
        await asyncio.sleep(1)
        return await later[0]

    async def story(session: Session, doll: Puppet) -> None:
        outer = await call_outer(session)
        later.append(await child(session))  # waits for outer, by effect
        with pytest.raises(WouldDeadlock, match="doll"):
            await outer

    play(body, story)


def test_a_child_that_needs_a_call_that_waits_for_its_parent_fails_at_once() -> None:
    later: list[Future] = []

    async def body(session: Session) -> Any:
        await asyncio.sleep(1)
        return await (await child(session, x=later[0]))

    async def story(session: Session, doll: Puppet) -> None:
        outer = await call_outer(session)
        later.append(await child(session))
        with pytest.raises(WouldDeadlock):
            await outer

    play(body, story)


def test_work_that_submits_after_its_call_has_ended_submits_ordinary_calls() -> None:
    left: list[asyncio.Task[Future]] = []

    async def later(session: Session) -> Future:
        await asyncio.sleep(5)
        return await child(session)

    async def body(session: Session) -> None:
        left.append(asyncio.ensure_future(later(session)))

    async def story(session: Session, doll: Puppet) -> None:
        await (await call_outer(session))
        future = await left[0]
        await settle_loop()
        doll.running[0].succeed(1)
        assert await future == 1

    play(body, story, outer_effects="pure", doll_effects={"writes": "x"})
