"""`python -m benchmarks.makespan`: how near to the ideal schedule the engine brings the model in the box.

Virtual time: a decode step takes one second, whatever the machine. The ideal schedule starts each call when
its last token has been sampled and its inputs are there, with nothing in between, and goes on with the
answer the moment the last value that it waits for is there. What is measured is thus what the engine adds:
steps in which a row was not in the batch although it could have been.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise
from statistics import mean
from typing import Annotated, Any

import typer

from asyncfc.gpu_engine import Called, Done, Engine, Resumed
from asyncfc.testing.loop import run_virtual
from benchmarks.tiny import MAX_NEW_TOKENS, engine, session, slow
from examples.tiny_llm.language import Task, task, tools

AT_MOST = 1.05
LEAST_LATENCY = 50
"""Decode steps."""

app = typer.Typer(add_completion=False)


def ideal(wanted: Task, events: Sequence[Any], latency: float) -> float:
    """When the answer would be complete, had nothing been lost; in seconds from the start.

    Args:
        wanted: the task, whose steps are the calls in their order.
        events: of its conversation.
        latency: of every tool.
    """
    called = [event.at for event in events if isinstance(event, Called)]
    ends: list[float] = []
    for step, at in zip(wanted.steps, called, strict=True):
        ends.append(max([at, *(ends[ref.step - 1] for ref in step.refs)]) + latency)
    done: float = events[-1].at
    resumed = [event.at for event in events if isinstance(event, Resumed)]
    if not resumed:  # decoding itself took longest
        return done
    needed = max(ends[step - 1] for step in wanted.told)
    return needed + (done - resumed[-1])


async def _one(made: Engine, wanted: Task, latency: float) -> tuple[float, list[Any]]:
    async def wait(_: str, __: dict[str, Any]) -> None:
        await asyncio.sleep(latency)

    start = asyncio.get_running_loop().time()
    async with session(slow(tools(wanted), wait), name=f"task {wanted.seed}") as open_one:
        chat = made.chat(
            wanted.messages, open_one, note=False, final="substitute", max_new_tokens=MAX_NEW_TOKENS
        )
        async with aclosing(chat):
            events = [event async for event in chat]
        made.release(open_one)
    assert isinstance(events[-1], Done)
    return start, list(events)


def ratios(count: int, batch: int, latency: float) -> list[float]:
    """Makespan over ideal makespan, for each task that was answered rightly.

    Args:
        count: of tasks.
        batch: conversations at a time.
        latency: of every tool, in decode steps.
    """
    tasks = [task(seed) for seed in range(count)]
    found: list[float] = []

    async def worker(made: Engine, queue: list[Task]) -> None:
        while queue:
            wanted = queue.pop()
            start, events = await _one(made, wanted, latency)
            if wanted.check(events[-1].text):
                found.append((events[-1].at - start) / (ideal(wanted, events, latency) - start))

    with engine("first", slots=batch, seconds=lambda _: 1.0) as made:

        async def all_of_them() -> None:
            await asyncio.gather(*(worker(made, tasks) for _ in range(batch)))

        run_virtual(all_of_them())
    return found


def call_steps(count: int) -> float:
    """How many steps the model takes to write a call, on average over some tasks."""
    between: list[float] = []

    async def some() -> None:
        with engine("first", slots=1, seconds=lambda _: 1.0) as made:
            for seed in range(count):
                _, events = await _one(made, task(seed), 0.0)
                at = [event.at for event in events if isinstance(event, Called)]
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
    steps = call_steps(min(tasks, 20))
    rows = []
    for batch in (1, 16):
        for factor in (0.5, 1, 2):
            latency = max(LEAST_LATENCY, round(factor * steps))
            found = ratios(tasks, batch, latency)
            rows.append(
                {
                    "batch": batch,
                    "latency_in_calls": factor,
                    "latency_steps": latency,
                    "tasks": len(found),
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
