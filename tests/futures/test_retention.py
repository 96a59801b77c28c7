"""What the model has not seen or a live call needs is kept; of the rest, the oldest goes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import DeclarationError, ValueDropped
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value
from asyncfc.futures.retention import Dropped, Retention
from asyncfc.futures.store import Artifact, JsonValue


class Sized(JsonValue):
    """A value of as many bytes as the test says."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__("x")
        self._size = size


def future(number: int = 1, size: int | None = None) -> Future:
    """A future with a handle; settled with a value of that size if one is given."""
    made = Future(f"call-{number}", "search", number)
    made.handle = f"$k7qz_{number}"
    if size is not None:
        made.settle(Sized(size))
    return made


def stored(of: Future) -> Value:
    assert isinstance(of.outcome, Value)
    return of.outcome


def dropped(futures: Sequence[Future]) -> list[int]:
    return [f.order for f in futures if isinstance(stored(f), Dropped)]


def kept(retention: Retention, *sizes: int, seen: bool = True) -> list[Future]:
    """Settled futures that count, seen in order unless the test wants to say so itself."""
    futures = [future(number, size) for number, size in enumerate(sizes)]
    for made in futures:
        retention.keep(made)
        if seen:
            retention.see([made])
    return futures


@pytest.mark.parametrize("wrong", [-1, 1.5, "1MB", True, None])
def test_a_bound_that_is_no_number_of_bytes_is_refused(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match=r"max_retained_bytes=.*whole number of bytes"):
        Retention(wrong)


def test_a_dropped_value_says_what_it_was_and_what_to_do_wherever_it_is_read() -> None:
    (lost,) = kept(Retention(10), 99)
    reads = [stored(lost).get, stored(lost).text, lambda: stored(lost).at(("a",)), lost.result]
    for read in reads:
        with pytest.raises(ValueDropped) as caught:
            read()
        assert str(caught.value).startswith(
            "the value of $k7qz_0 is no longer kept: search returned 99 bytes"
        )
        assert "Call search again" in str(caught.value)
    assert stored(lost).preview(20) == "(the value of $k7qz…"
    assert (stored(lost).size, stored(lost).is_artifact, lost.settled) == (0, False, True)
    assert "no longer kept" in repr(stored(lost))


def test_each_reading_of_a_dropped_value_raises_an_error_of_its_own() -> None:
    (lost,) = kept(Retention(0), 1)
    errors = []
    for _ in range(2):
        with pytest.raises(ValueDropped) as caught:
            lost.result()
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_a_call_without_a_handle_is_named_by_its_id() -> None:
    retention = Retention(0)
    unnamed = Future("call-7", "search", 7)
    unnamed.settle(Sized(1))
    retention.keep(unnamed)
    retention.see([unnamed])
    with pytest.raises(ValueDropped, match="the value of call-7 "):
        unnamed.result()


def test_what_was_not_seen_stays_however_much_it_is() -> None:
    retention = Retention(10)
    futures = kept(retention, 100, 200, seen=False)
    assert dropped(futures) == []
    assert retention.total == 300
    retention.see(futures)
    assert dropped(futures) == [0, 1]
    assert retention.total == 0


def test_the_bound_itself_is_within_bounds() -> None:
    retention = Retention(30)
    futures = kept(retention, 10, 10, 10)
    assert dropped(futures) == []
    retention.keep(future(9, size=1))
    assert dropped(futures) == [0]
    assert retention.total == 21


def test_the_oldest_seen_go_first_and_no_more_than_needed() -> None:
    retention = Retention(100)
    futures = kept(retention, 40, 5, 40, seen=False)
    for number in (2, 0, 1):
        retention.see([futures[number]])
    retention.keep(future(9, size=50))
    assert dropped(futures) == [2]
    retention.keep(future(10, size=10))
    assert dropped(futures) == [0, 2]


def test_what_is_seen_again_counts_as_newer() -> None:
    retention = Retention(20)
    futures = kept(retention, 10, 10)
    retention.see([futures[0]])
    retention.keep(future(9, size=10))
    assert dropped(futures) == [1]


