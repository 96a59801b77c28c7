"""Agents: many of them come and go on one runtime, with tools that take very different times, and fail."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, quantiles
from typing import Any, Literal, TypeAlias

from asyncfc import Call, Runtime, Session, Tool
from asyncfc.testing.loop import run_virtual
from benchmarks.simulate.programs import TOOLS, tool_means

How: TypeAlias = Literal["sync", "emission", "critical"]
"""One call after the other, as a loop without futures; or with futures, in either order."""
HOWS: tuple[How, ...] = ("sync", "emission", "critical")

LOAD = 0.85
"""Of the slots that the agents need on average."""
FAILS = 0.02
"""Of the calls raise."""
TAIL = 1.2
"""Sigma of the logarithm of what a call takes: one in a hundred takes 16 times as long as is usual."""
SCARCE = ("tool_0", "tool_1")
"""Tools with a limit of their own."""


@dataclass(frozen=True, slots=True)
class Work:
    """One call of an agent: which calls of it it needs, by number, and what becomes of it."""

    tool: int
    seconds: float
    parents: tuple[int, ...]
    fails: bool


@dataclass(frozen=True, slots=True)
class Agent:
    """When it comes, and its messages: what the model takes to write each, in seconds, and the calls."""

    arrives: float
    messages: tuple[tuple[float, tuple[Work, ...]], ...]

    @property
    def works(self) -> list[Work]:
        """All its calls."""
        return [work for _, works in self.messages for work in works]


def draw(count: int, slots: int, seed: int) -> list[Agent]:
    """Agents that come at random times (Poisson), so many per second that they load the slots."""
    rng = random.Random(f"agents {seed}")
    means = tool_means(rng)
    messages = [_messages(rng, means) for _ in range(count)]
    seconds = sum(work.seconds for one in messages for _, works in one for work in works)
    per_second = LOAD * slots * count / seconds
    now, agents = 0.0, []
    for one in messages:
        now += rng.expovariate(per_second)
        agents.append(Agent(now, one))
    return agents


def _messages(rng: random.Random, means: Sequence[float]) -> tuple[tuple[float, tuple[Work, ...]], ...]:
    found: list[tuple[float, tuple[Work, ...]]] = []
    calls = 0
    for _ in range(rng.randint(2, 6)):
        works = []
        for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
            tool = rng.randrange(TOOLS)
            seconds = means[tool] * math.exp(rng.gauss(-(TAIL**2) / 2, TAIL))
            parents = tuple(rng.sample(range(calls), min(calls, rng.choice([0, 1, 1, 2]))))
            works.append(Work(tool, seconds, parents, rng.random() < FAILS))
            calls += 1
        found.append((rng.uniform(0.5, 1.5), tuple(works)))
    return tuple(found)


def bound(agent: Agent) -> float:
    """What the agent would take with a slot for each call: its longest way."""
    now = 0.0
    ends: list[float] = []
    lost: list[bool] = []
    for decoding, works in agent.messages:
        now += decoding
        for work in works:
            ready = max((ends[parent] for parent in work.parents), default=0.0)
            never = any(lost[parent] for parent in work.parents)
            lost.append(never or work.fails)
            ends.append(max(now, ready) + (0.0 if never else work.seconds))
    return max(now, *ends)


class _Market:
    """The tools, which note for how long slots were in use."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.tools = [Tool(self._work, name=f"tool_{n}", effects="pure") for n in range(TOOLS)]

    async def _work(self, s: float, fails: bool, after: Any = None) -> None:  # noqa: ARG002 (only waited for)
        await asyncio.sleep(s)
        self.busy += s
        if fails:
            raise ConnectionError("the other side has closed the connection")


async def _live(agent: Agent, session: Session, how: How) -> None:
    handles: list[str] = []
    for decoding, works in agent.messages:
        await asyncio.sleep(decoding)
        for work in works if how == "sync" else ():
            (answer,) = await session.submit([_call(work, handles)])
            await answer.future.wait()
            handles.append(str(answer.future.handle))
        if how != "sync":
            first = len(handles)
            names = [*handles, *(f"$this_{n + 1}" for n in range(len(works)))]
            answers = await session.submit([_call(work, names, first + n) for n, work in enumerate(works)])
            handles += [str(answer.future.handle) for answer in answers]
    await session.finish(None)


def _call(work: Work, names: Sequence[str], number: int | None = None) -> Call:
    after = {"after": [names[parent] for parent in work.parents]} if work.parents else {}
    name = f"c{len(names) if number is None else number}"
    return Call(name, f"tool_{work.tool}", {"s": work.seconds, "fails": work.fails, **after})


@dataclass(frozen=True, slots=True)
class Lived:
    """How long each agent took, from when it came, in seconds, and how busy the slots were."""

    seconds: tuple[float, ...]
    utilisation: float


def live(agents: Sequence[Agent], slots: int, how: How) -> Lived:
    """Let all agents come and go, each with a session of its own on one runtime."""
    took = [0.0] * len(agents)
    market = _Market()
    limits = {"*": slots, **{f"tool:{name}": max(1, slots // 2) for name in SCARCE}}

    async def one(number: int, agent: Agent, runtime: Runtime) -> None:
        await asyncio.sleep(agent.arrives)
        priority: Literal["critical", "emission"] = "critical" if how == "critical" else "emission"
        async with Session(market.tools, runtime=runtime, priority=priority, id=f"agent {number}") as session:
            await _live(agent, session, how)
        took[number] = asyncio.get_running_loop().time() - agent.arrives

    async def main() -> float:
        runtime = Runtime(limits=limits)
        await asyncio.gather(*(one(number, agent, runtime) for number, agent in enumerate(agents)))
        runtime.close()
        return asyncio.get_running_loop().time()

    end = run_virtual(main)
    return Lived(tuple(took), market.busy / (slots * end))


def summary(agents: Sequence[Agent], lived: Mapping[How, Lived]) -> dict[str, Any]:
    """What became of them, as numbers."""
    least = [bound(agent) for agent in agents]
    found: dict[str, Any] = {
        "agents": len(agents),
        "calls": sum(len(agent.works) for agent in agents),
        "bound_p50_s": _cut(least, 50),
        "bound_p99_s": _cut(least, 99),
    }
    for how, one in lived.items():
        found[how] = {
            "p50_s": _cut(one.seconds, 50),
            "p99_s": _cut(one.seconds, 99),
            "mean_s": mean(one.seconds),
            "mean_ratio_to_bound": mean(took / best for took, best in zip(one.seconds, least, strict=True)),
            "utilisation": one.utilisation,
        }
    return found


def _cut(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
