from __future__ import annotations

from statistics import fmean

import pytest

from benchmarks.bfcl.data import Case, GroundCall, Turn
from benchmarks.bfcl.latency import SHAPES, Shape, latencies


def _case(id: str, calls: int) -> Case:
    return Case(id, (), {}, long_context=False, turns=(Turn((), (GroundCall("t", "C", {}),) * calls),))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_latency_depends_on_seed_case_and_place_alone(shape: Shape) -> None:
    long, short = _case("a", 5), _case("a", 3)
    assert latencies(long, shape=shape, mean=2, seed=1)[:3] == latencies(short, shape=shape, mean=2, seed=1)


def test_another_seed_or_case_gives_other_latencies() -> None:
    drawn = {
        latencies(_case(name, 3), shape="lognormal", mean=2, seed=seed)
        for name in ("a", "b")
        for seed in (1, 2, 3)
    }
    assert len(drawn) == 6
    assert len({latency for latencies in drawn for latency in latencies}) == 18


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mean_is_as_asked_and_nothing_is_negative(shape: Shape) -> None:
    drawn = latencies(_case("a", 10_000), shape=shape, mean=3, seed=0)
    assert fmean(drawn) == pytest.approx(3, rel=0.05)
    assert min(drawn) >= 0


@pytest.mark.parametrize("shape", SHAPES)
def test_tools_may_take_no_time_at_all(shape: Shape) -> None:
    assert latencies(_case("a", 3), shape=shape, mean=0, seed=0) == (0, 0, 0)
