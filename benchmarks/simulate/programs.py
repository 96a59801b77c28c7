"""Programs: random graphs of calls, and bounds of how fast limited slots can get through them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOOLS = 12
SIGMA = 0.5
"""Of the logarithm of what a call takes, around the mean of its tool."""
WINDOW = 10
"""A call takes its parents from so many calls before it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call: its tool by number, what it takes in seconds, and the calls whose values it needs."""

    tool: int
    seconds: float
    parents: tuple[int, ...] = ()
    room: int | None = None
    """What it writes, if anything: calls of one room run in their order."""


Program = tuple[Step, ...]
Times = Callable[[int], float]
"""Draws what a call of a tool takes."""


def tool_means(rng: random.Random) -> list[float]:
    """What a call of each tool takes on average, in seconds: some are fast, some are slow."""
    return [math.exp(rng.gauss(0, 1)) for _ in range(TOOLS)]


def times(rng: random.Random, means: list[float]) -> Times:
    """Draws durations: log-normal, with the mean of the tool."""
    return lambda tool: means[tool] * math.exp(rng.gauss(-(SIGMA**2) / 2, SIGMA))


def spread(rng: random.Random, seconds: Times) -> Program:
    """Ten to a hundred calls; most have one parent among the ten before them."""
    steps: list[Step] = []
    for n in range(rng.randint(10, 100)):
        before = range(max(0, n - WINDOW), n)
        parents = rng.choices([0, 1, 2, 3], [25, 45, 20, 10])[0]
        tool = rng.randrange(TOOLS)
        steps.append(Step(tool, seconds(tool), tuple(rng.sample(before, min(parents, len(before))))))
    return tuple(steps)


def chains(rng: random.Random, seconds: Times) -> Program:
    """Two to eight chains of 1 to 25 calls, emitted in turns, as by a model with several threads in mind."""
    lengths = [rng.randint(1, 25) for _ in range(rng.randint(2, 8))]
    steps: list[Step] = []
    last: dict[int, int] = {}
    for place in range(max(lengths)):
        for chain, length in enumerate(lengths):
            if place < length:
                tool = rng.randrange(TOOLS)
                parents = (last[chain],) if chain in last else ()
                last[chain] = len(steps)
                steps.append(Step(tool, seconds(tool), parents))
    return tuple(steps)


def fans(rng: random.Random, seconds: Times) -> Program:
    """Look for many things, put each group together, and then all of it."""
    steps: list[Step] = []
    groups: list[int] = []
    for _ in range(rng.randint(2, 6)):
        tool, first = rng.randrange(TOOLS), len(steps)
        steps += [Step(tool, seconds(tool)) for _ in range(rng.randint(2, 12))]
        joining = rng.randrange(TOOLS)
        groups.append(len(steps))
        steps.append(Step(joining, seconds(joining), tuple(range(first, len(steps)))))
    last = rng.randrange(TOOLS)
    return (*steps, Step(last, seconds(last), tuple(groups)))


def rooms(rng: random.Random, seconds: Times) -> Program:
    """As `spread`, but a third of the calls write one of five things, and are ordered for that."""
    return tuple(
        Step(step.tool, step.seconds, step.parents, rng.randrange(5) if rng.random() < 1 / 3 else None)
        for step in spread(rng, seconds)
    )


def alone(rng: random.Random, seconds: Times) -> Program:
    """Calls that wait for nothing: only how long they take can tell them apart."""
    tools = [rng.randrange(TOOLS) for _ in range(rng.randint(10, 100))]
    return tuple(Step(tool, seconds(tool)) for tool in tools)


GENERATORS: Mapping[str, Callable[[random.Random, Times], Program]] = {
    "spread": spread,
    "chains": chains,
    "fans": fans,
    "rooms": rooms,
    "alone": alone,
}


def lower_bound(program: Program, slots: int) -> float:
    """No schedule takes less: the longest way through the program, or all work over the slots."""
    ends: list[float] = []
    last: dict[int, int] = {}
    for n, step in enumerate(program):
        before = [*step.parents]
        if step.room is not None:
            before += [last[step.room]] if step.room in last else []
            last[step.room] = n
        ends.append(step.seconds + max((ends[order] for order in before), default=0.0))
    return max(*ends, sum(step.seconds for step in program) / slots)
