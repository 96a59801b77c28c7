"""The attention function that the engine registers with transformers, and the step that it works on.

A model whose attention implementation is `NAME` calls `paged` once per layer. What a call needs to know
beyond its arguments (which row a position belongs to, where its keys are) lies in a context variable for
the duration of one forward, so that engines in different threads do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from asyncfc.errors import EngineError, UnsupportedModel
from asyncfc.gpu_engine.kv import KvPool
from asyncfc.gpu_engine.packing import Batch, Group, View

NAME = "asyncfc_paged"

# Models hand these on to attention functions; they change nothing for ours.
_IGNORED = frozenset({"position_ids", "cache_position", "use_cache", "position_embeddings"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the attention function: what a layer asks for.

    `query` is `[heads, positions, dim]`; `key` and `value` may have fewer heads.
    """

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    scaling: float | None
    window: int | None
    softcap: float | None


class Step(Protocol):
    """What attention works on during one forward."""

    def attend(self, call: Call) -> Tensor:
        """The outcome `[positions, heads, dim]`."""


_STEP: ContextVar[Step | None] = ContextVar("asyncfc_step", default=None)


@contextmanager
def stepping(step: Step) -> Iterator[None]:
    """The forward inside works on this step."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)


def paged(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention over the KV pool, in the form that transformers asks for.

    Args:
        module: the layer; its `layer_idx` says which.
        query: `[1, heads, positions, dim]`, as are `key` and `value`, which may have fewer heads.
        key: of the new positions.
        value: of the new positions.
        attention_mask: none; the step knows who sees what.
        scaling: of the scores; None: one over the root of `dim`.
        dropout: none.
        sliding_window: how many keys a query sees, its own included.
        softcap: scores are squashed into plus or minus this.
        others: what changes attention in a way that the engine does not know is refused.

    Raises:
        EngineError: the model is called from outside of its engine.
        UnsupportedModel: it asks for what is not implemented.
    """
    step = _STEP.get()
    if step is None:
        raise EngineError(
            f"{type(module).__name__} was called while an engine has its model, or one that shares its "
            "config; close the engine first"
        )
    _refuse(module, attention_mask, dropout, others)
    call = Call(module.layer_idx, query[0], key[0], value[0], scaling, sliding_window, softcap)  # type: ignore[arg-type]
    return step.attend(call)[None], None


def _refuse(module: nn.Module, mask: Tensor | None, dropout: float, others: dict[str, Any]) -> None:
    name = type(module).__name__
    if mask is not None:
        raise UnsupportedModel(f"{name} makes an attention mask of its own; the engine cannot apply it")
    if dropout:
        raise UnsupportedModel(f"{name} uses dropout {dropout}; put the model into evaluation mode")
    if others.pop("is_causal", None) not in {None, True} or not getattr(module, "is_causal", True):
        raise UnsupportedModel(f"{name} lets positions see later ones; the engine decodes left to right")
    if not isinstance(getattr(module, "layer_idx", None), int):
        raise UnsupportedModel(f"{name} has no layer_idx that says which layer it is")
    unknown = sorted(k for k, v in others.items() if k not in _IGNORED and v is not None and v is not False)
    if unknown:
        raise UnsupportedModel(
            f"{name} passes {', '.join(unknown)} to its attention, which is not implemented"
        )


AttentionInterface.register(NAME, paged)


@dataclass(frozen=True, slots=True)
class PagedStep:
    """One forward over the KV pool: new keys and values go in, and each row sees its own."""

    pool: KvPool
    batch: Batch

    def attend(self, call: Call) -> Tensor:
        """Write what is new, then let each group of rows look at what it sees."""
        window = self.pool.layers[call.layer].window
        if call.window != window:
            raise UnsupportedModel(
                f"layer {call.layer} asks for a window of {call.window}, formerly {window}"
            )
        self.pool.write(call.layer, self.batch.slots, call.key, call.value)
        parts = [self._attend(call, group, group.views[window]) for group in self.batch.groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _attend(self, call: Call, group: Group, view: View) -> Tensor:
        query = _take(call.query, group)
        if view.tables is None:
            key, value = _take(call.key, group), _take(call.value, group)
        else:
            key, value = self.pool.gather(call.layer, view.tables)
        found = _attend(query, key, value, view, call)
        flat = found.permute(0, 2, 1, 3).reshape(group.rows * group.queries, query.shape[1], -1)
        return flat if group.keep is None else flat.index_select(0, group.keep)


def _take(states: Tensor, group: Group) -> Tensor:
    """Of `[heads, positions, dim]` what belongs to a group, `[rows, heads, queries, dim]`."""
    if group.spread is None:
        part = states[:, group.first : group.first + group.count]
    else:
        part = states.index_select(1, group.spread)
    return part.reshape(len(states), group.rows, group.queries, -1).transpose(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor, view: View, call: Call) -> Tensor:
    """Attention `[rows, heads, queries, dim]`; several query heads may share one head of keys."""
    rows, heads, queries, dim = query.shape
    shared = heads // key.shape[1]
    if view.causal and call.softcap is None:
        return scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=call.scaling, enable_gqa=shared > 1
        )
    # Heads that share keys stand one below the other: no copies of the keys, and larger products.
    folded = query.reshape(rows, key.shape[1], shared * queries, dim)
    bias = view.bias(query.dtype, shared)
    if call.softcap is None:
        found = scaled_dot_product_attention(folded, key, value, attn_mask=bias, scale=call.scaling)
    else:
        found = _capped(folded, key, value, bias, call.scaling, call.softcap)
    return found.reshape(rows, heads, queries, -1)


def _capped(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, scaling: float | None, softcap: float
) -> Tensor:
    """Attention whose scores are squashed; no fused kernel does that."""
    scores = torch.matmul(query, key.transpose(2, 3)) * (scaling or query.shape[-1] ** -0.5)
    scores = torch.tanh(scores / softcap) * softcap + bias
    wide = torch.promote_types(query.dtype, torch.float32)
    return torch.matmul(scores.softmax(-1, dtype=wide).to(query.dtype), value)
