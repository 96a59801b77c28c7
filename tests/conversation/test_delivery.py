from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.delivery import MAX_ARGUMENT_CHARS, Delivery, Note, Outbox
from asyncfc.conversation.wording import Wording
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.store import MemoryStore

TAG = "k7qz"


def outbox() -> Outbox:
    return Outbox(Wording(), DEFAULT_GRAMMAR, TAG)


def emit(box: Outbox, order: int, arguments: Any = "{}") -> tuple[Call, Future]:
    """A call that was emitted and not answered yet."""
    call = Call(f"c{order}", "look", arguments)
    future = Future(call.id, call.tool, order)
    future.handle = f"${TAG}_{order + 1}"
    box.emitted(future)
    return call, future


def owe(box: Outbox, order: int, arguments: Any = "{}") -> Future:
    call, future = emit(box, order, arguments)
    box.owe(call, future)
    return future


def value(result: Any = None) -> Value:
    return MemoryStore().put(result)


class _Never(Exception):
    pass


def request(box: Outbox, error: BaseException | None = None) -> list[Delivery | Note]:
    """One request to the model, which succeeds unless there is an error; returns what it brought."""
    brought: list[Delivery | Note] = []
    with suppress(type(error) if error is not None else _Never), box.sampling() as deliveries:
        brought = deliveries
        if error is not None:
            raise error
    return brought


def futures(brought: list[Delivery | Note]) -> list[Future]:
    return [delivery.future for delivery in brought if isinstance(delivery, Delivery)]


# --- requests that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("503"), KeyboardInterrupt(), GeneratorExit()])
def test_what_a_failed_request_brought_comes_again_word_for_word(error: BaseException) -> None:
    box = outbox()
    future = owe(box, 0)
    future.settle(value("done"))
    first = request(box, error)
    assert not future.seen
    assert box.owed == box.unseen() == [future]
    assert request(box) == first
    assert future.seen
    assert box.owed == box.unseen() == request(box) == []


def test_failing_again_and_again_loses_and_doubles_nothing() -> None:
    box = outbox()
    owed = [owe(box, order) for order in range(3)]
    for future in owed:
        future.settle(value())
        assert futures(request(box, OSError())) == owed[: future.order + 1]
    assert futures(request(box)) == owed
    assert all(future.seen for future in owed)


def test_what_settles_during_a_failed_request_joins_in_the_order_of_the_calls() -> None:
    box = outbox()
    first, second, third = (owe(box, order) for order in range(3))
    third.settle(value())
    with pytest.raises(OSError, match="503"), box.sampling() as brought:  # noqa: PT012
        assert futures(brought) == [third]
        first.settle(value())
        assert box.owed == [first, second]
        raise OSError("503")
    assert box.owed == [first, second, third]
    second.settle(value())
    assert futures(request(box)) == [first, second, third]


def test_what_was_told_before_a_failed_request_is_seen_with_the_next_that_succeeds() -> None:
    box = outbox()
    _, answered = emit(box, 0)
    awaited, due = owe(box, 1), owe(box, 2)
    for future in (answered, awaited, due):
        future.settle(value())
    box.answer(answered)
    box.tell(awaited)
    assert futures(request(box, OSError())) == [due]
    assert box.unseen() == [answered, awaited, due]
    assert not any(future.seen for future in (answered, awaited, due))
    assert futures(request(box)) == [due]
    assert all(future.seen for future in (answered, awaited, due))


def test_what_is_told_during_a_request_is_not_seen_by_it() -> None:
    for error in (None, OSError()):
        box = outbox()
        early, late = owe(box, 0), owe(box, 1)
        early.settle(value())
        try:
            with box.sampling():
                late.settle(value())
                box.tell(late)
                if error is not None:
                    raise error
        except OSError:
            pass
        assert not late.seen
        assert box.unseen() == ([late] if error is None else [early, late])
        request(box)
        assert early.seen
        assert late.seen


# --- the stages, one by one -----------------------------------------------------------------------


def test_emitted_owed_due_told_seen() -> None:
    box = outbox()
    call, future = emit(box, 0)
    assert (box.unseen(), box.owed) == ([future], [])
    assert str(future.handle) in box.owe(call, future)
    assert (box.unseen(), box.owed) == ([future], [future])
    assert request(box) == []
    future.settle(value("v"))
    assert (box.unseen(), box.owed) == ([future], [future])
    with box.sampling() as brought:
        assert futures(brought) == [future]
        assert (box.unseen(), box.owed) == ([], [])  # it is in what the model is being shown
        assert not future.seen
    assert future.seen
    assert (box.unseen(), box.owed) == ([], [])


