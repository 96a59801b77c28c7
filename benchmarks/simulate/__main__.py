"""`python -m benchmarks.simulate`: many calls, few slots, in virtual time, with the real scheduler.

First, programs one after the other, each a graph of calls that are all emitted at once: how long they take
with `priority="critical"`, against the order of emission and against a bound that no schedule can beat. What
calls take is learned on the way, from nothing. Then agents that come at random and share one runtime: how
long each takes, against a synchronous loop and against its longest way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.simulate import agents as simulated
from benchmarks.simulate.plot import distributions
from benchmarks.simulate.programs import GENERATORS
from benchmarks.simulate.runs import compare

TO_LOWER_BOUND, TO_EMISSION_ORDER = 1.03, 0.96
"""What the mean ratios of the first kind of programs must not exceed."""
MAIN = "spread"

app = typer.Typer(add_completion=False)


def measure(programs: int, slots: int, seed: int, agents: int, plot: Path | None) -> dict[str, Any]:
    """Run everything and sum up."""
    kinds: dict[str, Any] = {}
    for kind in GENERATORS:
        kinds[kind] = asdict(compare(kind, programs if kind == MAIN else max(1, programs // 5), slots, seed))
        print(f"simulate: {kind}: {kinds[kind]}", file=sys.stderr)
    first = kinds.pop(MAIN)
    found = {"benchmark": "simulate", "slots": slots, "seed": seed, **first, "generators": kinds}
    if agents:
        crowd = simulated.draw(agents, slots, seed)
        lived: dict[simulated.How, simulated.Lived] = {}
        for how in simulated.HOWS:
            lived[how] = simulated.live(crowd, slots, how)
            print(f"simulate: {agents} agents, {how}", file=sys.stderr)
        found["agents"] = {"slots": slots, **simulated.summary(crowd, lived)}
        if plot is not None:
            seconds: dict[str, Sequence[float]] = {how: one.seconds for how, one in lived.items()}
            bounds = [simulated.bound(agent) for agent in crowd]
            plot.write_text(
                distributions({**seconds, "bound": bounds}, "seconds per agent"), encoding="utf-8"
            )
    return found


def table(found: dict[str, Any]) -> str:
    """For people."""
    rows = {MAIN: found, **found["generators"]}
    lines = [f"{'programs':<10} {'calls':>7} {'to bound':>9} {'(emission)':>10} {'to emission':>12}"]
    lines += [
        f"{kind:<10} {row['calls']:>7} {row['mean_ratio_to_lower_bound']:>9.3f} "
        f"{row['emission_order_to_lower_bound']:>10.3f} {row['mean_ratio_to_emission_order']:>12.3f}"
        for kind, row in rows.items()
    ]
    crowd = found.get("agents")
    if crowd:
        lines += ["", f"{'agents':<10} {'p50 s':>7} {'p99 s':>9} {'to bound':>10} {'slots in use':>12}"]
        lines += [
            f"{how:<10} {crowd[how]['p50_s']:>7.1f} {crowd[how]['p99_s']:>9.1f} "
            f"{crowd[how]['mean_ratio_to_bound']:>10.2f} {crowd[how]['utilisation']:>12.0%}"
            for how in simulated.HOWS
        ]
        lines += [f"{'bound':<10} {crowd['bound_p50_s']:>7.1f} {crowd['bound_p99_s']:>9.1f}"]
    return "\n".join(lines)


@app.command()
def main(
    programs: Annotated[int, typer.Option(min=1, help="How many; a fifth of that of other kinds.")] = 500,
    slots: Annotated[int, typer.Option(min=1, help="Calls at a time, of a program and of all agents.")] = 4,
    seed: Annotated[int, typer.Option(help="Of programs and agents.")] = 0,
    agents: Annotated[int, typer.Option(min=0, help="How many come and go; 0: none.")] = 2000,
    plot: Annotated[Path | None, typer.Option(help="Draw how long the agents took, as SVG.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the tables.")
    ] = False,
) -> None:
    """Programs and agents on limited slots, in virtual time. Exits with 1 if a bound is missed."""
    found = measure(programs, slots, seed, agents, plot)
    near = found["mean_ratio_to_lower_bound"] <= TO_LOWER_BOUND
    shorter = found["mean_ratio_to_emission_order"] <= TO_EMISSION_ORDER
    print(json.dumps(found) if as_json else table(found))
    raise typer.Exit(0 if near and shorter else 1)


if __name__ == "__main__":
    app()
