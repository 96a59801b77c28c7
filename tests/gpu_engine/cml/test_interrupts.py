from __future__ import annotations

import asyncio
import json

import pytest

from asyncfc.errors import UpstreamFailed
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.retention import Dropped
from asyncfc.futures.store import MemoryStore
from asyncfc.gpu_engine.cml.interrupts import Interrupt, Interrupts, Made, value_of
from asyncfc.gpu_engine.port import Answer
from asyncfc.testing.loop import run_virtual

NAMES = {"$k7qz_1": "c1"}


def value(of: object) -> Value:
    return MemoryStore().put(of)


def made(id: str, order: int, handle: str | None = None) -> tuple[Made, Future]:
    future = Future(id, "get", order)
    future.handle = handle or f"$k7qz_{order}"
    return Made(id, future), future


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (value("plain [END]"), "plain [END]"),
        (value({"a": [1, None]}), '{"a":[1,null]}'),
        (value(None), "null"),
        (value("\udc80"), "\\udc80"),
        (Failure(ValueError("no $k7qz_1")), '{"error": "ValueError: no $k7qz_1"}'),
        (Cancelled("with $k7qz_1 and $k7qz_2"), '{"error": "Cancelled: with c1 and $k7qz_2"}'),
        (Withheld("before $k7qz_1"), '{"error": "Withheld: before c1"}'),
    ],
)
def test_an_outcome_is_told_in_the_model_s_terms(outcome: Outcome, text: str) -> None:
    assert value_of(outcome, NAMES, DEFAULT_GRAMMAR) == text


def test_our_own_errors_name_calls_and_not_handles() -> None:
    error = UpstreamFailed("it needs the result of get ($k7qz_1)", root=None)  # type: ignore[arg-type]
    assert value_of(Failure(error), NAMES, DEFAULT_GRAMMAR) == (
        '{"error": "UpstreamFailed: it needs the result of get (c1)"}'
    )


def test_a_long_error_is_cut() -> None:
    text = value_of(Failure(ValueError("x" * 10_000)), NAMES, DEFAULT_GRAMMAR)
    assert len(json.loads(text)["error"]) == 2_000


def test_an_interrupt_holds_no_marker_but_its_own() -> None:
    assert Interrupt("c1", "[END] [INTR]").text == "[INTR] c1 [HEAD] [!END] [!INTR] [END]"


def test_what_settles_first_is_told_first_and_once() -> None:
    interrupts = Interrupts(DEFAULT_GRAMMAR)
    calls = [made(f"c{order}", order) for order in (1, 2, 3)]
    for call, _ in calls:
        interrupts.add(call)
    calls[2][1].settle(value("C"))
    interrupts.refuse("c4", "why")
    calls[0][1].settle(value("A"))
    assert interrupts.ready
    assert [one.text for one in interrupts.take()] == [
        "[INTR] c3 [HEAD] C [END]",
        '[INTR] c4 [HEAD] {"error": "why"} [END]',
        "[INTR] c1 [HEAD] A [END]",
    ]
    assert not interrupts.ready
    assert interrupts.take() == []
    assert interrupts.pending == [calls[1][0]]


def test_a_call_that_the_session_has_not_answered_is_not_told() -> None:
    async def main() -> None:
        interrupts = Interrupts(DEFAULT_GRAMMAR)
        answering: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        call, future = made("c1", 1)
        call.answering = answering
        interrupts.add(call)
        future.settle(value("A"))
        assert (interrupts.ready, interrupts.take(), interrupts.pending) == (False, [], [call])
        answering.set_result([])
        await asyncio.sleep(0)
        assert [one.id for one in interrupts.take()] == ["c1"]

    run_virtual(main)


def test_what_the_session_raises_instead_of_an_answer_is_raised() -> None:
    async def main() -> None:
        interrupts = Interrupts(DEFAULT_GRAMMAR)
        answering: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        interrupts.add(Made("c1", None, answering))
        answering.set_exception(ValueError("broken"))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="broken"):
            interrupts.take()

    run_virtual(main)


def test_a_control_call_is_told_with_its_answer() -> None:
    async def main() -> None:
        interrupts = Interrupts(DEFAULT_GRAMMAR)
        call, _ = made("c1", 1)
        interrupts.add(call)
        answering: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        interrupts.add(Made("c2", None, answering))
        answering.set_result(
            [Answer("c2", "cancel_future", {}, "The call $k7qz_1 of get cannot stop.", None)]
        )
        await asyncio.sleep(0)
        assert [one.value for one in interrupts.take()] == ["The call c1 of get cannot stop."]
        assert interrupts.handles == {"c1": "$k7qz_1", "c2": None}

    run_virtual(main)


def test_calls_from_elsewhere_get_ids_that_are_free_and_can_be_written() -> None:
    interrupts = Interrupts(DEFAULT_GRAMMAR)
    interrupts.add(made("c1", 1)[0])
    others = [made(name, order)[1] for order, name in enumerate(["c1", "c1", "a [b]", ""], 2)]
    for future in others:
        future.shown = True
    hidden = made("c9", 9)[1]
    interrupts.adopt([*others, hidden])
    interrupts.adopt(others)
    assert list(interrupts.made) == ["c1", "c1_2", "c1_3", "a_b_", "call"]


def test_a_value_that_is_not_kept_is_an_error() -> None:
    text = value_of(Dropped(made("c1", 1)[1], 10), NAMES, DEFAULT_GRAMMAR)
    assert text.startswith('{"error": "ValueDropped: the value of c1 is no longer kept')


def test_a_value_is_cut_only_if_asked() -> None:
    assert value_of(value("abcdef"), NAMES, DEFAULT_GRAMMAR, 3) == "ab…"
