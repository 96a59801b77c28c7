"""A provider's retry of a broken stream adopts the reads that run already (O3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import TranscriptError
from asyncfc.futures.outcome import Cancelled
from asyncfc.session import Call, Message, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop

Story = Callable[[Session, Puppet, Puppet], Awaitable[None]]


def play(story: Story) -> None:
    async def main() -> None:
        read, write = Puppet("read", reads="db"), Puppet("write", writes="db")
        async with Session([read.tool, write.tool]) as session:
            await story(session, read, write)

    run_virtual(main)


def seal(message: Message, tool: str, **arguments: Any) -> Any:
    return message.seal(Call("any id", tool, arguments))


def test_the_same_read_at_the_same_place_is_adopted() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        broken = session.message()
        seal(broken, "read", x=1)
        seal(broken, "write", y=1)
        await settle_loop()
        (run,) = read.running
        again = broken.retry()
        future = seal(again, "read", x=1)
        again.commit()
        await settle_loop()
        assert read.running == [run]
        run.succeed("value")
        assert await future == "value"
        (answer,) = await again.answers()
        assert answer.text == "value"
        with pytest.raises(TranscriptError, match="retried"):
            seal(broken, "read")

    play(story)


def test_what_the_retry_does_not_repeat_is_withdrawn() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        broken = session.message()
        gone = [seal(broken, "read", x=1), seal(broken, "write")]
        await settle_loop()
        again = broken.retry()
        assert isinstance(gone[1].outcome, Cancelled)
        seal(again, "read", x=2)
        again.commit()
        await settle_loop()
        assert isinstance(gone[0].outcome, Cancelled)
        assert [run.arguments for run in read.running] == [{"x": 2}]
        read.running[0].succeed()

    play(story)


def test_a_read_behind_a_new_write_is_not_adopted() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        broken = session.message()
        seal(broken, "read", x=0)
        seal(broken, "read", x=1)
        await settle_loop()
        read.running[1].succeed("before the write")
        again = broken.retry()
        seal(again, "write")
        future = seal(again, "read", x=1)
        again.commit()
        await settle_loop()
        write.running[0].succeed()
        await settle_loop()
        read.running[0].succeed("after the write")
        assert await future == "after the write"

    play(story)


def test_a_retry_of_a_retry_adopts_all_the_same_and_a_withdrawn_one_withdraws_all() -> None:
    async def story(session: Session, read: Puppet, write: Puppet) -> None:
        message = session.message()
        future = seal(message, "read")
        await settle_loop()
        (run,) = read.running
        for _ in range(2):
            message = message.retry()
            future = seal(message, "read")
        assert read.running == [run]
        message.withdraw()
        assert isinstance(future.outcome, Cancelled)
        await settle_loop()
        assert run.cancels == 1

    play(story)
