"""No handle of the session reaches people: values take their place, or the reason why there is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation import handles
from asyncfc.conversation.handles import Handles
from asyncfc.conversation.wording import Wording
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Withheld
from asyncfc.futures.retention import Dropped
from asyncfc.futures.store import MemoryStore
from asyncfc.futures.table import FutureTable

WORDING = Wording()


def filled_in(text: str, made: FutureTable, wording: Wording) -> str:
    return Handles(made, wording).fill(text)


def table(*results: Any) -> FutureTable:
    """Of calls that have ended, of a tool `look`; `$k7qz_1` is the first."""
    made = FutureTable("k7qz")
    for result in results:
        settle(made, MemoryStore().put(result))
    return made


def settle(made: FutureTable, outcome: Outcome | None) -> Future:
    future = Future(f"c{len(made)}", "look", len(made))
    made.add(future)
    future.shown = True
    if outcome is not None:
        future.settle(outcome)
    return future


def missing(reason: str) -> str:
    return f"[the result of look is not available: {reason}]"


# --- where there is no value ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "it is still running"),
        (Failure(LookupError("at $k7qz_1")), "it failed (LookupError)"),
        (Cancelled("by $k7qz_1"), "it was cancelled"),
        (Withheld("before $k7qz_1"), "the call was not made"),
    ],
)
def test_a_result_that_is_not_there_is_named_by_its_tool_without_a_handle(
    outcome: Outcome | None, reason: str
) -> None:
    made = table()
    settle(made, outcome)
    assert filled_in("a $k7qz_1 b ${k7qz_1.x}", made, WORDING) == f"a {missing(reason)} b {missing(reason)}"


def test_a_value_that_was_dropped_is_said_to_be_no_longer_kept() -> None:
    made = table([1])
    future = made.find("$k7qz_1")
    future.outcome = Dropped(future, 3)
    expected = missing("it is no longer kept")
    assert [filled_in(text, made, WORDING) for text in ("$k7qz_1", "a $k7qz_1.x", "${k7qz_1[0]}")] == [
        expected,
        f"a {expected}.x",
        expected,
    ]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$k7qz_1.b", missing("it has no such part")),
        ("see ${k7qz_1.b}!", f"see {missing('it has no such part')}!"),
        ("see $k7qz_1.b!", f"see {missing('it has no such part')}!"),
        ("see $k7qz_1[9]", f"see {missing('it has no such part')}"),
    ],
)
def test_a_part_that_is_not_there_is_not_made_up(text: str, filled: str) -> None:
    assert filled_in(text, table({"a": 1}), WORDING) == filled


def test_an_artifact_has_text_and_no_parts() -> None:
    made = table(object)
    assert filled_in("$k7qz_1", made, WORDING) == "<class 'object'>"
    assert filled_in("x ${k7qz_1.a}", made, WORDING) == f"x {missing('it has no such part')}"


def test_a_text_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "MAX_CHARS", 25)
    filled = filled_in("$k7qz_1 $k7qz_1 $k7qz_1", table("x" * 10), WORDING)
    assert filled == f"{'x' * 10} {'x' * 10} {missing('it is too long')}"


@pytest.mark.parametrize("text", ["$k7qz_2", "$abc1_1", "$this_1", "$k7qz_0", "$HOME ${x}", "$", ""])
def test_what_names_nothing_here_stays_as_it_is(text: str) -> None:
    assert filled_in(text, table(1), WORDING) == text
    assert Handles(table(1), WORDING).mentioned(text) == []


def test_a_handle_that_was_not_shown_names_nothing() -> None:
    made = table(1)
    made.find("$k7qz_1").shown = False
    assert filled_in("$k7qz_1", made, WORDING) == "$k7qz_1"
    assert Handles(made, WORDING).mentioned("$k7qz_1") == []


# --- where there is one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$k7qz_1", '{"a":[1,"ü"],"b c":null}'),
        ("it is ${k7qz_1.a[1]}.", "it is ü."),
        ("it is $k7qz_1.a[1].", "it is ü."),
        ('"$k7qz_1["b c"]"', '"null"'),
        ("$k7qz_1.a", '[1,"ü"]'),
        ("$k7qz_2. Then", "plain. Then"),
        ("so $k7qz_2.Then", "so plain.Then"),
        ("so $k7qz_3.a", "so 7"),  # text that holds an object has parts
        ("$k7qz_1.a[0]$k7qz_2", "1plain"),
        ("a_$k7qz_2_b$k7qz_2", "a_plain_bplain"),  # in an argument this would be refused
        ("${k7qz_2:>9}", "plain:>9}"),
        ("$k7qz_2" + "[0]" * 200, "plain" + "[0]" * 200),
        ("$$k7qz_1 costs $$abc1_1 $$5", "$k7qz_1 costs $abc1_1 $$5"),
    ],
)
def test_a_handle_gives_way_to_its_value(text: str, filled: str) -> None:
    assert filled_in(text, table({"a": [1, "ü"], "b c": None}, "plain", '{"a": 7}'), WORDING) == filled


def test_what_a_value_says_is_not_replaced_again() -> None:
    assert filled_in("$k7qz_1 $k7qz_2", table("$k7qz_2", "x"), WORDING) == "$k7qz_2 x"


def test_a_value_that_no_text_can_be_encoded_with_is_spelled_out() -> None:
    filled_in("$k7qz_1", table("\udc80"), WORDING).encode()


def test_mentioned_are_the_known_ones_each_once_in_order() -> None:
    made = table(1, 2, 3)
    text = "$k7qz_3, ${k7qz_1.x} and $k7qz_3 but not $$k7qz_2, $k7qz_9 or $this_1"
    assert [str(future) for future in Handles(made, WORDING).mentioned(text)] == ["$k7qz_3", "$k7qz_1"]


@given(st.text(st.sampled_from("$k7qz_12{}[0].a ")) | st.text())
def test_no_known_handle_is_left_and_nothing_is_raised(text: str) -> None:
    made = table({"a": [0]}, "plain")
    filled = filled_in(text, made, WORDING)
    if "$$" not in text:  # an escape becomes the text of a handle
        left = [match[0] for match in DEFAULT_GRAMMAR.mention.finditer(filled) if match[4] in ("1", "2")]
        assert left == []
    if not DEFAULT_GRAMMAR.mention.search(text):
        assert filled == text
