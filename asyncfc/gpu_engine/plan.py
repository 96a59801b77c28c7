"""Plan: what one step computes, as plain data between the policy and the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from asyncfc.gpu_engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Work:
    """One row's part of a step: its tokens `[start, stop)`, and the next one if that is all it has."""

    row: Sequence
    start: int
    stop: int
    samples: bool
    epoch: int
    """Of the row when the step was planned."""

    @property
    def count(self) -> int:
        """How many positions are computed."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Move:
    """KV of a row, between blocks of the pool and host memory."""

    row: int
    """The id of its sequence."""
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One step. First KV leaves the pool, then it comes back, then the rows are computed in one forward."""

    works: tuple[Work, ...] = ()
    saves: tuple[Move, ...] = ()
    loads: tuple[Move, ...] = ()
    forgets: tuple[int, ...] = ()
    """Ids of rows whose KV in host memory is not needed any more."""

    def __bool__(self) -> bool:
        return bool(self.works)

    @property
    def tokens(self) -> int:
        """How many positions the forward computes, over all rows."""
        return sum(work.count for work in self.works)


class Runner(Protocol):
    """Carries plans out; the only part that knows tensors."""

    def run(self, plan: Plan) -> list[int | None]:
        """Move KV, compute all works in one forward; the token sampled for each work, None where it has none.

        The KV of position `p` of a row lies in block `row.blocks[p // block_size]`, at `p % block_size`.
        """
