"""A future settles once, wakes all who wait, and lives in its session only."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from asyncfc.errors import CallCancelled, InternalError, NotSettled
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.outcome import Cancelled, Failure, Value, Withheld
from asyncfc.futures.store import MemoryStore
from asyncfc.testing.loop import run_virtual


def value(item: Any) -> Value:
    return MemoryStore().put(item)


def pending(order: int = 0) -> Future:
    return Future(f"call_{order}", "read", order)


def test_reading_early_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NotSettled, match=r"'read', pending> has not settled; wait for it"):
        pending().result()


def test_settling_twice_is_a_bug_and_changes_nothing() -> None:
    future = pending()
    future.settle(value(1))
    with pytest.raises(InternalError, match="settled twice"):
        future.settle(value(2))
    assert future.result() == 1


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_future_cannot_be_duplicated(duplicate: Any) -> None:
    with pytest.raises(TypeError, match="lives in one session"):
        duplicate(pending())


def test_callbacks_run_once_in_order_and_late_ones_at_once() -> None:
    future = pending()
    seen: list[Any] = []

    def forgotten(_: Future) -> None:
        seen.append("forgotten")

    future.add_done_callback(lambda f: seen.append(("first", f.settled)))
    future.add_done_callback(forgotten)
    future.add_done_callback(lambda _: seen.append("second"))
    future.remove_done_callback(forgotten)
    future.remove_done_callback(forgotten)
    future.settle(value(1))
    future.add_done_callback(lambda _: seen.append("late"))
    assert seen == [("first", True), "second", "late"]


def test_in_text_a_future_reads_as_its_handle() -> None:
    future = pending()
    assert f"{future}" == "<Future (no handle yet) of 'read', pending>"
    future.handle = "$k7qz_1"
    assert f"{future}" == "$k7qz_1"
    future.settle(Cancelled("why"))
    assert repr(future) == "<Future $k7qz_1 of 'read', cancelled>"


def test_awaiting_gives_the_value_or_raises_and_waiting_gives_the_outcome() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        good, bad, stopped = pending(0), pending(1), pending(2)
        error = KeyError("boom")
        loop.call_later(1, good.settle, value({"a": 1}))
        loop.call_later(2, bad.settle, Failure(error))
        loop.call_later(3, stopped.settle, Cancelled("why"))
        assert await good == {"a": 1}
        assert loop.time() == 1
        assert await bad.wait() == Failure(error)
        with pytest.raises(KeyError, match="boom"):
            await bad
        with pytest.raises(CallCancelled, match="why"):
            await stopped
        assert loop.time() == 3

    run_virtual(main)


def test_all_who_wait_are_woken_and_one_who_is_cancelled_leaves_nothing() -> None:
    async def main() -> None:
        future = pending()
        waiters = [asyncio.create_task(future.wait()) for _ in range(3)]
        await asyncio.sleep(1)
        waiters[1].cancel()
        await asyncio.sleep(1)
        assert isinstance(future._callbacks, list)
        assert len(future._callbacks) == 2
        future.settle(value(5))
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)
        assert results[0] is results[2] is future.outcome

    run_virtual(main)


@pytest.mark.parametrize(
    ("any_one", "timeout", "until"), [(False, None, 3), (True, None, 1), (False, 2, 2), (True, 0, 0)]
)
def test_waiting_for_several_ends_with_all_any_or_the_time(
    any_one: bool, timeout: float | None, until: float
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        futures = [pending(order) for order in range(3)]
        for delay, future in zip((3, 1, 2), futures, strict=True):
            loop.call_later(delay, future.settle, value(delay))
        await wait_settled(futures, any_one=any_one, timeout=timeout)
        assert loop.time() == until
        assert not any(future._callbacks for future in futures)
        await wait_settled(futures)
        await wait_settled(futures, any_one=True)
        assert loop.time() == 3

    run_virtual(main)


# --- the outcome ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome",
    [
        value("plain"),
        value(["x" * 100] * 200),
        value(object),
        Failure(KeyError()),
        Cancelled("why"),
        Withheld("why"),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_outcome_is_the_very_object_that_it_was_settled_with(outcome: Any) -> None:
    future = pending()
    assert future.outcome is None
    future.settle(outcome)
    assert future.outcome is outcome


def test_a_small_container_comes_back_as_an_equal_value_that_is_nobody_elses() -> None:
    future = pending()
    future.settle(value({"items": [1]}))
    assert future.settled
    assert future.outcome == value({"items": [1]})
    future.outcome.get()["items"].append(2)
    assert future.result() == {"items": [1]}


@pytest.mark.parametrize("result", ["", None, [], {}, 0, False])
def test_what_is_empty_is_an_outcome(result: Any) -> None:
    future = pending()
    future.settle(value(result))
    assert future.settled
    assert future.result() == result


def test_an_outcome_may_be_replaced_by_another_that_stands_for_it() -> None:
    future = pending()
    future.settle(value([1]))
    future.outcome = stand_in = value("dropped")
    assert future.outcome is stand_in
