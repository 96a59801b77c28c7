"""The core under any interleaving of verbs, steps and failures: once without tensors, once with them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import pytest
import torch
from torch import Tensor

from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.packing import Part
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.runner import TorchRunner
from asyncfc.gpu_engine.sampling import Ask, Sampler
from asyncfc.gpu_engine.sequence import Sampling
from tests.gpu_engine import tiny
from tests.gpu_engine.checking import Broken, Stage
from tests.gpu_engine.machine import Machine, prove
from tests.gpu_engine.tiny import MOST, WINDOW, from_scratch, oracle

NAMES = ("llama", "qwen3", "mistral", "gemma2")
"""The last two have layers with a window shorter than most rows."""


@cache
def model(name: str, dtype: torch.dtype) -> CausalModel:
    return CausalModel(tiny.make(name, dtype))


@lru_cache(maxsize=64)
def truth(name: str, dtype: torch.dtype, tokens: tuple[int, ...]) -> Tensor:
    """The logits behind these tokens, by a whole forward with the model's own attention."""
    return from_scratch(oracle(name, dtype), list(tokens))[-1]


class Watched(TorchRunner):
    """A real runner; whatever it samples from is compared with a forward from scratch (I1)."""

    def __init__(self, name: str, dtype: torch.dtype, pool: BlockPool) -> None:
        super().__init__(model(name, dtype), blocks=pool.count, block_size=pool.size)
        self.name, self.dtype = name, dtype
        self.failing: Stage | None = None
        self.gap = 0.0
        self.longest = 0
        self.loads = 0

    def alone(self, tokens: list[int], sampling: Sampling) -> int:
        logits = truth(self.name, self.dtype, tuple(tokens))
        return Sampler().sample(logits[None], [Ask(0, len(tokens), sampling)])[0]

    def run(self, plan: Plan) -> list[int | None]:
        tokens = super().run(plan)
        assert self.gap <= MOST[self.dtype], f"I1: logits are {self.gap} away from those of a whole forward"
        return tokens

    def _move(self, plan: Plan) -> None:
        self._reach("saves")
        super()._move(replace(plan, loads=(), forgets=()))
        self._reach("loads")
        super()._move(replace(plan, saves=(), forgets=()))
        self.loads += len(plan.loads)
        self._reach("forgets")
        super()._move(replace(plan, saves=(), loads=()))
        self._reach("forward")

    def _sample(self, plan: Plan, parts: dict[int, Part], sampled: list[int], logits: Tensor) -> list[int]:
        self._reach("sampling")
        for index, found in zip(sampled, logits, strict=True):
            work = plan.works[index]
            if work.row.epoch == work.epoch:
                wanted = truth(self.name, self.dtype, tuple(work.row.tokens))
                self.gap = max(self.gap, float((found - wanted).abs().max()))
                self.longest = max(self.longest, work.stop)
        return super()._sample(plan, parts, sampled, logits)

    def _reach(self, stage: Stage) -> None:
        if self.failing == stage:
            self.failing = None
            raise Broken(f"before {stage}")


@pytest.mark.slow
def test_any_interleaving_is_exact_and_nothing_is_lost_or_left() -> None:
    prove(Machine, examples=100, steps=50)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("name", NAMES)
def test_any_interleaving_gives_the_logits_of_a_forward_from_scratch(name: str, dtype: torch.dtype) -> None:
    longest = loads = 0

    class WithTensors(Machine):
        vocabulary = tiny.VOCABULARY

        def bench(self, pool: BlockPool) -> Watched:
            return Watched(name, dtype, pool)

        def teardown(self) -> None:
            nonlocal longest, loads
            super().teardown()
            if hasattr(self, "runner"):
                assert isinstance(self.runner, Watched)
                longest = max(longest, self.runner.longest)
                loads += self.runner.loads

    prove(WithTensors, examples=12 if dtype == torch.float64 else 6, steps=25)
    assert longest > 2 * WINDOW
    assert loads
