"""CausalModel: checks that the engine runs a Hugging Face model exactly, and then wraps it."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from asyncfc.errors import UnsupportedModel
from asyncfc.gpu_engine.attention import NAME, PagedStep, stepping
from asyncfc.gpu_engine.kv import KvPool, Layer
from asyncfc.gpu_engine.packing import Batch
from asyncfc.gpu_engine.probe import probe

_ATTENTION_TYPES = frozenset({"full_attention", "sliding_attention"})
_LENGTH_DEPENDENT = frozenset({"dynamic", "longrope"})
_UNLIMITED = 1 << 30


@dataclass(slots=True)
class _Use:
    """A model in the hands of engines: how it was before, and how many they are."""

    attention: str
    training: bool
    layers: tuple[Layer, ...]
    engines: int = 1


_USES: WeakKeyDictionary[PreTrainedModel, _Use] = WeakKeyDictionary()
_LOCK = Lock()


class CausalModel:
    """A decoder-only language model whose attention is the engine's until `close`.

    Several may wrap one model at a time. As long as one does, the model itself cannot be called.

    Args:
        model: as `from_pretrained` returns it, on one device.

    Raises:
        UnsupportedModel: it cannot be run exactly; the message says why.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        _check(model)
        self._model = model
        config = model.config.get_text_config(decoder=True)
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = model.dtype
        self.vocab_size: int = config.vocab_size
        self.max_positions = _max_positions(config)
        """The longest row that it can read, in tokens."""
        self.layers = _take(model)
        """What its attention layers keep, first to last."""
        self._closed = False

    @property
    def windows(self) -> tuple[int | None, ...]:
        """The different windows of its layers, in positions."""
        return tuple(dict.fromkeys(layer.window for layer in self.layers))

    @property
    def bytes_per_position(self) -> int:
        """What the KV of one position takes, over all layers."""
        return sum(layer.width for layer in self.layers) * self.dtype.itemsize

    def forward(self, batch: Batch, pool: KvPool) -> Tensor:
        """The logits `[len(batch.last), vocab_size]`; the KV of all positions is in the pool afterwards."""
        return _forward(self._model, batch, pool)

    def close(self) -> None:
        """Give the model back with the attention that it had. Once more is no error."""
        if not self._closed:
            self._closed = True
            _give_back(self._model)


def _forward(model: PreTrainedModel, batch: Batch, pool: KvPool) -> Tensor:
    with torch.inference_mode(), stepping(PagedStep(pool, batch)):
        logits: Tensor = model(
            input_ids=batch.tokens,
            position_ids=batch.positions,
            use_cache=False,
            logits_to_keep=batch.last,
        ).logits[0]
    return logits


# --- what can be seen without running it -------------------------------------------------------------


def _check(model: PreTrainedModel) -> None:
    if not isinstance(model, PreTrainedModel):
        raise UnsupportedModel(
            f"expected a PreTrainedModel of transformers, such as from_pretrained returns, not a "
            f"{type(model).__name__}"
        )
    reason = _reason(model)
    if reason is not None:
        raise UnsupportedModel(f"{type(model).__name__} cannot be run exactly: {reason}")


def _reason(model: PreTrainedModel) -> str | None:
    config = model.config.get_text_config(decoder=True)
    if model.config.is_encoder_decoder or getattr(config, "add_cross_attention", False):
        return "it attends to an encoder; the engine takes decoder-only models"
    if model.get_output_embeddings() is None:
        return "it has no language-model head; load it with AutoModelForCausalLM"
    others = sorted(set(getattr(config, "layer_types", None) or ()) - _ATTENTION_TYPES)
    if others:
        return (
            f"its layers of type {', '.join(others)} keep more than keys and values by position, so that "
            "tokens could not be taken back or be batched freely"
        )
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if len(devices) > 1 or devices == ["meta"]:
        return f"its parameters are on {', '.join(devices)}; the engine needs them all on one device"
    return None


def _max_positions(config: Any) -> int:
    """How many positions the model's embedding of positions is good for, whatever else is in the batch.

    Two rotary embeddings change the frequencies of all positions once a longer row comes along, also of
    those that were computed before; below the length at which they do, they are like any other.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    limits = [getattr(config, "max_position_embeddings", None)]
    limits += [
        parameters.get("original_max_position_embeddings")
        for parameters in (rope, *rope.values())
        if isinstance(parameters, dict) and parameters.get("rope_type") in _LENGTH_DEPENDENT
    ]
    return min((limit for limit in limits if limit), default=_UNLIMITED)


# --- taking the model over ---------------------------------------------------------------------------


def _take(model: PreTrainedModel) -> tuple[Layer, ...]:
    with _LOCK:
        use = _USES.get(model)
        if use is not None:
            use.engines += 1
            return use.layers
        own = model.config._attn_implementation  # noqa: SLF001 - there is no other way to ask
        if own == NAME:
            raise UnsupportedModel(
                f"{type(model).__name__} shares its config object with a model that an engine has; "
                "build it from a copy of the config"
            )
        training = model.training
        try:
            model.train(mode=False)
            layers = probe(model, _forward)
        except BaseException:
            _restore(model, own, training=training)
            raise
        _USES[model] = _Use(own, training, layers)
        return layers


def _give_back(model: PreTrainedModel) -> None:
    with _LOCK:
        use = _USES[model]
        use.engines -= 1
        if not use.engines:
            del _USES[model]
            _restore(model, use.attention, training=use.training)


def _restore(model: PreTrainedModel, attention: str, *, training: bool) -> None:
    if model.config._attn_implementation != attention:  # noqa: SLF001 - see _take
        model.set_attn_implementation(attention)
    model.train(training)
