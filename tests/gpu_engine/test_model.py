"""CausalModel: what cannot be exact is refused at load, and a model comes back as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    Qwen3NextConfig,
    Qwen3NextForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from asyncfc.errors import EngineError, UnsupportedModel
from asyncfc.gpu_engine.model import CausalModel
from tests.gpu_engine import tiny
from tests.gpu_engine.tiny import NAMES, WINDOW, from_scratch

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 50,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}


def mamba() -> PreTrainedModel:
    return MambaForCausalLM(MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2))


def qwen3_next() -> PreTrainedModel:
    return Qwen3NextForCausalLM(
        Qwen3NextConfig(**TINY, **EXPERTS, shared_expert_intermediate_size=8, linear_num_value_heads=2)
    )


def t5() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(vocab_size=50, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)
    )


def bloom() -> PreTrainedModel:
    return BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=2))


def gpt_oss() -> PreTrainedModel:
    return GptOssForCausalLM(
        GptOssConfig(
            **TINY,
            num_local_experts=2,
            num_experts_per_tok=1,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        )
    )


def headless() -> PreTrainedModel:
    return LlamaModel(LlamaConfig(**TINY))


def blind() -> PreTrainedModel:
    """Takes its positions from the place in the batch."""
    model = tiny.make("llama")
    rotary = model.model.rotary_emb
    own = rotary.forward
    rotary.forward = lambda x, position_ids: own(x, torch.arange(x.shape[1])[None])
    return model


def mixing() -> PreTrainedModel:
    """Positions reach their neighbours past attention, as in a convolution."""
    model = tiny.make("llama")
    norm = model.model.layers[1].post_attention_layernorm
    norm.register_forward_hook(lambda _module, _args, states: states + states.roll(1, dims=1))
    return model


def masked_window() -> PreTrainedModel:
    """Has a window that only its mask knows."""
    model = tiny.make("gemma2")
    for layer in model.model.layers:
        layer.self_attn.sliding_window = None
    return model


def all_seeing() -> PreTrainedModel:
    model = tiny.make("llama")
    model.model.layers[1].self_attn.is_causal = False
    return model


def nameless() -> PreTrainedModel:
    model = tiny.make("llama")
    model.model.layers[0].self_attn.layer_idx = None
    return model


def twice() -> PreTrainedModel:
    model = tiny.make("llama")
    model.model.layers[1].self_attn.layer_idx = 0
    return model


def nowhere() -> PreTrainedModel:
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig(**TINY))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (mamba, "MambaForCausalLM .* layers of type linear_attention"),
        (qwen3_next, "Qwen3NextForCausalLM .* layers of type linear_attention"),
        (t5, "T5ForConditionalGeneration .* attends to an encoder"),
        pytest.param(bloom, "BloomForCausalLM .* 0 called the attention function", marks=pytest.mark.slow),
        pytest.param(gpt_oss, "GptOssAttention passes s_aux", marks=pytest.mark.slow),
        (headless, "LlamaModel .* no language-model head"),
        (blind, "LlamaForCausalLM cannot be run exactly: .* off by .* position_ids"),
        (mixing, "LlamaForCausalLM cannot be run exactly: .* off by"),
        (masked_window, f"layer 0 has a window of {WINDOW}, but it asks for None"),
        (all_seeing, "lets positions see later ones"),
        (nameless, "has no layer_idx"),
        (twice, "of its 3 layers 2 called the attention function, 3 times"),
        (nowhere, "parameters are on meta"),
    ],
)
def test_what_cannot_be_exact_is_refused_with_the_reason(build: Any, reason: str) -> None:
    model = build()
    before = model.config._attn_implementation
    with pytest.raises(UnsupportedModel, match=reason):
        CausalModel(model)
    assert model.config._attn_implementation == before


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"expected a PreTrainedModel .* not a Linear"):
        CausalModel(nn.Linear(2, 2))  # type: ignore[arg-type]


def test_a_model_that_breaks_says_how() -> None:
    model = tiny.make("llama")
    model.model.norm = nn.LayerNorm(7)
    with pytest.raises(UnsupportedModel, match="a trial forward failed with RuntimeError"):
        CausalModel(model)


def test_a_model_that_an_engine_has_cannot_be_called() -> None:
    model = tiny.make("llama")
    wrapped = CausalModel(model)
    with pytest.raises(EngineError, match="LlamaAttention was called while an engine has its model"):
        from_scratch(model, [1, 2])
    wrapped.close()


def test_two_models_with_one_config_object_are_told_apart() -> None:
    model = tiny.make("llama")
    other = type(model)(model.config)
    wrapped = CausalModel(model)
    with pytest.raises(UnsupportedModel, match="shares its config object"):
        CausalModel(other)
    wrapped.close()
    CausalModel(other).close()


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_model_is_what_it_was(name: str) -> None:
    model = tiny.make(name).train()
    untouched = copy.deepcopy(model)
    before = model.config._attn_implementation
    first, second = CausalModel(model), CausalModel(model)
    assert first.layers == second.layers
    first.close()
    first.close()
    assert not model.training
    assert model.config._attn_implementation != before
    second.close()
    assert model.training
    assert model.config._attn_implementation == before
    model.eval()
    untouched.eval()
    assert torch.equal(from_scratch(model, [3, 1, 4]), from_scratch(untouched, [3, 1, 4]))


def test_what_a_model_is_like() -> None:
    model = CausalModel(tiny.make("gemma2", torch.float32))
    assert (model.vocab_size, model.max_positions, model.dtype) == (tiny.VOCABULARY, 256, torch.float32)
    assert model.device == torch.device("cpu")
    assert [layer.window for layer in model.layers] == [WINDOW, None, WINDOW]
    assert {(layer.heads, layer.key_dim, layer.value_dim) for layer in model.layers} == {(2, 8, 8)}
    assert model.windows == (WINDOW, None)


def test_rotary_embeddings_that_change_with_length_are_used_below_the_change() -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
    }
    config = LlamaConfig(**TINY, rope_parameters=rope)
    assert CausalModel(LlamaForCausalLM(config).eval()).max_positions == 32
