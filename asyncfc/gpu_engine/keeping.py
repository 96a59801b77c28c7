"""Keeping: what becomes of the KV of a trapped row when others need its blocks (AsyncLM; InferCept).

As long as the pool has room, everything is kept: that costs nothing. When it has none, the row goes whose
wait outlasts the cost of bringing its KV back by most; its KV is computed again later, or moved to host
memory and back, whichever is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from asyncfc.gpu_engine.sequence import Sequence

Removal: TypeAlias = Literal["drop", "offload"]

_WEIGHT = 0.1
"""Of the newest measurement."""


@dataclass(slots=True)
class Keeping:
    """Costs in seconds, and the choice that follows from them.

    Args:
        compute: to compute one position of a prompt; learned from the steps.
        move: to move the KV of one position in one direction; None: there is no host memory for it.
    """

    compute: float = 4e-5
    move: float | None = 2e-6

    def learn(self, positions: int, seconds: float) -> None:
        """A step of so many positions took so long."""
        self.compute += _WEIGHT * (seconds / positions - self.compute)

    def removal(self, row: Sequence) -> tuple[Removal, float]:
        """The cheaper way to bring the KV of a row back later, and what it costs in seconds."""
        again = self.compute * row.held
        moved = None if self.move is None else 2 * self.move * row.held
        return ("drop", again) if moved is None or again <= moved else ("offload", moved)

    def victim(self, trapped: Iterable[Sequence], now: float) -> Sequence | None:
        """The row whose KV is wasted most by keeping it; None if none holds any block."""
        holding = [row for row in trapped if row.blocks]
        return max(holding, key=lambda row: (_left(row, now) - self.removal(row)[1], row.id), default=None)


def _left(row: Sequence, now: float) -> float:
    """How long a trap still lasts; if it is unknown or overdue, as long as it has lasted already."""
    elapsed = now - row.trapped_at
    return elapsed if row.wait is None or row.wait <= elapsed else row.wait - elapsed
