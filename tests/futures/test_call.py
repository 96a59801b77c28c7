"""Arguments as the model wrote them become an object, or a message that says what is wrong with them."""

from __future__ import annotations

import json
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import BadArguments
from asyncfc.futures.call import Call, parse_arguments


def parse(arguments: Any) -> dict[str, Any]:
    return parse_arguments(Call("call_7", "read_file", arguments))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"path": "a', "Unterminated string starting at at character 9 (line 1)"),
        ('{"path": }', "Expecting value at character 9"),
        ('{"a": 1} then', "Extra data at character 9"),
        ("{'a': 1}", "near \"{'a': 1}\""),
        ('\ufeff{"a": 1}', "not valid JSON"),
        ("nonsense", "not valid JSON"),
        ("[1, 2]", "are a JSON array"),
        ('"{}"', "are a JSON string"),
        ("null", "are null"),
        ("true", "are true or false"),
        ("1", "are a number"),
        ("1.5", "are a number"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        ('{"a": {"deep": [{"k": 1, "k": 1}]}}', "the key 'k' twice"),
        ('{"n": ' + "9" * 5000 + "}", "cannot be read: Exceeds the limit"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_faulty_text_is_refused_with_call_tool_fault_and_expectation(text: str, fault: str) -> None:
    with pytest.raises(BadArguments) as caught:
        parse(text)
    message = str(caught.value)
    assert fault in message
    assert "'call_7' to 'read_file'" in message
    assert "Expected one JSON object" in message


@pytest.mark.parametrize("arguments", [[1], 5, b"{}", object()])
def test_an_object_that_is_no_mapping_is_refused(arguments: Any) -> None:
    with pytest.raises(BadArguments, match=f"Python type {type(arguments).__name__}"):
        parse(arguments)


def test_messages_stay_short_whatever_the_model_wrote() -> None:
    with pytest.raises(BadArguments) as caught:
        parse_arguments(Call("i" * 10_000, "t" * 10_000, '{"' + "k" * 10_000 + '": 1, "x": }'))
    assert len(str(caught.value)) < 500
    with pytest.raises(BadArguments) as caught:
        parse_arguments(Call("i", "t", json.dumps({"k" * 10_000: 1})[:-1] + ', "' + "k" * 10_000 + '": 1}'))
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("nothing", ["", "  \n", None, "{}", {}])
def test_nothing_means_no_arguments(nothing: Any) -> None:
    assert parse(nothing) == {}


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert parse('{"a": {"k": 1}, "b": {"k": 2}}') == {"a": {"k": 1}, "b": {"k": 2}}


def test_what_python_reads_beyond_json_is_kept() -> None:
    assert str(parse('{"n": NaN, "i": -Infinity, "s": "\\ud800"}')) == "{'n': nan, 'i': -inf, 's': '\\ud800'}"


def test_a_mapping_comes_back_as_a_new_dict_with_the_same_values() -> None:
    inner = [1]
    given_object = {"a": inner}
    result = parse(given_object)
    assert result == given_object
    assert result is not given_object
    assert result["a"] is inner
    assert type(parse(types.MappingProxyType({"a": 1}))) is dict


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), JSON, max_size=3), st.booleans())
def test_every_json_object_is_read_as_python_reads_it(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.text() | st.text('{}[]":,1ab ', max_size=12))
def test_any_text_gives_an_object_or_bad_arguments(text: str) -> None:
    try:
        result: Any = parse(text)
    except BadArguments:
        result = {}
    assert type(result) is dict
