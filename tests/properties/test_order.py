"""The promise: results and final state are those of the calls run one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import EffectEscape
from asyncfc.futures.outcome import Failure
from asyncfc.testing import checks, directed
from asyncfc.testing.loop import Mode
from asyncfc.testing.oracle import Step, digest
from asyncfc.testing.programs import Program, declared_as, has_late_label, programs
from asyncfc.testing.trial import TAG, in_order, in_session

MODES = pytest.mark.parametrize("mode", ["fifo", "shuffled"])
SEEDS = st.integers(0, 2**16)
HANDLES = [f"${TAG}_1", f"${{{TAG}_1}}", f"$${TAG}_2", "$this_1", "$k7qz_1"]


def _check(program: Program, seed: int, mode: Mode) -> None:
    reference = in_order(program)
    trial = in_session(program, seed=seed, mode=mode)
    checks.serialisable(trial, reference)
    checks.run_once_or_never(program, trial)


@MODES
@given(program=programs(), seed=SEEDS)
def test_P1_any_program_ends_as_if_its_calls_ran_one_after_the_other(
    mode: Mode, program: Program, seed: int
) -> None:
    _check(program, seed, mode)


@MODES
@given(program=programs(limits=True), seed=SEEDS)
def test_P1_holds_under_limits(mode: Mode, program: Program, seed: int) -> None:
    _check(program, seed, mode)


@given(program=programs(), seed=SEEDS, grace=st.sampled_from([0.5, 2, 60]))
def test_P1_holds_when_answers_are_held(program: Program, seed: int, grace: float) -> None:
    checks.serialisable(in_session(program, seed=seed, mode="shuffled", grace=grace), in_order(program))


@MODES
@given(program=programs(barriers=False).filter(lambda p: any(map(has_late_label, p.steps))), seed=SEEDS)
def test_P2_a_label_that_comes_from_a_value_is_ordered_as_if_it_had_been_known(
    mode: Mode, program: Program, seed: int
) -> None:
    _check(program, seed, mode)


@pytest.mark.parametrize("variant", ["wide", "bare"])
@given(program=programs(barriers=False), seed=SEEDS)
def test_P3_declaring_too_much_or_nothing_changes_no_result(
    variant: str, program: Program, seed: int
) -> None:
    _check(declared_as(program, variant), seed, "shuffled")


@MODES
@given(program=directed.never_runs(), seed=SEEDS)
def test_S1_a_call_that_never_runs_opens_no_hole_in_the_order(
    mode: Mode, program: Program, seed: int
) -> None:
    _check(program, seed, mode)


@MODES
@given(program=directed.wide_covers(), seed=SEEDS)
def test_S2_a_claim_that_is_still_wide_covers_nothing(mode: Mode, program: Program, seed: int) -> None:
    _check(program, seed, mode)


@MODES
@given(program=st.one_of(directed.groups(), programs()), seed=SEEDS)
def test_S37_undeclared_calls_of_one_message_may_overlap_each_other_and_nothing_else(
    mode: Mode, program: Program, seed: int
) -> None:
    trial = in_session(program, seed=seed, mode=mode, same_message="concurrent")
    checks.conflicts_in_order(program, trial)


@MODES
@given(program=directed.late_and_lost(), seed=SEEDS)
def test_S2_holds_for_a_late_label_of_a_call_that_never_runs(mode: Mode, program: Program, seed: int) -> None:
    _check(program, seed, mode)


@MODES
@given(program=directed.escapes(), seed=SEEDS)
def test_S3_a_label_that_escapes_its_prefix_fails_its_call_before_it_runs(
    mode: Mode, program: Program, seed: int
) -> None:
    trial = in_session(program, seed=seed, mode=mode)
    outcome = trial.outcomes[1]
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, EffectEscape)
    assert 1 not in {n for _, n, _ in trial.world.log}, "it ran"
    # All other calls are as if this one had failed before it did anything.
    reference = in_order(_failing(program, 1))
    assert digest(reference.outcomes[1])[1] == "Broke"
    trial.outcomes[1] = reference.outcomes[1]
    checks.serialisable(trial, reference)


def _failing(program: Program, n: int) -> Program:
    """The program with call `n` failing at its start."""

    def other(step: Step) -> Step:
        if step.arguments["n"] != n:
            return step
        return replace(step, arguments={**step.arguments, "path": "a", "fail": "start"})

    messages = (replace(m, steps=tuple(other(step) for step in m.steps)) for m in program.messages)
    return replace(program, messages=tuple(messages))


@MODES
@given(program=directed.two_failed_inputs(), seed=SEEDS)
def test_S10_the_earliest_emitted_failed_input_is_to_blame(mode: Mode, program: Program, seed: int) -> None:
    _check(program, seed, mode)


@MODES
@given(program=directed.live_results(), seed=SEEDS)
def test_V1_a_result_is_what_it_was_when_its_call_ended(mode: Mode, program: Program, seed: int) -> None:
    _check(program, seed, mode)


@given(program=directed.live_results(), seed=SEEDS)
def test_P19_the_own_object_handed_over_within_grace_shows_nothing_of_later_calls(
    program: Program, seed: int
) -> None:
    checks.own_objects_are_what_was_returned(in_session(program, seed=seed, mode="shuffled", grace=60))


@given(program=directed.forgeries(HANDLES), seed=SEEDS)
def test_P22_text_that_looks_like_a_handle_stays_text_as_a_value(program: Program, seed: int) -> None:
    _check(program, seed, "fifo")
