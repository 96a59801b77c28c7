"""Keeping: whose KV goes first, and how."""

from __future__ import annotations

import pytest

from asyncfc.gpu_engine.keeping import Keeping
from asyncfc.gpu_engine.sequence import Sequence


def trapped(
    row: int, *, held: int = 10, at: float = 0.0, wait: float | None = None, blocks: int = 1
) -> Sequence:
    made = Sequence(row, [1] * (held + 1), state="trapped", computed=held, trapped_at=at, wait=wait)
    made.blocks = list(range(blocks))
    return made


def test_nobody_goes_who_holds_nothing() -> None:
    assert Keeping().victim([], 5.0) is None
    assert Keeping().victim([trapped(0, blocks=0)], 5.0) is None


def test_without_host_memory_everything_is_dropped() -> None:
    how, cost = Keeping(compute=1e-3, move=None).removal(trapped(0))
    assert how == "drop"
    assert cost == pytest.approx(10e-3)


@pytest.mark.parametrize(
    ("compute", "move", "how", "cost"),
    [(1e-3, 1e-3, "drop", 10e-3), (2e-3, 1e-3, "drop", 20e-3), (3e-3, 1e-3, "offload", 20e-3)],
)
def test_the_cheaper_way_back_is_taken_and_a_move_goes_both_ways(
    compute: float, move: float, how: str, cost: float
) -> None:
    found, seconds = Keeping(compute=compute, move=move).removal(trapped(0))
    assert found == how
    assert seconds == pytest.approx(cost)


def test_the_longest_wait_goes_first_and_a_known_one_counts_from_now() -> None:
    rows = [trapped(0, at=0.0, wait=6.0), trapped(1, at=4.0, wait=3.0), trapped(2, at=4.5)]
    assert Keeping().victim(rows, 5.0) is rows[1], "2 s are left, against 1 s and 0.5 s"


def test_an_unknown_or_overdue_wait_is_taken_to_last_as_long_again() -> None:
    overdue, unknown = trapped(0, at=1.0, wait=0.5), trapped(1, at=2.0)
    assert Keeping().victim([overdue, unknown], 5.0) is overdue, "4 s against 3 s"


def test_who_is_costly_to_bring_back_stays_longer() -> None:
    long, short = trapped(0, held=1000, wait=5.0), trapped(1, held=10, wait=4.9)
    assert Keeping(compute=1e-3, move=None).victim([long, short], 0.0) is short


def test_among_equals_the_youngest_goes() -> None:
    rows = [trapped(1), trapped(2), trapped(0)]
    assert Keeping().victim(rows, 5.0) is rows[1]


def test_the_cost_of_computing_is_learned_bit_by_bit() -> None:
    keeping = Keeping(compute=1.0)
    keeping.learn(10, 20.0)
    assert keeping.compute == pytest.approx(1.1)
    for _ in range(200):
        keeping.learn(10, 20.0)
    assert keeping.compute == pytest.approx(2.0)
