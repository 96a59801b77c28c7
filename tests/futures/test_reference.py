"""Handles in arguments are found once, and replaced once by what the calls returned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import BadArguments, BadReference, InternalError, UnknownHandle, UnresolvedPath
from asyncfc.futures import reference as reference_module
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.outcome import Cancelled, Failure, Withheld
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.projection import MAX_DEPTH
from asyncfc.futures.reference import Reference, Site, futures_of, scan, substitute
from asyncfc.futures.store import MemoryStore
from asyncfc.futures.table import FutureTable, unknown_handle

STRING_X = {"type": "object", "properties": {"x": {"type": "string"}, "n": {"type": "integer"}}}


class Desk:
    """One session's table, filled with calls that returned these values: $k7qz_1, $k7qz_2, ..."""

    def __init__(self, *values: Any, grammar: HandleGrammar = DEFAULT_GRAMMAR) -> None:
        self.grammar = grammar
        self.table = FutureTable("k7qz", grammar)
        self.futures = [self.add(value) for value in values]

    def add(self, value: Any) -> Future:
        future = self.pending()
        future.settle(MemoryStore().put(value))
        return future

    def pending(self) -> Future:
        future = Future(f"call_{len(self.table)}", "read", len(self.table))
        self.table.add(future)
        future.shown = True
        return future

    def scan(self, arguments: dict[str, Any]) -> tuple[dict[str, Any], tuple[Site, ...]]:
        return scan(arguments, self.grammar, self.table.lookup)

    def fill(self, arguments: dict[str, Any], schema: dict[str, Any] | None = None) -> dict[str, Any]:
        return substitute(*self.scan(arguments), schema)

    def fill_x(self, value: Any) -> Any:
        return self.fill({"x": value})["x"]


# --- what cannot be found -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["$k7qz_9", "$ab1c_1", "$k7qz_2", "$this_1", "$k7qz_01", "$k7qz_0"])
@pytest.mark.parametrize("form", ["{}", "{}.a", "see {} now", "{}, then $k7qz_1"])
def test_unknown_foreign_hidden_and_misspelt_handles_get_the_same_answer(bad: str, form: str) -> None:
    """P25: the answer says nothing about which of these it is."""
    desk = Desk("value")
    desk.pending().shown = False
    for arguments in ({"x": form.format(bad)}, {"x": [{"y": form.format(bad)}]}):
        with pytest.raises(UnknownHandle) as caught:
            desk.scan(arguments)
        assert str(caught.value) == str(unknown_handle(bad))


@pytest.mark.parametrize("key", ["$k7qz_1", "$ab1c_7", "a $k7qz_1", "${k7qz_1.a}", "${k7qz_1"])
def test_a_handle_in_a_key_is_refused_whatever_it_names(key: str) -> None:
    with pytest.raises(BadReference, match=r"the key .* in the argument x\[0\] holds a handle") as caught:
        Desk("value").scan({"x": [{key: 1}]})
    assert key in str(caught.value)


def test_a_future_as_a_key_is_refused() -> None:
    desk = Desk("value")
    with pytest.raises(BadReference, match=r"the key '\$k7qz_1' in the argument x"):
        desk.scan({"x": {desk.futures[0]: 1}})


def test_keys_that_are_equal_without_their_escapes_are_refused() -> None:
    with pytest.raises(BadReference, match="two keys in the argument x are the same without their escapes"):
        Desk().scan({"x": {"a$$k7qz_1": 1, "a$k7qz_1": 2}})


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: (inner,)])
def test_arguments_nested_too_deeply_are_refused(wrap: Any) -> None:
    value: Any = "$k7qz_1"
    for _ in range(MAX_DEPTH - 1):
        value = wrap(value)
    desk = Desk(5)
    assert str(desk.fill({"x": value})).count("5") == 1
    with pytest.raises(BadArguments, match=f"more than {MAX_DEPTH} containers"):
        desk.scan({"x": wrap(value)})


def test_a_cycle_in_the_arguments_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(BadArguments, match="containers inside each other in the argument x"):
        Desk().scan({"x": cycle})


# --- what is found ------------------------------------------------------------------------------------


def test_arguments_without_references_are_copied() -> None:
    arguments = {"a": 1, "b": ["x", None, {"c": [1.5, True]}], "price": "$5", "d": (1, "y")}
    copy, sites = Desk().scan(arguments)
    assert copy == arguments
    assert sites == ()
    arguments["b"][2]["c"].append("later")  # type: ignore[index]
    assert copy["b"] == ["x", None, {"c": [1.5, True]}]


