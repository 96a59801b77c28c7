"""Core: the engine without any clock or thread of its own: plan, run, take what came.

    row = core.add(prompt)
    while row.state != "trapped":
        for row, token in core.step():
            ...                             # inject, substitute, trap, resume, finish

Every verb is exact: after any interleaving, the logits of the next token equal those of a forward over
`row.tokens` from scratch (DESIGN G1). Verbs may come while a step runs in another thread; what the step
brings for a row that has changed meanwhile is thrown away.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.batcher import Batcher
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.keeping import Keeping, Removal
from asyncfc.gpu_engine.plan import Plan, Runner
from asyncfc.gpu_engine.sequence import GREEDY, Sampling, Sequence


class Sampled(NamedTuple):
    """The model has chosen a token; it stands at the end of the row's tokens already."""

    row: Sequence
    token: int


class Core:
    """Rows, and the steps that bring them forward.

    Args:
        runner: computes.
        pool: the blocks of the runner's KV pool.
        slots: rows that decode at a time.
        budget: positions that one step computes at most, over all rows; prompts are cut into such chunks.
        keeping: costs that decide what becomes of the KV of trapped rows.
        max_tokens: of one row, such as the longest context of the model; None: what the pool can hold.
        clock: seconds.

    Raises:
        EngineError: slots or budget are out of range.
    """

    def __init__(
        self,
        runner: Runner,
        pool: BlockPool,
        *,
        slots: int = 16,
        budget: int = 512,
        keeping: Keeping | None = None,
        max_tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.runner = runner
        self.pool = pool
        self.max_tokens = min(pool.capacity, max_tokens or pool.capacity)
        self.steps = 0
        self.computed = 0
        """Positions that all forwards have computed: the sum of what the rows have spent."""
        self._batcher = Batcher(
            pool,
            slots=slots,
            budget=budget,
            keeping=keeping or Keeping(),
            longest=self.max_tokens,
            clock=clock,
        )
        self._ids = itertools.count()

    @property
    def running(self) -> tuple[Sequence, ...]:
        """The rows that have a slot, oldest first."""
        return tuple(self._batcher.running)

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        """The rows that wait for a slot, oldest first."""
        return self._batcher.waiting

    @property
    def trapped(self) -> tuple[Sequence, ...]:
        """The rows that need no forward until they are resumed."""
        return tuple(self._batcher.trapped.values())

    # --- verbs ------------------------------------------------------------------------------------------

    def add(self, tokens: Iterable[int], sampling: Sampling = GREEDY) -> Sequence:
        """A new row.

        Args:
            tokens: of its prompt.
            sampling: how its tokens are chosen.

        Raises:
            EngineError: it has no tokens, or too many.
        """
        row = Sequence(next(self._ids), list(tokens), sampling)
        self._check_length(row, len(row))
        self._batcher.wait(row)
        return row

    def inject(self, row: Sequence, tokens: Iterable[int]) -> None:
        """Put tokens behind the last one; they are computed in one go, in chunks if there are many.

        Raises:
            EngineError: the row has ended, or would be too long.
        """
        new = list(tokens)
        self._check_live(row)
        self._check_length(row, len(row) + len(new))
        row.append_forced(new)

    def substitute(self, row: Sequence, start: int, stop: int, tokens: Iterable[int]) -> None:
        """Put tokens in the place of `row.tokens[start:stop]`; all from `start` on is computed again.

        Raises:
            EngineError: there is no such span, the row has ended, or would be too long.
        """
        new = list(tokens)
        self._check_live(row)
        left = len(row) - (stop - start) + len(new)
        self._check_length(row, left)
        row.check_span(start, stop, len(new))
        self._batcher.shrink(row, min(start, left - 1))
        row.replace(start, stop, new)

    def trap(self, row: Sequence, wait: float | None = None) -> None:
        """Take a row out of the batch; it costs no forward until it is resumed (DESIGN G4).

        Args:
            row: running or waiting.
            wait: how long that will last, in seconds, if it is known.

        Raises:
            EngineError: the row is trapped already, or has ended.
        """
        self._check_live(row)
        if row.state == "trapped":
            raise EngineError(f"sequence {row.id} is trapped already")
        self._batcher.trap(row, wait)

    def resume(self, row: Sequence) -> None:
        """A trap is over.

        Raises:
            EngineError: the row is not trapped.
        """
        if row.state != "trapped":
            raise EngineError(f"sequence {row.id} is {row.state}; only a trapped one can be resumed")
        self._batcher.wait(row)

    def evict(self, row: Sequence, how: Removal = "drop") -> None:
        """Take the blocks of a row that has no slot; its KV is computed again or moved back later.

        Raises:
            EngineError: the row runs, or has ended.
        """
        self._check_live(row)
        if row.state == "running":
            raise EngineError(f"sequence {row.id} is running; only a trapped or waiting one can be evicted")
        self._batcher.evict(row, how)

    def preempt(self, row: Sequence) -> None:
        """Take slot and blocks of a running row; it waits for a slot again.

        Raises:
            EngineError: the row does not run.
        """
        if row.state != "running":
            raise EngineError(f"sequence {row.id} is {row.state}; only a running one can be preempted")
        self._batcher.preempt(row)

    def finish(self, row: Sequence) -> None:
        """A row has ended, or is cancelled; its blocks are free. Once more is no error."""
        if row.state != "finished":
            self._batcher.finish(row)

    # --- steps ------------------------------------------------------------------------------------------

    def step(self) -> list[Sampled]:
        """One whole step in this thread; nothing if no row can go on."""
        plan = self.plan()
        return self.take(plan, self.runner.run(plan)) if plan else []

    def plan(self) -> Plan:
        """What the next step computes. It must be run, and then taken, before the next one is planned."""
        return self._batcher.plan()

    def take(self, plan: Plan, tokens: list[int | None], seconds: float | None = None) -> list[Sampled]:
        """Take in what a step has brought.

        Args:
            plan: of the step.
            tokens: sampled, for each of its works.
            seconds: that it took, if measured; prompts teach what computing a position costs.
        """
        self.steps += 1
        self.computed += plan.tokens
        if seconds is not None and plan.tokens >= 2 * len(plan.works):
            self._batcher.keeping.learn(plan.tokens, seconds)
        sampled = []
        for work, token in zip(plan.works, tokens, strict=True):
            row = work.row
            if row.epoch != work.epoch or row.computed != work.start or row.state == "finished":
                row.waste(work.count)
                continue
            row.advance(work.stop)
            if token is None:
                continue
            if row.state == "running":
                row.append_sampled(token)
                sampled.append(Sampled(row, token))
            else:
                row.forget(len(row))
        return sampled

    def lost(self, plan: Plan) -> None:
        """A step has failed: nothing that it was to compute or move counts."""
        self._batcher.lost(plan)

    def _check_live(self, row: Sequence) -> None:
        if row.state == "finished":
            raise EngineError(f"sequence {row.id} has ended")

    def _check_length(self, row: Sequence, length: int) -> None:
        if length > self.max_tokens:
            raise EngineError(
                f"sequence {row.id} would have {length} tokens; at most {self.max_tokens} fit. Use a larger "
                "pool or a shorter conversation"
            )
