"""Each bug planted in the core is caught by the machine, which finds none in `test_core_machine`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase

from asyncfc.gpu_engine.batcher import Batcher
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core, Sampled
from asyncfc.gpu_engine.keeping import Keeping, Removal
from asyncfc.gpu_engine.plan import Move, Plan, Work
from asyncfc.gpu_engine.sequence import Sequence
from asyncfc.testing.faults.plant import planted, replaced
from tests.gpu_engine.machine import Machine, prove

pytestmark = [pytest.mark.planted, pytest.mark.slow]


# --- the tokens and their KV --------------------------------------------------------------------------------


def late_truncation() -> Any:
    """One position too many counts after a substitution."""

    def make(original: Any) -> Any:
        return lambda self, length: original(self, length + 1 if length else 0)

    return planted(Sequence, "forget", make)


def substitute_without_recomputing() -> Any:
    """The tokens change, their KV stays."""

    def make(_: Any) -> Any:
        def substitute(self: Core, row: Sequence, start: int, stop: int, tokens: Any) -> None:
            row.check_span(start, stop, len(tokens))
            self._check_live(row)
            self._check_length(row, len(row) - (stop - start) + len(tokens))
            held = min(row.held, len(row) - (stop - start) + len(tokens) - 1)
            self._batcher.shrink(row, held)
            with replaced(Sequence, "forget", lambda *_: None):
                row.replace(start, stop, tokens)

        return substitute

    return planted(Core, "substitute", make)


def last_token_not_computed_again() -> Any:
    """A row may hold the KV of all of its tokens, so that there are no logits to sample from."""

    def forget(self: Sequence, length: int) -> None:
        keep = max(0, min(self.held, length, len(self.tokens)))
        self.dropped += self.held - keep
        self.saved, self.computed = (keep, 0) if self.saved else (0, keep)
        self.epoch += 1

    return replaced(Sequence, "forget", forget)


def offloaded_kv_survives_a_substitution() -> Any:
    """What lies in host memory is taken for good whatever has become of the tokens."""

    def make(original: Any) -> Any:
        def forget(self: Sequence, length: int) -> None:
            if not self.saved or length == 0:
                original(self, length)
            else:
                original(self, len(self))

        return forget

    return planted(Sequence, "forget", make)


def injection_unnoticed() -> Any:
    """A token that was sampled before an injection is put behind it."""

    def make(original: Any) -> Any:
        def append_forced(self: Sequence, tokens: Any) -> None:
            original(self, tokens)
            self.epoch -= 1

        return append_forced

    return planted(Sequence, "append_forced", make)


def waste_not_counted() -> Any:
    """Positions computed in vain are in no account."""
    return replaced(Sequence, "waste", lambda *_: None)


def sampled_taken_for_forced() -> Any:
    """Nobody can tell any more what the model has said itself."""

    def make(original: Any) -> Any:
        def append_sampled(self: Sequence, token: int) -> None:
            original(self, token)
            self._force(len(self) - 1, len(self))

        return append_sampled

    return planted(Sequence, "append_sampled", make)


# --- what a step brings -------------------------------------------------------------------------------------


def epoch_ignored() -> Any:
    """What was computed counts although the row has changed meanwhile."""

    def make(original: Any) -> Any:
        def take(self: Core, plan: Plan, tokens: Any, seconds: Any = None) -> list[Sampled]:
            works = tuple(replace(work, epoch=work.row.epoch) for work in plan.works)
            taken: list[Sampled] = original(self, replace(plan, works=works), tokens, seconds)
            return taken

        return take

    return planted(Core, "take", make)


def token_for_a_trapped_row() -> Any:
    """A row that was trapped during the step gets its token all the same."""

    def make(original: Any) -> Any:
        def take(self: Core, plan: Plan, tokens: Any, seconds: Any = None) -> list[Sampled]:
            sampled: list[Sampled] = original(self, plan, tokens, seconds)
            for work, token in zip(plan.works, tokens, strict=True):
                if work.row.state == "trapped" and token is not None:
                    work.row.append_sampled(token)
            return sampled

        return take

    return planted(Core, "take", make)


def failed_step_counts() -> Any:
    """After a failure all goes on as if KV had been moved."""
    return replaced(Core, "lost", lambda *_: None)


def failed_step_forgets() -> Any:
    """Host memory that a failed step was to give free stays in use."""

    def make(original: Any) -> Any:
        return lambda self, plan: original(self, replace(plan, forgets=()))

    return planted(Batcher, "lost", make)


# --- which rows, which blocks -------------------------------------------------------------------------------


def trapped_row_in_the_step() -> Any:
    """A trapped row costs forwards (I4)."""

    def make(original: Any) -> Any:
        def plan(self: Batcher) -> Plan:
            made: Plan = original(self)
            works = [
                Work(row, row.computed, row.computed + 1, samples=row.pending == 1, epoch=row.epoch)
                for row in self.trapped.values()
                if not row.saved and made and self.pool.reserve(row, row.computed + 1)
            ]
            return replace(made, works=(*made.works, *works[: self.budget - made.tokens]))

        return plan

    return planted(Batcher, "plan", make)


def budget_ignored() -> Any:
    """A long prompt is computed in one go, and everybody else waits."""

    def shares(self: Batcher) -> list[tuple[Sequence, int]]:
        return [(row, row.pending) for row in self.running if len(row) <= self.longest]

    return replaced(Batcher, "_shares", shares)


def older_row_preempted() -> Any:
    """A row takes the blocks of older ones, so that the oldest may never come to its end."""

    def make_room(self: Batcher, row: Sequence, length: int) -> bool:
        while not self.pool.reserve(row, length):
            rivals = [other for other in self.running if other is not row and other.blocks]
            idle = [other for other in (*self.trapped.values(), *self.waiting) if other.blocks]
            if idle:
                self.evict(idle[0], "drop")
            elif rivals:
                self.preempt(rivals[0])
            else:
                return False
        return True

    def make_plan(original: Any) -> Any:
        def plan(self: Batcher) -> Plan:
            made: Plan = original(self)
            return replace(made, works=tuple(work for work in made.works if work.row.state == "running"))

        return plan

    return _both(replaced(Batcher, "_make_room", make_room), planted(Batcher, "plan", make_plan))


def full_row_in_the_way() -> Any:
    """A row that has reached the limit keeps its blocks from younger ones for ever."""

    def make(original: Any) -> Any:
        def make_room(self: Batcher, row: Sequence, length: int) -> bool:
            longest, self.longest = self.longest, 1_000_000
            try:
                made: bool = original(self, row, length)
            finally:
                self.longest = longest
            return made

        return make_room

    return planted(Batcher, "_make_room", make)


def blocks_leaked_at_the_end() -> Any:
    """The blocks of a row that has ended belong to nobody."""

    def make(original: Any) -> Any:
        def finish(self: Batcher, row: Sequence) -> None:
            row.blocks.clear()
            original(self, row)

        return finish

    return planted(Batcher, "finish", make)


def block_freed_twice() -> Any:
    """Two rows can be given one block."""

    def make(original: Any) -> Any:
        def trim(self: BlockPool, row: Sequence) -> None:
            last = row.blocks[-1:]
            before = len(row.blocks)
            original(self, row)
            if len(row.blocks) < before - 1:
                self._free += last

        return trim

    return planted(BlockPool, "trim", make)


# --- moves --------------------------------------------------------------------------------------------------


def evicted_without_saving() -> Any:
    """The blocks go, and nothing is in host memory."""

    def make(original: Any) -> Any:
        def evict(self: Batcher, row: Sequence, how: Removal) -> None:
            saves = list(self._saves)
            original(self, row, how)
            self._saves = saves

        return evict

    return planted(Batcher, "evict", make)


def saved_a_block_short() -> Any:
    """The last block of several is not saved."""

    def make(original: Any) -> Any:
        def evict(self: Batcher, row: Sequence, how: Removal) -> None:
            count = len(self._saves)
            original(self, row, how)
            self._saves[count:] = [
                Move(move.row, move.blocks[:-1] or move.blocks) for move in self._saves[count:]
            ]

        return evict

    return planted(Batcher, "evict", make)


def offloaded_twice_is_dropped() -> Any:
    """Who is offloaded once more loses what was saved."""

    def make(original: Any) -> Any:
        def evict(self: Batcher, row: Sequence, how: Removal) -> None:
            original(self, row, "drop" if row.saved else how)

        return evict

    return planted(Batcher, "evict", make)


def loaded_too_late() -> Any:
    """KV comes back with the step after the one that needs it."""

    def make(original: Any) -> Any:
        def plan(self: Batcher) -> Plan:
            made: Plan = original(self)
            late = getattr(self, "late", ())
            self.late = made.loads  # type: ignore[attr-defined]
            return replace(made, loads=late, forgets=())

        return plan

    return planted(Batcher, "plan", make)


def moves_lost_with_an_empty_plan() -> Any:
    """What is to be moved is handed out with a plan that nobody runs."""

    def make(original: Any) -> Any:
        def plan(self: Batcher) -> Plan:
            made: Plan = original(self)
            if not made:
                self._saves.clear()
                self._forgets.clear()
            return made

        return plan

    return planted(Batcher, "plan", make)


def ended_rows_stay_in_host_memory() -> Any:
    """Nobody says that saved KV is not needed any more."""

    def make(original: Any) -> Any:
        def finish(self: Batcher, row: Sequence) -> None:
            original(self, row)
            self._forgets = [other for other in self._forgets if other != row.id]

        return finish

    return planted(Batcher, "finish", make)


def trapped_rows_keep_everything() -> Any:
    """Trapped rows keep their KV even when others cannot go on."""
    return replaced(Keeping, "victim", lambda *_: None)


def _both(*plants: Any) -> Any:
    stack = ExitStack()
    for plant in plants:
        stack.enter_context(plant)
    return stack


FAULTS: tuple[Callable[[], Any], ...] = (
    late_truncation,
    substitute_without_recomputing,
    last_token_not_computed_again,
    offloaded_kv_survives_a_substitution,
    injection_unnoticed,
    waste_not_counted,
    sampled_taken_for_forced,
    epoch_ignored,
    token_for_a_trapped_row,
    failed_step_counts,
    failed_step_forgets,
    trapped_row_in_the_step,
    budget_ignored,
    older_row_preempted,
    full_row_in_the_way,
    blocks_leaked_at_the_end,
    block_freed_twice,
    evicted_without_saving,
    saved_a_block_short,
    offloaded_twice_is_dropped,
    loaded_too_late,
    moves_lost_with_an_empty_plan,
    ended_rows_stay_in_host_memory,
    trapped_rows_keep_everything,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_planted_bug_is_caught(fault: Callable[[], Any]) -> None:
    with fault(), pytest.raises(AssertionError):
        prove(Machine, examples=100, steps=50, phases=[Phase.generate], report_multiple_bugs=False)
