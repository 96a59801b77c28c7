"""The table alone decides what a handle names, and says no in one way only."""

from __future__ import annotations

import pytest

from asyncfc.errors import InternalError, UnknownHandle
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.futures.table import FutureTable, unknown_handle


def table_with(*shown: bool) -> FutureTable:
    table = FutureTable("k7qz")
    for order, is_shown in enumerate(shown):
        future = Future(f"call_{order}", "read", order)
        table.add(future)
        future.shown = is_shown
    return table


@pytest.mark.parametrize(
    ("tag", "number"),
    [("k7qz", 0), ("k7qz", 2), ("k7qz", 3), ("k7qz", 10**8), ("ab1c", 1), ("this", 1), ("k7qz", -1), ("", 0)],
    ids=[
        "never given",
        "not shown",
        "forward",
        "far forward",
        "foreign",
        "reserved",
        "negative",
        "no handle",
    ],
)
def test_every_handle_that_names_nothing_gets_one_and_the_same_answer(tag: str, number: int) -> None:
    with pytest.raises(UnknownHandle) as caught:
        table_with(True, False).lookup(tag, number, "$SOME")
    assert str(caught.value) == str(unknown_handle("$SOME"))


def test_the_answer_names_the_handle_as_written_and_says_what_to_do() -> None:
    message = str(unknown_handle("$k7qz_007", HandleGrammar()))
    assert message.startswith("$k7qz_007 is not a known handle; nothing was run")
    assert "tool answer" in message
    assert "$this_1" in message
    assert "one more $" in message


def test_the_answer_speaks_the_grammar_of_the_session() -> None:
    table = FutureTable("k7qz", HandleGrammar("@ref-", "-"))
    with pytest.raises(UnknownHandle, match=r"@ref-k7qz-5 is not .* @ref-this-1.* one more @ref- before"):
        table.lookup("k7qz", 5)


def test_the_answer_stays_short() -> None:
    assert len(str(unknown_handle("$k7qz_" + "9" * 100_000))) < 400


def test_a_shown_handle_names_its_future() -> None:
    table = FutureTable("k7qz")
    futures = [Future(f"call_{order}", "read", order) for order in range(12)]
    handles = [table.add(future) for future in futures]
    for future in futures:
        future.shown = True
    assert handles[0] == "$k7qz_1"
    assert handles[9:] == ["$k7qz_10", "$k7qz_11", "$k7qz_12"]
    assert [future.handle for future in futures] == handles
    assert [table.find(handle) for handle in handles] == futures
    assert table.lookup("k7qz", 1) is futures[0]
    assert len(table) == 12


def test_a_handle_is_valid_from_the_moment_it_is_shown() -> None:
    table = FutureTable("k7qz")
    future = Future("call", "read", 0)
    table.add(future)
    with pytest.raises(UnknownHandle):
        table.find("$k7qz_1")
    future.shown = True
    assert table.find(" $k7qz_1\n") is future


@pytest.mark.parametrize("text", ["", "all", "k7qz_1", "$k7qz_1.a", "$k7qz_01", "$$k7qz_1", "$K7QZ_1"])
def test_text_that_is_no_handle_finds_nothing(text: str) -> None:
    with pytest.raises(UnknownHandle):
        table_with(True).find(text)


def test_a_future_gets_one_handle_only() -> None:
    future = Future("call", "read", 0)
    FutureTable("k7qz").add(future)
    with pytest.raises(InternalError, match="second handle"):
        FutureTable("ab1c").add(future)
    assert future.handle == "$k7qz_1"
