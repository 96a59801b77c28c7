"""Sequence: its tokens, which of them nobody sampled, and how much of its KV still counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.sequence import Sampling, Sequence


def row(length: int = 6, *, computed: int = 0, saved: int = 0) -> Sequence:
    made = Sequence(7, list(range(length)), computed=0)
    made.advance(computed or saved)
    if saved:
        made.offload()
    return made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; expected a number of at least 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0; expected None or a whole number of at least 1"),
        ({"top_p": 0.0}, "top_p is 0.0; expected a number above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": float("nan")}, "top_p is nan"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Sampling(**options)


def test_a_sequence_needs_a_token() -> None:
    with pytest.raises(EngineError, match="sequence 7 has no tokens"):
        Sequence(7, [])


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 7), (7, 7)])
def test_a_span_that_does_not_exist_is_refused_and_nothing_changes(start: int, stop: int) -> None:
    at = row(computed=5)
    with pytest.raises(EngineError, match=rf"sequence 7 has 6 tokens; there is no span \[{start}, {stop}\)"):
        at.replace(start, stop, [1])
    assert (at.tokens, at.computed, at.epoch, at.forced) == ([0, 1, 2, 3, 4, 5], 5, 0, [(0, 6)])


def test_a_sequence_is_never_left_without_tokens() -> None:
    at = row(computed=5)
    with pytest.raises(EngineError, match="nothing would be left of sequence 7"):
        at.replace(0, 6, [])
    at.replace(0, 6, [9])
    assert (at.tokens, at.computed) == ([9], 0)


def test_what_is_replaced_and_what_follows_is_computed_again() -> None:
    at = row(computed=5)
    at.replace(2, 3, [8, 9])
    assert (at.tokens, at.computed, at.pending) == ([0, 1, 8, 9, 3, 4, 5], 2, 5)
    assert (at.spent, at.dropped) == (5, 3)


def test_what_is_only_cut_off_leaves_the_last_token_to_be_computed() -> None:
    at = row(computed=5)
    at.replace(3, 6, [])
    assert (at.tokens, at.computed, at.pending) == ([0, 1, 2], 2, 1)


def test_kv_in_host_memory_is_cut_like_that_in_the_pool() -> None:
    at = row(saved=5)
    assert (at.saved, at.computed, at.held, at.pending) == (5, 0, 5, 1)
    at.replace(2, 6, [8])
    assert (at.saved, at.computed, at.pending) == (2, 0, 1)
    at.restore()
    assert (at.saved, at.computed) == (0, 2)
    assert at.spent == at.computed + at.dropped


def test_forgetting_more_than_is_held_or_less_than_nothing_is_no_harm() -> None:
    at = row(computed=3)
    at.forget(100)
    assert at.computed == 3
    at.forget(-1)
    assert (at.computed, at.dropped) == (0, 3)


def test_every_change_that_a_step_cannot_know_of_is_an_epoch() -> None:
    at = row(computed=3)
    epochs = [at.epoch]
    changes: tuple[Callable[[], None], ...] = (
        lambda: at.append_forced([1]),
        lambda: at.replace(1, 2, [1]),
        lambda: at.forget(0),
        at.offload,
    )
    for change in changes:
        change()
        epochs.append(at.epoch)
    assert sorted(set(epochs)) == epochs
    at.append_sampled(1)
    assert at.epoch == epochs[-1], "a token that the step itself has brought is none"


def test_waste_is_in_the_account() -> None:
    at = row(computed=3)
    at.waste(2)
    assert (at.spent, at.dropped, at.computed) == (5, 2, 3)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=12
    )
)
def test_forced_spans_are_those_of_a_list_of_flags(changes: list[tuple[int, int, int, int]]) -> None:
    at = Sequence(0, [0, 0])
    flags = [True, True]
    for kind, place, width, count in changes:
        if kind == 0:
            at.append_sampled(1)
            flags.append(False)
        elif kind == 1:
            at.append_forced([2] * count)
            flags += [True] * count
        else:
            start = min(place, len(flags))
            stop = min(start + width, len(flags))
            if stop - start == len(flags) and not count:
                continue
            at.replace(start, stop, [3] * count)
            flags[start:stop] = [True] * count
        assert [at.is_forced(n) for n in range(len(at))] == flags
        assert all(start < stop for start, stop in at.forced)
        assert all(one[1] < two[0] for one, two in zip(at.forced, at.forced[1:], strict=False)), "merged"
