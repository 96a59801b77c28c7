"""Models with random weights: Llamas in the sizes that are measured, and tiny ones of other architectures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a Llama."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int


TINY = Size("tiny", hidden=64, layers=2, heads=4, kv_heads=2, inner=128, vocabulary=512)
SMALL = Size("7M", hidden=256, layers=8, heads=8, kv_heads=4, inner=688, vocabulary=2048)
MIDDLE = Size("0.1B", hidden=768, layers=12, heads=12, kv_heads=4, inner=2048, vocabulary=32_000)
LARGE = Size("1B", hidden=2048, layers=16, heads=32, kv_heads=8, inner=8192, vocabulary=32_000)


def llama(
    size: Size, *, positions: int, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> LlamaForCausalLM:
    """A model with a config of its own; the same arguments give the same weights."""
    config = LlamaConfig(
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        vocab_size=size.vocabulary,
        max_position_embeddings=positions,
        **_common(size.hidden),
    )
    model = _built(config, device, dtype, seed)
    assert isinstance(model, LlamaForCausalLM)
    return model


def others(device: torch.device, dtype: torch.dtype) -> dict[str, PreTrainedModel]:
    """Tiny models of other architectures: what the engine has to get right beyond a Llama."""
    shape: dict[str, Any] = {
        "hidden_size": TINY.hidden,
        "intermediate_size": TINY.inner,
        "num_attention_heads": TINY.heads,
        "num_key_value_heads": TINY.kv_heads,
        "head_dim": 16,
        "vocab_size": TINY.vocabulary,
        **_common(TINY.hidden),
    }
    configs: dict[str, PreTrainedConfig] = {
        "qwen3": Qwen3Config(num_hidden_layers=2, **shape),
        "mistral": MistralConfig(num_hidden_layers=2, sliding_window=24, **shape),
    }
    if dtype != torch.float64:
        # Of its kinds of attention only eager has the soft cap, and that computes in float32 inside.
        eager = shape | {"attn_implementation": "eager"}
        configs["gemma2"] = Gemma2Config(
            num_hidden_layers=4, sliding_window=24, query_pre_attn_scalar=16, **eager
        )
    return {name: _built(config, device, dtype, seed=0) for name, config in configs.items()}


def parameters(model: PreTrainedModel) -> int:
    """How many numbers it has learned, or would have."""
    return sum(parameter.numel() for parameter in model.parameters())


def _common(hidden: int) -> dict[str, Any]:
    """Weights so large that every token of the context shows in the logits; no token that ends a text."""
    return {
        "initializer_range": hidden**-0.5,
        "tie_word_embeddings": False,
        "attn_implementation": "sdpa",
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _built(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    with torch.device(device):
        made: Any = AutoModelForCausalLM.from_config(config)
    model: PreTrainedModel = made.to(dtype).eval()
    return model
