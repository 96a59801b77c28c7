"""Batcher: which rows go into the next step, with which chunk. Pure policy; it knows no tensors.

Rows that decode come first, one position each; what is left of the budget goes to
prompts, injected text and recomputation, oldest row first. A row may take the blocks of rows without a slot,
and of younger ones that run, never those of an older one that can go on: so the oldest row always goes on.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.keeping import Keeping, Removal
from asyncfc.gpu_engine.plan import Move, Plan, Work
from asyncfc.gpu_engine.sequence import Sequence


@dataclass(slots=True)
class _Draft:
    """The plan in the making."""

    works: list[Work] = field(default_factory=list)
    loads: list[Move] = field(default_factory=list)


class Batcher:
    """The rows of an engine by state.

    State: `running` rows have a slot, oldest first; `_waiting` ones have none yet, oldest first; `trapped`
    ones need none, cost no forward, and keep their KV while there is room. `_forgets` and `_saves` are for
    the next plan.

    Args:
        pool: of blocks.
        slots: rows that decode at a time.
        budget: positions that a step computes at most; at least `slots`.
        keeping: costs that decide about the KV of trapped rows.
        longest: row that is computed; one that has grown longer can only be cut or ended.
        clock: seconds.

    Raises:
        EngineError: slots or budget are out of range.
    """

    def __init__(
        self,
        pool: BlockPool,
        *,
        slots: int,
        budget: int,
        keeping: Keeping,
        longest: int,
        clock: Callable[[], float],
    ) -> None:
        if slots < 1 or budget < slots:
            raise EngineError(
                f"slots={slots}, budget={budget}: expected at least one slot, and a budget of at least as "
                "many positions as there are slots"
            )
        self.pool = pool
        self.slots = slots
        self.budget = budget
        self.keeping = keeping
        self.longest = longest
        self.running: list[Sequence] = []
        self.trapped: dict[int, Sequence] = {}
        self._waiting: list[Sequence] = []
        self._saves: list[Move] = []
        self._forgets: list[int] = []
        self._clock = clock

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        """The rows that have no slot yet, oldest first."""
        return tuple(self._waiting)

    # --- rows change their state ------------------------------------------------------------------------

    def wait(self, row: Sequence) -> None:
        """A row wants a slot: it is new, or its trap is over."""
        self.trapped.pop(row.id, None)
        row.state = "waiting"
        insort(self._waiting, row, key=_age)

    def trap(self, row: Sequence, wait: float | None) -> None:
        """A row gives its slot up until something outside has happened."""
        self._leave(row)
        row.state, row.trapped_at, row.wait = "trapped", self._clock(), wait
        self.trapped[row.id] = row

    def finish(self, row: Sequence) -> None:
        """A row has ended; its blocks are free."""
        self._leave(row)
        self.trapped.pop(row.id, None)
        row.state = "finished"
        self.drop(row)

    def preempt(self, row: Sequence) -> None:
        """A running row gives slot and KV up and waits for a slot again."""
        self.running.remove(row)
        self.drop(row)
        self.wait(row)

    def evict(self, row: Sequence, how: Removal) -> None:
        """Take the blocks of a trapped or waiting row."""
        if how == "offload" and row.saved:
            return
        if how == "drop" or not row.computed:
            self.drop(row)
            return
        self._saves.append(Move(row.id, tuple(row.blocks[: self.pool.needed(row.computed)])))
        row.offload()
        self.pool.trim(row)

    def drop(self, row: Sequence) -> None:
        """Give up the KV of a row, wherever it lies; it is computed again if need be."""
        self.shrink(row, 0)

    def shrink(self, row: Sequence, length: int) -> None:
        """Give up the KV of a row beyond its first `length` tokens."""
        had_saved = row.saved > 0
        row.forget(length)
        if had_saved and not row.saved:
            self._saves = [move for move in self._saves if move.row != row.id]
            self._forgets.append(row.id)
        self.pool.trim(row)

    def lost(self, plan: Plan) -> None:
        """Nothing counts that a failed step was to compute or move; what it was to forget is still to be."""
        touched = {work.row.id for work in plan.works} | {move.row for move in (*plan.saves, *plan.loads)}
        for row in (*self.trapped.values(), *self._waiting, *self.running):
            if row.id in touched:
                self.drop(row)
        self._forgets += plan.forgets

    def _leave(self, row: Sequence) -> None:
        for rows in (self.running, self._waiting):
            if row in rows:
                rows.remove(row)

    # --- the next step ----------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """What the next step computes; no works if no row can go on."""
        self._admit()
        draft = _Draft()
        for row, count in self._shares():
            if row.state == "running" and self._make_room(row, row.held + count):
                self._add(draft, row, count)
        if not draft.works:
            return Plan()  # what is to be moved waits for a step that computes something
        saves, self._saves = self._saves, []
        forgets, self._forgets = self._forgets, []
        return Plan(tuple(draft.works), tuple(saves), tuple(draft.loads), tuple(forgets))

    def _admit(self) -> None:
        while self._waiting and len(self.running) < self.slots:
            row = self._waiting.pop(0)
            row.state = "running"
            insort(self.running, row, key=_age)

    def _shares(self) -> list[tuple[Sequence, int]]:
        """How many positions each running row gets, oldest row first."""
        left = self.budget
        shares: dict[int, int] = {}
        rows = [row for row in self.running if len(row) <= self.longest]
        for row in sorted(rows, key=lambda row: (row.pending > 1, row.id)):
            shares[row.id] = min(row.pending, left)
            left -= shares[row.id]
        return [(row, shares[row.id]) for row in rows if shares[row.id]]

    def _make_room(self, row: Sequence, length: int) -> bool:
        """Blocks for the first tokens of a row, if need be those of others; nobody loses any in vain."""
        if self.pool.reserve(row, length):
            return True
        rivals = [other for other in self.running if other.id > row.id or len(other) > self.longest]
        others = (*self.trapped.values(), *self._waiting, *rivals)
        within_reach = self.pool.free + sum(len(other.blocks) for other in (row, *others))
        if within_reach < self.pool.needed(length):
            return False
        while not self.pool.reserve(row, length):
            idle = self.keeping.victim(self.trapped.values(), self._clock()) or _youngest(self._waiting)
            if idle is not None:
                self.evict(idle, self.keeping.removal(idle)[0])
            else:
                rival = _youngest(rivals)
                assert rival is not None, "there are enough blocks"
                self.preempt(rival)
        return True

    def _add(self, draft: _Draft, row: Sequence, count: int) -> None:
        if row.saved:
            draft.loads.append(Move(row.id, tuple(row.blocks[: self.pool.needed(row.saved)])))
            row.restore()
            self._forgets.append(row.id)
        start = row.computed
        stop = start + count
        draft.works.append(Work(row, start, stop, samples=stop == len(row), epoch=row.epoch))


def _youngest(rows: list[Sequence]) -> Sequence | None:
    """The youngest of those that hold blocks."""
    return next((row for row in reversed(rows) if row.blocks), None)


def _age(row: Sequence) -> int:
    return row.id
