"""As parallel as allowed, and never more than the limits admit (P4, P14, P15)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.testing import checks, directed
from asyncfc.testing.loop import Mode
from asyncfc.testing.oracle import Step
from asyncfc.testing.programs import Emitted, Program, programs
from asyncfc.testing.trial import in_order, in_session

MODES = pytest.mark.parametrize("mode", ["fifo", "shuffled"])
SEEDS = st.integers(0, 2**16)
RARE = st.one_of(directed.never_runs(), directed.wide_covers(), directed.late_and_lost())
ONE_LIMIT = st.sampled_from([{"*": 1}, {"*": 2}, {"*": 3}, {"tool:read": 1}, {"tool:append": 1}])


@MODES
@given(program=programs(), seed=SEEDS)
def test_P4_every_call_starts_settles_and_releases_at_the_very_moment_it_can(
    mode: Mode, program: Program, seed: int
) -> None:
    checks.parallel(program, in_session(program, seed=seed, mode=mode), in_order(program))


@given(program=programs(barriers=False, fails=False), seed=SEEDS)
def test_P4_holds_where_nothing_fails_and_all_is_declared(program: Program, seed: int) -> None:
    checks.parallel(program, in_session(program, seed=seed, mode="shuffled"), in_order(program))


@given(program=RARE, seed=SEEDS)
def test_P4_holds_for_the_rare_shapes(program: Program, seed: int) -> None:
    checks.parallel(program, in_session(program, seed=seed, mode="shuffled"), in_order(program))


@MODES
@given(program=programs(limits=True), seed=SEEDS)
def test_P14_no_limit_is_exceeded(mode: Mode, program: Program, seed: int) -> None:
    checks.within_limits(program, in_session(program, seed=seed, mode=mode))


@MODES
@given(program=programs(), limits=ONE_LIMIT, seed=SEEDS)
def test_P15_of_calls_that_wait_for_a_slot_the_oldest_starts_first(
    mode: Mode, program: Program, limits: dict[str, int], seed: int
) -> None:
    limited = Program(program.messages, limits)
    trial = in_session(limited, seed=seed, mode=mode, priority="emission")
    checks.in_emission_order(limited, trial)
    checks.within_limits(limited, trial)


def test_P15_is_not_vacuous_calls_do_wait_for_slots_and_overtake_nobody() -> None:
    steps = [Step("pick", {"n": n, "path": "a", "delay": 1}) for n in range(4)]
    program = Program((Emitted(tuple(steps), (0.0,) * 5),), {"*": 1})
    trial = in_session(program)
    assert [event.call for event in trial.events if event.kind == "queued"] == [1, 2, 3]
    assert trial.times("started") == {0: 0, 1: 1, 2: 2, 3: 3}
