"""What the rows of a sweep come to: speed-ups, the numbers that have targets, and where asyncfc loses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncfc.conversation.grace import SHARE
from benchmarks.protocol.strategies import STRATEGIES
from benchmarks.protocol.sweep import Row, measure

TOLERANCE = 1e-9
"""Of a ratio; sums of virtual times are a little off."""


class Target(NamedTuple):
    """What a number has to be."""

    least: float | None = None
    most: float | None = None

    def is_met(self, number: float | None) -> bool:
        """Whether it is so; a number that was not measured misses nothing."""
        if number is None:
            return True
        below = self.least is not None and number < self.least - TOLERANCE
        return not below and not (self.most is not None and number > self.most + TOLERANCE)

    def __str__(self) -> str:
        return f">= {self.least}" if self.least is not None else f"<= {self.most}"


TARGETS = {
    "auto_min_speedup": Target(least=1.0),
    "auto_speedup_q1": Target(least=1.15),
    "auto_min_vs_parallel": Target(least=0.93),
    "auto_min_vs_parallel_outside": Target(least=1.0),
    "pipelining_messages": Target(most=3),
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A row against that of the same turns without asyncfc; above 1 it is faster."""

    row: Row
    base: Row

    @property
    def of_mix(self) -> float:
        """Time of the mix without asyncfc, by the time with it."""
        return self.base.mean.seconds / self.row.mean.seconds

    @property
    def by_calls(self) -> dict[int, float]:
        """The same of the turns of each number of calls."""
        return {n: self.base.by_calls[n].seconds / one.seconds for n, one in self.row.by_calls.items()}


def ratios(rows: Sequence[Row], name: str | None = None) -> list[Ratio]:
    """Every row, or those of one strategy, against each row that it is to be compared with."""
    bases = {(row.strategy.name, row.kind, row.q): row for row in rows if not row.strategy.against}
    return [
        Ratio(row, bases[against, row.kind, row.q])
        for row in rows
        for against in row.strategy.against
        if name in (None, row.strategy.name) and (against, row.kind, row.q) in bases
    ]


def headline(rows: Sequence[Row]) -> dict[str, float | None]:
    """The numbers that have targets; None: the sweep lacks what it takes."""
    auto, together = ratios(rows, "auto"), ratios(rows, "auto_together")
    pipelined = [row for row in rows if row.strategy.name == "pipelined" and row.kind == "dependent"]
    at_1 = [ratio for ratio in auto if ratio.row.q == 1 and ratio.row.kind == "independent"]
    outside = [ratio for ratio in together if not SHARE < ratio.row.q < 1]
    messages = [row.by_calls[5].messages for row in pipelined if 5 in row.by_calls]
    return {
        "auto_min_speedup": _least(auto),
        "auto_speedup_q1": _least(at_1),
        "auto_min_vs_parallel": _least(together),
        "auto_min_vs_parallel_outside": _least(outside),
        "pipelining_messages": max(messages, default=None),
    }


def missed(numbers: dict[str, float | None]) -> list[str]:
    """The targets that are missed, in words."""
    return [
        f"{name} is {numbers[name]}; expected {target}"
        for name, target in TARGETS.items()
        if not target.is_met(numbers[name])
    ]


def just_above_the_hold() -> float:
    """`auto_together` against native parallel calls where it loses most: tools a little too long to hold."""
    q = SHARE + 1e-3
    seconds = {
        s.name: measure(s, "independent", "stop", q, [1])[1].seconds
        for s in STRATEGIES
        if s.name in ("parallel", "auto_together")
    }
    return seconds["parallel"] / seconds["auto_together"]


def lost(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Where asyncfc is slower than what it is compared with, at its worst over kinds and endings.

    `mix` is the ratio of times of the whole mix, `by_calls` those of the turns that lose, by their number of
    calls; in both, less than 1 is a loss.
    """
    grouped: dict[tuple[str, str, float], list[Ratio]] = {}
    for ratio in ratios(rows):
        key = (ratio.row.strategy.name, ratio.base.strategy.name, ratio.row.q)
        grouped.setdefault(key, []).append(ratio)
    found = []
    for (name, against, q), group in grouped.items():
        worst = {n: min(ratio.by_calls[n] for ratio in group) for n in group[0].by_calls}
        losing = {str(n): round(one, 4) for n, one in worst.items() if one < 1 - TOLERANCE}
        if losing:
            mix = round(min(ratio.of_mix for ratio in group), 4)
            found.append({"strategy": name, "against": against, "q": q, "mix": mix, "by_calls": losing})
    return found


def _least(compared: Iterable[Ratio]) -> float | None:
    return min((ratio.of_mix for ratio in compared), default=None)
