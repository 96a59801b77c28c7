"""The sweep as one JSON object for programs, and as a table for people."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from asyncfc.conversation.grace import SHARE
from benchmarks.protocol.compare import headline, just_above_the_hold, lost, missed
from benchmarks.protocol.strategies import STRATEGIES, Strategy
from benchmarks.protocol.sweep import Row
from benchmarks.protocol.texts import ARGUMENTS, CHARS_PER_TOKEN, characters, sums
from benchmarks.protocol.turns import DECODE

_MIN_WIDTH = 110
"""Columns of the table; a narrower terminal wraps its lines, which shows more than cutting cells."""
_DIGITS = 4


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that was measured."""
    numbers, sizes = headline(rows), characters()
    return {
        **{name: None if number is None else round(number, 6) for name, number in numbers.items()},
        "auto_vs_parallel_just_above_the_hold": round(just_above_the_hold(), 6),
        **sums(sizes),
        "missed": missed(numbers),
        "characters": sizes,
        "lost": lost(rows),
        "rows": lines(rows),
        "settings": _settings(rows),
        "versions": {"asyncfc": version("asyncfc"), "python": platform.python_version()},
    }


def lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line per strategy, kind and ratio; ways to end the calls share one if they differ in nothing."""
    merged: list[dict[str, Any]] = []
    for row in rows:
        line = _line(row, rows)
        same = next((one for one in merged if one | {"endings": []} == line | {"endings": []}), None)
        if same is None:
            merged.append(line)
        else:
            same["endings"] += line["endings"]
    return merged


def _line(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    mean = {name: round(value, _DIGITS) for name, value in asdict(row.mean).items()}
    bases = {
        one.strategy.name: one.mean
        for one in rows
        if not one.strategy.against and (one.kind, one.q) == (row.kind, row.q)
    }
    compared = {name: base for name, base in bases.items() if name in row.strategy.against}
    return {
        "strategy": row.strategy.name,
        "kind": row.kind,
        "endings": [row.ending],
        "q": row.q,
        **mean,
        "speedup": {n: round(base.seconds / row.mean.seconds, _DIGITS) for n, base in compared.items()},
        "extra_messages": {
            n: round(row.mean.messages - base.messages, _DIGITS) for n, base in compared.items()
        },
    }


def _settings(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "clock": "virtual",
        "decode_s": DECODE,
        "q": sorted({row.q for row in rows}),
        "mix": {str(calls): turns for calls, turns in rows[0].mix.items()},
        "hold_at_most": SHARE,
        "chars_per_token": CHARS_PER_TOKEN,
        "arguments": ARGUMENTS,
        "strategies": {one.name: _described(one) for one in STRATEGIES},
    }


def _described(strategy: Strategy) -> dict[str, Any]:
    """The settings of a strategy; a plain loop knows none of asyncfc's."""
    settings = asdict(strategy)
    names = ("against", "together", "grace", "effects", "warm") if strategy.against else ("together",)
    return {name: settings[name] for name in names}


def print_table(sums: dict[str, Any]) -> None:
    """Print a line for each ratio, kind and strategy, then the sums; `extra` is against sync if it can be."""
    table = Table(box=None, pad_edge=False)
    for name in ("q", "kind", "strategy"):
        table.add_column(name, no_wrap=True)
    for name in ("seconds", "x sync", "x parallel", "messages", "extra", "first text", "first answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in sums["rows"]:
        speedup, extra = line["speedup"], next(iter(line["extra_messages"].values()), None)
        numbers = [line["seconds"], speedup.get("sync"), speedup.get("parallel"), line["messages"], extra]
        cells = [_cell(number) for number in (*numbers, line["first_text"], line["first_answer"])]
        table.add_row(f"{line['q']:g}", line["kind"], line["strategy"], *cells)
    console = Console(highlight=False)
    console.width = max(console.width, _MIN_WIDTH)
    console.print(table)
    for name, number in sums.items():
        if isinstance(number, int | float):
            console.print(f"{name:<38} {number:8.3f}")


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"
