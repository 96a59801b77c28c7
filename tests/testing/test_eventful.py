"""Eventful programs are what they are called: each kind shows, within few programs, what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from asyncfc.errors import ResourceQuarantined, ToolTimeout, ValueDropped
from asyncfc.futures.outcome import Cancelled, Failure, Value, Withheld
from asyncfc.testing import checks, directed, eventful
from asyncfc.testing.oracle import Ref, Step, Text
from asyncfc.testing.programs import Broken, Emitted, Program, programs
from asyncfc.testing.trial import Trial, in_order, in_runtime, in_session

QUICK = settings(
    max_examples=200,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def shows(strategy: st.SearchStrategy[Any], found: Callable[[Any], bool]) -> Any:
    """One that shows it; fails if there is none among a few."""
    return find(strategy, found, settings=QUICK)


def errors(trial: Trial) -> list[type[BaseException]]:
    return [type(outcome.error) for outcome in trial.outcomes if isinstance(outcome, Failure)]


def ran(trial: Trial) -> set[int]:
    return {n for _, n, what in trial.world.log if what == "start"}


def test_irreversible_calls_are_withheld_and_made() -> None:
    def both(program: Program) -> bool:
        outcomes = [o for n, o in enumerate(in_order(program).outcomes) if n in program.gates]
        return {Withheld, Value} <= {Withheld if isinstance(o, Withheld) else Value for o in outcomes}

    shows(eventful.irreversible(), both)


def test_irreversible_calls_come_blind_and_with_all_seen() -> None:
    def both(program: Program) -> bool:
        trial = in_session(program)
        later = [n for n in program.gates if program.firsts[n] > 0]
        withheld = {n for n in later if isinstance(trial.outcomes[n], Withheld)}
        return bool(withheld) and bool(set(later) & ran(trial))

    shows(eventful.irreversible(), both)


@pytest.mark.parametrize("started", [False, True])
def test_calls_are_cancelled_before_they_start_and_while_they_run(started: bool) -> None:
    def found(program: Program) -> bool:
        trial = in_session(program)
        cancelled = {n for n, outcome in enumerate(trial.outcomes) if isinstance(outcome, Cancelled)}
        return bool(cancelled & ran(trial) if started else cancelled - ran(trial))

    shows(eventful.cancelled(), found)


def test_work_goes_on_after_its_timeout() -> None:
    def found(program: Program) -> bool:
        trial = in_session(program)
        settled, released = trial.times("settled"), trial.times("released")
        late = [n for n, step in enumerate(program.steps) if step.tool.endswith("_deaf")]
        return ToolTimeout in errors(trial) and any(released[n] > settled[n] for n in late)

    shows(eventful.timed(), found)


def test_calls_are_refused_because_of_what_was_given_up() -> None:
    shows(eventful.given_up(), lambda program: ResourceQuarantined in errors(in_session(program)))
    shows(directed.late_into_quarantine(), lambda program: ResourceQuarantined in errors(in_session(program)))


def test_reads_of_broken_messages_are_adopted() -> None:
    def found(program: Program) -> bool:
        return any(future.leader is not future for future in in_session(program).futures)

    shows(eventful.broken_off(), found)


def test_reads_are_shared() -> None:
    def found(program: Program) -> bool:
        trial = in_session(program, duplicates="share")
        return any(future.leader is not future for future in trial.futures)

    shows(eventful.repeated(), found)


@pytest.mark.parametrize("sign", ["EffectEscape", "upstream", "nest", "resume"])
def test_calls_from_inside_escape_fail_nest_and_are_waited_for(sign: str) -> None:
    def found(program: Program) -> bool:
        trial = in_order(program)
        return sign in repr(
            [trial.promised[0], [step.arguments.get("calls") for step in program.steps], trial.world.log]
        )

    shows(eventful.families(), found)


def test_groups_end_as_in_another_order_than_that_of_emission() -> None:
    def found(program: Program) -> bool:
        trial = in_session(program, same_message="concurrent")
        checks.in_some_order(program, trial)
        return trial.promised != in_order(program).promised

    shows(eventful.grouped(), found)


def test_sessions_of_one_runtime_are_interleaved_and_conflict() -> None:
    def found(conversations: list[Program]) -> bool:
        program, trial = in_runtime(conversations)
        sessions = [step.arguments["n"] // 100 for step in program.steps]
        effects = [event.data["effects"] for event in trial.events if event.kind == "sealed"]
        across = any(sessions[older] != sessions[n] for n, before in enumerate(effects) for older in before)
        return sessions != sorted(sessions) and across

    shows(eventful.conversations(), found)


def test_values_are_dropped_and_references_to_them_refused() -> None:
    def found(program: Program) -> bool:
        return bool(in_session(program, max_retained_bytes=150).refused(ValueDropped))

    shows(programs(max_calls=8, barriers=False), found)


@given(
    st.one_of(
        eventful.irreversible(),
        eventful.cancelled(),
        eventful.broken_off(),
        eventful.families(),
        eventful.repeated(),
        eventful.grouped(),
        eventful.respelt(),
        directed.retried_behind_a_write(),
    )
)
def test_its_repr_can_be_pasted_and_it_repeats_itself(program: Program) -> None:
    names = {kind.__name__: kind for kind in (Program, Emitted, Broken, Step, Ref, Text)}
    assert eval(repr(program), names) == program
    assert in_order(program).promised == in_order(program).promised
