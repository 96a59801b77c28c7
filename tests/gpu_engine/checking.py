"""CheckingRunner: a runner without tensors that believes nothing.

Where a real pool holds keys and values, it holds what they depend on: the row, the position, the token, and
a digest of all tokens up to it. So KV that is stale, misplaced, lost or another row's shows at once, and the
token "sampled" is a function of what the pool really held.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from zlib import crc32

from asyncfc.gpu_engine.plan import Move, Plan, Work
from asyncfc.gpu_engine.sequence import GREEDY, Sampling

VOCABULARY = 89
Stage: TypeAlias = Literal["saves", "loads", "forgets", "forward", "sampling"]
STAGES: tuple[Stage, ...] = ("saves", "loads", "forgets", "forward", "sampling")


class Broken(RuntimeError):
    """The step failed, as it was told to."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one position of the pool holds."""

    row: int
    position: int
    token: int
    digest: int


def alone(tokens: Iterable[int], sampling: Sampling = GREEDY) -> int:
    """The token that follows, had the row been computed alone and from scratch."""
    digest = 0
    for token in tokens:
        digest = _extended(digest, token)
    return _chosen(digest, sampling)


def _extended(digest: int, token: int) -> int:
    return crc32(token.to_bytes(4, "big"), digest)


def _chosen(digest: int, sampling: Sampling) -> int:
    token = crc32(sampling.seed.to_bytes(4, "big"), digest) % VOCABULARY
    while token in sampling.banned:
        token = (token + 1) % VOCABULARY
    return token


class CheckingRunner:
    """Carries plans out and checks them.

    State: `cells` is the pool by block and offset, `host` what was saved by row, `failing` the stage before
    which the next step breaks.
    """

    def __init__(self, blocks: int, block_size: int) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self.cells: dict[tuple[int, int], Cell] = {}
        self.host: dict[int, list[list[Cell | None]]] = {}
        self.failing: Stage | None = None
        self.steps = 0
        self.rows: list[tuple[int, ...]] = []
        """The ids of the rows of each step."""

    @property
    def saved(self) -> frozenset[int]:
        """The ids of the rows with KV in host memory."""
        return frozenset(self.host)

    def run(self, plan: Plan) -> list[int | None]:
        """As the contract of `Runner` says, in its order."""
        self.steps += 1
        self.rows.append(tuple(work.row.id for work in plan.works))
        self._reach("saves")
        for move in plan.saves:
            self._save(move)
        self._reach("loads")
        for move in plan.loads:
            self._load(move)
        self._reach("forgets")
        for row in plan.forgets:
            self.host.pop(row, None)
        self._reach("forward")
        self._check_tables(plan)
        digests = [self._forward(work) for work in plan.works]
        self._reach("sampling")
        return [
            _chosen(digest, work.row.sampling) if work.samples and digest is not None else None
            for work, digest in zip(plan.works, digests, strict=True)
        ]

    def _reach(self, stage: Stage) -> None:
        if self.failing == stage:
            self.failing = None
            raise Broken(f"before {stage}")

    def _save(self, move: Move) -> None:
        assert move.blocks, f"row {move.row}: a save of nothing"
        for index, block in enumerate(move.blocks):
            cell = self.cells.get((block, 0))
            first = index * self.block_size
            assert cell is not None, f"row {move.row}: saves what nobody wrote"
            assert (cell.row, cell.position) == (move.row, first), f"row {move.row}: saves {cell}"
        self.host[move.row] = [
            [self.cells.get((block, offset)) for offset in range(self.block_size)] for block in move.blocks
        ]

    def _load(self, move: Move) -> None:
        assert move.row in self.host, f"row {move.row}: nothing was saved"
        kept = self.host[move.row]
        assert len(move.blocks) <= len(kept), f"row {move.row}: {len(kept)} blocks saved, loads {move.blocks}"
        for block, cells in zip(move.blocks, kept, strict=False):
            for offset, cell in enumerate(cells):
                self.cells.pop((block, offset), None)
                if cell is not None:
                    self.cells[block, offset] = cell

    def _check_tables(self, plan: Plan) -> None:
        owners: dict[int, int] = {}
        for work in plan.works:
            assert work.count >= 1, f"row {work.row.id}: nothing to compute"
            for block in work.row.blocks:
                assert 0 <= block < self.blocks, f"row {work.row.id}: there is no block {block}"
                owner = owners.setdefault(block, work.row.id)
                assert owner == work.row.id, f"block {block} belongs to rows {owner} and {work.row.id}"

    def _forward(self, work: Work) -> int | None:
        """The digest of all tokens up to the last one computed; None: the row has changed meanwhile."""
        row = work.row
        tokens = row.tokens[work.start : work.stop]
        if len(tokens) < work.count or len(row.blocks) * self.block_size < work.stop:
            assert row.epoch != work.epoch, f"row {row.id}: {row.blocks} do not hold {work.stop} tokens"
            return None
        digest = self._read(work)
        for position, token in enumerate(tokens, work.start):
            digest = _extended(digest, token)
            self.cells[self._place(work, position)] = Cell(row.id, position, token, digest)
        return digest

    def _read(self, work: Work) -> int:
        """Look at all that attention looks at."""
        digest = 0
        unchanged = work.epoch == work.row.epoch
        for position in range(work.start):
            cell = self.cells.get(self._place(work, position))
            place = f"row {work.row.id} at {position}"
            assert cell is not None, f"{place}: the pool holds nothing"
            assert (cell.row, cell.position) == (work.row.id, position), f"{place}: the pool holds {cell}"
            digest = _extended(digest, cell.token)
            assert cell.digest == digest, f"{place}: computed behind other tokens than stand there now"
            if unchanged:
                token = work.row.tokens[position]
                assert cell.token == token, f"{place}: KV of token {cell.token}, the row has {token}"
        return digest

    def _place(self, work: Work, position: int) -> tuple[int, int]:
        return work.row.blocks[position // self.block_size], position % self.block_size
