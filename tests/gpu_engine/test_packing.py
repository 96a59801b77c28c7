"""Packing: every position once, in groups that waste little and stay within bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfc.gpu_engine import packing
from asyncfc.gpu_engine.packing import Batch, Part, pack

SIZE = 4
CPU = torch.device("cpu")


def part(start: int, count: int, first_block: int = 0, *, samples: bool = True) -> Part:
    blocks = list(range(first_block, first_block + -(-(start + count) // SIZE)))
    return Part(start, list(range(100 * first_block, 100 * first_block + count)), blocks, samples)


def packed(*parts: Part, windows: tuple[int | None, ...] = (None,)) -> Batch:
    return pack(parts, block_size=SIZE, windows=windows, device=CPU)


def sizes(batch: Batch) -> list[tuple[int, int]]:
    return [(group.rows, group.queries) for group in batch.groups]


def test_rows_that_decode_are_one_group() -> None:
    assert sizes(packed(*(part(length, 1) for length in (5, 90, 33, 7)))) == [(4, 1)]


def test_a_long_row_does_not_pad_short_ones_without_bound() -> None:
    batch = packed(part(60_000, 1), *(part(10, 1) for _ in range(20)))
    assert sizes(batch) == [(1, 1), (20, 1)]


def test_a_group_is_cut_where_its_mask_or_its_keys_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [part(90, 10) for _ in range(6)]
    assert sizes(packed(*rows)) == [(6, 10)]
    monkeypatch.setattr(packing, "_KEYS", 350)
    assert sizes(packed(*rows)) == [(3, 10), (3, 10)]
    monkeypatch.setattr(packing, "_PAIRS", 2_000)
    assert sizes(packed(*rows)) == [(2, 10)] * 3


def test_prompts_need_no_pool_and_no_mask() -> None:
    (group,) = packed(part(0, 7), part(0, 5, 9)).groups
    view = group.views[None]
    assert view.causal
    assert view.tables is None
    assert not view.hidden[0, 0].tril().any()


def test_a_window_takes_only_the_blocks_that_it_reaches() -> None:
    (group,) = packed(part(30, 1), windows=(None, 6, 99)).groups
    wide, narrow = group.views[None], group.views[6]
    assert group.views[99] is wide, "a window that holds everything is none"
    assert wide.tables is not None
    assert narrow.tables is not None
    assert (wide.tables.tolist(), wide.bases.tolist()) == ([[0, 1, 2, 3, 4, 5, 6, 7]], [0])
    # Position 30 sees 25 to 30, in blocks 6 and 7.
    assert (narrow.tables.tolist(), narrow.bases.tolist()) == ([[6, 7]], [24])
    assert (~narrow.hidden).nonzero()[:, -1].tolist() == [1, 2, 3, 4, 5, 6]


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.booleans()), min_size=1, max_size=9),
    st.sampled_from([None, 1, 5, 30]),
)
def test_every_query_sees_its_own_row_up_to_itself(
    rows: list[tuple[int, int, bool]], window: int | None
) -> None:
    parts = [
        part(start, count, 20 * index, samples=samples) for index, (start, count, samples) in enumerate(rows)
    ]
    batch = packed(*parts, windows=(window,))
    tokens, positions, slots = batch.tokens[0].tolist(), batch.positions[0].tolist(), batch.slots.tolist()
    wanted = [
        (token, p, p_.blocks[p // SIZE] * SIZE + p % SIZE)
        for p_ in parts
        for token, p in zip(p_.tokens, range(p_.start, p_.stop), strict=True)
    ]
    assert sorted(zip(tokens, positions, slots, strict=True)) == sorted(wanted)
    last = [(tokens[index], positions[index]) for index in batch.last.tolist()]
    assert last == [(p.tokens[-1], p.stop - 1) for p in parts if p.samples]
    for group in batch.groups:
        check_group(batch, group, window)
    assert sum(group.count for group in batch.groups) == len(tokens)


def check_group(batch: Batch, group: packing.Group, window: int | None) -> None:
    """Which slots each real query sees, against the rule."""
    view = group.views[window]
    spread = range(group.first, group.first + group.count) if group.spread is None else group.spread.tolist()
    keep = range(group.count) if group.keep is None else group.keep.tolist()
    positions, slots = batch.positions[0].tolist(), batch.slots.tolist()
    hidden = view.hidden[:, 0]
    for index, padded in enumerate(keep):
        place = group.first + index
        assert spread[padded] == place
        row, query = divmod(padded, group.queries)
        seen = (~hidden[row, query]).nonzero().flatten().tolist()
        if view.tables is None:
            found = [slots[spread[row * group.queries + key]] for key in seen]
        else:
            table = view.tables[row].tolist()
            found = [table[key // SIZE] * SIZE + key % SIZE for key in seen]
        position, base = positions[place], slots[place] - slots[place] % (20 * SIZE)
        first = 0 if window is None else max(0, position - window + 1)
        assert found == [base + p for p in range(first, position + 1)]
