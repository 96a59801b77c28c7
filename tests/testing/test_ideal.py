"""The ideal timing, against programs worked out by hand."""

from __future__ import annotations

from typing import Any

from asyncfc.testing.ideal import Ideal, ideal_times
from asyncfc.testing.oracle import Ref, Step
from asyncfc.testing.programs import Emitted, Program
from asyncfc.testing.trial import in_order


def _times(*calls: tuple[str, dict[str, Any]], gaps: tuple[float, ...] | None = None) -> list[Ideal]:
    """The ideal times of one message with these calls."""
    steps = tuple(Step(tool, {"n": n, **arguments}) for n, (tool, arguments) in enumerate(calls))
    program = Program((Emitted(steps, gaps or (0.0,) * (len(steps) + 1)),))
    trial = in_order(program)
    return ideal_times(program, trial.outcomes, trial.tools)


def test_calls_that_share_nothing_start_together() -> None:
    times = _times(("write", {"path": "a", "delay": 2}), ("write", {"path": "b", "delay": 3}))
    assert times == [Ideal(0, 2, 2), Ideal(0, 3, 3)]


def test_a_conflict_makes_the_newer_wait_for_the_older() -> None:
    times = _times(
        ("read", {"path": "a/b", "delay": 2}),
        ("write", {"path": "a", "delay": 3}),
        ("read", {"path": ".", "delay": 1}),
        ("read", {"path": "b", "delay": 1}),
    )
    assert times == [Ideal(0, 2, 2), Ideal(2, 5, 5), Ideal(5, 6, 6), Ideal(0, 1, 1)]


def test_an_undeclared_call_runs_alone_but_for_pure_ones() -> None:
    times = _times(
        ("read", {"path": "a", "delay": 1}),
        ("read_bare", {"path": "b", "delay": 2}),
        ("pick", {"path": "a", "delay": 1}),
        ("read", {"path": "b", "delay": 1}),
    )
    assert [ideal.start for ideal in times] == [0, 1, 0, 3]


def test_a_declared_read_starts_at_its_seal_and_a_write_at_the_commit() -> None:
    calls = [("read", {"path": "a", "delay": 1}), ("write", {"path": "b", "delay": 1})]
    assert [ideal.start for ideal in _times(*calls, gaps=(2, 3, 4))] == [2, 9]


def test_data_is_waited_for_until_it_settles() -> None:
    times = _times(("pick", {"path": "a", "delay": 4}), ("write", {"path": "b", "value": Ref(0), "delay": 1}))
    assert times[1] == Ideal(4, 5, 5)


def test_a_late_label_blocks_widely_until_it_is_known() -> None:
    times = _times(
        ("pick", {"path": "b", "delay": 3}),
        ("write", {"path": Ref(0), "delay": 5}),  # everything until 3, then only b
        ("read", {"path": "a", "delay": 1}),
        ("read", {"path": "b/a", "delay": 1}),
    )
    assert [ideal.start for ideal in times] == [0, 3, 3, 8]


def test_two_late_labels_are_free_of_each_other_once_enough_is_known() -> None:
    times = _times(
        ("pick", {"path": "a", "delay": 2}),
        ("pick", {"path": "b", "delay": 6}),
        ("write", {"path": Ref(0), "delay": 9}),
        ("write", {"path": Ref(1), "delay": 1}),
    )
    assert [ideal.start for ideal in times] == [0, 0, 2, 6]


def test_a_call_that_never_runs_passes_its_place_on() -> None:
    times = _times(
        ("write", {"path": "b", "delay": 6}),
        ("pick", {"path": "a", "delay": 1, "fail": "end"}),
        ("write", {"path": "b", "value": Ref(1), "delay": 2}),
        ("read", {"path": "b/b", "delay": 1}),
    )
    assert times[2] == Ideal(None, 1, 6)
    assert times[3].start == 6


def test_a_call_whose_label_can_never_be_known_blocks_widely_until_it_releases() -> None:
    times = _times(
        ("write", {"path": "b", "delay": 6}),
        ("pick", {"path": "a", "delay": 1, "fail": "end"}),
        ("write", {"path": Ref(1), "delay": 2}),
        ("read", {"path": "a", "delay": 1}),
    )
    assert times[2] == Ideal(None, 1, 6)
    assert times[3].start == 6


def test_an_upstream_failure_settles_when_the_earliest_failed_input_is_certain() -> None:
    times = _times(
        ("pick", {"path": "a", "delay": 5}),
        ("pick", {"path": "a", "delay": 1, "fail": "middle"}),
        ("pick", {"path": "a", "value": [Ref(1), Ref(0)], "delay": 2}),
        ("pick", {"path": "a", "value": Ref(1), "delay": 2}),
    )
    assert [ideal.settle for ideal in times] == [5, 1, 5, 1]


def test_a_bad_path_into_a_value_ends_the_call_before_it_starts() -> None:
    times = _times(
        ("pick", {"path": "a", "delay": 3}), ("write", {"path": "b", "value": Ref(0, ("x",)), "delay": 2})
    )
    assert times[1] == Ideal(None, 3, 3)


def test_a_tool_that_raises_at_once_takes_no_time() -> None:
    times = _times(("write", {"path": "b", "delay": 2, "fail": "start"}), ("read", {"path": "b", "delay": 1}))
    assert times == [Ideal(0, 0, 0), Ideal(0, 1, 1)]


def test_an_irreversible_call_waits_for_all_earlier_ones_of_its_message() -> None:
    times = _times(
        ("pick", {"path": "a", "delay": 3}),
        ("append_final", {"path": "b", "delay": 1}),
        ("append", {"path": "a", "delay": 1}),
    )
    assert [ideal.start for ideal in times] == [0, 3, 0]


def test_a_withheld_call_settles_when_the_first_failure_is_certain() -> None:
    times = _times(
        ("pick", {"path": "a", "delay": 4}),
        ("pick", {"path": "a", "delay": 1, "fail": "end"}),
        ("append_final", {"path": "b", "delay": 1}),
    )
    assert times[2] == Ideal(None, 4, 4)


def test_undeclared_calls_of_one_message_may_overlap() -> None:
    steps = [Step("append_bare", {"n": n, "path": "a", "delay": 2}) for n in range(3)]
    program = Program((Emitted(tuple(steps[:2]), (0.0,) * 3), Emitted((steps[2],), (0.0, 0.0))))
    trial = in_order(program)
    times = ideal_times(program, trial.outcomes, trial.tools, concurrent=True)
    assert [ideal.start for ideal in times] == [0, 0, 2]


def test_whether_an_input_settles_before_or_after_a_seal_at_the_same_time_is_for_the_run_to_say() -> None:
    calls = [
        Step("pick", {"n": 0, "path": "b", "delay": 2}),
        Step("pick", {"n": 1, "path": "b", "delay": 5}),
        Step("copy", {"n": 2, "path": Ref(1), "to": Ref(0), "delay": 1}),  # at 2: writes `b`, or anything
        Step("read", {"n": 3, "path": "a", "delay": 1}),
    ]
    first, second = Emitted(tuple(calls[:2]), (0.0,) * 3), Emitted(tuple(calls[2:]), (2.0, 0.0, 0.0))
    program = Program((first, second))
    trial = in_order(program)
    starts = [
        ideal_times(program, trial.outcomes, trial.tools, pending={2: pending})[3].start
        for pending in ([1], [0, 1])
    ]
    assert starts == [2, 5]
