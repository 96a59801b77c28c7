"""Trials, against programs worked out by hand."""

from __future__ import annotations

from typing import Any

from asyncfc.errors import ToolTimeout
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.testing.oracle import Recorded, Ref, Step, digest
from asyncfc.testing.programs import Broken, Emitted, Program
from asyncfc.testing.trial import in_order, in_runtime, in_session


def message(*calls: tuple[str, dict[str, Any]], first: int = 0, gap: float = 0, **more: Any) -> Emitted:
    steps = tuple(Step(tool, {"n": n, **arguments}) for n, (tool, arguments) in enumerate(calls, first))
    return Emitted(steps, (gap,) + (0.0,) * len(steps), **more)


def test_a_cancelled_call_stops_in_its_middle_and_the_reference_is_told_so() -> None:
    calls = [("append", {"path": "a", "delay": 3}), ("read", {"path": "a", "delay": 1})]
    program = Program((message(*calls),), {}, ((1.5, 0),))
    trial = in_session(program)
    ((n, recorded),) = trial.recorded().items()
    assert (n, recorded.ran) == (0, True)
    assert isinstance(recorded.outcome, Cancelled)
    assert trial.world.cells["a",] == ["0<"]
    assert in_order(program, trial.recorded()).promised == trial.promised
    assert trial.times("started") == {0: 0, 1: 1.5}


def test_deaf_work_is_done_to_its_end_though_its_call_has_timed_out() -> None:
    calls = [("append_deaf", {"path": "a", "delay": 5}), ("read", {"path": "a", "delay": 1})]
    program = Program((message(*calls),))
    trial = in_session(program)
    outcome = trial.outcomes[0]
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, ToolTimeout)
    assert trial.times("settled")[0] == 2.5
    assert trial.times("started")[1] == 5
    assert in_order(program, trial.recorded()).promised == trial.promised
    assert len(trial.world.cells["a",]) == 2


def test_a_timed_out_call_stops_in_its_middle() -> None:
    program = Program((message(("append_timed", {"path": "a", "delay": 5})),))
    trial = in_session(program)
    assert trial.world.cells["a",] == ["0<"]
    assert in_order(program, trial.recorded()).promised == trial.promised


def test_broken_messages_take_their_time_and_number_no_call_of_the_program() -> None:
    read = ("read", {"path": "a", "delay": 1})
    broken = Broken((Step("append", {"n": 9, "path": "a"}),), 2.0, retried=False)
    program = Program((message(read, broken=(broken, broken)),))
    trial = in_session(program)
    assert (program.sealed_at, program.tools) == ([4.0], {"read", "append"})
    assert trial.times("started") == {0: 4}
    assert (len(trial.futures), len(trial.made)) == (1, 3)
    assert {n for _, n, _ in trial.world.log} == {0}


def test_calls_from_inside_run_within_their_caller_and_tell_it_what_became_of_them() -> None:
    calls = [
        ["pick", {"n": 10, "path": "a/b"}],
        ["append", {"n": 11, "path": {"sibling": 0, "path": []}, "delay": 2}],
        ["read", {"n": 12, "path": "a"}],
        ["read", {"n": 13, "path": "b"}],
    ]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("nest", {"path": "a", "calls": calls, "delay": 1}),
        ("read", {"path": "a/b"}),
    ]
    program = Program((message(*steps),), {"*": 1})
    trial = in_session(program)
    assert trial.promised == in_order(program).promised
    outcome = trial.outcomes[0]
    assert isinstance(outcome, Value)
    of_calls = outcome.get()["calls"]
    assert [result[0] for result in of_calls] == ["value", "value", "value", "failure"]
    assert of_calls[3] == ["failure", "EffectEscape"]
    whats = [(n, what) for _, n, what in trial.world.log if n == 0]
    assert whats == [(0, what) for what in ("start", "pause", "resume", "pause", "resume", "end")]


def test_a_caller_that_does_not_wait_releases_after_its_calls() -> None:
    calls = [["append", {"n": 10, "path": "a", "delay": 4}]]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("nest", {"path": "a", "calls": calls, "wait": False}),
        ("read", {"path": "a"}),
    ]
    trial = in_session(Program((message(*steps),)))
    assert (trial.times("settled")[0], trial.times("released")[0], trial.times("started")[1]) == (0, 4, 4)


def test_sessions_of_one_runtime_give_one_program_in_the_order_of_registration() -> None:
    one = Program(
        (
            message(("append", {"path": "a", "delay": 3})),
            message(("pick", {"path": "a", "value": Ref(0)}), first=1, gap=1),
        )
    )
    other = Program(
        (
            message(("append", {"path": "a", "fail": "end"}), first=100),
            message(("pick", {"path": Ref(0)}), first=101, gap=1),
        )
    )
    whole, trial = in_runtime([one, other])
    assert [step.arguments["n"] for step in whole.steps] == [0, 100, 1, 101]
    assert (whole.steps[2].arguments["value"], whole.steps[3].arguments["path"]) == (Ref(0), Ref(1))
    assert digest(trial.outcomes[3])[:2] == ("upstream", "1")
    assert trial.promised == in_order(whole).promised
    assert trial.times("started")[1] == 3


def test_the_reference_takes_another_order_and_recorded_outcomes() -> None:
    program = Program(
        (message(("append", {"path": "a"}), ("append", {"path": "a"}), ("read", {"path": "a"})),)
    )
    swapped = in_order(program, order=[1, 0, 2])
    assert [mark[:2] for mark in swapped.world.cells["a",]] == ["1<", "1+", "0<", "0+"]
    skipped = in_order(program, {0: Recorded(Cancelled("no"), ran=False)})
    assert [mark[:2] for mark in skipped.world.cells["a",]] == ["1<", "1+"]
    assert digest(skipped.outcomes[0]) == ("cancelled", "no")
