"""What the tests on Ray share: real time, sessions, and waiting for what tools leave in files."""

# ruff: noqa: ASYNC110, ASYNC240  # what workers do is seen in files alone
from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from asyncfc import Call, Outcome, Session
from asyncfc.adapters.ray import RayExecutor

GUARD_S = 60.0
"""No test waits for time to pass; one that hangs fails after this."""

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    async def guarded() -> T:
        return await asyncio.wait_for(story, GUARD_S)

    return asyncio.run(guarded())


def call(number: int, tool: str, /, **arguments: Any) -> Call:
    return Call(f"c{number}", tool, json.dumps(arguments))


@asynccontextmanager
async def session_of(
    tools: Any, executor: RayExecutor | None = None, **settings: Any
) -> AsyncIterator[Session]:
    async with Session(tools, executor=executor or RayExecutor(), **settings) as session:
        yield session


async def outcomes(session: Session, *calls: Call) -> list[Outcome]:
    answers = await session.submit(calls)
    return [await answer.future.wait() for answer in answers]


async def values(session: Session, *calls: Call) -> list[Any]:
    return [outcome.unwrap() for outcome in await outcomes(session, *calls)]


async def there(path: Path) -> None:
    """Wait for a file."""
    while not path.exists():
        await asyncio.sleep(0.005)


async def gone(pid: int) -> None:
    """Wait for the end of a process."""
    while is_there(pid):
        await asyncio.sleep(0.005)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def private_bytes() -> int:
    """What this process has for itself: shared memory, such as an object store, not counted."""
    rows = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) * 1024 for row in rows if row[0] in {"Private_Clean:", "Private_Dirty:"})
