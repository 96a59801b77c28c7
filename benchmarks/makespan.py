"""`python -m benchmarks.makespan`: how near to the ideal schedule the engine brings the model in the box.

Virtual time: a decode step takes one second, whatever the machine. Tools take random times, so that they
end between steps. The ideal schedule starts each call when its last token has been sampled and its inputs
are there, and writes the answer at full speed, but for the handles in it, which wait for their values. How
many steps the answer takes, and where its handles stand, comes from another run, alone and with tools that
take no time. What is measured is thus what the engine adds: steps in which a row was not in the batch
although it could have been.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import Annotated, Any

import typer

from asyncfc.gpu_engine import Called, Done, Engine, Text
from asyncfc.testing.loop import run_virtual
from benchmarks.tiny import MAX_NEW_TOKENS, engine, session, slow
from examples.tiny_llm.language import Task, task, tools

AT_MOST = 1.05
LEAST_LATENCY = 50.0
"""Decode steps."""
FACTORS = (0.5, 1, 2, 8)
"""Latencies, in what it takes to write a call; below the least one they are all the same."""

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a task is decoded with tools that take no time, in seconds from its last call on."""

    values: tuple[float, ...]
    """When each told value is due."""
    end: float


def ideal(wanted: Task, called: Sequence[float], latencies: Sequence[float], pace: Pace) -> float:
    """When the answer would be complete, had nothing been lost.

    Args:
        wanted: the task, whose steps are the calls in their order.
        called: when the last token of each was sampled.
        latencies: of each.
        pace: of its answer.
    """
    ends: list[float] = []
    for step, at, latency in zip(wanted.steps, called, latencies, strict=True):
        ends.append(max([at, *(ends[ref.step - 1] for ref in step.refs)]) + latency)
    late = 0.0
    for step_number, due in zip(wanted.told, pace.values, strict=True):
        late = max(late, ends[step_number - 1] - (called[-1] + due))
    return called[-1] + pace.end + late


def latencies_of(wanted: Task, typical: float) -> list[float]:
    """What the tools of a task take, in decode steps: random, from what is typical to twice that."""
    rng = random.Random(f"latency {wanted.seed}")
    return [typical * rng.uniform(1.0, 2.0) for _ in wanted.steps]


async def _one(made: Engine, wanted: Task, latencies: Sequence[float]) -> list[Any]:
    async def wait(_: str, arguments: dict[str, Any]) -> None:
        step = str(arguments["step"])
        known = step.isdecimal() and 1 <= int(step) <= len(latencies)  # a weak model writes anything
        await asyncio.sleep(latencies[int(step) - 1] if known else 0.0)

    async with session(slow(tools(wanted), wait), name=f"task {wanted.seed}") as open_one:
        chat = made.chat(
            wanted.messages, open_one, note=False, final="substitute", max_new_tokens=MAX_NEW_TOKENS
        )
        async with aclosing(chat):
            events = [event async for event in chat]
        made.release(open_one)
    assert isinstance(events[-1], Done)
    return list(events)


def _called(events: Sequence[Any]) -> list[float]:
    return [event.at for event in events if isinstance(event, Called)]


def pace_of(wanted: Task, events: Sequence[Any]) -> Pace:
    """Return the pace of a task from its events with tools that take no time."""
    begin = _called(events)[-1]
    text, dues = "", []
    values = iter([str(wanted.results[step - 1]) for step in wanted.told])
    value = next(values, None)
    for event in events:
        if isinstance(event, Text):
            text += event.text
            while value is not None and value in text:
                dues.append(event.at - begin)
                text = text.partition(value)[2]
                value = next(values, None)
    return Pace(tuple(dues), events[-1].at - begin)


def paces(tasks: Sequence[Task]) -> dict[int, Pace]:
    """Return the pace of each task that is answered rightly, by its seed."""
    found: dict[int, Pace] = {}

    async def all_of_them() -> None:
        with engine("first", slots=1, seconds=lambda _: 1.0) as made:
            for wanted in tasks:
                events = await _one(made, wanted, [0.0] * len(wanted.steps))
                if wanted.check(events[-1].text):
                    found[wanted.seed] = pace_of(wanted, events)

    run_virtual(all_of_them())
    return found


def ratios(known: Mapping[int, Pace], batch: int, latency: float) -> list[float]:
    """Makespan over ideal makespan, for each task.

    Args:
        known: the tasks, by their seeds.
        batch: conversations at a time.
        latency: typical of a tool, in decode steps.
    """
    tasks = [task(seed) for seed in known]
    found: list[float] = []

    async def worker(made: Engine, queue: list[Task]) -> None:
        clock = asyncio.get_running_loop().time
        while queue:
            wanted = queue.pop()
            start, latencies = clock(), latencies_of(wanted, latency)
            events = await _one(made, wanted, latencies)
            best = ideal(wanted, _called(events), latencies, known[wanted.seed])
            found.append((events[-1].at - start) / (best - start))

    with engine("first", slots=batch, seconds=lambda _: 1.0) as made:

        async def all_of_them() -> None:
            await asyncio.gather(*(worker(made, tasks) for _ in range(batch)))

        run_virtual(all_of_them())
    return found


def call_steps(known: Mapping[int, Pace]) -> float:
    """How many steps the model takes to write a call, on average."""
    between: list[float] = []

    async def some() -> None:
        with engine("first", slots=1, seconds=lambda _: 1.0) as made:
            for seed in [*known][:20]:
                wanted = task(seed)
                at = _called(await _one(made, wanted, [0.0] * len(wanted.steps)))
                between.extend(later - earlier for earlier, later in pairwise(at))

    run_virtual(some())
    return mean(between)


@app.command()
def main(
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks per setting.")] = 100,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Compare the makespan of the tasks with the ideal one, over batch sizes and tool latencies.

    Exits with 1 if a mean is more than 5 % above the ideal.
    """
    known = paces([task(seed) for seed in range(tasks)])
    steps = call_steps(known)
    rows: list[dict[str, Any]] = []
    for batch in (1, 16):
        for latency in sorted({max(LEAST_LATENCY, factor * steps) for factor in FACTORS}):
            found = ratios(known, batch, latency)
            rows.append(
                {
                    "batch": batch,
                    "latency_steps": [latency, 2 * latency],
                    "latency_in_calls": latency / steps,
                    "tasks": len(found),
                    "min_ratio_to_ideal": min(found),
                    "mean_ratio_to_ideal": mean(found),
                    "max_ratio_to_ideal": max(found),
                }
            )
            typer.echo(f"makespan: {rows[-1]}", err=True)
    worst = max(float(row["mean_ratio_to_ideal"]) for row in rows)
    sums = {"benchmark": "makespan", "steps_per_call": steps, "rows": rows, "worst_mean_ratio": worst}
    typer.echo(json.dumps(sums) if as_json else f"worst mean ratio to the ideal: {worst:.3f}")
    raise typer.Exit(1 if worst > AT_MOST else 0)


if __name__ == "__main__":
    app()
