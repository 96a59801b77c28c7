from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import DuplicateCall
from asyncfc.session import Answer, Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop

Story = Callable[[Session, Puppet, Puppet], Awaitable[None]]


def play(policy: Any, story: Story) -> None:
    async def main() -> None:
        read, write = Puppet("read", reads="db"), Puppet("write", writes="db")
        async with Session([read.tool, write.tool], duplicates=policy, id="dup") as session:
            await story(session, read, write)

    run_virtual(main)


async def call(session: Session, tool: str, **arguments: Any) -> Answer:
    return (await session.submit([Call("c", tool, arguments)]))[0]


def test_a_shared_read_runs_once_and_both_get_the_outcome() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        first, second = await call(session, "read", x=1, y=2), await call(session, "read", y=2, x=1)
        dependant = await call(session, "read", x=second.future)
        await settle_loop()
        (run,) = read.running
        run.succeed({"v": 5})
        assert await first.future == await second.future == {"v": 5}
        assert first.future.handle != second.future.handle
        await settle_loop()
        assert read.running[0].arguments == {"x": {"v": 5}}
        read.running[0].succeed()
        await dependant.future

    play("share", story)


def test_a_read_is_not_shared_across_a_newer_write() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        await call(session, "read")
        await call(session, "write")
        third = await call(session, "read")
        await settle_loop()
        read.running[0].succeed("old")
        await settle_loop()
        write.running[0].succeed()
        await settle_loop()
        read.running[0].succeed("new")
        assert await third.future == "new"

    play("share", story)


def test_writes_are_never_shared_and_settled_calls_are_not_in_flight() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        await call(session, "write")
        await call(session, "write")
        for _ in range(2):
            await settle_loop()
            (run,) = write.running
            run.succeed()
        await call(session, "read")
        await settle_loop()
        read.running[0].succeed()
        await settle_loop()
        await call(session, "read")
        await settle_loop()
        assert len(read.running) == 1
        read.running[0].succeed()

    play("share", story)


def test_the_same_reference_written_differently_is_the_same_argument() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        source = await call(session, "read")
        handle = str(source.future.handle)
        await call(session, "read", x=handle)
        again = await call(session, "read", x="${" + handle[1:] + "}")
        other = await call(session, "read", x=f"{handle}.v")
        assert again.future.leader is not again.future
        assert other.future.leader is other.future

    play("share", story)


def test_a_rejected_duplicate_names_the_handle_of_the_first() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        first, second = await call(session, "read"), await call(session, "read")
        assert isinstance(second.error, DuplicateCall)
        assert str(first.future.handle) in second.text
        assert (await call(session, "read", x=1)).error is None

    play("reject", story)


@pytest.mark.parametrize("failing", [True, False])
def test_a_shared_failure_reaches_both(failing: bool) -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        answers = [await call(session, "read"), await call(session, "read")]
        await settle_loop()
        if failing:
            read.running[0].fail(ValueError("no"))
        else:
            session.cancel(answers[0].future)
        await settle_loop()
        assert answers[0].future.outcome is answers[1].future.outcome
        assert len((await session.await_future()).settled) == 2

    play("share", story)


def test_every_call_has_an_event_of_its_end_whoever_did_its_work() -> None:
    async def main() -> list[int]:
        events: list[Any] = []
        read = Puppet("read", reads="db")
        async with Session([read.tool], duplicates="share", on_event=events.append) as session:
            await call(session, "read")
            await call(session, "read")
            await settle_loop()
            read.running[0].succeed()
            await session.finish()
        return [event.call for event in events if event.kind == "settled"]

    assert sorted(run_virtual(main)) == [0, 1]
