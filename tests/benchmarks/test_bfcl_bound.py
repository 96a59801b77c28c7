from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyncfc.futures.store import MemoryStore
from benchmarks.bfcl.bound import critical_path, predecessors, times
from benchmarks.bfcl.data import Case, GroundCall, Turn, packaged_cases
from benchmarks.bfcl.dependencies import Dependency
from benchmarks.bfcl.ideal import ideal_units
from benchmarks.bfcl.labels import Level, footprint
from benchmarks.bfcl.plan import Barrier, Plan, Settings, plan
from benchmarks.bfcl.sequential import Trace

pytestmark = pytest.mark.bfcl

# Tools of one class: `mkdir` writes root, `ls` reads it; `pure` has no effects.
_CLASSES = {"mkdir": "GorillaFileSystem", "ls": "GorillaFileSystem", "add": "MathAPI"}


def _plan(
    tools: str, latencies: Sequence[float], *, level: Level = "attribute", needs: Sequence[int] = ()
) -> Plan:
    """A case of one turn. `needs`: the last call needs the values of these."""
    calls = tuple(GroundCall(tool, _CLASSES[tool], {}) for tool in tools.split())
    found = [()] * (len(calls) - 1) + [tuple(Dependency(("x",), producer, (), None) for producer in needs)]
    return Plan(
        case=Case("case", (), {}, long_context=False, turns=(Turn((), calls),)),
        reference=Trace(tuple(MemoryStore().put(None) for _ in calls), (), {}),
        dependencies=found,
        latencies=latencies,
        footprints=[footprint(call.class_name, call.tool, level) for call in calls],
        segments=(range(len(calls)),),
    )


def test_writers_follow_each_other_and_readers_follow_writers() -> None:
    made = _plan("mkdir ls ls mkdir", [1, 1, 1, 1])
    [segment] = made.segments
    assert [predecessors(made, place, segment) for place in segment] == [set(), {0}, {0}, {0, 1, 2}]


def test_a_call_follows_what_it_needs() -> None:
    made = _plan("add add add", [5, 1, 1], needs=[1])
    [segment] = made.segments
    assert predecessors(made, 2, segment) == {1}
    assert critical_path(made, segment) == 5


def test_the_critical_path_is_the_longest_chain_of_tool_time() -> None:
    made = _plan("mkdir ls ls mkdir", [1, 4, 2, 1])
    assert critical_path(made, made.segments[0]) == 6


def test_the_bound_is_held_by_decoding_or_by_the_critical_path() -> None:
    assert times(_plan("add add add", [1, 1, 1])) == (3, 3, 3)
    assert times(_plan("mkdir mkdir mkdir", [2, 2, 2])) == (3, 6, 6)


@pytest.mark.parametrize(
    ("tools", "latencies", "needs", "expected"),
    [
        ("add", [2], (), 3),
        ("add add", [5, 1], (), 6),  # 1 + 5; the other is over at 3
        ("add add", [5, 1], (0,), 7),  # the second waits until 6
        ("mkdir mkdir mkdir", [2, 2, 2], (), 7),
        ("mkdir ls add", [2, 2, 1], (), 5),
    ],
)
def test_the_ideal_emits_a_message_a_unit_and_waits_for_inputs_and_conflicts(
    tools: str, latencies: Sequence[float], needs: Sequence[int], expected: float
) -> None:
    assert ideal_units(_plan(tools, latencies, needs=needs), "attribute") == expected


def test_without_labels_the_ideal_runs_one_call_after_the_other() -> None:
    assert ideal_units(_plan("add add add", [2, 2, 2], level="none"), "none") == 7


@pytest.mark.parametrize(
    ("labels", "barrier", "bound", "speedup"),
    [
        ("none", "turn", 1.50, 1.14),
        ("class", "turn", 1.58, 1.16),
        ("attribute", "turn", 1.69, 1.20),
        ("none", "case", 1.50, 1.38),
        ("class", "case", 1.95, 1.66),
        ("attribute", "case", 2.38, 1.86),
    ],
)
@pytest.mark.slow
def test_the_base_cases_allow_what_an_independent_list_schedule_found(
    labels: Level, barrier: Barrier, bound: float, speedup: float
) -> None:
    settings = Settings(labels=labels, barrier=barrier, latency="constant", q=2)
    plans = [plan(case, settings) for case in packaged_cases("base")]
    found = [times(made) for made in plans]
    assert sum(t.llm + t.tool for t in found) / sum(t.least for t in found) == pytest.approx(bound, abs=0.005)
    ideal = sum(ideal_units(made, labels) for made in plans)
    assert sum(made.sync_units for made in plans) / ideal == pytest.approx(speedup, abs=0.005)


def test_a_turn_barrier_cuts_a_case_into_its_turns_and_leaves_out_empty_ones() -> None:
    [case] = [case for case in packaged_cases("miss_func") if case.id == "multi_turn_miss_func_0"]
    assert [len(turn.calls) for turn in case.turns] == [3, 2, 0, 1, 4]
    by_turn = plan(case, Settings(barrier="turn")).segments
    assert by_turn == (range(3), range(3, 5), range(5, 6), range(6, 10))
    assert plan(case, Settings(barrier="case")).segments == (range(10),)
