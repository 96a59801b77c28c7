"""`python -m benchmarks.fidelity`: the models in the box with and without futures, task by task."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.fidelity.conditions import CONDITIONS
from benchmarks.fidelity.report import misses, print_table, summary
from benchmarks.fidelity.trials import run

app = typer.Typer(add_completion=False)


@app.command()
def main(
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks per condition.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Of the tasks.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Only these conditions.")] = None,
    slots: Annotated[int, typer.Option(min=1, help="Conversations that decode at a time.")] = 32,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Run the same tasks synchronously and with futures; count the right answers, paired per task.

    Greedy decoding, virtual time. A tool returns a hash of its resolved arguments, so that a wrong
    argument or order gives a wrong answer. Exits with 1 if a number misses its target.
    """
    seeds = range(seed * 1_000_000, seed * 1_000_000 + tasks)
    chosen = [condition for condition in CONDITIONS if not only or condition.name in only]
    trials = {}
    with Progress(console=Console(stderr=True)) as progress:
        for condition in chosen:
            bar = progress.add_task(condition.name, total=tasks)
            trials[condition.name] = run(condition, seeds, slots=slots, tick=partial(progress.advance, bar))
    sums = summary(chosen, trials, seed=seed)
    if as_json:
        print(json.dumps(sums))
    else:
        print_table(sums)
    for miss in misses(sums):
        typer.echo(f"target missed: {miss}", err=True)
    raise typer.Exit(1 if misses(sums) else 0)


if __name__ == "__main__":
    app()