def test_every_reference_is_found_where_it_stands() -> None:
    desk = Desk("v1", "v2")
    first, second = desk.futures
    copy, sites = desk.scan(
        {"a": "$k7qz_2.k", "b": {"c": ["no", "see $k7qz_1 and ${k7qz_2[0]}"]}, "d": first}
    )
    assert copy == {"a": "$k7qz_2.k", "b": {"c": ["no", "see $k7qz_1 and ${k7qz_2[0]}"]}, "d": "$k7qz_1"}
    assert sites == (
        Site(("a",), (Reference(second, ("k",), "$k7qz_2.k"),), whole=True),
        Site(
            ("b", "c", 1),
            ("see ", Reference(first, (), "$k7qz_1"), " and ", Reference(second, (0,), "${k7qz_2[0]}")),
            whole=False,
        ),
        Site(("d",), (Reference(first, (), "$k7qz_1"),), whole=True),
    )
    assert futures_of(sites) == (second, first)


def test_escapes_are_undone_in_values_and_keys() -> None:
    copy, sites = Desk("v").scan({"x": "$$k7qz_1", "y": ["a $$$k7qz_1"], "$$this_1": 1, "z": "$$"})
    assert copy == {"x": "$k7qz_1", "y": ["a $$k7qz_1"], "$this_1": 1, "z": "$$"}
    assert sites == ()


def test_a_future_that_has_no_handle_yet_counts_as_a_reference() -> None:
    future = Future("call_1", "read", 0)
    _, sites = Desk().scan({"x": [future]})
    assert futures_of(sites) == (future,)
    future.settle(MemoryStore().put({"a": 1}))
    assert substitute(*Desk().scan({"x": [future]})) == {"x": [{"a": 1}]}


def test_objects_that_are_no_json_are_passed_through() -> None:
    thing = object()
    copy, sites = Desk().scan({"x": thing, "y": [thing, {1: thing}]})
    assert copy == {"x": thing, "y": [thing, {1: thing}]}
    assert sites == ()


def test_a_thousand_references_in_one_argument_are_found() -> None:
    desk = Desk("v")
    text = " ".join(["$k7qz_1"] * 1000)
    _, sites = desk.scan({"x": text, "y": ["$k7qz_1"] * 1000})
    assert len(sites) == 1001
    assert futures_of(sites) == tuple(desk.futures)
    assert desk.fill_x(text) == " ".join(["v"] * 1000)


# --- what cannot be put in ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome", [None, Failure(ValueError()), Cancelled("stopped"), Withheld("unseen")], ids=repr
)
def test_a_call_without_its_inputs_must_not_start(outcome: Any) -> None:
    desk = Desk()
    future = desk.pending()
    scanned = desk.scan({"x": "$k7qz_1"})
    if outcome is not None:
        future.settle(outcome)
    with pytest.raises(InternalError, match=r"\$k7qz_1 was to be replaced"):
        substitute(*scanned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$k7qz_1.items[7]", "$k7qz_1.items[7]: there is no [7]: .items is a list of length 2, [0] to [1]"),
        (
            "see ${k7qz_1.name}",
            "${k7qz_1.name}: there is no .name: the value is an object with the keys items",
        ),
        ("$k7qz_1.__class__", "there is no .__class__"),
        ("$k7qz_1.items.append", "there is no .append: .items is a list"),
    ],
)
def test_a_path_that_does_not_exist_is_named_with_its_handle(text: str, message: str) -> None:
    with pytest.raises(UnresolvedPath) as caught:
        Desk({"items": [1, 2]}).fill({"x": text})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("see $k7qz_1", r"\$k7qz_1 stands inside a text, but what 'read' returned has no JSON form"),
        ("see ${k7qz_1}", "stands inside a text"),
        ("${k7qz_1.a} or", "stands inside a text"),
        ("$k7qz_1.a", r"\$k7qz_1.a has a path, but what 'read' returned has no JSON form"),
        ("${k7qz_1[0]}", "has a path"),
    ],
)
def test_an_artifact_is_passed_whole_or_not_at_all(text: str, message: str) -> None:
    with pytest.raises(BadReference, match=message):
        Desk(object()).fill({"x": text})


