"""The two measurements: what a call costs more, and how long a conversation takes."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.adapters.scene import Play, Scene

INSTANT = Scene(messages=20, calls=5, tool_s=0.0, model_s=0.0, settings={"grace": 10.0})
"""Every result is there within grace, so both sides ask the model equally often."""
SLOW = Scene(messages=12, calls=1, tool_s=0.05, model_s=0.02, settings={})
"""12 calls that depend on nothing, one in a message, as models make them that think in between."""
ROUNDS = 7


async def measure(
    play: Play, rounds: int = ROUNDS, *, instant: Scene = INSTANT, slow: Scene = SLOW
) -> dict[str, Any]:
    """All numbers of one adapter.

    Args:
        play: of the adapter.
        rounds: of the first measurement; both sides take turns, so that a busy machine meets both.
        instant: whose calls cost nothing but what they cost here.
        slow: whose wall time is taken.
    """
    await play(instant, True)
    await play(instant, False)
    pairs = [await _pair(play, instant) for _ in range(rounds)]
    calls = instant.messages * instant.calls
    without, with_it = (_per_call([pair[side] for pair in pairs], calls) for side in (0, 1))
    wall_without, wall_with = await play(slow, False), await play(slow, True)
    return {
        "without_us": round(without, 1),
        "with_us": round(with_it, 1),
        "added_us": round(with_it - without, 1),
        "ratio": round(with_it / without, 3),
        "wall_without_s": round(wall_without, 4),
        "wall_with_s": round(wall_with, 4),
        "speedup": round(wall_without / wall_with, 3),
    }


async def _pair(play: Play, scene: Scene) -> tuple[float, float]:
    gc.collect()
    return await play(scene, False), await play(scene, True)


def _per_call(seconds: Sequence[float], calls: int) -> float:
    return median(seconds) / calls * 1e6
