"""Run tasks under one condition, all in one batch, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from asyncfc.gpu_engine import Done, Engine, Injected, Substituted, Trapped
from asyncfc.testing.loop import run_virtual
from benchmarks.fidelity.conditions import Condition
from benchmarks.tiny import MAX_NEW_TOKENS, engine, session, slow
from examples.tiny_llm.language import Task, task, tools

STEP = 1.0
"""Virtual seconds of one decode step."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one task."""

    seed: int
    right: bool
    answer: str
    expected: str
    substituted: int
    outcomes: int
    """How often outcomes were appended at a boundary, or as interrupts."""
    trapped: int
    extra_messages: int


def run(
    condition: Condition,
    seeds: Iterable[int],
    *,
    slots: int = 32,
    tick: Callable[[], object] = lambda: None,
) -> list[Trial]:
    """Run the tasks of these seeds.

    Args:
        condition: how.
        seeds: of the tasks.
        slots: conversations that decode at a time.
        tick: called after each task.
    """
    tasks = [task(seed, condition.mode, objects=condition.objects) for seed in seeds]
    with engine(condition.model, slots=slots, seconds=lambda _: STEP) as made:

        async def all_of_them() -> list[Trial]:
            gate = asyncio.Semaphore(4 * slots)  # so many conversations at a time, most of them trapped
            return await asyncio.gather(*(_one(made, condition, one, gate, tick) for one in tasks))

        return run_virtual(all_of_them())


async def _one(
    made: Engine, condition: Condition, wanted: Task, gate: asyncio.Semaphore, tick: Callable[[], object]
) -> Trial:
    draw = random.Random(f"latency {wanted.seed}")

    async def wait(_: str, __: dict[str, Any]) -> None:
        await asyncio.sleep(draw.choice((0, 5, 20, 60, 150)) * STEP * draw.random())

    settings = {"note": False, "max_new_tokens": MAX_NEW_TOKENS, **condition.chat}
    async with (
        gate,
        session(slow(tools(wanted), wait), name=f"task {wanted.seed}", grace=condition.grace) as open_one,
    ):
        async with aclosing(made.chat(wanted.messages, open_one, **settings)) as chat:
            events = [event async for event in chat]
        made.release(open_one)
    tick()
    done = events[-1]
    assert isinstance(done, Done)
    return Trial(
        wanted.seed,
        wanted.check(done.text),
        done.text,
        wanted.expected,
        _count(events, Substituted),
        sum(isinstance(event, Injected) and event.what in ("outcomes", "interrupt") for event in events),
        _count(events, Trapped),
        done.extra_messages,
    )


def _count(events: Iterable[object], kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)
