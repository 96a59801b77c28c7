"""How long tools take: BFCL's own take microseconds, so that latency is drawn."""

from __future__ import annotations

import math
import random
from typing import Literal, TypeAlias, get_args

from benchmarks.bfcl.data import Case

Shape: TypeAlias = Literal["lognormal", "exponential", "constant"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
_SIGMA = 1.0


def latencies(case: Case, *, shape: Shape, mean: float, seed: int) -> tuple[float, ...]:
    """One latency per call, in units of one decoded message.

    A call's latency depends on the seed, the case and the call's place in it, and on nothing else, so
    that runs with other labels, barriers or selections of cases see the same ones.
    """
    return tuple(
        _draw(random.Random(f"{seed}/{case.id}/{place}"), shape, mean) for place in range(len(case.calls))
    )


def _draw(source: random.Random, shape: Shape, mean: float) -> float:
    if shape == "constant" or mean == 0:
        return mean
    if shape == "exponential":
        return source.expovariate(1 / mean)
    return source.lognormvariate(math.log(mean) - _SIGMA**2 / 2, _SIGMA)
