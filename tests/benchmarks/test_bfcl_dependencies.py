from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import UnknownHandle
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.reference import scan, substitute
from asyncfc.futures.store import MemoryStore
from benchmarks.bfcl.data import Case, GroundCall, Turn, packaged_cases
from benchmarks.bfcl.dependencies import Dependency, dependencies, with_handles
from benchmarks.bfcl.sequential import run_in_order


def _value(result: Any) -> Value:
    return MemoryStore().put(result)


def _case(*arguments: Mapping[str, Any], user: str = "") -> Case:
    calls = tuple(GroundCall("tool", "Class", given) for given in arguments)
    return Case("case", (), {}, long_context=False, turns=(Turn((user,), calls),))


def _last(argument: Any, *results: Any, user: str = "") -> tuple[Dependency, ...]:
    """The dependencies of a last call with this argument, after calls with these results."""
    outcomes: list[Outcome] = [*map(_value, results), _value(None)]
    return dependencies(_case(*[{}] * len(results), {"x": argument}, user=user), outcomes)[-1]


@pytest.mark.parametrize(
    ("argument", "result"),
    [
        (None, None),
        (True, True),
        (1, True),
        (10, 10),
        (-10, -10),
        ("ab", "ab"),
        ("", ""),
        (500, 500.0),
        (500.0, 500),
        ("500", 500),
        (500, "500"),
        ("abc", "ABC"),
        ([500], 501),
    ],
)
def test_small_values_and_values_of_another_type_are_no_dependency(argument: Any, result: Any) -> None:
    assert _last(argument, {"r": result}) == ()


@pytest.mark.parametrize("value", [11, -11, 0.5, "abc", 123456789])
def test_an_equal_value_of_the_same_type_is_a_dependency_on_the_whole(value: Any) -> None:
    assert _last(value, {"r": [0, value]}) == (Dependency(("x",), 0, ("r", 1), None),)


def test_the_latest_earlier_result_counts_and_in_it_the_last_place() -> None:
    found = _last("abc", {"r": "abc"}, {"r": "abc", "s": ["abc", "other"]}, {"r": "abcd"})
    assert found == (Dependency(("x",), 1, ("s", 0), None),)


def test_a_call_does_not_depend_on_its_own_result_or_on_later_ones() -> None:
    outcomes = [_value("abc"), _value("abc")]
    assert dependencies(_case({"x": "abc"}, {}), outcomes) == [(), ()]


def test_failures_and_artifacts_offer_nothing() -> None:
    case = _case({}, {}, {"x": "abc"})
    outcomes: list[Outcome] = [Failure(ValueError("abc")), _value({"r": "abc", "o": object()}), _value(None)]
    assert dependencies(case, outcomes)[-1] == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [("abc", "use abc"), ("Abc", "it is ABC!"), (500, "about 500 of them"), (500.0, "$500"), (1.5, "1.5")],
)
def test_what_the_user_has_said_is_no_dependency(value: Any, said: str) -> None:
    assert _last(value, {"r": value}) != ()
    assert _last(value, {"r": value}, user=said) == ()


def test_what_the_user_says_in_a_later_turn_does_not_count_yet() -> None:
    first = Turn(("hello",), (GroundCall("tool", "Class", {}), GroundCall("tool", "Class", {"x": "abc"})))
    later = Turn(("abc",), (GroundCall("tool", "Class", {"x": "abc"}),))
    case = Case("case", (), {}, long_context=False, turns=(first, later))
    found = dependencies(case, [_value("abc"), _value(None), _value(None)])
    assert found == [(), (Dependency(("x",), 0, (), None),), ()]


def test_a_value_inside_a_longer_argument_is_a_stretch_of_it() -> None:
    assert _last("id 7.25 !", {"r": 7.25}) == (Dependency(("x",), 0, ("r",), (3, 7)),)
    assert _last("a_name.txt", {"r": "name"}) == (Dependency(("x",), 0, ("r",), (2, 6)),)


