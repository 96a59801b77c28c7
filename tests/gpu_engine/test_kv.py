"""KvPool: what is written in a slot is read from its block, and survives a stay in host memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.kv import KvPool, Layer

# Layers need not be alike, nor keys like values.
LAYERS = (Layer(2, 4, 4), Layer(1, 6, 3, window=5))
SIZE = 3


def make(blocks: int = 5) -> KvPool:
    return KvPool(LAYERS, blocks=blocks, block_size=SIZE, dtype=torch.float64, device=torch.device("cpu"))


def fill(pool: KvPool, layer: int, slots: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random keys and values `[heads, positions, dim]`."""
    numbers = torch.Generator().manual_seed(seed)
    shape = LAYERS[layer]
    keys, values = (
        torch.randn(shape.heads, len(slots), dim, dtype=torch.float64, generator=numbers)
        for dim in (shape.key_dim, shape.value_dim)
    )
    pool.write(layer, torch.tensor(slots), keys, values)
    return keys, values


def read(pool: KvPool, layer: int, table: list[list[int]]) -> tuple[Tensor, Tensor]:
    keys, values = pool.gather(layer, torch.tensor(table))
    return keys.clone(), values.clone()


def test_loading_more_than_was_saved_names_the_row() -> None:
    pool = make()
    pool.save(7, [1])
    with pytest.raises(EngineError, match="sequence 7 has 1 blocks of KV in host memory; 2 were asked for"):
        pool.load(7, [0, 2])


def test_a_pool_that_does_not_fit_says_so() -> None:
    with pytest.raises(EngineError, match="no room on cpu for a KV pool of 17592186044416 blocks"):
        make(1 << 44)


@pytest.mark.parametrize("layer", [0, 1])
def test_rows_read_their_blocks_in_their_order(layer: int) -> None:
    pool = make()
    # Positions 0 to 4 of one row lie in blocks 3 and 1, those of another in 0 and 4.
    keys, values = fill(pool, layer, [9, 10, 11, 3, 4], seed=1)
    others, _ = fill(pool, layer, [0, 1, 2, 12, 13], seed=2)
    found_keys, found_values = read(pool, layer, [[3, 1], [0, 4]])
    shape = LAYERS[layer]
    assert found_keys.shape == (2, shape.heads, 2 * SIZE, shape.key_dim)
    assert found_values.shape == (2, shape.heads, 2 * SIZE, shape.value_dim)
    assert torch.equal(found_keys[0, :, :5], keys)
    assert torch.equal(found_values[0, :, :5], values)
    assert torch.equal(found_keys[1, :, :5], others)
    assert not found_keys[:, :, 5:].any(), "what nobody wrote is zero"


def test_layers_have_their_own_room() -> None:
    pool = make()
    keys, _ = fill(pool, 0, [0])
    fill(pool, 1, [0], seed=1)
    assert torch.equal(read(pool, 0, [[0]])[0][0, :, :1], keys)


def test_what_was_saved_comes_back_into_other_blocks() -> None:
    pool = make()
    wanted = [fill(pool, layer, [6, 7, 8, 0, 1]) for layer in (0, 1)]
    pool.save(4, [2, 0])
    for layer in (0, 1):
        fill(pool, layer, list(range(15)), seed=9)
    pool.load(4, [1, 3])
    for layer in (0, 1):
        for found, kept in zip(read(pool, layer, [[1, 3]]), wanted[layer], strict=True):
            assert torch.equal(found[0, :, :5], kept)
    assert pool.saved == {4}
    pool.forget(4)
    pool.forget(4)
    assert not pool.saved


def test_a_prefix_of_what_was_saved_leaves_other_blocks_alone() -> None:
    pool = make()
    fill(pool, 0, list(range(15)))
    before = read(pool, 0, [[0, 1, 2, 3, 4]])[0]
    pool.save(1, [0, 1])
    pool.load(1, [4])
    after = read(pool, 0, [[0, 1, 2, 3, 4]])[0]
    assert torch.equal(after[:, :, :12], before[:, :, :12])
    assert torch.equal(after[:, :, 12:], before[:, :, :3])


def test_a_newer_copy_takes_the_place_of_an_older_one() -> None:
    pool = make()
    fill(pool, 0, [0])
    pool.save(1, [0])
    keys, _ = fill(pool, 0, [0], seed=5)
    pool.save(1, [0])
    pool.clear([0])
    assert not read(pool, 0, [[0]])[0].any()
    pool.load(1, [0])
    assert torch.equal(read(pool, 0, [[0]])[0][0, :, :1], keys)
