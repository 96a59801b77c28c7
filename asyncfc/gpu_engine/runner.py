"""TorchRunner: carries a plan out. Move KV, pack the rows, one forward, sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.kv import KvPool
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.packing import Part, pack
from asyncfc.gpu_engine.plan import Plan, Work
from asyncfc.gpu_engine.sampling import Ask, NothingToSample, Sampler


class TorchRunner:
    """The tensors of an engine: a model, its KV pool, a sampler. One thread at a time may use it.

    Args:
        model: to run.
        blocks: of the KV pool, as many as the `BlockPool` of the engine has.
        block_size: positions of a block.

    Raises:
        EngineError: the pool does not fit on the device.
    """

    def __init__(self, model: CausalModel, *, blocks: int, block_size: int = 16) -> None:
        if blocks < 1 or block_size < 1:
            raise EngineError(
                f"a pool of {blocks} blocks of {block_size} positions: expected at least 1 of each"
            )
        self.model = model
        self.blocks = blocks
        self.block_size = block_size
        self._pool = KvPool(
            model.layers, blocks=blocks, block_size=block_size, dtype=model.dtype, device=model.device
        )
        self._sampler = Sampler()

    @property
    def saved(self) -> frozenset[int]:
        """The ids of the rows with KV in host memory."""
        return self._pool.saved

    def run(self, plan: Plan) -> list[int | None]:
        """Move KV, compute all works in one forward; the token sampled for each work, None where it has none.

        A row that has lost tokens or blocks since it was planned is left out: what it would bring does not
        count any more.

        Raises:
            EngineError: a row cannot be computed, the device has too little memory, logits are not finite.
                The pool and the other rows stay usable.
        """
        tokens: list[int | None] = [None] * len(plan.works)
        with _failing_clearly(plan), torch.inference_mode():
            parts, logits = self._forward(plan)
            _check_left_out(plan, parts)
            sampled = [index for index, part in parts.items() if part.samples]
            if sampled:
                for index, token in zip(sampled, self._sample(plan, parts, sampled, logits), strict=True):
                    tokens[index] = token
        return tokens

    def logits(self, plan: Plan) -> Tensor:
        """Like `run`, but no tokens: the logits `[works that sample, vocabulary]`, as the model has them."""
        with _failing_clearly(plan), torch.inference_mode():
            return self._forward(plan)[1]

    def _forward(self, plan: Plan) -> tuple[dict[int, Part], Tensor]:
        self._move(plan)
        parts = {}
        for index, work in enumerate(plan.works):
            part = _part(work, self.block_size)
            if part is not None:
                self._check(work, part)
                parts[index] = part
        if not parts:
            return parts, torch.empty(0, self.model.vocab_size, dtype=self.model.dtype)
        batch = pack(
            list(parts.values()),
            block_size=self.block_size,
            windows=self.model.windows,
            device=self.model.device,
        )
        return parts, self.model.forward(batch, self._pool)

    def _move(self, plan: Plan) -> None:
        """Saves first: their blocks may have new owners. Forgets last: they mean what is loaded now."""
        for move in plan.saves:
            self._pool.save(move.row, move.blocks)
        for move in plan.loads:
            self._pool.load(move.row, move.blocks)
        for row in plan.forgets:
            self._pool.forget(row)

    def _check(self, work: Work, part: Part) -> None:
        """On a GPU a token that the vocabulary does not have would break the device, not just the step."""
        size = self.model.vocab_size
        if min(part.tokens) < 0 or max(part.tokens) >= size:
            wrong = next(token for token in part.tokens if not 0 <= token < size)
            raise EngineError(f"sequence {work.row.id} has token {wrong}; the model's vocabulary has {size}")
        if part.stop > self.model.max_positions:
            raise EngineError(
                f"sequence {work.row.id} reaches position {part.stop - 1}; the model reads at most "
                f"{self.model.max_positions} tokens"
            )

    def _sample(self, plan: Plan, parts: dict[int, Part], sampled: list[int], logits: Tensor) -> list[int]:
        rows = [plan.works[index].row for index in sampled]
        asks = [Ask(row.id, parts[i].stop, row.sampling) for i, row in zip(sampled, rows, strict=True)]
        try:
            return self._sampler.sample(logits, asks)
        except NothingToSample as error:
            self._pool.clear(parts[sampled[error.index]].blocks)
            raise


def _part(work: Work, block_size: int) -> Part | None:
    """What a work computes, copied: its row may be changed in another thread while the step runs."""
    tokens = work.row.tokens[work.start : work.stop]
    blocks = work.row.blocks[: -(-work.stop // block_size)]
    if len(tokens) < work.count or len(blocks) * block_size < work.stop:
        return None
    return Part(work.start, tokens, blocks, work.samples)


def _check_left_out(plan: Plan, parts: dict[int, Part]) -> None:
    """Checked after the forward: a change that was under way has been counted by now."""
    for index, work in enumerate(plan.works):
        if index not in parts and work.row.epoch == work.epoch:
            raise EngineError(
                f"sequence {work.row.id} is to be computed up to position {work.stop}, but has "
                f"{len(work.row)} tokens and blocks {work.row.blocks}; reserve blocks before a step"
            )


@contextmanager
def _failing_clearly(plan: Plan) -> Iterator[None]:
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(
            f"a step of {plan.tokens} positions in {len(plan.works)} rows failed with "
            f"{type(error).__name__}: {error}"
        ) from error


def free_memory_blocks(
    model: CausalModel, *, block_size: int = 16, share: float = 0.8, host_bytes: int = 1 << 30
) -> int:
    """How many blocks a KV pool may have.

    Args:
        model: on its device.
        block_size: positions of a block.
        share: of the memory that is free now, on a GPU; the rest is for the forward.
        host_bytes: for the pool, on a CPU.

    Raises:
        EngineError: there is not even room for one.
    """
    if model.device.type == "cuda":
        room = int(torch.cuda.mem_get_info(model.device)[0] * share)
    else:
        room = host_bytes
    size = model.bytes_per_position * block_size
    if room < size:
        raise EngineError(
            f"{room} bytes on {model.device} hold no block of KV, which takes {size}; make room"
        )
    return room // size