def test_a_value_that_stands_twice_inside_is_no_dependency() -> None:
    assert _last("abc or abc", {"r": "abc"}) == ()


def test_an_argument_inside_a_longer_result_is_no_dependency() -> None:
    assert _last("abc", {"r": "abcdef"}) == ()


def test_a_whole_value_goes_before_a_later_contained_one() -> None:
    assert _last("abc def", {"r": "abc def"}, {"r": "abc"})[0].producer == 0


def test_the_longest_of_the_contained_values_counts() -> None:
    assert _last("abc def!", {"r": ["abc", "abc def", "def"]}) == (Dependency(("x",), 0, ("r", 1), (0, 7)),)


def test_a_value_right_after_the_sigil_is_left_alone_because_it_would_read_as_an_escape() -> None:
    assert _last("costs $457.23", {"r": 457.23}) == ()
    assert _last("costs 457.23", {"r": 457.23}) != ()


def test_nested_arguments_are_found_by_their_place() -> None:
    assert _last([{"y": "abc"}], "abc") == (Dependency(("x", 0, "y"), 0, (), None),)


def test_references_are_written_with_their_path_and_inside_text_with_braces() -> None:
    found = [
        Dependency(("whole",), 0, ("items", 0, "a key"), None),
        Dependency(("inside", 0), 1, ("id",), (1, 4)),
        Dependency(("plain",), 1, (), None),
    ]
    literal = {"whole": 1, "inside": ["<abc>"], "plain": "x", "other": {"n": None}}
    written = with_handles(literal, found, lambda producer: f"$k7qz_{producer + 1}")
    assert written == {
        "whole": '$k7qz_1.items[0]["a key"]',
        "inside": ["<${k7qz_2.id}>"],
        "plain": "$k7qz_2",
        "other": {"n": None},
    }
    assert literal["inside"] == ["<abc>"]


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-99, 99),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab$ {}_.1", max_size=6),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab .\"'[]\\", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def _emissions(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    """Results, and arguments made of parts of them: alone, and inside longer text."""
    results = draw(st.lists(_JSON, min_size=1, max_size=3))
    parts = st.one_of(st.sampled_from(results), _SCALARS)
    texts = st.builds(
        "{}{}{}".format, st.sampled_from(["", "a", "$", "{"]), parts, st.sampled_from(["", "b", "}"])
    )
    values = st.one_of(parts, texts, st.lists(parts | texts, max_size=3))
    return results, draw(st.dictionaries(st.sampled_from("xyz"), values, max_size=3))


@given(_emissions())
def test_substituting_the_handles_gives_the_literal_arguments_again(
    emission: tuple[list[Any], dict[str, Any]],
) -> None:
    results, literal = emission
    outcomes: Sequence[Outcome] = [*map(_value, results), _value(None)]
    found = dependencies(_case(*[{}] * len(results), literal), outcomes)[-1]
    futures = [Future(str(n), "tool", n) for n in range(len(results))]
    for future, outcome in zip(futures, outcomes, strict=False):
        future.settle(outcome)

    def lookup(tag: str, number: int, text: str) -> Future:
        if tag != "k7qz" or not 1 <= number <= len(futures):
            raise UnknownHandle(text)
        return futures[number - 1]

    written = with_handles(literal, found, lambda producer: f"$k7qz_{producer + 1}")
    arguments, sites = scan(written, DEFAULT_GRAMMAR, lookup)
    assert repr(substitute(arguments, sites, None)) == repr(literal)


@pytest.mark.bfcl
def test_the_base_cases_have_dependencies_within_and_across_turns() -> None:
    within = across = contained = 0
    for case in packaged_cases("base"):
        turn_of = [number for number, turn in enumerate(case.turns) for _ in turn.calls]
        for place, found in enumerate(dependencies(case, run_in_order(case).outcomes)):
            for dependency in found:
                same = turn_of[dependency.producer] == turn_of[place]
                within, across = within + same, across + (not same)
                contained += dependency.span is not None
    assert (within, across, contained) == (103, 172, 2)
