"""The rows and sums of a run, as a table for people and as one JSON object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.bfcl.bound import Times
from benchmarks.bfcl.plan import Settings

_MIN_WIDTH = 110
"""Columns of the table; a narrower terminal wraps its lines, which shows more than cutting cells."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case. Times are in seconds of the run's clock, save those of the bound, which are in units.

    `async_s` is measured; `sync_s` and `ideal_s` follow from the latencies, so that on the real clock the
    asynchronous run alone pays for late timers and thread switches.
    """

    id: str
    calls: int
    handles: int
    sync_s: float
    async_s: float
    ideal_s: float
    times: Times
    mismatches: tuple[str, ...]

    @property
    def bound(self) -> float:
        """R of this case alone; 1 where there is nothing to do."""
        return _bound([self.times])


def summary(rows: Sequence[Row], settings: Settings, source: str) -> dict[str, Any]:
    """The sums of a run, pooled over its cases."""
    sync_s = sum(row.sync_s for row in rows)
    async_s = sum(row.async_s for row in rows)
    wrong = [row.id for row in rows if row.mismatches]
    return {
        "source": source,
        **asdict(settings),
        "cases": len(rows),
        "calls": sum(row.calls for row in rows),
        "mismatched_cases": len(wrong),
        "mismatched_ids": wrong,
        "handles_substituted": sum(row.handles for row in rows),
        "sync_s": sync_s,
        "async_s": async_s,
        "speedup": _ratio(sync_s, async_s),
        "ideal_s": sum(row.ideal_s for row in rows),
        "bound": _bound([row.times for row in rows]),
    }


def print_table(rows: Sequence[Row], sums: dict[str, Any], settings: Settings) -> None:
    """Print a line for each case, then the totals."""
    table = Table(box=None, pad_edge=False)
    table.add_column("case", no_wrap=True)
    for name in ("calls", "handles", "sync s", "async s", "speed-up", "bound R"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("same as sync", no_wrap=True)
    for row in rows:
        cells = _cells(row.calls, row.handles, row.sync_s, row.async_s, row.bound)
        table.add_row(row.id, *cells, _verdict(row.mismatches))
    table.add_section()
    total = _cells(sums["calls"], sums["handles_substituted"], sums["sync_s"], sums["async_s"], sums["bound"])
    same = f"{sums['cases'] - sums['mismatched_cases']}/{sums['cases']}"
    table.add_row("total", *total, same)
    console = Console(highlight=False)
    console.width = max(console.width, _MIN_WIDTH)
    console.print(_title(sums, settings))
    console.print(table)
    console.print(f"\nidentical results and final state: {same}", style="bold")


def _title(sums: dict[str, Any], settings: Settings) -> str:
    barrier = "every user turn drains" if settings.barrier == "turn" else "with futures across user turns"
    fault = f"; planted fault: {settings.fault}" if settings.fault else ""
    unit = "1 s (virtual)" if settings.clock == "virtual" else f"{settings.unit_ms:g} ms"
    return (
        f"BFCL {sums['source']}, labels: {settings.labels}, {barrier}{fault}\n"
        f"one message decodes in {unit}; tools take {settings.q:g} of that on average ({settings.latency}, "
        f"seed {settings.seed})\n"
    )


def _cells(calls: int, handles: int, sync_s: float, async_s: float, bound: float) -> list[str]:
    speedup = _ratio(sync_s, async_s)
    return [str(calls), str(handles), f"{sync_s:.2f}", f"{async_s:.2f}", f"{speedup:.2f}", f"{bound:.2f}"]


def _verdict(mismatches: Sequence[str], shown: int = 2) -> str:
    if not mismatches:
        return "yes"
    more = f" and {len(mismatches) - shown} more" if len(mismatches) > shown else ""
    return f"NO: {', '.join(mismatches[:shown])}{more}"


def _bound(times: Sequence[Times]) -> float:
    return _ratio(sum(t.llm + t.tool for t in times), sum(t.least for t in times))


def _ratio(whole: float, part: float) -> float:
    return whole / part if part else 1.0
