"""Many calls through one session: is the last one as cheap as the first, and does memory stay put?

    python benchmarks/scale.py --calls 100000 --json

The calls come in groups of ten messages: independent calls, a chain by data, a fan-in of four, and reads
and writes of one resource. At most 1,000 calls are unsettled at any time.

`flatness`            time of the last tenth of completions over that of the first tenth, at full load
`flatness_own`        the same without the time in which Python's garbage collector ran: it walks all values
                      that the session retains, and hits the tenths at random
`graph_nodes_at_end`  calls that the dependency graph still holds when all have settled
`peak_rss_mb`         of the whole process
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
from itertools import count
from time import perf_counter

from asyncfc import Call, Delivery, Future, Note, Session, tool

IN_FLIGHT = 1_000  # calls
GROUP = 10  # calls
ROOMS = 50


@tool(pure=True)
async def lookup(key: str) -> dict[str, object]:
    """Answer after one turn of the loop."""
    await asyncio.sleep(0)
    return {"id": key, "tags": ["a", "b"]}


@tool(pure=True)
async def combine(parts: list[str]) -> str:
    """Depend on several results by data."""
    await asyncio.sleep(0)
    return "+".join(parts)


@tool(reads="rooms.{room}")
async def look(room: int) -> int:
    """Conflict with writes of the same room."""
    await asyncio.sleep(0)
    return room


@tool(writes="rooms.{room}")
async def enter(room: int, name: str) -> str:
    """Conflict with everything about the same room."""
    await asyncio.sleep(0)
    return name


class Collector:
    """Measures the garbage collector: `seconds` is the time in which it has run so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0

    def note(self, phase: str, _: object) -> None:
        """Hear of the begin and the end of each of its runs."""
        if phase == "start":
            self._begin = perf_counter()
        else:
            self.seconds += perf_counter() - self._begin


class Load:
    """Submits calls, one message each, and keeps the times at which they settled, with and without gc."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self.session = session
        self.settled_at: list[float] = []
        self.settled_at_own: list[float] = []
        self._collector = collector
        self._ids = count()
        self._unsettled = 0
        self._room_free = asyncio.Event()

    async def call(self, name: str, arguments: dict[str, object]) -> Future:
        """Submit one call as a model would write it, as soon as there is room."""
        while self._unsettled >= IN_FLIGHT:
            self._room_free.clear()
            await self._room_free.wait()
        self._unsettled += 1
        [answer] = await self.session.submit([Call(f"call_{next(self._ids)}", name, json.dumps(arguments))])
        answer.future.add_done_callback(self._note)
        return answer.future

    def _note(self, _: Future) -> None:
        now = perf_counter()
        self.settled_at.append(now)
        self.settled_at_own.append(now - self._collector.seconds)
        self._unsettled -= 1
        self._room_free.set()


async def group(load: Load, number: int) -> None:
    """Ten calls: four independent, a fan-in of them, two chained to it, three on one room."""
    found = [await load.call("lookup", {"key": f"k{number}-{index}"}) for index in range(4)]
    total = await load.call("combine", {"parts": [f"{future}.id" for future in found]})
    link = await load.call("lookup", {"key": f"{total}"})
    await load.call("lookup", {"key": "after ${" + f"{link}"[1:] + ".id}"})
    room = number % ROOMS
    await load.call("look", {"room": room})
    await load.call("enter", {"room": room, "name": f"{link}.id"})
    await load.call("look", {"room": room})


def flatness(settled_at: list[float]) -> float:
    """Time of the last tenth over that of the first, until nothing is submitted any more."""
    steady = settled_at[:-IN_FLIGHT]
    tenth = len(steady) // 10
    return (steady[-1] - steady[-1 - tenth]) / (steady[tenth] - steady[0])


def check(deliveries: list[Delivery | Note]) -> int:
    """How many these are; every call must have succeeded."""
    for delivery in deliveries:
        assert isinstance(delivery, Delivery)
        delivery.future.result()
    return len(deliveries)


async def measure(calls: int) -> dict[str, float]:
    """Run all calls, with one request to the model per group, which takes what has settled."""
    groups = calls // GROUP
    delivered = 0
    collector = Collector()
    gc.callbacks.append(collector.note)
    async with Session([lookup, combine, look, enter]) as session:
        load = Load(session, collector)
        begin = perf_counter()
        for number in range(groups):
            if number % max(1, groups // 20) == 0:
                print(f"scale: {number * GROUP}/{calls} calls submitted", file=sys.stderr)
            await group(load, number)
            with session.sampling() as deliveries:
                delivered += check(deliveries)
        await session.finish()
        total = perf_counter() - begin
        with session.sampling() as deliveries:
            delivered += check(deliveries)
        nodes = len(session._scheduler)
    assert delivered == len(load.settled_at) == groups * GROUP
    gc.callbacks.remove(collector.note)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "calls": delivered,
        "total_s": total,
        "us_per_call": total / delivered * 1e6,
        "flatness": flatness(load.settled_at),
        "flatness_own": flatness(load.settled_at_own),
        "gc_s": collector.seconds,
        "peak_rss_mb": rss / (2**20 if sys.platform == "darwin" else 2**10),
        "graph_nodes_at_end": nodes,
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000, help="more than 2,000, in tens")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    result = asyncio.run(measure(options.calls))
    if not options.json:
        for name, value in result.items():
            print(f"{name:<20} {value:12.3f}")
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
