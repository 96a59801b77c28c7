"""Which calls start when limits and rates let them."""

from __future__ import annotations

import asyncio

import pytest

from asyncfc.errors import DeclarationError
from asyncfc.execution.executors import LocalExecutor
from asyncfc.execution.work import Running, Work
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool
from asyncfc.trace.events import Event


@pytest.mark.parametrize("rates", [None, {"*": "1/s"}])
def test_who_hears_that_a_call_is_queued_may_make_it_the_next_one(rates: dict[str, str] | None) -> None:
    starts: list[int] = []

    async def work(n: int) -> None:
        starts.append(n)
        await asyncio.sleep(1)

    async def main() -> None:
        def listen(event: Event) -> None:
            if event.kind == "queued" and event.call == 1 and "limits" in event.data:
                session.cancel(first)

        session = Session([Tool(work, effects="pure")], limits={"*": 1}, rates=rates, on_event=listen)
        message = session.message()
        first = message.seal(Call("0", "work", {"n": 0}))
        message.seal(Call("1", "work", {"n": 1}))
        message.commit()
        await session.finish(20)
        await session.close()
        assert starts[-1] == 1
        assert starts.count(1) == 1

    run_virtual(main)


@pytest.mark.parametrize("limits", [None, {"*": 4}])
def test_an_executor_that_finds_the_program_wrong_says_so_and_loses_no_other_call(
    limits: dict[str, int] | None,
) -> None:
    class Picky(LocalExecutor):
        def start(self, work: Work) -> Running:
            if work.tool.name == "bad":
                raise DeclarationError("set up wrongly")
            return super().start(work)

    async def bad() -> None: ...

    async def good() -> int:
        return 1

    async def main() -> None:
        tools = [Tool(bad, effects="pure"), Tool(good, effects="pure")]
        async with Session(tools, limits=limits, executor=Picky(MemoryStore()), grace=1) as session:
            (answer,) = await session.submit([Call("1", "good", {})])
            with pytest.raises(DeclarationError, match="set up wrongly"):
                await session.submit([Call("2", "bad", {}), Call("3", "good", {})])
            (again,) = await session.submit([Call("4", "good", {})])
            assert (await answer.future, await again.future) == (1, 1)
            assert not (await session.finish(10)).left

    run_virtual(main)
