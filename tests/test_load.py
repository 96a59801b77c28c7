"""Ten thousand of everything, without recursion and in time that grows as their number."""

from __future__ import annotations

import pytest

from asyncfc.errors import UpstreamFailed
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool

pytestmark = pytest.mark.slow

MANY = 10_000


async def add(n: int, to: list[int] | int = 0) -> int:
    return n + (sum(to) if isinstance(to, list) else to)


async def start(session: Session, tool: str, **arguments: object) -> Future:
    return (await session.submit([Call("c", tool, arguments)]))[0].future


@pytest.mark.parametrize("effects", ["pure", {"writes": "a"}])
def test_a_chain(effects: object) -> None:
    async def main() -> int:
        async with Session([Tool(add, effects=effects)]) as session:  # type: ignore[arg-type]
            last = await start(session, "add", n=0)
            for _ in range(MANY - 1):
                last = await start(session, "add", n=1, to=last)
            await session.finish()
            assert len(session._scheduler) == 0
            return int(last.result())

    assert run_virtual(main) == MANY - 1


def test_one_to_many_and_many_to_one() -> None:
    async def main() -> int:
        async with Session([Tool(add, effects="pure")]) as session:
            one = await start(session, "add", n=1)
            many = [await start(session, "add", n=1, to=one) for _ in range(MANY)]
            total = await start(session, "add", n=0, to=many)
            return int(await total)

    assert run_virtual(main) == 2 * MANY


def test_a_write_behind_many_readers_and_many_readers_behind_it() -> None:
    async def main() -> None:
        tools = [
            Tool(add, name="read", effects={"reads": "a"}),
            Tool(add, name="write", effects={"writes": "a"}),
        ]
        async with Session(tools) as session:
            for _ in range(MANY):
                await start(session, "read", n=1)
            await start(session, "write", n=1)
            for _ in range(MANY):
                await start(session, "read", n=1)
            assert not (await session.finish()).left

    run_virtual(main)


@pytest.mark.parametrize("chained", [True, False])
def test_a_failure_that_spreads(chained: bool) -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            root = last = await start(session, "doll")
            futures = []
            for _ in range(MANY):
                last = await start(session, "doll", x=last if chained else root)
                futures.append(last)
            await settle_loop()
            doll.running[0].fail(ValueError("root"))
            await settle_loop()
            for future in futures:
                assert isinstance(future.outcome, Failure)
                assert isinstance(future.outcome.error, UpstreamFailed)
                assert future.outcome.error.root.handle == root.handle

    run_virtual(main)


def test_many_in_flight_and_one_await_for_all() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool], limits={"*": MANY}) as session:
            for n in range(MANY):
                await start(session, "doll", n=n)
            await settle_loop()
            assert len(doll.running) == MANY
            for run in list(doll.running):
                run.succeed()
            assert len((await session.await_future()).settled) == MANY
            with session.sampling() as deliveries:
                assert deliveries == []

    run_virtual(main)