@pytest.mark.parametrize("value", [{"id": 1}, [1], '{"id": 1}', " [1]"])
@pytest.mark.parametrize(
    ("text", "meant"), [("see $k7qz_1.id", "${k7qz_1.id}"), ("at $k7qz_1[0]!", "${k7qz_1[0]}")]
)
def test_a_path_without_braces_in_a_text_is_refused_if_the_value_has_parts(
    value: Any, text: str, meant: str
) -> None:
    with pytest.raises(BadReference) as caught:
        Desk(value).fill({"x": text})
    assert f"write {meant}, with braces" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("backup", "/tmp/$k7qz_1.tar.gz", "/tmp/backup.tar.gz"),
        ("x", "https://x/$k7qz_1.json", "https://x/x.json"),
        (7, "$k7qz_1.Then go", "7.Then go"),
        (None, "is $k7qz_1[0]", "is null[0]"),
        ({"a": 1}, "is $k7qz_1.", 'is {"a":1}.'),
        ({"a": 1}, "is $k7qz_1. Good", 'is {"a":1}. Good'),
        ([1], "costs $k7qz_1.50", "costs [1].50"),
    ],
)
def test_after_a_scalar_or_before_punctuation_the_rest_is_text(value: Any, text: str, expected: str) -> None:
    assert Desk(value).fill_x(text) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": "$k7qz_1, $k7qz_1, $k7qz_1, $k7qz_1"},
        {"x": ["as text: $k7qz_1"] * 4},
        {"x": ["$k7qz_2"] * 4},  # a list of 20 items each time
    ],
)
def test_references_that_unfold_to_too_much_are_refused_by_name(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk("x" * 400, ["y" * 10] * 20)
    desk.fill(arguments)
    monkeypatch.setattr(reference_module, "MAX_CHARS", 1500)
    with pytest.raises(BadReference, match=r"\$k7qz_[12] is too large here: .* may insert 1500 characters"):
        desk.fill(arguments)


def test_a_large_value_as_a_whole_is_no_unfolding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_module, "MAX_CHARS", 10)
    desk = Desk(["y" * 100] * 20, "x" * 1000)
    assert desk.fill({"a": "$k7qz_1", "b": ["$k7qz_2"] * 3}) == {"a": ["y" * 100] * 20, "b": ["x" * 1000] * 3}


# --- what is put in -----------------------------------------------------------------------------------


def test_values_stand_where_their_references_stood() -> None:
    desk = Desk({"items": [{"id": 5}]}, "text")
    filled = desk.fill(
        {
            "whole": "$k7qz_1",
            "path": "$k7qz_1.items[0].id",
            "deep": [{"in": ("${k7qz_2}", 1)}],
            "text": "id ${k7qz_1.items[0].id}, $k7qz_2: $k7qz_1",
            "future": desk.futures[1],
            "rest": [1, "$5"],
        }
    )
    assert filled == {
        "whole": {"items": [{"id": 5}]},
        "path": 5,
        "deep": [{"in": ("text", 1)}],
        "text": 'id 5, text: {"items":[{"id":5}]}',
        "future": "text",
        "rest": [1, "$5"],
    }


def test_prefixes_of_a_number_are_no_references() -> None:
    desk = Desk(*(f"<{number}>" for number in range(1, 12)))
    assert desk.fill_x("$k7qz_1 $k7qz_10 $k7qz_11 $k7qz_1") == "<1> <10> <11> <1>"
    assert desk.fill({"x": "$k7qz_1", "y": "$k7qz_11"}) == {"x": "<1>", "y": "<11>"}


def test_a_path_leads_into_text_that_holds_json_but_the_whole_stays_text() -> None:
    desk = Desk('{"items": [{"id": 5}]}')
    assert desk.fill_x("$k7qz_1.items[0].id") == 5
    assert desk.fill_x("nr. ${k7qz_1.items[0].id}") == "nr. 5"
    assert desk.fill_x("$k7qz_1") == '{"items": [{"id": 5}]}'


@pytest.mark.parametrize(
    ("value", "in_string", "elsewhere"),
    [
        (5, "5", 5),
        (True, "true", True),
        ({"a": [1, "é"]}, '{"a":[1,"é"]}', {"a": [1, "é"]}),
        ("5", "5", "5"),
        (None, None, None),
    ],
)
def test_where_only_strings_are_admitted_the_value_comes_as_text(
    value: Any, in_string: Any, elsewhere: Any
) -> None:
    arguments = {"x": "$k7qz_1", "n": "$k7qz_1", "other": "${k7qz_1}"}
    filled = Desk(value).fill(arguments, STRING_X)
    assert filled == {"x": in_string, "n": elsewhere, "other": elsewhere}
    assert Desk(value).fill(arguments) == {"x": elsewhere, "n": elsewhere, "other": elsewhere}


def test_an_artifact_is_the_object_itself_wherever_it_goes() -> None:
    thing = object()
    filled = Desk(thing).fill({"x": "$k7qz_1", "y": ["${k7qz_1}"]}, STRING_X)
    assert filled["x"] is thing
    assert filled["y"][0] is thing


