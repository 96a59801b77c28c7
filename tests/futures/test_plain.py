"""Text, copies and descriptions of JSON values, and the text of objects that are not to be trusted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.futures.plain import canonical_text, copy_json, describe, safe_text, shorten, size_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class Hostile:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), asyncio.CancelledError(), StopIteration()])
def test_an_object_whose_text_cannot_be_had_is_named_instead(error: BaseException) -> None:
    expected = f"<Hostile object whose text cannot be had: {type(error).__name__}>"
    assert safe_text(Hostile(error), 200) == expected
    assert safe_text([Hostile(error)], 200) == expected.replace("Hostile", "list")


def test_a_text_that_is_no_text_is_named_instead() -> None:
    class Wrong:
        __str__: Any = lambda self: 5  # a method would be refused by the linter

    assert safe_text(Wrong(), 200) == "<Wrong object whose text cannot be had: TypeError>"


def test_ctrl_c_is_not_taken_for_a_hostile_object() -> None:
    with pytest.raises(KeyboardInterrupt):
        safe_text(Hostile(KeyboardInterrupt()), 200)


def test_the_text_of_an_object_is_bounded_and_plain() -> None:
    class Text(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise ValueError

    class Long:
        def __str__(self) -> str:
            return Text("x" * 10_000)

    text = safe_text(Long(), 100)
    assert type(text) is str
    assert text == "x" * 99 + "…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('raw "text"\n', 'raw "text"\n'),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (1.0, "1.0"),
        (float("nan"), "NaN"),
        ({"b": [1, "é\ud800"], "a": {}}, '{"b":[1,"é\ud800"],"a":{}}'),
    ],
)  # fmt: skip
def test_canonical_text_is_raw_for_strings_else_compact_json(value: Any, text: str) -> None:
    assert canonical_text(value) == text


@given(JSON)
def test_canonical_text_of_all_but_strings_reads_back(value: Any) -> None:
    if isinstance(value, str):
        assert canonical_text(value) is value
    else:
        assert repr(json.loads(canonical_text(value))) == repr(value)


def containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (
        [value, *(part for item in inner for part in containers(item))]
        if isinstance(value, dict | list)
        else []
    )


@given(JSON)
def test_a_copy_is_equal_and_shares_no_container(value: Any) -> None:
    copy = copy_json(value)
    assert repr(copy) == repr(value)
    assert not {id(part) for part in containers(copy)} & {id(part) for part in containers(value)}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "an empty object"),
        ({"a": 1, "b": 2}, "an object with the keys a, b"),
        (
            {str(n): n for n in range(14)},
            "an object with the keys 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more",
        ),
        ([], "an empty list"),
        ([1, 2], "a list of length 2, [0] to [1]"),
        ("text", "text that holds no JSON object or array: 'text'"),
        (None, "the plain value null"),
        (1.5, "the plain value 1.5"),
    ],
)
def test_a_value_is_described(value: Any, text: str) -> None:
    assert describe(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 10**6, {"k" * 10**6: 1}, {str(n): n for n in range(10**5)}, 10**4000]
)
def test_descriptions_stay_short(value: Any) -> None:
    assert len(describe(value)) < 200


@given(st.text(), st.integers(0, 12))
def test_shortening_keeps_the_start_within_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit or short == text
    assert short == text if len(text) <= limit else short == (text[: max(0, limit - 1)] + "…")[:limit]


@given(JSON)
def test_size_grows_with_what_is_added(value: Any) -> None:
    assert size_of([value, "more"]) > size_of([value]) > size_of(value) > 0
