"""`python -m benchmarks.bfcl`: replay BFCL cases in order and through a session, and compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.bfcl.bound import times
from benchmarks.bfcl.data import Case, Category, DataError, cases_from, packaged_cases, select
from benchmarks.bfcl.faults import planted
from benchmarks.bfcl.ideal import ideal_units
from benchmarks.bfcl.labels import Level
from benchmarks.bfcl.latency import Shape
from benchmarks.bfcl.plan import Barrier, Clock, Fault, Settings, plan
from benchmarks.bfcl.replay import replay
from benchmarks.bfcl.report import Row, print_table, summary

app = typer.Typer(add_completion=False)


@app.command()
def main(
    category: Annotated[Category, typer.Option(help="Which of BFCL's multi-turn sets.")] = "base",
    data: Annotated[Path | None, typer.Option(help="Cases from a JSON-lines file, not the package.")] = None,
    ids: Annotated[
        Path | None, typer.Option(help="Only the cases that this file lists: one id a line, or a JSON array.")
    ] = None,
    labels: Annotated[Level, typer.Option(help="How finely effects are declared.")] = "attribute",
    barrier: Annotated[
        Barrier, typer.Option(help="Drain after every user turn, or let futures live across turns.")
    ] = "turn",
    clock: Annotated[
        Clock, typer.Option(help="Virtual time, or real time with tools in threads.")
    ] = "virtual",
    unit_ms: Annotated[
        float, typer.Option(min=0, help="Real clock: what one message takes to decode.")
    ] = 5.0,
    q: Annotated[float, typer.Option(min=0, help="Mean latency of a tool, in messages.")] = 2.0,
    latency: Annotated[Shape, typer.Option(help="Distribution of latencies.")] = "lognormal",
    seed: Annotated[int, typer.Option(help="Of the latencies.")] = 0,
    fault: Annotated[
        Fault | None, typer.Option("--break", help="Plant this fault; implies --barrier case.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Replay BFCL multi-turn cases in order and through a session; compare results, state and time.

    Exits with 1 if any case differs although no fault was planted.
    """
    settings = Settings(
        labels=labels,
        barrier="case" if fault else barrier,
        clock=clock,
        unit_ms=unit_ms,
        q=q,
        latency=latency,
        seed=seed,
        fault=fault,
    )
    try:
        cases = cases_from(data) if data else packaged_cases(category)
        cases = select(cases, ids) if ids else cases
    except DataError as error:
        raise typer.BadParameter(str(error)) from error
    rows = run(cases, settings)
    sums = summary(rows, settings, data.name if data else category)
    if as_json:
        print(json.dumps(sums))
    else:
        print_table(rows, sums, settings)
    raise typer.Exit(1 if sums["mismatched_cases"] and fault is None else 0)


def run(cases: Sequence[Case], settings: Settings) -> list[Row]:
    """Replay cases both ways, with progress on stderr if somebody watches."""
    return [_row(case, settings) for case in _with_progress(cases)]


def _row(case: Case, settings: Settings) -> Row:
    ready = plan(case, settings)
    with planted(settings.fault):
        done = replay(ready, settings)
    return Row(
        id=case.id,
        calls=len(case.calls),
        handles=ready.references,
        sync_s=ready.sync_units * settings.unit_s,
        async_s=done.seconds,
        ideal_s=ideal_units(ready, settings.labels) * settings.unit_s,
        times=times(ready),
        mismatches=tuple(done.mismatches(ready.reference)),
    )


def _with_progress(cases: Sequence[Case]) -> Iterator[Case]:
    console = Console(stderr=True)
    yield from track(cases, description="replaying", console=console, disable=not sys.stderr.isatty())


if __name__ == "__main__":
    app()
