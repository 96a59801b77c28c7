from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from asyncfc.futures.future import Future
from benchmarks.bfcl.__main__ import run
from benchmarks.bfcl.data import CATEGORIES, Case, Category, GroundCall, Turn, packaged_cases
from benchmarks.bfcl.ideal import ideal_units
from benchmarks.bfcl.labels import LEVELS, Level
from benchmarks.bfcl.plan import FAULTS, Barrier, Fault, Settings, plan
from benchmarks.bfcl.replay import _emit, replay

pytestmark = pytest.mark.bfcl

SAMPLE = (1, 24, 39, 55, 61, 67, 92, 107, 146, 183)


def _sample(category: Category = "base") -> list[Case]:
    ids = {f"multi_turn_{category}_{number}" for number in SAMPLE}
    return [case for case in packaged_cases(category) if case.id in ids]


def _case(*calls: GroundCall, **config: Any) -> Case:
    classes = tuple(dict.fromkeys(call.class_name for call in calls))
    return Case("made_up", classes, config, long_context=False, turns=(Turn((), calls),))


@pytest.mark.planted
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_caught(fault: Fault, seed: int) -> None:
    settings = Settings(barrier="case", seed=seed)
    assert [row.id for row in run(_sample(), replace(settings, fault=fault)) if row.mismatches]
    assert not [row.id for row in run(_sample(), settings) if row.mismatches]


@pytest.mark.parametrize("barrier", ["turn", "case"])
@pytest.mark.parametrize("labels", LEVELS)
def test_results_and_final_state_are_those_of_the_sequential_run(labels: Level, barrier: Barrier) -> None:
    rows = run(_sample(), Settings(labels=labels, barrier=barrier, seed=3))
    assert len(rows) == len(SAMPLE)
    assert {row.id: row.mismatches for row in rows if row.mismatches} == {}
    assert sum(row.handles for row in rows) > 10


@pytest.mark.parametrize("labels", LEVELS)
def test_the_time_is_the_ideal_one(labels: Level) -> None:
    for barrier in ("turn", "case"):
        for row in run(_sample(), Settings(labels=labels, barrier=barrier, seed=4)):
            assert row.async_s == pytest.approx(row.ideal_s, rel=1e-9), row.id


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_all_cases_of_a_category_agree_with_futures_across_user_turns(category: Category) -> None:
    rows = run(packaged_cases(category), Settings(barrier="case"))
    assert len(rows) == 200
    assert {row.id: row.mismatches for row in rows if row.mismatches} == {}
    assert sum(row.async_s for row in rows) == pytest.approx(sum(row.ideal_s for row in rows), rel=1e-9)


@pytest.mark.parametrize("labels", LEVELS)
def test_with_blocking_tools_in_threads_the_results_are_the_same(labels: Level) -> None:
    rows = run(_sample(), Settings(labels=labels, barrier="case", clock="real", unit_ms=0))
    assert {row.id: row.mismatches for row in rows if row.mismatches} == {}


def test_the_model_names_earlier_results_by_their_handles() -> None:
    login = GroundCall("authenticate_travel", "TravelAPI", dict.fromkeys(_LOGIN, "x"))
    token = json.loads(plan(_case(login), Settings()).reference.results[0].removeprefix("value "))[
        "access_token"
    ]
    limit = GroundCall("set_budget_limit", "TravelAPI", {"access_token": token, "budget_limit": 5.0})
    future = Future("call_0", "authenticate_travel", 0)
    future.handle = "$k7qz_1"
    call = _emit(plan(_case(login, limit), Settings()), 1, [future])
    assert json.loads(str(call.arguments)) == {"access_token": "$k7qz_1.access_token", "budget_limit": 5.0}


_LOGIN = ("client_id", "client_secret", "refresh_token", "grant_type", "user_first_name", "user_last_name")


def test_what_a_tool_raises_is_its_result_and_the_loop_goes_on() -> None:
    nowhere = {
        "travel_from": "XXX",
        "travel_to": "YYY",
        "travel_date": "2026-01-01",
        "travel_class": "economy",
    }
    calls = [
        GroundCall("list_all_airports", "TravelAPI", {}),
        GroundCall("get_flight_cost", "TravelAPI", nowhere),
    ]
    settings = Settings(latency="constant", barrier="case")
    made = plan(_case(*calls, *calls), settings)
    done = replay(made, settings)
    for place in (1, 3):
        assert done.trace.results[place] == "ValueError: No available route for the given airports."
    assert done.mismatches(made.reference) == []
    # The second failing call is emitted at 4, when the first, which it is ordered after, ends.
    assert done.seconds == ideal_units(made, "attribute") == 6


def test_a_result_without_json_form_is_compared_by_its_text_at_the_end_of_its_call() -> None:
    calls = [
        GroundCall("logarithm", "MathAPI", {"value": 10.0, "base": 3.0, "precision": precision})
        for precision in (3, 30, 5)
    ]
    made = plan(_case(*calls), Settings())
    assert len(set(made.reference.results)) == 3
    assert replay(made, Settings(barrier="case")).mismatches(made.reference) == []


def test_a_difference_is_told_by_call_and_by_attribute() -> None:
    made = plan(_sample()[0], Settings())
    done = replay(made, Settings())
    wrong = replace(made.reference, results=("nonsense", *made.reference.results[1:]), state={})
    assert done.mismatches(wrong) == [
        "call 0",
        "GorillaFileSystem._api_description",
        "GorillaFileSystem._current_dir",
        "GorillaFileSystem.long_context",
        "GorillaFileSystem.root",
    ]


def test_a_case_without_calls_takes_no_time() -> None:
    case = Case("empty", ("MathAPI",), {}, long_context=False, turns=(Turn(("hello",), ()),))
    made = plan(case, Settings())
    assert (replay(made, Settings()).seconds, ideal_units(made, "attribute"), made.sync_units) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.planted
@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_shows_in_the_whole_category(fault: Fault) -> None:
    rows = run(packaged_cases("base"), Settings(barrier="case", fault=fault))
    assert len(rows) == 200
    assert sum(bool(row.mismatches) for row in rows) > 5