def test_what_a_live_call_refers_to_stays_until_the_last_of_them_is_done() -> None:
    retention = Retention(10)
    futures = kept(retention, 10, seen=False)
    retention.pin(futures)
    retention.pin(futures)
    retention.see(futures)
    retention.keep(future(9, size=10))
    retention.unpin(futures)
    assert dropped(futures) == []
    retention.unpin(futures)
    assert dropped(futures) == [0]


def test_a_pin_holds_though_the_input_settles_and_is_seen_after_it() -> None:
    retention = Retention(0)
    early, call = future(1), future(2)
    retention.enter(early, [])
    retention.enter(call, [early])
    early.settle(Sized(10))
    retention.see([early])
    assert dropped([early]) == []
    call.settle(Cancelled("on request"))
    assert dropped([early]) == [1]


def test_what_a_call_used_just_now_goes_after_what_none_did() -> None:
    retention = Retention(20)
    used, idle = kept(retention, 10, 10)
    call = future(8)
    retention.enter(call, [used])
    call.settle(Sized(10))
    assert dropped([used, idle]) == [idle.order]


def test_a_call_that_needs_a_dropped_value_is_refused_and_pins_nothing() -> None:
    retention = Retention(10)
    lost, good = kept(retention, 11, 10)
    with pytest.raises(ValueDropped, match="_0 is no longer kept"):
        retention.enter(future(8), [good, lost])
    retention.keep(future(9, size=1))
    assert dropped([good]) == [1]


def test_calls_without_a_value_take_no_room_and_release_their_inputs() -> None:
    retention = Retention(10)
    (given,) = kept(retention, 10)
    outcomes: list[Outcome] = [Failure(ValueError()), Cancelled("on request")]
    for number, outcome in enumerate(outcomes):
        call = future(5 + number)
        retention.enter(call, [given])
        call.settle(outcome)
        retention.see([call])
    assert retention.total == 10
    retention.keep(future(9, size=1))
    assert dropped([given]) == [0]


def test_a_dropped_value_stays_dropped_and_is_counted_once() -> None:
    retention = Retention(5)
    (lost,) = kept(retention, 10)
    retention.see([lost])
    assert retention.total == 0
    assert dropped([lost]) == [0]


def test_real_values_count_about_as_much_as_they_take() -> None:
    retention = Retention(100_000)
    big, odd = future(1), future(2)
    big.settle(JsonValue({"text": "x" * 60_000}))
    odd.settle(Artifact(object()))
    retention.keep(big)
    assert 60_000 < retention.total < 61_000
    retention.keep(odd)
    assert retention.total > 60_000 + len(stored(odd).text())


def test_many_values_are_dropped_in_time_that_grows_as_their_number() -> None:
    retention = Retention(1_000)
    futures = kept(retention, *[1] * 20_000)  # quadratic time would take minutes
    assert dropped(futures) == list(range(19_000))
    assert retention.total == 1_000


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["settle", "see", "pin", "unpin"]), st.integers(0, 7)), max_size=40
)


@given(bound=st.integers(0, 40), operations=OPERATIONS)
def test_whatever_happens_only_spare_values_go_and_none_stays_that_should_go(
    bound: int, operations: list[tuple[str, int]]
) -> None:
    retention = Retention(bound)
    futures = [future(number) for number in range(8)]
    pins = [0] * 8
    seen: set[int] = set()
    for operation, n in operations:
        before = {f.order for f in futures if f.settled and isinstance(stored(f), Dropped)}
        if operation == "settle" and not futures[n].settled:
            futures[n].settle(Sized(n * 3))
            retention.keep(futures[n])
        elif operation == "see" and futures[n].settled:
            seen.add(n)
            retention.see([futures[n]])
        elif operation == "pin" and n not in before:
            pins[n] += 1
            retention.pin([futures[n]])
        elif operation == "unpin" and pins[n]:
            pins[n] -= 1
            retention.unpin([futures[n]])
        settled = [f for f in futures if f.settled]
        gone = set(dropped(settled))
        left = [f.order for f in settled if f.order not in gone]
        assert before <= gone
        assert all(order in seen and not pins[order] for order in gone - before)
        assert retention.total == sum(order * 3 for order in left)
        assert retention.total <= bound or not any(order in seen and not pins[order] for order in left)
