"""`python -m benchmarks.adapters`: each adapter against its framework without asyncfc."""

from __future__ import annotations

import asyncio
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Annotated, Any

import typer

from benchmarks.adapters.cases import CASES, load
from benchmarks.adapters.measure import INSTANT, ROUNDS, SLOW, measure

app = typer.Typer(add_completion=False)
COLUMNS = ("without_us", "with_us", "added_us", "ratio", "wall_without_s", "wall_with_s", "speedup")


@app.command()
def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Of these adapters; may be given several times.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="For the cost of a call.")] = ROUNDS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Measure what a call costs more with asyncfc, and the wall time of 12 calls with and without it."""
    names = only or list(CASES)
    unknown = sorted(set(names) - CASES.keys())
    if unknown:
        raise typer.BadParameter(f"there are no adapters {unknown}; they are {sorted(CASES)}")
    measured = {}
    for name in names:
        typer.echo(f"adapters: {name}", err=True)
        measured[name] = asyncio.run(measure(load(name), rounds))
    if as_json:
        print(json.dumps(_summary(measured)))
    else:
        _print_table(measured)


def _summary(measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    settings = {"instant": asdict(INSTANT), "slow": asdict(SLOW)}
    versions = {"asyncfc": version("asyncfc"), "python": platform.python_version()}
    return {"adapters": measured, "settings": settings, "versions": versions}


def _print_table(measured: dict[str, dict[str, Any]]) -> None:
    print(f"{'':<14}" + "".join(f"{column:>16}" for column in COLUMNS))
    for name, numbers in measured.items():
        print(f"{name:<14}" + "".join(f"{numbers[column]:>16}" for column in COLUMNS))


if __name__ == "__main__":
    app()
