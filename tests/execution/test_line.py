"""Whose turn it is: fair between sessions, the longest way first within one, and nobody waits for ever."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.execution.line import EVERY, SPARE, Line, Rank, Share, Ticket

WEIGHTS = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0])
Arrivals = list[list[tuple[int, int]]]
"""By turn, who comes before it: session and rank."""
ARRIVALS = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=4), min_size=1, max_size=60
)


def ticket(order: int, share: Share | None = None, rank: float = 0.0) -> Ticket:
    return Ticket(order, ("*",), share=share, rank=Rank(rank, rank))


def add(line: Line, *tickets: Ticket) -> None:
    for one in tickets:
        line.add(one)


def drain(line: Line) -> list[int]:
    orders = []
    while (one := line.pop()) is not None:
        orders.append(one.order)
    return orders


# --- within a session -----------------------------------------------------------------------------------


def test_nobody_comes_out_of_an_empty_line() -> None:
    assert Line().pop() is None


def test_who_gave_up_is_passed_over() -> None:
    line, share = Line(), Share(ranked=True)
    tickets = [ticket(n, share, rank=float(n)) for n in range(3)]
    add(line, *tickets)
    line.drop(tickets[2])
    assert (len(line), drain(line)) == (2, [1, 0])


def test_by_age_the_oldest_is_first_whatever_its_rank() -> None:
    line, share = Line(), Share()
    add(line, *(ticket(n, share, rank=float(n)) for n in (3, 1, 2)))
    assert drain(line) == [1, 2, 3]


def test_the_highest_rank_is_first_and_the_oldest_of_equals() -> None:
    line, share = Line(), Share(ranked=True)
    add(line, ticket(0, share, 1.0), ticket(2, share, 5.0), ticket(1, share, 5.0))
    assert drain(line) == [1, 2, 0]


def test_a_rank_that_changes_while_its_ticket_waits_counts_as_it_is_now() -> None:
    line, share = Line(), Share(ranked=True)
    one, two, three = (ticket(n, share, rank=1.0) for n in range(3))
    add(line, one, two, three)
    line.rerank(three, Rank(9.0, 9.0))
    line.rerank(two, Rank(5.0, 5.0))
    line.rerank(three, Rank(3.0, 3.0))
    assert drain(line) == [1, 2, 0]


def test_what_a_call_takes_itself_counts_only_while_no_other_session_waits() -> None:
    line, share = Line(), Share(ranked=True)
    for n, rank in enumerate([Rank(9.0, 0.0), Rank(5.0, 4.0), Rank(3.0, 2.0)]):
        line.add(Ticket(n, ("*",), share=share, rank=rank))
    other = ticket(3, Share())
    line.add(other)
    first = line.pop()
    assert first is not None
    assert first.order == 1
    line.drop(other)
    assert drain(line) == [0, 2]


@given(arrivals=ARRIVALS)
def test_nobody_waits_for_longer_than_the_turns_that_those_before_take(arrivals: Arrivals) -> None:
    line, share = Line(), Share(ranked=True)
    turns, orders, due = 0, 0, dict[int, int]()
    for coming in arrivals:
        for _, rank in coming:
            due[orders] = turns + EVERY * (len(line) + 1)
            line.add(ticket(orders, share, float(rank)))
            orders += 1
        served = line.pop()
        turns += served is not None
        if served is not None:
            assert turns <= due[served.order]


def test_a_call_with_the_shortest_way_starts_although_longer_ones_come_for_ever() -> None:
    line, share = Line(), Share(ranked=True)
    line.add(ticket(0, share, 0.0))
    for n in range(1, EVERY):
        line.add(ticket(n, share, 100.0))
        served = line.pop()
        assert served is not None
        assert served.order == n
    line.add(ticket(EVERY, share, 100.0))
    last = line.pop()
    assert last is not None
    assert last.order == 0


def test_what_waits_no_longer_is_not_kept_for_long() -> None:
    line, share = Line(), Share(ranked=True)
    slow = ticket(0, share, 0.0)
    line.add(slow)
    for n in range(1, 1000):
        one = ticket(n, share, 1.0)
        line.add(one)
        line.rerank(one, Rank(2.0, 2.0))
        line.drop(one)
    queue = line._waiting[share]
    assert max(len(queue._whole), len(queue._behind), len(queue._first)) <= 2 * queue.size + SPARE + 1
    line.drop(slow)
    assert not line._waiting
    for n in range(1000):
        quitter = ticket(n, Share())
        line.add(quitter)
        line.drop(quitter)
    assert len(line._turns) <= SPARE + 1


# --- between sessions -----------------------------------------------------------------------------------


def turn(line: Line) -> Share:
    """Whose turn it is; that call ends at once."""
    served = line.pop()
    assert served is not None
    assert served.share is not None
    return served.share


@given(weights=st.lists(WEIGHTS, min_size=2, max_size=4), turns=st.integers(1, 80))
def test_sessions_that_always_wait_have_turns_by_their_weights(weights: list[float], turns: int) -> None:
    line = Line()
    shares = [Share(weight) for weight in weights]
    for n, share in enumerate(shares * (turns + 1)):
        line.add(ticket(n, share))
    had: Counter[Share] = Counter()
    for _ in range(turns):
        had[turn(line)] += 1
        for one, other in combinations(shares, 2):
            ahead = abs(had[one] / one.weight - had[other] / other.weight)
            assert ahead <= 1 / one.weight + 1 / other.weight + 1e-9


def test_a_session_that_comes_with_one_call_at_a_time_has_no_more_than_its_share() -> None:
    line, crowd, single = Line(), Share(), Share()
    for n in range(30):
        line.add(ticket(n, crowd))
    had = []
    for n in range(30, 40):
        line.add(ticket(n, single))
        had += [turn(line) is single for _ in range(2)]
    assert sum(had) in (9, 10)


def test_a_pause_saves_up_nothing() -> None:
    line, steady, other, guest = Line(), Share(), Share(), Share()
    for n in range(100):
        add(line, ticket(n, steady), ticket(200 + n, other))
    for _ in range(50):
        turn(line)
    for n in range(100, 110):
        line.add(ticket(n, guest))
    assert sum(turn(line) is guest for _ in range(12)) == 4


def test_what_was_used_while_nobody_else_waited_is_no_debt() -> None:
    line, alone, guest = Line(), Share(), Share()
    for n in range(100):
        line.take(ticket(n, alone))
    for n in range(10):
        add(line, ticket(100 + n, alone), ticket(200 + n, guest))
    assert [turn(line) is guest for _ in range(6)] == [True, False] * 3


@given(weight=st.sampled_from([2.0, 5.0, 9.0]), flooded=st.booleans())
def test_weights_count_against_one_that_calls_again_only_when_its_call_has_ended(
    weight: float, flooded: bool
) -> None:
    line, flood, single = Line(), Share(weight), Share()
    others = [Share()] if flooded else []
    for n in range(200):
        add(line, ticket(n, flood), *(ticket(1000 + n, other) for other in others))
    had: Counter[Share] = Counter()
    line.add(ticket(500, single))
    for n in range(100):
        served = turn(line)
        had[served] += 1
        if served is single:
            line.add(ticket(501 + n, single))
    assert abs(had[flood] - weight * had[single]) <= weight + 1


@given(coming=st.integers(1, 3), weight=WEIGHTS)
def test_sessions_that_come_anew_again_and_again_do_not_keep_out_an_old_one(
    coming: int, weight: float
) -> None:
    line, old = Line(), Share()
    add(line, ticket(0, old), ticket(1, old))
    turns = 0
    while old in line._waiting:
        add(line, *(ticket(2 + turns, Share(weight)) for _ in range(coming)))
        turn(line)
        turns += 1
        assert turns < 60 * coming**2 * weight**2  # the line gets longer and longer meanwhile


@given(arrivals=ARRIVALS, weights=st.tuples(WEIGHTS, WEIGHTS, WEIGHTS))
def test_as_long_as_somebody_waits_somebody_has_the_turn(
    arrivals: Arrivals, weights: tuple[float, ...]
) -> None:
    line = Line()
    shares = [Share(weight, ranked=n == 0) for n, weight in enumerate(weights)]
    orders = waiting = 0
    for coming in arrivals:
        for session, rank in coming:
            line.add(ticket(orders, shares[session], float(rank)))
            orders += 1
        waiting += len(coming)
        assert len(line) == waiting
        served = line.pop()
        assert (served is not None) == (waiting > 0)
        waiting -= served is not None
    while len(line):
        assert line.pop() is not None
