"""`python -m benchmarks.protocol`: loops with and without asyncfc over ratios of tool to message time."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from benchmarks.protocol.report import print_table, summary
from benchmarks.protocol.sweep import RATIOS, sweep
from benchmarks.protocol.turns import BFCL_MIX

app = typer.Typer(add_completion=False)


@app.command()
def main(
    q: Annotated[
        list[float], typer.Option(min=0, help="What a tool takes, in messages; may be given several times.")
    ] = list(RATIOS),  # noqa: B006 - read, never changed
    longest: Annotated[
        int,
        typer.Option(
            min=1, max=max(BFCL_MIX), help="Leave out turns of more calls; the targets are for all."
        ),
    ] = max(BFCL_MIX),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Measure speed-up, messages and time to the first token against loops without asyncfc.

    Exits with 1 if a number misses its target.
    """
    mix = {calls: turns for calls, turns in BFCL_MIX.items() if calls <= longest}
    sums = summary(sweep(q, mix, lambda ratio: typer.echo(f"protocol: q = {ratio:g}", err=True)))
    if as_json:
        print(json.dumps(sums))
    else:
        print_table(sums)
    for miss in sums["missed"]:
        print(f"target missed: {miss}", file=sys.stderr)
    raise typer.Exit(1 if sums["missed"] else 0)


if __name__ == "__main__":
    app()
