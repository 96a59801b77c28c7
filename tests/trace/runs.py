"""A run to look at: two look-ups behind one slot, a booking with a handle, a mail that fails."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncfc import Call, Session, tool
from asyncfc.testing.loop import run_virtual
from asyncfc.trace.trace import Trace


@tool(pure=True)
async def find(city: str) -> dict[str, str]:
    """Find a flight."""
    await asyncio.sleep(1)
    return {"id": f"{city}-1"}


@tool(writes="flights.{flight}")
async def book(flight: str) -> str:
    """Book a flight."""
    await asyncio.sleep(2)
    return f"booked {flight}"


@tool
async def mail(text: str) -> str:
    """Send a mail: ordered against everything."""
    await asyncio.sleep(0.5)
    raise ConnectionError("no server")


async def converse(session: Session) -> None:
    """Two messages with calls, and one that waits for all of them."""
    with session.sampling():
        await asyncio.sleep(0.5)
    first, second = await session.submit(
        [Call("c1", "find", {"city": "London"}), Call("c2", "find", {"city": "Rome"})]
    )
    with session.sampling():
        await asyncio.sleep(0.5)
    arguments = {"flight": f"{first.future}.id"}
    await session.submit(
        [Call("c3", "book", arguments), Call("c4", "mail", {"text": f"see {second.future}"})]
    )
    with session.sampling():
        await asyncio.sleep(0.7)
    await session.await_future()


def play(body: Any = converse, **settings: Any) -> Trace:
    """Run it on a virtual clock and return its trace."""

    async def main() -> Trace:
        tools = [find, book, mail]
        given = {"id": "run", "limits": {"tool:find": 1}, "trace": True, **settings}
        async with Session(tools, **given) as session:
            await body(session)
            return session.trace

    return run_virtual(main)