def test_one_answered_with_its_outcome_is_never_owed() -> None:
    box = outbox()
    _, future = emit(box, 0)
    future.settle(value("v"))
    assert box.answer(future) == "v"
    assert (box.unseen(), box.owed) == ([future], [])
    assert request(box) == []
    assert future.seen
    assert box.unseen() == []


def test_one_that_was_awaited_is_not_delivered_again() -> None:
    box = outbox()
    future = owe(box, 0)
    future.settle(value())
    assert box.tell(future).future is future
    assert (box.owed, request(box)) == ([], [])
    assert future.seen


def test_one_answered_anew_with_its_outcome_is_not_delivered_as_well() -> None:
    box = outbox()
    call, future = emit(box, 0)
    box.owe(call, future)
    box.owe(call, future)  # the framework ran its step again
    future.settle(value("v"))
    assert box.answer(future) == "v"  # and again, after the end
    assert (box.owed, request(box)) == ([], [])
    assert future.seen


def test_one_told_before_it_was_answered_is_not_owed() -> None:
    box = outbox()
    _, future = emit(box, 0)
    future.settle(value("v"))
    told = box.tell(future)
    assert told.text == "v"
    assert box.answer(future) == "v"
    assert request(box) == []
    assert future.seen


def test_one_that_had_settled_when_it_was_owed_is_due_at_once() -> None:
    box = outbox()
    call, future = emit(box, 0)
    future.settle(value())
    box.owe(call, future)
    assert futures(request(box)) == [future]


def test_deliveries_come_in_the_order_of_the_calls_whatever_settles_first() -> None:
    box = outbox()
    owed = [owe(box, order) for order in range(5)]
    for order in (3, 0, 4, 1):
        owed[order].settle(value(order))
    assert futures(request(box)) == [owed[0], owed[1], owed[3], owed[4]]
    assert box.owed == [owed[2]]


def test_every_kind_of_outcome_is_delivered() -> None:
    box = outbox()
    outcomes: list[Outcome] = [value(1), Failure(ValueError("no")), Cancelled("why"), Withheld("why")]
    for order, outcome in enumerate(outcomes):
        owe(box, order).settle(outcome)
    brought = request(box)
    assert [delivery.outcome for delivery in brought if isinstance(delivery, Delivery)] == outcomes


def test_a_withheld_answer_carries_the_outcomes_that_it_waited_for() -> None:
    box = outbox()
    blind, told = owe(box, 0), owe(box, 1)
    for future in (blind, told):
        future.settle(value(f"result {future.order}"))
    box.tell(told)
    _, withheld = emit(box, 2)
    withheld.settle(Withheld("not seen"))
    text = box.answer_withheld(withheld, [blind, told])
    assert text.startswith(
        f"The call {withheld.handle} of look was not made: not seen\n\n{blind.handle} = look("
    )
    assert "result 0" in text
    assert "result 1" not in text
    assert request(box) == []
    assert all(future.seen for future in (blind, told, withheld))


def test_notes_are_delivered_after_the_outcomes_and_again_if_the_request_fails() -> None:
    box = outbox()
    future = owe(box, 0)
    box.post("first $k7qz_1", "Ann")
    box.post("second", "Bob $this_1")
    assert box.has_notes
    future.settle(value())
    brought = request(box, OSError())
    assert [note.text for note in brought if isinstance(note, Note)] == [
        "Ann says:\nfirst $$k7qz_1",
        "Bob $$this_1 says:\nsecond",
    ]
    box.post("third", "Cid")
    assert request(box)[:3] == brought
    assert not box.has_notes
    assert request(box) == []


@given(st.lists(st.sampled_from(["emit", "settle", "await", "fail", "succeed"]), max_size=30))
def test_each_outcome_is_seen_once_and_only_after_it_was_told(steps: list[str]) -> None:
    box, emitted, shown = outbox(), list[Future](), list[Future]()
    for step in [*steps, "settle", "settle", "succeed"]:
        pending = [future for future in emitted if not future.settled]
        if step == "emit":
            emitted.append(owe(box, len(emitted)))
        elif step == "settle" and pending:
            pending[-1].settle(value())
        elif step == "await":
            for future in [future for future in box.owed if future.settled][:1]:
                shown.append(box.tell(future).future)
        elif step == "fail":
            request(box, OSError())
        elif step == "succeed":
            shown += futures(request(box))
            assert [future for future in emitted if future.seen] == sorted(shown, key=lambda f: f.order)
        assert box.owed == [future for future in emitted if future not in shown]
        assert box.unseen() == [future for future in emitted if not future.seen]


# --- what a delivery says -------------------------------------------------------------------------


