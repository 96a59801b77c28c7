from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from benchmarks.bfcl.backend import instantiate, reset_shared_state, shared_state
from benchmarks.bfcl.state import differences, snapshot

pytestmark = pytest.mark.bfcl

_FILES = {
    "root": {
        "home": {
            "type": "directory",
            "contents": {
                "a.txt": {"type": "file", "content": "one"},
                "sub": {"type": "directory", "contents": {}},
            },
        }
    }
}


def _make(name: str, **config: Any) -> Any:
    return instantiate([name], {name: config}, long_context=False)[name]


def _changed(before: Any, after: Any) -> list[str]:
    return differences(snapshot({"X": before}), snapshot({"X": after}))


def test_two_fresh_instances_are_the_same() -> None:
    for name in ("GorillaFileSystem", "TradingBot", "TravelAPI", "MessageAPI", "VehicleControlAPI"):
        assert _changed(_make(name), _make(name)) == []


def test_the_working_directory_counts_and_is_told_from_the_tree() -> None:
    files = _make("GorillaFileSystem", **_FILES)
    moved = deepcopy(files)
    moved.cd("sub")
    assert _changed(files, moved) == ["X._current_dir"]
    assert files == moved  # BFCL's own comparison does not see it


def test_a_new_directory_counts_in_the_tree_alone_wherever_one_stands() -> None:
    files = _make("GorillaFileSystem", **_FILES)
    files.cd("sub")
    changed = deepcopy(files)
    changed.mkdir("new")
    assert _changed(files, changed) == ["X.root"]


def test_a_working_directory_outside_the_tree_is_shown_in_full() -> None:
    files = _make("GorillaFileSystem", **_FILES)
    files.cd("sub")
    changed = deepcopy(files)
    files.root.contents.pop("sub")
    changed.root.contents.pop("sub")
    changed.touch("lost.txt")
    assert _changed(files, changed) == ["X._current_dir"]


def test_a_draw_from_a_random_generator_counts() -> None:
    car = _make("VehicleControlAPI")
    driven = deepcopy(car)
    driven.get_current_speed()
    assert _changed(car, driven) == ["X._random"]


def test_a_cache_counts() -> None:
    travel = _make("TravelAPI")
    asked = deepcopy(travel)
    asked.get_flight_cost("SFO", "LAX", "2026-01-01", "economy")
    assert _changed(travel, asked) == ["X._flight_cost_lookup"]


class _Box:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "None"),
        ([1, 2], (1, 2)),
        ({1: "a"}, {"1": "a"}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], [2, 1]),
        ({1}, [1]),
        (_Box(a=1), _Box(a=2)),
    ],
)
def test_values_that_differ_in_type_or_order_are_told_apart(one: Any, other: Any) -> None:
    assert _changed(_Box(value=one), _Box(value=other)) == ["X.value"]


def test_the_order_of_a_set_does_not_count() -> None:
    assert _changed(_Box(value={"b", "a", 3}), _Box(value={3, "a", "b"})) == []


def test_one_shared_list_is_told_from_two_equal_ones() -> None:
    shared: list[int] = []
    assert _changed(_Box(value=[shared, shared]), _Box(value=[[], []])) == ["X.value"]


def test_a_cycle_is_walked_once() -> None:
    def loop() -> _Box:
        box = _Box()
        box.own = [box]  # type: ignore[attr-defined]
        return box

    assert _changed(loop(), loop()) == []


def test_the_wall_clock_does_not_count() -> None:
    assert _changed(_Box(value=_Box(_last_modified=1)), _Box(value=_Box(_last_modified=2))) == []


def test_an_attribute_that_only_one_side_has_is_a_difference() -> None:
    assert _changed(_Box(a=1), _Box(a=1, b=2)) == ["X.b"]


def test_state_that_no_instance_owns_is_seen_and_put_back() -> None:
    reset_shared_state()
    assert shared_state() == {}
    bird = _make("TwitterAPI", authenticated=True)
    bird.mention(bird.post_tweet("hello")["id"], ["ann"])
    _make("MathAPI").logarithm(10, 2, precision=30)
    car = instantiate(["VehicleControlAPI"], {}, long_context=True)["VehicleControlAPI"]
    car.get_outside_temperature_from_google()
    assert set(shared_state()) == {
        "TwitterAPI.post_tweet default 1",
        "long_context.LONG_WEATHER_EXTENSION",
        "mpmath.mp.dps",
    }
    reset_shared_state()
    assert shared_state() == {}
    assert bird.post_tweet("again")["mentions"] == []
