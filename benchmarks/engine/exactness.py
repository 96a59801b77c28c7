"""Are the logits those of a forward from scratch, whatever happens to the rows on the way?

Rows come, get text injected or replaced, are trapped, resumed, evicted, preempted and ended at random, in a
pool that is too small for all of them. At every sampled position the engine's logits are compared with those
that the unmodified model gives for the whole text at once.

float64 and float32 must agree up to rounding, as a share of the largest logit. In bfloat16 the model itself
is off by its own rounding; from the same weights in float32 the engine may be at most twice as far as the
model's own forward is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.runner import TorchRunner
from asyncfc.gpu_engine.sequence import Sequence

LIMITS = {torch.float64: 1e-10, torch.float32: 5e-6}
"""Of the difference, as a share of the largest logit."""
_ROUNDING = 2.0
"""How much farther than the model's own forward the engine may be, in a dtype without a limit."""

_BLOCK = 4
_BLOCKS = 40
_SLOTS = 3
_BUDGET = 24
_ROWS = 6
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Exactness:
    """What a run of random events has shown.

    Args:
        checks: logits that were compared.
        worst: the largest difference, as a share of the largest logit.
        limit: that it must not exceed.
        events: how often each happened.
        recomputed: positions whose KV was given up and computed again.
    """

    checks: int
    worst: float
    limit: float
    events: dict[str, int]
    recomputed: int

    @property
    def exact(self) -> bool:
        """Whether the engine may say so."""
        return self.worst <= self.limit


class _Oracle:
    """Compares logits with those of the model itself."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = deepcopy(model)
        # Where the dtype has no limit of its own: what the same weights give without its rounding.
        self._wide = None if model.dtype in LIMITS else deepcopy(model).float()
        self.checks = 0
        self.scale = 0.0
        self.found = 0.0
        self.own = 0.0

    def check(self, tokens: list[int], found: Tensor) -> None:
        own = last_logits(self._model, tokens)
        wanted = own if self._wide is None else last_logits(self._wide, tokens)
        self.checks += 1
        self.scale = max(self.scale, float(wanted.abs().max()))
        self.found = max(self.found, _gap(found.double(), wanted))
        self.own = max(self.own, _gap(own, wanted))

    @property
    def limit(self) -> float:
        return LIMITS.get(self._model.dtype, _ROUNDING * self.own / self.scale)


class _Compared:
    """A runner that shows all logits to an oracle, and samples greedily."""

    def __init__(self, runner: TorchRunner, oracle: _Oracle) -> None:
        self._runner = runner
        self._oracle = oracle

    def run(self, plan: Plan) -> list[int | None]:
        logits = iter(self._runner.logits(plan))
        return [
            self._compared(work.row.tokens[: work.stop], next(logits)) if work.samples else None
            for work in plan.works
        ]

    def _compared(self, tokens: list[int], logits: Tensor) -> int:
        self._oracle.check(tokens, logits)
        return int(logits.argmax())


_Rows: TypeAlias = tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class _Verb:
    """Something that can happen to a row."""

    weight: float
    rows: Callable[[], _Rows]
    """Those to which it can happen now."""
    do: Callable[[Sequence], None]


class _Story:
    """Random events in an engine; the same seed tells the same story."""

    def __init__(self, core: Core, vocabulary: int, seed: int) -> None:
        self.core = core
        self.events: Counter[str] = Counter()
        self.all: list[Sequence] = []
        self._vocabulary = vocabulary
        self._random = Random(seed)
        self._verbs = {
            "inject": _Verb(1, self._growing, self._inject),
            "substitute": _Verb(1, self._growing, self._substitute),
            "trap": _Verb(1, lambda: (*core.running, *core.waiting), core.trap),
            "resume": _Verb(1, lambda: core.trapped, core.resume),
            "drop": _Verb(0.5, lambda: (*core.trapped, *core.waiting), core.evict),
            "offload": _Verb(1, lambda: core.trapped, lambda row: core.evict(row, "offload")),
            "preempt": _Verb(0.5, lambda: core.running, core.preempt),
            "finish": _Verb(0.1, self._living, core.finish),
        }

    def tell(self, steps: int) -> None:
        """An event or two before each step."""
        weights = [verb.weight for verb in self._verbs.values()]
        for _ in range(steps):
            for name in self._random.choices(list(self._verbs), weights, k=2):
                self._happen(name)
            while len(self._living()) < _ROWS:
                self.all.append(self.core.add(self._text(40)))
            if not self.core.running and not self.core.waiting:
                self._happen("resume")
            for row, _ in self.core.step():
                if len(row) == _LONGEST:
                    self.core.finish(row)

    def _happen(self, name: str) -> None:
        verb = self._verbs[name]
        rows = verb.rows()
        if rows:
            verb.do(self._random.choice(rows))
            self.events[name] += 1

    def _living(self) -> _Rows:
        return *self.core.running, *self.core.waiting, *self.core.trapped

    def _growing(self) -> _Rows:
        return tuple(row for row in self._living() if len(row) + _LONGEST // 10 < _LONGEST)

    def _inject(self, row: Sequence) -> None:
        self.core.inject(row, self._text(_LONGEST // 10))

    def _substitute(self, row: Sequence) -> None:
        start = self._random.randrange(len(row))
        stop = min(len(row), start + self._random.randrange(8))
        self.core.substitute(row, start, stop, self._text(_LONGEST // 10))

    def _text(self, longest: int) -> list[int]:
        return [self._random.randrange(self._vocabulary) for _ in range(self._random.randint(1, longest))]


def exactness(model: PreTrainedModel, *, steps: int, seed: int = 0) -> Exactness:
    """Compare the engine with the model itself through a story of random events.

    Args:
        model: with its own attention, which it has again afterwards.
        steps: of the engine.
        seed: of the story.
    """
    oracle = _Oracle(model)
    wrapped = CausalModel(model)
    try:
        runner = TorchRunner(wrapped, blocks=_BLOCKS, block_size=_BLOCK)
        pool = BlockPool(_BLOCKS, _BLOCK)
        core = Core(_Compared(runner, oracle), pool, slots=_SLOTS, budget=_BUDGET, max_tokens=_LONGEST)
        story = _Story(core, wrapped.vocab_size, seed)
        story.tell(steps)
    finally:
        wrapped.close()
    return Exactness(
        checks=oracle.checks,
        worst=oracle.found / oracle.scale,
        limit=oracle.limit,
        events=dict(sorted(story.events.items())),
        recomputed=sum(row.dropped for row in story.all),
    )


def last_logits(model: PreTrainedModel, tokens: list[int]) -> Tensor:
    """What follows a text, from scratch: `[vocabulary]`, in double precision."""
    with torch.inference_mode():
        ids = torch.tensor([tokens], device=model.device)
        logits: Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    return logits.double()


def _gap(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max())