def test_a_delivery_names_handle_tool_and_arguments_and_ends_with_the_outcome() -> None:
    box = outbox()
    future = owe(box, 0, '{"q": "$k7qz_9"}')
    future.settle(value({"see": "$k7qz_1"}))
    (delivery,) = request(box)
    assert delivery == Delivery(
        call_id="c0",
        tool="look",
        handle="$k7qz_1",
        text='$k7qz_1 = look({"q": "$k7qz_9"}) has ended:\n{"see":"$$k7qz_1"}',
        outcome=future.outcome,  # type: ignore[arg-type]
        future=future,
    )


def test_a_call_without_a_handle_is_named_by_its_id() -> None:
    box = outbox()
    future = Future("call_5", "look", 0)
    future.settle(Cancelled("why"))
    assert box.tell(future).handle == "call_5"
    assert "call_5" in box.answer(future)


class Hostile:
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class Broken(dict[str, Any]):
    def keys(self) -> Any:
        raise LookupError

    __iter__ = keys


CYCLE: dict[str, Any] = {}
CYCLE["again"] = CYCLE
DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]
HANDLE = Future("c9", "look", 9)
HANDLE.handle = "$k7qz_10"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"q": "ü"}', '{"q": "ü"}'),
        ("", ""),
        (None, "{}"),
        ({}, "{}"),
        ({"q": "Zürich", "n": [1, None]}, '{"q": "Zürich", "n": [1, null]}'),
        ({"q": HANDLE}, '{"q": "$k7qz_10"}'),
        ({"q": "\ud800"}, r'{"q": "\ud800"}'),
        ('{"q": "\udc80"}', r'{"q": "\udc80"}'),
        ({"q": Hostile()}, '{"q": "<Hostile object'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (CYCLE, "{'again': {...}}"),
        ({"q": DEEP}, ""),
        (Broken(a=1), ""),
    ],
    ids=lambda case: type(case).__name__,
)
def test_arguments_are_recalled_in_short_whatever_they_hold(arguments: Any, shown: str) -> None:
    box = outbox()
    owe(box, 0, arguments).settle(value("v"))
    (delivery,) = request(box)
    prefix, end = "$k7qz_1 = look(", ") has ended:\nv"
    assert delivery.text.startswith(prefix + shown)
    assert delivery.text.endswith(end)
    assert len(delivery.text) <= len(prefix) + MAX_ARGUMENT_CHARS + len(end)


@pytest.mark.parametrize(
    "arguments", ['{"q": "' + "x" * 5_000 + '"}', {"q": "x" * 5_000}, {"q": ["y"] * 5_000}]
)
def test_long_arguments_are_cut_and_marked(arguments: str | Mapping[str, Any]) -> None:
    box = outbox()
    owe(box, 0, arguments).settle(value("v"))
    (delivery,) = request(box)
    text = delivery.text.removeprefix("$k7qz_1 = look(").removesuffix(") has ended:\nv")
    assert len(text) == MAX_ARGUMENT_CHARS
    assert text.startswith('{"q": ')
    assert text.endswith("…")


def test_the_arguments_recalled_are_those_of_the_call_not_what_became_of_the_object() -> None:
    box, arguments = outbox(), {"q": ["cats"]}
    future = owe(box, 0, arguments)
    arguments["q"].append("dogs")
    future.settle(value("v"))
    assert request(box)[0].text == '$k7qz_1 = look({"q": ["cats"]}) has ended:\nv'


def test_short_arguments_do_not_end_within_a_handle() -> None:
    for length in range(MAX_ARGUMENT_CHARS - 12, MAX_ARGUMENT_CHARS):
        box = outbox()
        owe(box, 0, {"q": "x" * (length - 8) + " $k7qz_1234", "more": "y" * 99}).settle(value("v"))
        (delivery,) = request(box)
        assert not re.search(r"\$k7qz_\d+…", delivery.text)


def test_what_was_told_in_an_answer_that_got_lost_is_delivered_once_more() -> None:
    box = outbox()
    owed = owe(box, 0, '{"a": 1}')
    call, answered = emit(box, 1, '{"b": 2}')
    _, other = emit(box, 2)
    for future in (owed, answered, other):
        future.settle(value("x"))
    with box.receipt() as receipt:
        text = box.answer(answered)
        assert futures(request(box)) == [owed]
    box.answer(other)  # in another answer
    request(box)
    assert owed.seen
    box.untell(receipt, {answered: call})
    assert (box.unseen(), box.owed) == ([owed, answered], [owed, answered])
    first, second = request(box)
    assert 'look({"a": 1})' in first.text
    assert 'look({"b": 2})' in second.text
    assert second.text.endswith(text)
    assert (request(box), box.unseen(), answered.seen) == ([], [], True)


def test_what_had_been_seen_before_a_lost_answer_is_not_told_again() -> None:
    box = outbox()
    future = owe(box, 0)
    future.settle(value("x"))
    request(box)
    with box.receipt() as receipt:
        box.tell(future)
    box.untell(receipt, {})
    assert (request(box), box.unseen()) == ([], [])
