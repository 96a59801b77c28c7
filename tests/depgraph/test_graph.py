from __future__ import annotations

from asyncfc.depgraph.effects import Conflict
from asyncfc.depgraph.graph import DependencyGraph, Wait

WAW = Conflict("WAW", ("a",))


def test_an_independent_call_is_ready_at_once_and_leaves_at_its_end() -> None:
    graph = DependencyGraph()
    assert graph.add(0)
    assert graph.end(0) == ([0], [])
    assert len(graph) == 0
    assert 0 not in graph


def test_data_waits_for_settling_and_effects_for_release() -> None:
    graph = DependencyGraph()
    graph.add(0)
    assert not graph.add(1, data=[0])
    assert not graph.add(2, effects={0: WAW})
    assert graph.settle(0) == [(1, True)]
    assert graph.end(0) == ([0], [2])


def test_a_pair_with_both_reasons_waits_for_both() -> None:
    graph = DependencyGraph()
    graph.add(0)
    graph.add(1, data=[0], effects={0: WAW})
    assert graph.waits(1) == [Wait(0, data=True, effect=WAW)]
    assert graph.settle(0) == [(1, False)]
    assert graph.end(0) == ([0], [1])


def test_a_hold_is_one_more_reason() -> None:
    graph = DependencyGraph()
    assert not graph.add(0, holds=2)
    assert not graph.lift(0)
    assert graph.lift(0)


def test_a_call_that_never_runs_passes_its_place_on() -> None:
    graph = DependencyGraph()
    graph.add(0)
    graph.add(1, effects={0: WAW})
    graph.add(2, effects={1: WAW})
    assert graph.end(1) == ([], [])  # it will never run, but 0 has not released
    assert graph.is_ordering(1)
    assert graph.end(0) == ([0, 1], [2])


def test_a_dropped_edge_frees_the_newer_call() -> None:
    graph = DependencyGraph()
    graph.add(0)
    graph.add(1, effects={0: WAW})
    assert graph.effect_neighbours(0) == [(0, 1)]
    assert graph.drop_effect(0, 1) == ([], [1])
    assert graph.effect_neighbours(0) == []
    assert not graph.is_ordering(0)


def test_a_dropped_edge_releases_a_call_that_has_ended_and_what_waited_for_it() -> None:
    graph = DependencyGraph()
    graph.add(0)
    graph.add(1, effects={0: WAW})
    graph.add(2, effects={1: WAW})
    graph.end(1)
    assert graph.drop_effect(0, 1) == ([1], [2])


def test_dropping_the_effect_keeps_the_data() -> None:
    graph = DependencyGraph()
    graph.add(0)
    graph.add(1, data=[0], effects={0: WAW})
    assert graph.drop_effect(0, 1) == ([], [])
    assert graph.settle(0) == [(1, True)]


def test_a_chain_of_ten_thousand_that_never_runs_releases_without_recursion() -> None:
    graph = DependencyGraph()
    graph.add(0)
    for order in range(1, 10_000):
        graph.add(order, effects={order - 1: WAW})
    for order in range(1, 10_000):
        graph.end(order)
    released, ready = graph.end(0)
    assert len(released) == 10_000
    assert ready == []
    assert len(graph) == 0
