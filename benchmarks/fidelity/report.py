"""What the trials come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.fidelity.conditions import Condition
from benchmarks.fidelity.trials import Trial

AT_LEAST = {"sync": 0.99, "pipelining": 0.97, "cml": 0.97}
AT_MOST_BELOW_SYNC = 0.01
NEAR_SYNC = ("append", "in_place")


def summary(
    conditions: Sequence[Condition], trials: Mapping[str, Sequence[Trial]], *, seed: int
) -> dict[str, Any]:
    """Accuracy per condition, and against its baseline, task by task."""
    import torch
    import transformers

    return {
        "benchmark": "fidelity",
        "tasks": len(next(iter(trials.values()))),
        "seed": seed,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "conditions": {
            condition.name: _of(trials[condition.name], trials.get(condition.baseline))
            for condition in conditions
        },
    }


def _of(trials: Sequence[Trial], baseline: Sequence[Trial] | None) -> dict[str, Any]:
    pairs = [] if baseline is None else list(zip(trials, baseline, strict=True))
    return {
        "accuracy": sum(trial.right for trial in trials) / len(trials),
        "only_here_right": sum(trial.right and not other.right for trial, other in pairs),
        "only_baseline_right": sum(other.right and not trial.right for trial, other in pairs),
        "substitutions": sum(trial.substituted for trial in trials),
        "appended": sum(trial.outcomes for trial in trials),
        "traps": sum(trial.trapped for trial in trials),
        "extra_messages": sum(trial.extra_messages for trial in trials),
        "first_wrong": [
            {"seed": trial.seed, "answer": trial.answer[:200], "expected": trial.expected}
            for trial in trials
            if not trial.right
        ][:3],
    }


def misses(sums: Mapping[str, Any]) -> list[str]:
    """The targets that were missed."""
    accuracy = {name: numbers["accuracy"] for name, numbers in sums["conditions"].items()}
    found = [
        f"{name} is {accuracy[name]:.4f}; at least {least} wanted"
        for name, least in AT_LEAST.items()
        if name in accuracy and accuracy[name] < least
    ]
    if "sync" in accuracy:
        least = accuracy["sync"] - AT_MOST_BELOW_SYNC
        found += [
            f"{name} is {accuracy[name]:.4f}; at least {least:.4f} wanted"
            for name in NEAR_SYNC
            if name in accuracy and accuracy[name] < least
        ]
    return found


def print_table(sums: Mapping[str, Any]) -> None:
    """The numbers for people."""
    table = Table(title=f"{sums['tasks']} tasks, greedy")
    for column in ("", "right", "only here", "only baseline", "substituted", "appended", "extra messages"):
        table.add_column(column, justify="left" if not column else "right")
    for name, numbers in sums["conditions"].items():
        table.add_row(
            name,
            f"{100 * numbers['accuracy']:.2f} %",
            *(
                str(numbers[key])
                for key in (
                    "only_here_right",
                    "only_baseline_right",
                    "substitutions",
                    "appended",
                    "extra_messages",
                )
            ),
        )
    Console().print(table)
