"""The attention function takes what it knows and refuses everything else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyncfc.errors import EngineError, UnsupportedModel
from asyncfc.gpu_engine.attention import Call, PagedStep, paged, stepping
from asyncfc.gpu_engine.kv import KvPool, Layer
from asyncfc.gpu_engine.packing import Part, pack

HEADS, DIM = 2, 4


class Attention(nn.Module):
    """As much of a layer as the function looks at."""

    def __init__(self, **others: Any) -> None:
        super().__init__()
        self.layer_idx = 0
        for name, value in others.items():
            setattr(self, name, value)


class Noting:
    """A step that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def attend(self, call: Call) -> Tensor:
        self.calls.append(call)
        return torch.zeros(call.query.shape[1], HEADS, DIM)


@pytest.fixture
def step() -> Iterator[Noting]:
    noting = Noting()
    with stepping(noting):
        yield noting


def states(positions: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, HEADS, positions, DIM, generator=numbers) for _ in range(3))
    return query, key, value


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ({"s_aux": torch.zeros(2)}, "passes s_aux to its attention, which is not implemented"),
        ({"position_bias": 1, "alibi": 2}, "passes alibi, position_bias to"),
        ({"output_attentions": True}, "passes output_attentions"),
        ({"dropout": 0.1}, "uses dropout 0.1"),
        ({"is_causal": False}, "lets positions see later ones"),
    ],
)
def test_a_keyword_that_would_change_attention_is_refused(
    step: Noting, keyword: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedModel, match=f"Attention {reason}"):
        paged(Attention(), *states(), None, **keyword)
    assert not step.calls


def test_a_mask_of_the_model_is_refused(step: Noting) -> None:
    with pytest.raises(UnsupportedModel, match="Attention makes an attention mask of its own"):
        paged(Attention(), *states(), torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize("module", [Attention(is_causal=False), Attention(layer_idx=None)])
def test_a_layer_that_is_not_decoding_is_refused(step: Noting, module: Attention) -> None:
    with pytest.raises(UnsupportedModel, match=r"later ones|no layer_idx"):
        paged(module, *states(), None)


def test_a_call_from_outside_of_a_step_is_refused() -> None:
    with pytest.raises(EngineError, match="close the engine first"):
        paged(Attention(), *states(), None)


def test_keywords_that_mean_nothing_here_are_fine(step: Noting) -> None:
    ids = torch.arange(3)
    keywords: dict[str, Any] = {
        "position_ids": ids,
        "use_cache": False,
        "output_attentions": False,
        "s_aux": None,
    }
    found, weights = paged(
        Attention(), *states(), None, scaling=0.5, sliding_window=7, softcap=3.0, is_causal=True, **keywords
    )
    assert found.shape == (1, 3, HEADS, DIM)
    assert weights is None
    (call,) = step.calls
    assert (call.layer, call.scaling, call.window, call.softcap) == (0, 0.5, 7, 3.0)


def test_steps_are_nested_and_left_again() -> None:
    outer, inner = Noting(), Noting()
    with stepping(outer):
        with pytest.raises(ZeroDivisionError), stepping(inner):
            _ = 1 / 0
        paged(Attention(), *states(), None)
    assert (len(outer.calls), len(inner.calls)) == (1, 0)


def pool(window: int | None) -> KvPool:
    layers = [Layer(HEADS, DIM, DIM, window)]
    return KvPool(layers, blocks=4, block_size=2, dtype=torch.float32, device=torch.device("cpu"))


def test_a_window_that_changes_is_refused() -> None:
    batch = pack(
        [Part(0, [1, 2, 3], [0, 1], samples=True)], block_size=2, windows=[5], device=torch.device("cpu")
    )
    with (
        stepping(PagedStep(pool(5), batch)),
        pytest.raises(UnsupportedModel, match="window of 4, formerly 5"),
    ):
        paged(Attention(), *states(), None, sliding_window=4)


@pytest.mark.parametrize("window", [None, 1, 2])
def test_scores_are_scaled_capped_and_windowed(window: int | None) -> None:
    query, key, value = states()
    batch = pack(
        [Part(0, [1, 2, 3], [2, 1], samples=True)], block_size=2, windows=[window], device=torch.device("cpu")
    )
    with stepping(PagedStep(pool(window), batch)):
        found = paged(Attention(), query, key, value, None, scaling=2.0, sliding_window=window, softcap=1.5)[
            0
        ]
    for position in range(3):
        first = 0 if window is None else max(0, position - window + 1)
        keys, values = key[0, :, first : position + 1], value[0, :, first : position + 1]
        scores = torch.tanh(torch.einsum("hd,hkd->hk", query[0, :, position], keys) * 2.0 / 1.5) * 1.5
        wanted = torch.einsum("hk,hkd->hd", scores.softmax(-1), values)
        torch.testing.assert_close(found[0, position], wanted)
