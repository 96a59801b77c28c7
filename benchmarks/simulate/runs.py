"""Runs: programs through sessions, one after the other, on a runtime that learns what calls take."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from asyncfc import Call, Runtime, Session, Tool
from asyncfc.core import Priority
from asyncfc.testing.loop import run_virtual
from benchmarks.simulate.programs import GENERATORS, TOOLS, Program, lower_bound, times, tool_means


async def work(s: float, after: Any = None) -> None:
    """Take some seconds of virtual time."""
    await asyncio.sleep(s)


async def write(s: float, room: int, after: Any = None) -> None:
    """The same, with an effect."""
    await asyncio.sleep(s)


READERS = [Tool(work, name=f"tool_{n}", effects="pure") for n in range(TOOLS)]
WRITERS = [Tool(write, name=f"writer_{n}", effects={"writes": "rooms.{room}"}) for n in range(TOOLS)]


def calls_of(program: Program) -> list[Call]:
    """The program as one message of a model."""
    calls = []
    for n, step in enumerate(program):
        arguments: dict[str, Any] = {"s": step.seconds}
        if step.parents:
            arguments["after"] = [f"$this_{parent + 1}" for parent in step.parents]
        if step.room is not None:
            arguments["room"] = step.room
        name = f"{'tool' if step.room is None else 'writer'}_{step.tool}"
        calls.append(Call(f"c{n}", name, arguments))
    return calls


def makespans(programs: Sequence[Program], slots: int, priority: Priority) -> list[float]:
    """How long each program takes, in virtual seconds, all its calls emitted at once."""
    found: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        runtime = Runtime(limits={"*": slots})
        for program in programs:
            start = loop.time()
            async with Session(
                READERS + WRITERS, runtime=runtime, priority=priority, id="simulated"
            ) as session:
                await session.submit(calls_of(program))
                await session.finish(None)
            found.append(loop.time() - start)
        runtime.close()

    run_virtual(main)
    return found


@dataclass(frozen=True, slots=True)
class Compared:
    """Programs of one kind: how near to the bound, and how much shorter than in the order of emission."""

    programs: int
    calls: int
    mean_ratio_to_lower_bound: float
    max_ratio_to_lower_bound: float
    mean_ratio_to_emission_order: float
    max_ratio_to_emission_order: float
    emission_order_to_lower_bound: float


def compare(kind: str, count: int, slots: int, seed: int) -> Compared:
    """Draw programs of a kind and run them both ways. What calls take is learned on the way, from nothing."""
    rng = random.Random(f"{kind} {seed}")
    seconds = times(rng, tool_means(rng))
    programs = [GENERATORS[kind](rng, seconds) for _ in range(count)]
    bounds = [lower_bound(program, slots) for program in programs]
    ours = makespans(programs, slots, "critical")
    emission = makespans(programs, slots, "emission")
    to_bound = [took / bound for took, bound in zip(ours, bounds, strict=True)]
    to_emission = [took / other for took, other in zip(ours, emission, strict=True)]
    return Compared(
        programs=count,
        calls=sum(map(len, programs)),
        mean_ratio_to_lower_bound=mean(to_bound),
        max_ratio_to_lower_bound=max(to_bound),
        mean_ratio_to_emission_order=mean(to_emission),
        max_ratio_to_emission_order=max(to_emission),
        emission_order_to_lower_bound=mean(o / b for o, b in zip(emission, bounds, strict=True)),
    )
