"""Machine: the core under any interleaving of its verbs and steps, compared with what the rules say.

A step can be taken apart: planned, computed, taken in, with verbs in between, as when it runs in a thread of
its own; and it can break at each of its stages. Every row is compared with a row computed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core, Sampled
from asyncfc.gpu_engine.keeping import Keeping, Removal
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.sequence import Sampling, Sequence
from tests.gpu_engine.checking import STAGES, VOCABULARY, Broken, CheckingRunner, Stage, alone

SEED = st.integers(0, 2**32 - 1)
VERBS_OF: dict[str, tuple[str, ...]] = {
    "trap": ("running", "waiting"),
    "resume": ("trapped",),
    "evict": ("trapped", "waiting"),
    "preempt": ("running",),
}
"""The states in which a row can be the object of a verb, where not any state is right."""
OFTEN = ("trap", "resume", "resume", "evict", "substitute", "inject")
VERBS = (*OFTEN, *OFTEN, "resume", "preempt", "finish", "rest", "time", "misuse")
MOST_ROWS = 6
DRAINED = 3
"""Tokens that each row samples before it ends, when all is drained."""


class Bench(Protocol):
    """What the machine needs of a runner beyond the contract."""

    @property
    def saved(self) -> frozenset[int]:
        """The ids of the rows with KV in host memory."""

    failing: Stage | None
    """The stage before which the next step breaks."""

    def run(self, plan: Plan) -> list[int | None]:
        """Carry a plan out."""

    def alone(self, tokens: list[int], sampling: Sampling) -> int:
        """The token that follows, had the row been computed alone."""


class Checking(CheckingRunner):
    """The runner without tensors, as a bench."""

    def alone(self, tokens: list[int], sampling: Sampling) -> int:
        return alone(tokens, sampling)


@dataclass(eq=False)
class Twin:
    """What a row must be."""

    row: Sequence
    tokens: list[int]
    forced: list[bool]
    state: str = "waiting"
    touched: bool = False
    """By a verb, since the step under way was planned."""

    @property
    def forced_positions(self) -> list[int]:
        return [position for position, forced in enumerate(self.forced) if forced]


@dataclass
class Flight:
    """A step under way."""

    plan: Plan
    tokens: list[int | None] = field(default_factory=list)
    broken: bool = False


class Machine(RuleBasedStateMachine):
    """With the checking runner; a subclass may bring another one."""

    vocabulary = VOCABULARY

    def bench(self, pool: BlockPool) -> Bench:
        return Checking(pool.count, pool.size)

    @initialize(seed=SEED)
    def start(self, seed: int) -> None:
        dice = Random(seed)
        self.seed, self.ruled = seed, 0
        self.now = 0.0
        self.slots = dice.choice([1, 2, 3, 4, 5])
        self.budget = self.slots + dice.randint(0, 9)
        self.pool = BlockPool(dice.choice([2, 4, 8, 12, 16, 24]), dice.randint(1, 4))
        self.runner = self.bench(self.pool)
        self.core = Core(
            self.runner,
            self.pool,
            slots=self.slots,
            budget=self.budget,
            keeping=Keeping(compute=1e-3, move=dice.choice([None, 0.0, 1e-3, 1.0])),
            max_tokens=dice.choice([None, None, 5, 15, 25]),
            clock=lambda: self.now,
        )
        self.twins: list[Twin] = []
        self.flight: Flight | None = None

    # --- rules ------------------------------------------------------------------------------------------
    # Few and large, and what they do follows from a seed and their number: Hypothesis leaves out rules at
    # random and repeats values, but it takes several verbs together, all different, to find what is wrong.

    @precondition(lambda self: len(self.live()) < MOST_ROWS)
    @rule(seed=SEED)
    def add(self, seed: int) -> None:
        dice = self.dice(seed)
        for _ in range(dice.randint(1, 3)):
            tokens = self.tokens(dice, 1, 6)[: self.core.max_tokens]
            row = self.core.add(tokens, self.sampling(dice))
            self.twins.append(Twin(row, list(tokens), [True] * len(tokens)))
        self.step(dice.randint(0, 2))

    @precondition(lambda self: self.live())
    @rule(seed=SEED)
    def go_on(self, seed: int) -> None:
        """Verbs between steps."""
        dice = self.dice(seed)
        for twin in self.live():
            if len(twin.tokens) > self.core.max_tokens and dice.random() < 0.5:
                self.end(twin)
        self.act(dice)
        self.step(dice.randint(0, 3))

    @precondition(lambda self: self.live("running", "waiting"))
    @rule(seed=SEED)
    def fly(self, seed: int) -> None:
        """Verbs while a step is under way: before its runner begins, and after it has ended."""
        dice = self.dice(seed)
        if not self.launch():
            return
        assert self.flight is not None
        moves = self.flight.plan.loads or self.flight.plan.forgets
        self.runner.failing = dice.choice([*[None] * (3 if moves else 10), *STAGES])
        self.act(dice)
        self.compute()
        self.act(dice)
        self.land()

    def step(self, times: int) -> None:
        for _ in range(times):
            if self.launch():
                self.compute()
                self.land()
            self.check()

    # --- verbs ------------------------------------------------------------------------------------------

    def act(self, dice: Random) -> None:
        for _ in range(dice.randint(0, 3)):
            verb = dice.choice(VERBS)
            among = self.live(*VERBS_OF.get(verb, ()))
            preferred = [twin for twin in among if twin.row.saved] if dice.random() < 0.5 else []
            among = preferred or [twin for twin in among if twin.row.held] or among
            if among:
                twin = dice.choice(among)
                note(f"{verb} {twin.row.id}")
                getattr(self, verb)(twin, dice)
                self.check()

    def inject(self, twin: Twin, dice: Random) -> None:
        tokens = self.tokens(dice, 0, 7)[: max(0, self.core.max_tokens - len(twin.tokens))]
        if len(twin.tokens) > self.core.max_tokens:
            self.refused(lambda: self.core.inject(twin.row, tokens))
            return
        self.core.inject(twin.row, tokens)
        twin.tokens += tokens
        twin.forced += [True] * len(tokens)
        twin.touched = True

    def substitute(self, twin: Twin, dice: Random) -> None:
        length = len(twin.tokens)
        start = max(0, length - dice.choice([1, 1, 2, 3, 5, length]))
        stop = dice.choice([length, start, min(length, start + 1)])
        tokens = self.tokens(dice, 0, 5)
        left = length - (stop - start) + len(tokens)
        if not 0 < left <= self.core.max_tokens:
            self.refused(lambda: self.core.substitute(twin.row, start, stop, tokens))
            return
        self.core.substitute(twin.row, start, stop, tokens)
        twin.tokens[start:stop] = tokens
        twin.forced[start:stop] = [True] * len(tokens)
        twin.touched = True

    def trap(self, twin: Twin, dice: Random) -> None:
        self.core.trap(twin.row, dice.choice([None, 0.0, 1e-3, 5.0]))
        twin.state, twin.touched = "trapped", True
        if dice.random() < 0.3:
            self.evict(twin, dice)

    def rest(self, _: Twin, dice: Random) -> None:
        """All rows are trapped, so that there is nothing to compute."""
        for twin in self.live("running", "waiting"):
            self.trap(twin, dice)
        if self.flight is None:
            self.step(1)

    def resume(self, twin: Twin, _: Random) -> None:
        self.core.resume(twin.row)
        twin.state = "waiting"

    def evict(self, twin: Twin, dice: Random) -> None:
        how: Removal = dice.choice(["offload", "offload", "offload", "drop"])
        held = twin.row.held
        self.core.evict(twin.row, how)
        twin.touched = True
        assert not twin.row.blocks
        assert twin.row.held == (held if how == "offload" else 0), "offloading keeps the KV"

    def preempt(self, twin: Twin, _: Random) -> None:
        self.core.preempt(twin.row)
        twin.state, twin.touched = "waiting", True

    def end(self, twin: Twin) -> None:
        self.core.finish(twin.row)
        twin.state, twin.touched = "finished", True
        assert (twin.row.state, twin.row.blocks, twin.row.held) == ("finished", [], 0)

    def finish(self, twin: Twin, dice: Random) -> None:
        self.end(twin)
        if dice.random() < 0.5:
            self.core.finish(twin.row)

    def time(self, _: Twin, dice: Random) -> None:
        self.now += dice.choice([1e-3, 1.0])

    def misuse(self, _: Twin, dice: Random) -> None:
        """What cannot be done is refused, and nothing changes."""
        core, row = self.core, dice.choice(self.twins).row
        if row.state != "trapped":
            self.refused(lambda: core.resume(row))
        if row.state in ("trapped", "finished"):
            self.refused(lambda: core.trap(row))
        if row.state in ("running", "finished"):
            self.refused(lambda: core.evict(row, "offload"))
        if row.state != "running":
            self.refused(lambda: core.preempt(row))
        if row.state == "finished":
            self.refused(lambda: core.inject(row, [1]))
            self.refused(lambda: core.substitute(row, 0, 1, [1]))
        self.refused(lambda: core.inject(row, [1] * (core.max_tokens + 1)))
        self.refused(lambda: core.substitute(row, 0, len(row) + 1, [1]))
        self.refused(lambda: core.substitute(row, 1, 0, [1]))
        self.refused(lambda: core.substitute(row, 0, len(row), []))
        self.refused(lambda: core.add([]))
        self.refused(lambda: core.add([1] * (core.max_tokens + 1)))

    # --- steps ------------------------------------------------------------------------------------------

    def launch(self) -> bool:
        held = {twin.row: twin.row.held for twin in self.live("trapped")}
        plan = self.core.plan()
        for twin in self.live():
            twin.touched = False
            if twin.state != "trapped":
                twin.state = twin.row.state  # which of them have slots is the plan's affair
                assert twin.state in ("running", "waiting"), twin.row
        for twin in self.live("trapped"):
            assert twin.row.held in (0, held[twin.row]), "a trapped row lost a part of its KV"
        self.check_plan(plan)
        if plan:
            self.flight = Flight(plan)
        return bool(plan)

    def compute(self) -> None:
        assert self.flight is not None
        to_break = self.runner.failing is not None
        try:
            self.flight.tokens = self.runner.run(self.flight.plan)
        except (Broken, EngineError):
            if not to_break or self.runner.failing is not None:
                raise  # nobody has asked for that
            self.flight.broken = True
        self.runner.failing = None

    def land(self) -> None:
        assert self.flight is not None
        flight, self.flight = self.flight, None
        if flight.broken:
            self.core.lost(flight.plan)
        else:
            self.check_sampled(flight.plan, self.core.take(flight.plan, flight.tokens))

    def drain(self) -> None:
        """All traps end: every row goes on, and nothing is left of it when it has ended."""
        goals = {twin.row: len(twin.tokens) + DRAINED for twin in self.live()}
        for twin in self.live("trapped"):
            self.core.resume(twin.row)
            twin.state = "waiting"
        most = sum(goals.values()) * (1 + len(goals)) * len(goals) + len(goals)
        for _ in range(most):
            for twin in self.live():
                if len(twin.tokens) >= goals[twin.row] or len(twin.tokens) > self.core.max_tokens:
                    self.end(twin)
            if not self.live():
                break
            self.step(1)
        assert not self.live(), f"after {most} steps some rows have not come to their end"
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        core = self.core
        assert core.running == core.waiting == core.trapped == ()
        assert self.pool.free == self.pool.count
        last = core.add([1])  # what ended rows have in host memory goes with the next step
        self.twins.append(Twin(last, [1], [True]))
        self.step(1)
        self.end(self.twins[-1])
        assert not self.runner.saved, f"host memory still holds rows {self.runner.saved}"

    def teardown(self) -> None:
        if hasattr(self, "twins") and self.flight is None:
            self.drain()

    # --- what must hold ---------------------------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        self.check_blocks()
        self.check_states()
        for twin in self.live():
            self.check_row(twin)
        spent = sum(twin.row.spent for twin in self.twins)
        assert spent == self.core.computed, f"forwards computed {self.core.computed}, rows {spent}"

    def check_blocks(self) -> None:
        """I3: each block belongs to one row or is free."""
        owned = [block for twin in self.twins for block in twin.row.blocks]
        known = sorted([*owned, *self.pool._free])
        assert known == list(range(self.pool.count)), f"{owned} owned, {self.pool._free} free"

    def check_states(self) -> None:
        core = self.core
        for state, rows in (("running", core.running), ("waiting", core.waiting), ("trapped", core.trapped)):
            assert {row.id for row in rows} == {twin.row.id for twin in self.live(state)}, state
            assert all(row.state == state for row in rows), state
        for rows in (core.running, core.waiting):
            assert [row.id for row in rows] == sorted({row.id for row in rows}), "oldest first, each once"
        assert len(core.running) <= self.slots

    def check_row(self, twin: Twin) -> None:
        row = twin.row
        assert row.tokens == twin.tokens
        assert [n for start, stop in row.forced for n in range(start, stop)] == twin.forced_positions
        assert row.spent == row.computed + row.saved + row.dropped, f"I8: {row}"
        assert 0 <= row.held < len(row), f"the last token is always to be computed: {row}"
        assert not (row.saved and (row.computed or row.blocks)), f"KV in two places: {row}"
        assert len(row.blocks) >= self.pool.needed(row.computed), f"KV without blocks: {row}"
        assert len(row.blocks) <= self.pool.needed(max(len(row), self.planned(row))), f"idle blocks: {row}"

    def planned(self, row: Sequence) -> int:
        """Up to where the step under way computes a row; only what it planned for may hold more blocks."""
        works = self.flight.plan.works if self.flight else ()
        return max((work.stop for work in works if work.row is row), default=0)

    def check_plan(self, plan: Plan) -> None:
        rows = [work.row for work in plan.works]
        assert len(set(rows)) == len(rows), "a row twice in a step"
        assert plan.tokens <= self.budget
        for work in plan.works:
            row = work.row
            assert row.state == "running", f"I4: a {row.state} row is in the step"
            assert (work.start, work.epoch) == (row.computed, row.epoch)
            assert work.start < work.stop <= len(row)
            assert work.samples == (work.stop == len(row))
            assert len(row.blocks) >= self.pool.needed(work.stop)
        fit = [row for row in self.core.running if len(row) <= self.core.max_tokens]
        assert all(len(row) <= self.core.max_tokens for row in rows), "a row beyond the limit goes on"
        if fit:
            assert fit[0] in rows, f"the oldest row {fit[0].id} does not go on"

    def check_sampled(self, plan: Plan, sampled: list[Sampled]) -> None:
        """I2: each token is what the row would have got alone."""
        twins = {twin.row: twin for twin in self.twins}
        expected = [work.row for work in plan.works if work.samples and not twins[work.row].touched]
        assert [one.row for one in sampled] == expected, "who has sampled"
        for row, token in sampled:
            twin = twins[row]
            own = self.runner.alone(twin.tokens, row.sampling)
            assert token == own, f"row {row.id} sampled {token}; alone {own}"
            twin.tokens.append(token)
            twin.forced.append(False)
        for work in plan.works:
            if not twins[work.row].touched:
                assert work.row.computed == work.stop, f"what was computed does not count: {work.row}"

    # --- small things -----------------------------------------------------------------------------------

    def live(self, *states: str) -> list[Twin]:
        """The rows that have not ended, or those in one of these states."""
        if states:
            return [twin for twin in self.twins if twin.state in states]
        return [twin for twin in self.twins if twin.state != "finished"]

    def dice(self, seed: int) -> Random:
        self.ruled += 1
        return Random(f"{self.seed} {self.ruled} {seed}")

    def tokens(self, dice: Random, least: int, most: int) -> list[int]:
        return [dice.randrange(self.vocabulary) for _ in range(dice.randint(least, most))]

    def sampling(self, dice: Random) -> Sampling:
        return Sampling(
            temperature=dice.choice([0.0, 0.8, 1.5]),
            top_k=dice.choice([None, None, 1, 7]),
            top_p=dice.choice([1.0, 1.0, 0.9]),
            seed=dice.randrange(10),
            banned=frozenset(dice.sample(range(self.vocabulary), dice.choice([0, 0, 3]))),
        )

    def refused(self, verb: Any) -> None:
        """An error, and nothing has changed; the invariants see to the rest."""
        epochs = [twin.row.epoch for twin in self.twins]
        with pytest.raises(EngineError):
            verb()
        assert [twin.row.epoch for twin in self.twins] == epochs


def prove(machine: Any, *, examples: int, steps: int, **options: Any) -> None:
    """Run a machine so often, with so many rules each."""
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=steps, **options),
    )
