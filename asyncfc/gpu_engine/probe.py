"""The probe: a few tokens through the engine's attention and through eager attention must agree.

Whatever a config may say, this shows that a model calls the attention function once per layer, that its
positions come from `position_ids`, and that rows in one batch do not see each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from asyncfc.errors import UnsupportedModel
from asyncfc.gpu_engine.attention import NAME, Call, stepping
from asyncfc.gpu_engine.kv import KvPool, Layer
from asyncfc.gpu_engine.packing import Batch, Part, pack

Forward: TypeAlias = Callable[[PreTrainedModel, Batch, KvPool], Tensor]

_BLOCK = 2
# Two rows, out of order in a pool of blocks.
_BLOCKS = ([7, 0, 3, 5, 2], [6, 1, 4])
_LENGTHS = (9, 6)
# What each step computes: row, first position, one behind the last. Chunks, a mixed batch, decoding.
_STEPS = (
    ((0, 0, 4),),
    ((0, 4, 7), (1, 0, 5)),
    ((0, 7, 8), (1, 5, 6)),
    ((0, 8, 9),),
)
# How far the engine may be from eager attention, as a share of the logits: rounding, no more. (The softmax
# of eager attention is in single precision, whatever the model has.)
_TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-3}
_TOLERANCE = 0.1


class _Recorder:
    """A step that computes nothing and notes what the layers ask for."""

    def __init__(self) -> None:
        self.layers: dict[int, Layer] = {}
        self.calls: Counter[int] = Counter()

    def attend(self, call: Call) -> Tensor:
        self.calls[call.layer] += 1
        heads, positions, dim = call.value.shape
        self.layers[call.layer] = Layer(heads, call.key.shape[-1], dim, call.window)
        return call.value.new_zeros(positions, call.query.shape[0], dim)


def probe(model: PreTrainedModel, forward: Forward) -> tuple[Layer, ...]:
    """Compare the model with itself.

    Args:
        model: in evaluation mode; it has the engine's attention afterwards.
        forward: computes a batch.

    Returns:
        What its attention layers keep, first to last.

    Raises:
        UnsupportedModel: it does not work, or not exactly.
    """
    name = type(model).__name__
    try:
        tokens = _tokens(model)
        # Eager is what the model defines; not all of the faster ones do all that it asks for (softcap).
        model.set_attn_implementation("eager")
        wanted = _own_logits(model, tokens)
        model.set_attn_implementation(NAME)
        layers = _record(model, tokens[0])
        found = _paged_logits(model, tokens, layers, forward)
    except UnsupportedModel:
        raise
    except Exception as error:
        raise UnsupportedModel(
            f"{name} cannot be run: a trial forward failed with {type(error).__name__}: {error}"
        ) from error
    gap = float((found - wanted).norm() / wanted.norm())
    if not gap <= _TOLERANCES.get(model.dtype, _TOLERANCE):
        raise UnsupportedModel(
            f"{name} cannot be run exactly: in chunks and batches its logits are off by {gap:.1e} of their "
            "size. Maybe its positions do not come from position_ids, or its layers keep more than keys and "
            "values"
        )
    return layers


def _tokens(model: PreTrainedModel) -> list[list[int]]:
    """Different small ids: large ones stand for images and the like in some vocabularies."""
    size = model.config.get_text_config(decoder=True).vocab_size
    return [[(3 + 5 * i + 2 * row) % min(size, 97) for i in range(n)] for row, n in enumerate(_LENGTHS)]


def _own_logits(model: PreTrainedModel, tokens: list[list[int]]) -> Tensor:
    with torch.inference_mode():
        rows = [
            model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0].double()
            for row in tokens
        ]
    return torch.stack([rows[row][stop - 1] for step in _STEPS for row, _, stop in step])


def _record(model: PreTrainedModel, tokens: list[int]) -> tuple[Layer, ...]:
    recorder = _Recorder()
    ids = torch.tensor([tokens], device=model.device)
    positions = torch.arange(len(tokens), device=model.device)[None]
    with torch.inference_mode(), stepping(recorder):
        model(input_ids=ids, position_ids=positions, use_cache=False)
    config = model.config.get_text_config(decoder=True)
    name, expected = type(model).__name__, config.num_hidden_layers
    if dict(recorder.calls) != dict.fromkeys(range(expected), 1):
        raise UnsupportedModel(
            f"{name} cannot be run: of its {expected} layers {len(recorder.calls)} called the attention "
            f"function, {recorder.calls.total()} times in all; the engine needs one call from each, through "
            "the AttentionInterface of transformers"
        )
    layers = tuple(recorder.layers[index] for index in range(expected))
    _check_windows(name, config, layers)
    return layers


def _check_windows(name: str, config: object, layers: tuple[Layer, ...]) -> None:
    """A window that only the model's own mask had would be lost, and a short probe would not show it."""
    size = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None) or ["sliding_attention"] * len(layers)
    for index, (kind, layer) in enumerate(zip(types, layers, strict=True)):
        wanted = size if kind == "sliding_attention" else None
        if layer.window != wanted:
            raise UnsupportedModel(
                f"{name} cannot be run exactly: by its config layer {index} has a window of {wanted}, "
                f"but it asks for {layer.window}"
            )


def _paged_logits(
    model: PreTrainedModel, tokens: list[list[int]], layers: tuple[Layer, ...], forward: Forward
) -> Tensor:
    blocks = sum(map(len, _BLOCKS))
    pool = KvPool(layers, blocks=blocks, block_size=_BLOCK, dtype=model.dtype, device=model.device)
    windows = {layer.window for layer in layers}
    logits = []
    for step in _STEPS:
        parts = [
            Part(start, tokens[row][start:stop], _BLOCKS[row], samples=True) for row, start, stop in step
        ]
        batch = pack(parts, block_size=_BLOCK, windows=windows, device=model.device)
        logits.append(forward(model, batch, pool).double())
    return torch.cat(logits)
