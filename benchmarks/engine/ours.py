"""The engine of this project, driven step by step in one thread.

*Ours*: a conversation that traps gives up its slot, which goes to the next one that waits, and keeps its KV;
when its trap is over, what is injected is computed in one chunk and it goes on.

*Resubmit*: the same engine used as engines without traps must be: the row ends at the trap, and its whole
text is a new prompt afterwards. The two differ in nothing else.

The rows stay from run to run, so that every run meets the engine in the middle of its work.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import perf_counter

from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.runner import TorchRunner
from asyncfc.gpu_engine.sequence import Sequence
from benchmarks.engine.scene import Crowd, Life
from benchmarks.engine.window import Clock, Window

_KEPT = 2
"""Rows that have ended and are kept for checks."""


@dataclass(frozen=True, slots=True)
class _Trap:
    until: int
    row: Sequence
    life: Life


class Ours:
    """Conversations in the engine.

    State: `_lives` are those whose rows have or want a slot, by row; `_traps` the others, in the order in
    which they end. `sampled` counts the tokens that steps brought; `held` and `spent` those that ended rows
    had, and the positions that were computed for them; `ended` are the last such rows.
    """

    def __init__(
        self, model: CausalModel, crowd: Crowd, clock: Clock = perf_counter, *, resubmit: bool = False
    ) -> None:
        scene = crowd.scene
        rows = scene.living(crowd.share) + scene.slots
        blocks = rows * -(-scene.context // scene.block)
        self.core = Core(
            TorchRunner(model, blocks=blocks, block_size=scene.block),
            BlockPool(blocks, scene.block),
            slots=scene.slots,
            budget=scene.budget,
            max_tokens=scene.context,
        )
        self.crowd = crowd
        self.resubmit = resubmit
        self.sampled = 0
        self.held = 0
        self.spent = 0
        self.ended: deque[Sequence] = deque(maxlen=_KEPT)
        self._clock = clock
        self._now = 0
        self._lives: dict[Sequence, Life] = {}
        self._traps: deque[_Trap] = deque()
        self._begin()

    def run(self) -> Window:
        """Steps of the whole batch, prompts and chunks among them."""
        before, waiting, living = self.sampled, 0, 0
        start = self._clock()
        for _ in range(self.crowd.scene.steps):
            self.step()
            waiting += len(self._traps)
            living += len(self._traps) + len(self._lives)
        seconds = self._clock() - start
        return Window(self.sampled - before, seconds, waiting / living)

    def step(self) -> None:
        """One step, after what is due has been resumed and free slots have been filled."""
        self._now += 1
        while self._traps and self._traps[0].until <= self._now:
            self._resume(self._traps.popleft())
        while len(self._lives) < self.crowd.scene.slots:
            self._add(self.crowd.new())
        self._step()

    def rows(self) -> list[Sequence]:
        """Those that have not ended."""
        return [*self._lives, *(trap.row for trap in self._traps if trap.row.state == "trapped")]

    def _begin(self) -> None:
        """Fill the slots, and have the trapped ones sample the last token before their trap."""
        trapped = {self.core.add(life.tokens[:-1]): (left, life) for life, left in self.crowd.trapped()}
        ready = 0
        while ready < len(trapped):
            for row, _ in self.core.step():
                self.sampled += 1
                ready += 1
                self._leave(row)
        for row, (left, life) in sorted(trapped.items(), key=lambda pair: pair[1][0]):
            self._traps.append(_Trap(left, row, life))
        for life in self.crowd.running():
            self._add(life)

    def _add(self, life: Life) -> None:
        self._lives[self.core.add(life.tokens)] = life

    def _step(self) -> None:
        for row, _ in self.core.step():
            self.sampled += 1
            life = self._lives[row]
            life.segments[0] -= 1
            if not life.segments[0]:
                self._stop(row, life)

    def _stop(self, row: Sequence, life: Life) -> None:
        del self._lives[row]
        if life.ends:
            self._end(row)
        else:
            self._leave(row)
            life.segments.pop(0)
            self._traps.append(_Trap(self._now + self.crowd.scene.wait, row, life))

    def _resume(self, trap: _Trap) -> None:
        row, life = trap.row, trap.life
        new = self.crowd.text(self.crowd.scene.injected)
        if self.resubmit:
            self._add(Life([*row.tokens, *new], life.segments))
        else:
            self.core.inject(row, new)
            self.core.resume(row)
            self._lives[row] = life

    def _leave(self, row: Sequence) -> None:
        if self.resubmit:
            self._end(row)
        else:
            self.core.trap(row)

    def _end(self, row: Sequence) -> None:
        self.held += sampled_tokens(row)
        self.spent += row.spent
        self.ended.append(row)
        self.core.finish(row)


def sampled_tokens(row: Sequence) -> int:
    """How many tokens of a row the model has chosen."""
    return sum(stop - start for start, stop in sampled_spans(row))


def sampled_spans(row: Sequence) -> list[tuple[int, int]]:
    """Where they stand: `[start, stop)` of each run of them."""
    edges = [edge for span in row.forced for edge in span]
    return [span for span in zip(edges[1::2], [*edges[2::2], len(row)], strict=True) if span[0] < span[1]]
