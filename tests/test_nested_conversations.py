"""Conversations inside tools, calls of others, and answers that nobody asks for."""

from __future__ import annotations

import asyncio

import pytest

from asyncfc.blocking import BlockingSession
from asyncfc.errors import DeclarationError, UnknownHandle, UnresolvedPath, UpstreamFailed
from asyncfc.runtime import Runtime
from asyncfc.session import Call, Delivery, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool, tool


@tool(pure=True)
async def look(n: int = 0) -> dict[str, int]:
    await asyncio.sleep(1)
    return {"n": n}


@tool(pure=True)
async def fail() -> None:
    await asyncio.sleep(1)
    raise ValueError("no")


def test_a_conversation_inside_a_tool_has_a_model_of_its_own() -> None:
    async def main() -> None:
        runtime = Runtime()
        seen: list[str] = []

        async def agent() -> str:
            async with Session([look], runtime=runtime) as inner:
                await inner.submit([Call("c", "look", {"n": 1})])
                assert inner.owed
                assert not inner.inside
                await inner.wait_for(inner.owed)
                with inner.sampling() as deliveries:
                    seen.extend(delivery.text for delivery in deliveries)
            return "done"

        async with Session([agent], runtime=runtime) as outer:
            (answer,) = await outer.submit([Call("a", "agent", {})])
            assert await answer.future == "done"
            assert len(seen) == 1
        runtime.close()

    run_virtual(main)


def test_a_session_knows_whether_it_is_asked_from_inside_a_call() -> None:
    async def main() -> None:
        async def ask() -> bool:
            return session.inside

        async with Session([ask]) as session:
            (answer,) = await session.submit([Call("c", "ask", {})])
            assert await answer.future is True
            assert not session.inside

    run_virtual(main)


def test_the_arguments_of_a_call_that_others_make_get_their_values() -> None:
    async def main() -> None:
        async with Session([look, fail], id="x") as session:
            first, second = await session.submit([Call("a", "look", {"n": 3}), Call("b", "fail", {})])
            resolve = session.handles.resolve
            assert await resolve({"x": [f"{first.future}.n", "y"], "z": 1}) == {"x": [3, "y"], "z": 1}
            with pytest.raises(UpstreamFailed, match=r"it needs the result of fail .*ValueError"):
                await resolve({"x": str(second.future)})
            with pytest.raises(UnknownHandle):
                await resolve({"x": str(first.future)[:-1] + "77"})
            with pytest.raises(UnresolvedPath):
                await resolve({"x": f"{first.future}.missing"})

    run_virtual(main)


def test_a_call_of_the_program_keeps_the_order_and_is_not_told_to_the_model() -> None:
    async def main() -> None:
        log: list[str] = []

        async def write(text: str) -> str:
            await asyncio.sleep(1)
            log.append(text)
            return text

        async with Session([write, fail]) as session:
            await session.submit([Call("a", "write", {"text": "model"})])
            assert await session.call("write", {"text": "program"}) == "program"
            with pytest.raises(ValueError, match=r"^no$"):
                await session.call("fail", {})
            assert log == ["model", "program"]
            with session.sampling() as deliveries:
                assert [one.call_id for one in deliveries if isinstance(one, Delivery)] == ["a"]

    run_virtual(main)


def test_an_answer_that_nobody_asks_for_is_delivered_though_it_was_made() -> None:
    async def main() -> None:
        async with Session([look], grace=5) as session:
            message = session.message()
            futures = [message.seal(Call(name, "look", {})) for name in "ab"]
            message.commit()
            answers = await message.answers()
            assert all(answer.value == {"n": 0} for answer in answers)
            message.owe([futures[1]])
            with session.sampling() as deliveries:
                assert [one.call_id for one in deliveries if isinstance(one, Delivery)] == ["b"]

    run_virtual(main)


def test_a_blocking_session_says_why_it_takes_no_runtime() -> None:
    with pytest.raises(DeclarationError, match="a runtime belongs to one event loop"):
        BlockingSession([Tool(look.function)], runtime=Runtime())
