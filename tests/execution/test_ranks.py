"""Ranks: the longest way from a call on, passed on from newer calls to older ones, a bounded part at once."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.execution.estimates import UNKNOWN_S, Estimates
from asyncfc.execution.line import NO_RANK
from asyncfc.execution.ranks import MOST_EDGES, Ranks

SECONDS = {"a": 1.0, "b": 2.0, "c": 8.0}


class Calls:
    """Live calls, and how often an edge was looked at."""

    def __init__(self) -> None:
        self.graph = DependencyGraph()
        self.looked = 0
        estimates = Estimates()
        for tool, seconds in SECONDS.items():
            estimates.learn(tool, seconds)
        self.ranks = Ranks(self, estimates)

    def before(self, order: int) -> Collection[int]:
        found = list(self.graph.before(order))
        self.looked += len(found)
        return found

    def add(self, order: int, tool: str, data: Collection[int] = ()) -> None:
        self.graph.add(order, sorted(data))
        self.ranks.enter(order, tool)


@st.composite
def dags(draw: st.DrawFn) -> list[tuple[str, set[int], bool]]:
    """Of each call its tool, what it waits for, and whether somebody asks for ranks then."""
    return [
        (
            draw(st.sampled_from("abc")),
            draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set(),
            asked,
        )
        for n, asked in enumerate(draw(st.lists(st.booleans(), min_size=1, max_size=30)))
    ]


def longest(calls: list[tuple[str, set[int], bool]]) -> list[float]:
    ranks = [SECONDS[tool] for tool, _, _ in calls]
    for n in reversed(range(len(calls))):
        for older in calls[n][1]:
            ranks[older] = max(ranks[older], SECONDS[calls[older][0]] + ranks[n])
    return ranks


@given(calls=dags())
def test_a_rank_is_the_longest_way_from_its_call_on(calls: list[tuple[str, set[int], bool]]) -> None:
    live = Calls()
    for n, (tool, data, asked) in enumerate(calls):
        before = [live.ranks.of(order).whole for order in range(n)]
        live.add(n, tool, data)
        if asked:
            told = live.ranks.catch_up()
            now = longest(calls[: n + 1])
            assert [live.ranks.of(order).whole for order in range(n + 1)] == now
            own = [SECONDS[tool] for tool, _, _ in calls[: n + 1]]
            assert [r - o for r, o in zip(now, own, strict=True)] == [
                live.ranks.of(m).behind for m in range(n + 1)
            ]
            assert told == {order for order in range(n) if now[order] != before[order]}


def test_what_has_left_is_forgotten_and_nothing_is_kept() -> None:
    live = Calls()
    for n in range(5):
        live.add(n, "a", [n - 1] if n else [])
    for n in range(5):
        live.graph.end(n)
        live.ranks.leave(n)
        live.ranks.catch_up()
    assert len(live.ranks) == 0
    live.ranks.leave(7)
    assert live.ranks.of(7) == NO_RANK


def test_where_nothing_is_known_the_longest_chain_is_first() -> None:
    graph = DependencyGraph()
    ranks = Ranks(graph, Estimates())
    for n in range(3):
        graph.add(n, [n - 1] if n else [])
        ranks.enter(n, "x")
    ranks.catch_up()
    assert [ranks.of(n).whole / UNKNOWN_S for n in range(3)] == [3, 2, 1]


def test_a_message_is_passed_on_once_however_many_calls_it_has() -> None:
    live, calls = Calls(), 800
    for n in range(calls):
        live.add(n, "a", [n - 1] if n else [])
    live.ranks.catch_up()
    assert live.looked == calls - 1
    assert live.ranks.of(0).whole == calls


def test_one_step_is_bounded_however_long_the_chain_and_the_rest_comes_later() -> None:
    live, calls = Calls(), 10 * MOST_EDGES
    for n in range(calls):
        live.add(n, "a", [n - 1] if n else [])
    steps = 0
    while live.ranks.of(0).whole < calls:
        before = live.looked
        live.ranks.catch_up()
        steps += 1
        assert live.looked - before <= MOST_EDGES
    assert steps <= calls / MOST_EDGES + 1


def test_a_session_that_goes_by_age_has_no_ranks_and_is_in_the_way_of_none() -> None:
    live = Calls()
    live.graph.add(0)  # of a session without ranks
    live.add(1, "b", [0])
    live.graph.add(2, [1])
    live.ranks.catch_up()
    assert [live.ranks.of(n).whole for n in range(3)] == [0, 2, 0]
