"""All strategies over all ratios of tool time to message time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from asyncfc.runtime import Runtime
from asyncfc.testing.loop import run_virtual
from benchmarks.protocol.loops import asyncfc_turn, plain_turn
from benchmarks.protocol.measured import Measured, mean
from benchmarks.protocol.strategies import STRATEGIES, Strategy
from benchmarks.protocol.turns import BFCL_MIX, Ending, Kind

RATIOS = (0.1, 0.25, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0, 2.0, 5.0, 10.0)
"""Time of a tool in messages; 0.8 and 0.9 are too long to hold, and too short for a handle to pay."""


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one ratio."""

    strategy: Strategy
    kind: Kind
    ending: Ending
    q: float
    by_calls: Mapping[int, Measured]
    """Turns by their number of calls."""
    mix: Mapping[int, int]

    @property
    def mean(self) -> Measured:
        """Of the mix."""
        return mean(self.by_calls, self.mix)


def sweep(
    ratios: Sequence[float] = RATIOS,
    mix: Mapping[int, int] = BFCL_MIX,
    progress: Callable[[float], object] = lambda _: None,
) -> list[Row]:
    """Measure everything.

    Args:
        ratios: of tool time to message time.
        mix: how many turns there are of each number of calls.
        progress: told of each ratio as its turn comes.
    """
    rows = []
    for q in ratios:
        progress(q)
        for strategy, kind, ending in _cases():
            by_calls = measure(strategy, kind, ending, q, sorted(mix))
            rows.append(Row(strategy, kind, ending, q, by_calls, mix))
    return rows


def _cases() -> Iterator[tuple[Strategy, Kind, Ending]]:
    for strategy in STRATEGIES:
        for kind in strategy.kinds:
            for ending in strategy.endings:
                yield strategy, kind, ending


def measure(
    strategy: Strategy, kind: Kind, ending: Ending, q: float, lengths: Sequence[int]
) -> dict[int, Measured]:
    """Turns of these numbers of calls; before them a pass over the same, in which asyncfc may learn."""

    async def turn(calls: int, runtime: Runtime | None) -> Measured:
        taken = strategy.turn(calls, kind, ending)
        return await (asyncfc_turn(taken, q, strategy, runtime) if strategy.against else plain_turn(taken, q))

    async def one_pass(runtime: Runtime | None) -> dict[int, Measured]:
        return {calls: await turn(calls, runtime) for calls in lengths}

    async def main() -> dict[int, Measured]:
        if not strategy.against or not strategy.warm:
            return await one_pass(None)
        runtime = Runtime()
        await one_pass(runtime)
        measured = await one_pass(runtime)
        runtime.close()
        return measured

    return run_virtual(main)
