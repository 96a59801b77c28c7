"""Batcher: who goes on in the next step, with how much, and at whose cost."""

from __future__ import annotations

import pytest

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.batcher import Batcher
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.keeping import Keeping
from asyncfc.gpu_engine.plan import Move, Plan
from asyncfc.gpu_engine.sequence import Sequence


def batcher(
    blocks: int = 100, size: int = 2, *, slots: int = 4, budget: int = 8, move: float | None = None
) -> Batcher:
    pool = BlockPool(blocks, size)
    keeping = Keeping(compute=1.0, move=move)
    return Batcher(
        pool, slots=slots, budget=budget, keeping=keeping, longest=pool.capacity, clock=lambda: 10.0
    )


def rows(at: Batcher, *lengths: int, first: int = 0) -> list[Sequence]:
    made = [Sequence(first + n, [1] * length) for n, length in enumerate(lengths)]
    for row in made:
        at.wait(row)
    return made


def shares(plan: Plan) -> dict[int, int]:
    return {work.row.id: work.count for work in plan.works}


def carry_out(plan: Plan) -> None:
    for work in plan.works:
        work.row.advance(work.stop)
        if work.samples:
            work.row.append_sampled(1)


def settle(at: Batcher, steps: int = 20) -> None:
    """Until all prompts are computed."""
    for _ in range(steps):
        if all(row.pending == 1 for row in at.running) and not at.waiting:
            return
        carry_out(at.plan())


@pytest.mark.parametrize(("slots", "budget"), [(0, 4), (4, 3)])
def test_a_budget_below_one_position_per_slot_is_refused(slots: int, budget: int) -> None:
    with pytest.raises(EngineError, match=f"slots={slots}, budget={budget}: expected"):
        batcher(slots=slots, budget=budget)


def test_without_rows_there_is_nothing_to_do() -> None:
    assert not batcher().plan()


def test_a_long_prompt_is_computed_in_chunks_and_only_the_last_one_samples() -> None:
    at = batcher(budget=8)
    rows(at, 20)
    works = []
    for _ in range(3):
        plan = at.plan()
        works += [(work.start, work.stop, work.samples) for work in plan.works]
        carry_out(plan)
    assert works == [(0, 8, False), (8, 16, False), (16, 20, True)]


def test_rows_that_decode_come_first_and_prompts_share_what_is_left_by_age() -> None:
    at = batcher(slots=5, budget=9)
    old, *_ = rows(at, 30)
    carry_out(at.plan())
    young = rows(at, 2, 2, first=1)
    settle_young = at.plan()
    assert shares(settle_young) == {old.id: 9}, "an older prompt goes before younger ones"
    at.trap(old, None)
    settle(at)
    at.wait(old)
    late = rows(at, 3, first=3)[0]
    assert shares(at.plan()) == {old.id: 7, young[0].id: 1, young[1].id: 1}
    assert late.state == "running", "it has a slot, and its turn comes"


def test_slots_go_to_the_oldest_and_nobody_who_decodes_loses_one() -> None:
    at = batcher(slots=2)
    first, second, third = rows(at, 1, 1, 1)
    assert shares(at.plan()) == {0: 1, 1: 1}
    at.trap(first, None)
    assert shares(at.plan()) == {1: 1, 2: 1}
    at.wait(first)
    assert shares(at.plan()) == {1: 1, 2: 1}
    assert at.waiting == (first,)
    at.finish(third)
    assert shares(at.plan()) == {0: 1, 1: 1}
    assert second.state == "running"


def test_a_trapped_row_keeps_its_kv_while_there_is_room() -> None:
    at = batcher()
    row, other = rows(at, 3, 3)
    carry_out(at.plan())
    at.trap(row, None)
    carry_out(at.plan())
    assert (row.computed, len(row.blocks)) == (3, 2)
    at.wait(row)
    assert shares(at.plan()) == {0: 1, 1: 1}
    assert other.state == "running"


def test_a_trapped_row_is_dropped_when_others_need_its_blocks() -> None:
    at = batcher(blocks=4)
    row, _ = rows(at, 3, 3)
    carry_out(at.plan())
    at.trap(row, None)
    for _ in range(4):
        carry_out(at.plan())
    assert (row.computed, row.saved, row.blocks, row.dropped) == (0, 0, [], 3)


