"""Tiny models with random weights, what they say when computed from scratch, and rows that share a runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.masking_utils import sdpa_mask

from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.plan import Plan, Work
from asyncfc.gpu_engine.runner import TorchRunner
from asyncfc.gpu_engine.sequence import GREEDY, Sampling, Sequence

VOCABULARY = 101
WINDOW = 6
MOST = {torch.float64: 1e-10, torch.float32: 5e-6}
"""How far logits may be from those of a forward from scratch."""

_BASE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.1,  # so that attention matters
}
_WINDOWED = {**_BASE, "sliding_window": WINDOW}
_GEMMA = {**_WINDOWED, "head_dim": 8, "query_pre_attn_scalar": 8}


def _config(name: str) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "llama": lambda: LlamaConfig(**_BASE),
        "llama-mha": lambda: LlamaConfig(**{**_BASE, "num_key_value_heads": 4}),
        "llama-mqa": lambda: LlamaConfig(**{**_BASE, "num_key_value_heads": 1}),
        "qwen2": lambda: Qwen2Config(**_BASE),
        "qwen3": lambda: Qwen3Config(**_BASE, head_dim=16),
        "mistral": lambda: MistralConfig(**_WINDOWED),
        "gemma2": lambda: Gemma2Config(**_GEMMA, attn_logit_softcapping=2.0),
        "gemma3": lambda: Gemma3TextConfig(
            **_GEMMA, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
        ),
        "phi3": lambda: Phi3Config(**_BASE),
    }
    return made[name]()


_CLASSES: dict[str, Any] = {
    "llama": LlamaForCausalLM,
    "llama-mha": LlamaForCausalLM,
    "llama-mqa": LlamaForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
    "mistral": MistralForCausalLM,
    "gemma2": Gemma2ForCausalLM,
    "gemma3": Gemma3ForCausalLM,
    "phi3": Phi3ForCausalLM,
}
NAMES = tuple(_CLASSES)


def make(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> PreTrainedModel:
    """A fresh model with a config of its own, always with the same weights."""
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = _CLASSES[name](_config(name)).to(dtype).eval()
    return model


# --- from scratch ------------------------------------------------------------------------------------------


def _plain(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention as the textbook has it, in the precision of the model.

    Eager attention takes its softmax in single precision even if the model has double.
    """
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    length = query.shape[2]
    seen = torch.ones(length, length, dtype=torch.bool).tril() if attention_mask is None else attention_mask
    found = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value.repeat_interleave(groups, 1)
    return found.transpose(1, 2), None


AttentionInterface.register("plain", _plain)
AttentionMaskInterface.register("plain", sdpa_mask)


@cache
def oracle(name: str, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """The model that is asked for the truth: the same weights, textbook attention, no engine."""
    model = make(name, dtype)
    model.set_attn_implementation("plain")
    return model


def from_scratch(model: PreTrainedModel, tokens: list[int]) -> Tensor:
    """The logits behind each token, `[len(tokens), vocabulary]`, by one forward over all of them."""
    with torch.inference_mode():
        logits: Tensor = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    return logits


# --- rows --------------------------------------------------------------------------------------------------


@dataclass
class Table:
    """Rows that share a runner and its blocks, which are handed out in a random order."""

    runner: TorchRunner
    random: Random = field(default_factory=lambda: Random(0))
    rows: list[Sequence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = BlockPool(self.runner.blocks, self.runner.block_size)
        self.random.shuffle(self.pool._free)

    def tokens(self, count: int) -> list[int]:
        return [self.random.randrange(VOCABULARY) for _ in range(count)]

    def add(self, tokens: int | list[int], sampling: Sampling = GREEDY) -> Sequence:
        row = Sequence(
            len(self.rows), self.tokens(tokens) if isinstance(tokens, int) else list(tokens), sampling
        )
        self.rows.append(row)
        return row

    def work(self, row: Sequence, count: int | None = None) -> Work:
        """The next positions of a row, all of them if none are told."""
        stop = row.computed + (row.pending if count is None else min(count, row.pending))
        assert self.pool.reserve(row, stop)
        return Work(row, row.computed, stop, samples=stop == len(row), epoch=row.epoch)

    def run(self, *works: Work) -> list[int | None]:
        tokens = self.runner.run(Plan(works))
        self._advance(works)
        return tokens

    def logits(self, *works: Work) -> Tensor:
        logits = self.runner.logits(Plan(works))
        self._advance(works)
        return logits

    def _advance(self, works: tuple[Work, ...]) -> None:
        for work in works:
            work.row.advance(work.stop)

    def drop(self, row: Sequence) -> None:
        row.forget(0)
        self.pool.trim(row)


def table(model: CausalModel, *, blocks: int = 64, block_size: int = 4, seed: int = 0) -> Table:
    return Table(TorchRunner(model, blocks=blocks, block_size=block_size), Random(seed))