def test_a_consumer_cannot_change_what_others_see() -> None:
    """P24: neither the value nor the arguments are shared with anybody."""
    desk = Desk({"items": [1]})
    scanned = desk.scan({"a": "$k7qz_1", "b": "$k7qz_1", "own": [{"k": []}]})
    first, second = substitute(*scanned), substitute(*scanned)
    first["a"]["items"].append(2)
    first["own"][0]["k"].append(3)
    assert first["b"] == {"items": [1]}
    assert second == {"a": {"items": [1]}, "b": {"items": [1]}, "own": [{"k": []}]}
    assert desk.futures[0].result() == {"items": [1]}


def test_strings_of_large_values_are_shared_not_copied() -> None:
    text = "x" * 100_000
    desk = Desk({"text": text})
    assert desk.fill_x("$k7qz_1.text") is desk.fill_x("$k7qz_1")["text"]


def test_what_was_inserted_is_never_looked_at_again() -> None:
    """P22, the classic bugs: re-substitution inside inserted text, and text put together from two values."""
    desk = Desk("$k7qz_2 ${k7qz_2} $$k7qz_2", "secret", "$", "k7qz_2")
    assert desk.fill_x("$k7qz_1") == "$k7qz_2 ${k7qz_2} $$k7qz_2"
    assert desk.fill_x("a $k7qz_1") == "a $k7qz_2 ${k7qz_2} $$k7qz_2"
    assert desk.fill_x("${k7qz_3}${k7qz_4}") == "$k7qz_2"
    assert desk.fill_x("${k7qz_3}{k7qz_2}") == "${k7qz_2}"
    assert desk.fill({"x": ["$k7qz_1"]}) == {"x": ["$k7qz_2 ${k7qz_2} $$k7qz_2"]}


# --- properties ---------------------------------------------------------------------------------------

FORGED = st.lists(
    st.sampled_from(
        ["$", "$k7qz_1", "$k7qz_2", "${k7qz_2}", "$this_1", "$$k7qz_2", "k7qz", "_", "2", "{", "}", " ", "."]
    )
    | st.text(max_size=2),
    max_size=5,
).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | FORGED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FORGED, inner, max_size=3),
    max_leaves=5,
)


@given(JSON, st.sampled_from(["$k7qz_1", "${k7qz_1}"]))
def test_P23_a_whole_reference_is_the_value_itself(value: Any, reference: str) -> None:
    """And with P22: handles in the value, as keys or text, stay what they are."""
    desk = Desk(value, "secret")
    assert repr(desk.fill({"x": reference, "y": [reference]})) == repr({"x": value, "y": [value]})
    text = desk.fill({"x": reference}, STRING_X)["x"]
    assert text == (canonical_text(value) if value is not None else None)


@given(JSON, JSON)
def test_P23_an_embedded_reference_is_canonical_text(first: Any, second: Any) -> None:
    desk = Desk(first, second)
    text = desk.fill_x("<$k7qz_1|${k7qz_2}>")
    assert text == f"<{canonical_text(first)}|{canonical_text(second)}>"


@given(JSON)
def test_P22_json_that_was_escaped_for_the_model_comes_back_as_it_was(value: Any) -> None:
    """What the model copies from an answer is text, and the very text that the tool returned."""
    desk = Desk("first", "second")
    shown = DEFAULT_GRAMMAR.escape(json.dumps({"x": value}), "k7qz")
    copy, sites = desk.scan(json.loads(shown))
    assert sites == ()
    assert repr(copy) == repr({"x": value})


@given(st.text() | FORGED)
def test_P25_all_that_is_not_shown_is_alike(text: str) -> None:
    """Whether a handle is foreign or only not shown yet makes no difference to what scanning says."""
    hidden, foreign = Desk("a", "b"), Desk()
    for future in hidden.futures:
        future.shown = False
    assert verdict(hidden, text) == verdict(foreign, text)


def verdict(desk: Desk, text: str) -> Any:
    try:
        return desk.scan({"x": text})
    except (UnknownHandle, BadReference) as error:
        return type(error), str(error)


@given(JSON, JSON)
def test_other_arguments_are_untouched(value: Any, other: Any) -> None:
    desk = Desk(value, "second")
    escaped = json.loads(DEFAULT_GRAMMAR.escape(json.dumps(other), "k7qz"))
    assert repr(desk.fill({"x": "$k7qz_1", "y": escaped})["y"]) == repr(other)