def test_or_its_kv_moves_to_host_memory_and_back_if_that_is_cheaper() -> None:
    at = batcher(blocks=4, move=0.1)
    row, other = rows(at, 3, 3)
    carry_out(at.plan())
    blocks = tuple(row.blocks)
    at.trap(row, None)
    plans = [at.plan()]
    while not plans[-1].saves:
        carry_out(plans[-1])
        plans.append(at.plan())
    assert plans[-1].saves == (Move(row.id, blocks),)
    assert (row.computed, row.saved, row.blocks) == (0, 3, [])
    at.finish(other)
    at.wait(row)
    back = at.plan()
    assert back.loads == (Move(row.id, tuple(row.blocks[:2])),)
    assert back.forgets == (row.id,)
    assert [(work.start, work.stop, work.samples) for work in back.works] == [(3, 4, True)]


def test_only_as_much_comes_back_as_still_counts() -> None:
    at = batcher(move=0.1)
    row, *_ = rows(at, 7)
    carry_out(at.plan())
    at.trap(row, None)
    at.evict(row, "offload")
    at.shrink(row, 3)
    at.wait(row)
    plan = at.plan()
    assert [len(move.blocks) for move in plan.saves] == [4]
    assert [len(move.blocks) for move in plan.loads] == [2]
    assert [(work.start, work.stop) for work in plan.works] == [(3, 8)]


def test_the_youngest_row_gives_way_to_older_ones() -> None:
    at = batcher(blocks=5, slots=3)
    old, middle, young = rows(at, 2, 2, 2)
    settle(at)
    while young.state == "running":
        carry_out(at.plan())
    assert (young.state, young.blocks, young.computed) == ("waiting", [], 0)
    assert old.blocks
    assert middle.blocks


def test_nobody_loses_anything_when_it_would_not_help() -> None:
    at = batcher(blocks=6, slots=3, budget=12)
    old, big, small = rows(at, 7, 1, 1)
    settle(at)  # 4 blocks, 1, 1
    big.append_forced([1] * 6)
    before = list(small.blocks)
    plan = at.plan()
    assert big.id not in shares(plan), "it lacks more than what younger rows have"
    assert shares(plan)[small.id] == 1
    assert small.blocks[:1] == before[:1]
    assert old.state == big.state == small.state == "running"


def test_an_older_row_that_waits_for_a_slot_lends_its_blocks() -> None:
    at = batcher(blocks=3, slots=1)
    old, young = rows(at, 3, 1)
    carry_out(at.plan())
    at.trap(old, None)
    carry_out(at.plan())
    at.wait(old)
    young.append_forced([1, 1])
    assert shares(at.plan()) == {young.id: 3}
    assert (old.state, old.blocks, old.computed) == ("waiting", [], 0)


def test_a_full_row_is_not_computed_and_its_blocks_can_be_had() -> None:
    at = batcher(blocks=2)
    full, other = rows(at, 4, 1)
    carry_out(at.plan())
    assert len(full) == 5
    assert shares(at.plan()) == {other.id: 1}
    assert not full.blocks


def test_what_is_to_be_moved_waits_for_a_step() -> None:
    at = batcher(move=0.1)
    row, *_ = rows(at, 3)
    carry_out(at.plan())
    at.trap(row, None)
    at.evict(row, "offload")
    assert at.plan() == Plan()
    at.wait(row)
    plan = at.plan()
    assert (len(plan.saves), len(plan.loads), plan.forgets) == (1, 1, (row.id,))


def test_offloading_twice_changes_nothing_and_what_is_dropped_then_is_not_saved_first() -> None:
    at = batcher(move=0.1)
    row, other = rows(at, 3, 3)
    carry_out(at.plan())
    at.trap(row, None)
    at.evict(row, "offload")
    at.evict(row, "offload")
    assert row.saved == 3
    at.evict(row, "drop")
    plan = at.plan()
    assert (plan.saves, plan.forgets) == ((), (row.id,))
    assert shares(plan) == {other.id: 1}


def test_after_a_failed_step_its_rows_start_anew_and_what_it_should_forget_is_forgotten() -> None:
    at = batcher(move=0.1, budget=9)
    back, other, aside = rows(at, 3, 3, 3)
    carry_out(at.plan())
    for row in (back, aside):
        at.trap(row, None)
    at.evict(back, "offload")
    carry_out(at.plan())
    at.wait(back)
    plan = at.plan()
    assert plan.loads
    at.lost(plan)
    assert (back.computed, back.saved, other.computed, aside.computed) == (0, 0, 0, 3)
    assert at.plan().forgets == (back.id,)
