"""What a session adds to a call on Ray, and what of a large value reaches the program.

    python -m benchmarks.ray_overhead --json

`task_*`    a tool that does nothing, as a Ray task: through a session, against the same function as a plain
            Ray task; `write_*` the same for a tool that writes, which also tells when it begins; `method_*`
            a reading method of an object in an actor, against that method of a plain Ray actor; `async_*`
            an asynchronous one
`*_ms`, `*_plain_ms`, `*_ratio`    one call after the other: the median, and the ratio of the medians
`*_batch_ratio`    batches of calls at the same time
`value_*`   a value that goes from one remote tool to another, and what the program's private memory grew by

Both sides take turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import ray

from asyncfc import Call, Session, Tool
from asyncfc.adapters.ray import RayExecutor

ARGUMENTS = {"query": "weather in Zurich", "limit": 5}
WARM_UP = 30
BATCH = 50
Once = Callable[[], Awaitable[object]]


def nothing(query: str, limit: int) -> None:
    """Do nothing: what is left is the cost of getting there and back."""


def large(size: int) -> str:
    """Make a value of so many bytes."""
    return "x" * size


def measured(value: str) -> int:
    """Look at a value."""
    return len(value)


class Thing:
    """State without any."""

    def look(self, query: str, limit: int) -> None:
        """Do nothing."""


class AsyncThing:
    """The same with an asynchronous method."""

    async def look(self, query: str, limit: int) -> None:
        """Do nothing."""


async def compare(name: str, ours: Once, plain: Once, calls: int) -> dict[str, float]:
    """Milliseconds of a call of both sides, alone and in batches, and the ratios."""
    print(f"ray_overhead: {name}", file=sys.stderr)
    sides = (ours, plain)
    for side in sides:
        for _ in range(WARM_UP):
            await side()
        await asyncio.gather(*(side() for _ in range(BATCH)))
    alone: tuple[list[float], list[float]] = ([], [])
    batches: tuple[list[float], list[float]] = ([], [])
    for _ in range(calls):
        for side, times in zip(sides, alone, strict=True):
            start = perf_counter()
            await side()
            times.append(perf_counter() - start)
    for _ in range(max(1, calls // BATCH)):
        for side, times in zip(sides, batches, strict=True):
            start = perf_counter()
            await asyncio.gather(*(side() for _ in range(BATCH)))
            times.append(perf_counter() - start)
    mine, theirs = (median(times) * 1e3 for times in alone)
    together, theirs_together = (median(times) for times in batches)
    return {
        f"{name}_ms": mine,
        f"{name}_plain_ms": theirs,
        f"{name}_ratio": mine / theirs,
        f"{name}_batch_ratio": together / theirs_together,
    }


def through(session: Session, tool: str) -> Once:
    """A call through a session, from its submission to its value."""
    numbers = count()

    async def once() -> object:
        number = next(numbers)
        text = json.dumps({**ARGUMENTS, "limit": number})
        (answer,) = await session.submit([Call(f"{tool} {number}", tool, text)])
        return await answer.future

    return once


def plainly(function: Any) -> Once:
    """The same as a user of Ray would write it."""

    async def once() -> object:
        return await function.remote(**ARGUMENTS)

    return once


async def overheads(calls: int) -> dict[str, float]:
    """All comparisons."""
    executor = RayExecutor()
    things = {"method": executor.actor(Thing).look, "async": executor.actor(AsyncThing).look}
    plain: dict[str, Any] = {
        "task": ray.remote(nothing),
        "write": ray.remote(nothing),
        "method": ray.remote(Thing).remote().look,
        "async": ray.remote(AsyncThing).remote().look,
    }
    tools = [
        Tool(nothing, name="task", effects="pure"),
        Tool(nothing, name="write", effects={"writes": "place.{limit}"}),
        *(Tool(function, name=name, effects="read") for name, function in things.items()),
    ]
    found: dict[str, float] = {}
    async with Session(tools, executor=executor) as session:
        for name, function in plain.items():
            found |= await compare(name, through(session, name), plainly(function), calls)
    return found


async def large_value(size: int) -> dict[str, float]:
    """A value from one remote tool to the next: seconds, and megabytes that the program grew by."""
    print("ray_overhead: a large value", file=sys.stderr)
    tools = [Tool(large, effects="pure"), Tool(measured, effects="pure")]
    async with Session(tools, executor=RayExecutor(), max_chars=1000) as session:

        async def pass_on(number: int, of: int) -> None:
            given = Call(f"large {number}", "large", {"size": of})
            taken = Call(f"measured {number}", "measured", {"value": "$this_1"})
            _, answer = await session.submit([given, taken])
            assert await answer.future == of

        await pass_on(0, 100_000)
        before, start = private_bytes(), perf_counter()
        await pass_on(1, size)
        with session.sampling() as deliveries:
            assert len(deliveries) == 4
        seconds = perf_counter() - start
        grown = private_bytes() - before
    return {"value_mb": size / 1e6, "value_s": seconds, "value_driver_grew_mb": grown / 1e6}


def private_bytes() -> int:
    """What this process has for itself; an object store, which is shared memory, does not count."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    rows = (line.split() for line in lines)
    return sum(int(row[1]) * 1024 for row in rows if row[0] in {"Private_Clean:", "Private_Dirty:"})


async def measure(calls: int, size: int) -> dict[str, float]:
    """All numbers."""
    return {**await overheads(calls), **await large_value(size), "calls": calls}


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=500, help="of each comparison and side")
    parser.add_argument("--value-mb", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    ray.init(
        num_cpus=max(4, os.cpu_count() or 1),
        include_dashboard=False,
        logging_level=logging.ERROR,
        object_store_memory=(3 * options.value_mb + 100) * 2**20,
    )
    result = asyncio.run(measure(options.calls, options.value_mb * 1_000_000))
    ray.shutdown()
    if not options.json:
        for name, value in result.items():
            print(f"{name:<22} {value:10.3f}")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
