"""Work that goes on after it was given up: abandoned, quarantined, released (F2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import ResourceQuarantined, ToolAbandoned, ToolTimeout
from asyncfc.futures.future import Future
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop

Story = Callable[[Session, Puppet, Puppet], Awaitable[None]]


def play(story: Story, **effects: Any) -> None:
    """`hung` writes db.users, is timed out after 2 s and ignores that; `reader` reads all of db."""

    async def main() -> None:
        hung = Puppet("hung", ignore_cancel=True, **{"writes": "db.users", "timeout": 2, **effects})
        reader = Puppet("reader", reads="db")
        async with Session([hung.tool, reader.tool], id="quarantine") as session:
            await story(session, hung, reader)
            for run in [*hung.running, *reader.running]:
                run.succeed()

    run_virtual(main)


async def call(session: Session, name: str, **arguments: Any) -> Future:
    return (await session.submit([Call(name, name, arguments)]))[0].future


def now() -> float:
    return asyncio.get_running_loop().time()


def test_conflicting_calls_fail_at_once_and_name_the_culprit() -> None:
    async def story(session: Session, hung: Puppet, reader: Puppet) -> None:
        culprit = await call(session, "hung")
        waiting = await call(session, "reader")
        with pytest.raises(ToolTimeout):
            await culprit
        assert now() == 2
        with pytest.raises(ResourceQuarantined, match=r"reader.*hung.*'db'"):
            await waiting
        assert now() == 7  # at least five seconds after it was asked to stop
        with pytest.raises(ResourceQuarantined):
            await (await call(session, "reader"))
        assert now() == 7
        assert reader.running == []
        assert (await session.finish()).left == (culprit,)

    play(story)


def test_release_lifts_it() -> None:
    async def story(session: Session, hung: Puppet, reader: Puppet) -> None:
        culprit = await call(session, "hung")
        assert not session.release(culprit)
        await asyncio.sleep(8)
        assert session.release(str(culprit.handle))
        future = await call(session, "reader")
        await settle_loop()
        reader.running[0].succeed(1)
        assert await future == 1

    play(story)


def test_it_is_lifted_by_itself_when_the_work_ends_at_last() -> None:
    async def story(session: Session, hung: Puppet, reader: Puppet) -> None:
        await call(session, "hung")
        await asyncio.sleep(8)
        hung.running[0].succeed("too late")
        await settle_loop()
        await call(session, "reader")
        await settle_loop()
        assert len(reader.running) == 1
        assert (await session.finish(timeout=0)).left != ()

    play(story)


def test_work_that_ends_before_it_counts_as_abandoned_releases_as_usual() -> None:
    async def story(session: Session, hung: Puppet, reader: Puppet) -> None:
        await call(session, "hung")
        waiting = await call(session, "reader")
        await asyncio.sleep(6)
        hung.running[0].succeed()
        await settle_loop()
        reader.running[0].succeed(1)
        assert await waiting == 1

    play(story)


def test_the_time_is_the_tools_to_choose_and_so_is_going_on() -> None:
    async def story(session: Session, hung: Puppet, reader: Puppet) -> None:
        await call(session, "hung")
        waiting = await call(session, "reader")
        await asyncio.sleep(4)
        reader.running[0].succeed(now())
        assert await waiting == 4

    play(story, abandon_after=1, on_abandon="release")


def test_calls_that_do_not_conflict_with_the_culprit_go_on_though_they_waited_behind_one_that_does() -> None:
    async def main() -> None:
        hung = Puppet("hung", ignore_cancel=True, writes="a", timeout=1)
        both, other = Puppet("both", writes=["a", "b"]), Puppet("other", reads="b")
        async with Session([hung.tool, both.tool, other.tool]) as session:
            await call(session, "hung")
            between = await call(session, "both")
            last = await call(session, "other")
            with pytest.raises(ResourceQuarantined):
                await between
            await settle_loop()
            other.running[0].succeed(1)
            assert await last == 1
            hung.running[0].succeed()

    run_virtual(main)


def test_a_late_claim_is_judged_when_it_is_bound() -> None:
    async def main() -> None:
        hung = Puppet("hung", ignore_cancel=True, writes="fs:/a/x", timeout=1)
        source, reader = Puppet("source", pure=True), Puppet("reader", reads="fs:/a/{path}")
        async with Session([hung.tool, source.tool, reader.tool]) as session:
            await call(session, "hung")
            paths = [await call(session, "source") for _ in range(2)]
            read = [await call(session, "reader", path=path) for path in paths]
            await asyncio.sleep(8)
            source.running[0].succeed("x")
            source.running[0].succeed("y") if len(source.running) == 1 else source.running[1].succeed("y")
            with pytest.raises(ResourceQuarantined):
                await read[0]
            await settle_loop()
            reader.running[0].succeed("ok")
            assert await read[1] == "ok"
            hung.running[0].succeed()

    run_virtual(main)


def test_a_cancel_that_was_accepted_and_ignored_settles_in_the_end() -> None:
    async def main() -> None:
        deaf = Puppet("deaf", ignore_cancel=True, writes="a")
        async with Session([deaf.tool]) as session:
            future = await call(session, "deaf")
            await settle_loop()
            assert session.cancel(future)
            with pytest.raises(ToolAbandoned, match="5 s"):
                await future
            assert now() == 5
            deaf.running[0].succeed()

    run_virtual(main)


def test_abandoned_work_keeps_its_slot_until_it_has_truly_ended() -> None:
    async def main() -> None:
        hung = Puppet("hung", ignore_cancel=True, pure=True, timeout=1)
        async with Session([hung.tool], limits={"*": 1}) as session:
            await call(session, "hung", n=1)
            second = await call(session, "hung", n=2)
            await asyncio.sleep(20)
            (run,) = hung.running
            run.succeed()
            await settle_loop()
            (run,) = hung.running
            assert run.arguments == {"n": 2}
            run.succeed(2)
            assert await second == 2

    run_virtual(main)
