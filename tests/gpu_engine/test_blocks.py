"""BlockPool: a block belongs to one row or to none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.sequence import Sequence


@pytest.mark.parametrize(("count", "size"), [(0, 4), (4, 0), (-1, 4)])
def test_a_pool_without_a_block_is_refused(count: int, size: int) -> None:
    with pytest.raises(EngineError, match=f"a pool of {count} blocks of {size} positions"):
        BlockPool(count, size)


def test_who_asks_for_too_much_gets_nothing() -> None:
    pool, row = BlockPool(3, 4), Sequence(0, [1])
    assert not pool.reserve(row, 13)
    assert (row.blocks, pool.free) == ([], 3)
    assert pool.reserve(row, 12)
    assert (sorted(row.blocks), pool.free, pool.capacity) == ([0, 1, 2], 0, 12)


def test_what_a_row_has_is_counted() -> None:
    pool, row, other = BlockPool(3, 4), Sequence(0, [1]), Sequence(1, [1])
    assert pool.reserve(row, 5)
    assert pool.reserve(other, 1)
    before = list(row.blocks)
    assert pool.reserve(row, 8), "it has enough, though none is free"
    assert pool.reserve(row, 0)
    assert row.blocks == before


@pytest.mark.parametrize(("computed", "kept"), [(0, 0), (1, 1), (4, 1), (5, 2), (9, 3)])
def test_trimming_keeps_what_is_computed(computed: int, kept: int) -> None:
    pool, row = BlockPool(4, 4), Sequence(0, [1] * 20)
    assert pool.reserve(row, 12)
    first = row.blocks[:kept]
    row.computed = computed
    pool.trim(row)
    assert (row.blocks, pool.free) == (first, 4 - kept)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 30)), max_size=30))
def test_blocks_are_conserved(asks: list[tuple[bool, int, int]]) -> None:
    pool, rows = BlockPool(7, 3), [Sequence(n, [1]) for n in range(4)]
    for reserve, index, length in asks:
        row = rows[index]
        before = list(row.blocks)
        if reserve:
            enough = pool.needed(length) - len(before) <= pool.free
            assert pool.reserve(row, length) == enough
            assert row.blocks[: len(before)] == before, "what it has stays where it is"
            assert len(row.blocks) == (max(len(before), pool.needed(length)) if enough else len(before))
        else:
            row.computed = min(length, 3 * len(row.blocks))
            pool.trim(row)
        owned = [block for one in rows for block in one.blocks]
        assert sorted([*owned, *pool._free]) == list(range(7))
        assert pool.free == 7 - len(owned)
