from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.reference import scan
from asyncfc.futures.table import unknown_handle
from asyncfc.gpu_engine.cml.code import BadCode, ToolCall, read_code

HANDLES = {"c1": "$k7qz_1", "c2": "$k7qz_2", "stop": None, "call-3": "$k7qz_3"}
PARAMETERS = {"get": ("key", "n"), "now": ()}


def read(code: str, grammar: HandleGrammar = DEFAULT_GRAMMAR) -> ToolCall:
    return read_code(code, HANDLES, grammar, PARAMETERS.get)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("", "'' is no call; expected one such as"),
        ("(", "'\\(' is no call"),
        ("get", "'get' is no call"),
        ("get(", "can be read: '\\(' was never closed"),
        ("get(1, 2, 3)", "get has 3 arguments without names, but takes 2: key, n"),
        ("now(1)", "takes 0: none"),
        ("other(1)", "there is no tool 'other'"),
        ("get(1, key=2)", "the argument key of get is given twice"),
        ("get(key=1, key=2)", "the argument key of get is given twice"),
        (
            "get(key=c9)",
            "'c9' is no earlier call; they are: c1, c2, stop, call-3. If text is meant, put it in",
        ),
        ("get(key=stop)", "the call 'stop' has no result that can be passed on"),
        (
            "get(key=other(a=1))",
            "other\\(a=1\\) is a call inside a call; give it a block and an id of its own",
        ),
        ("get(key=1)(2)", "more than one call"),
        ("get(key=1) + 2", "more than one call"),
        ("get(key=1); get(key=2)", "near '; get"),
        ("get(key=1) get(key=2)", "can be read: .*near 'get\\(key=2\\)'"),
        ("get(key='abc)", "unterminated string literal"),
        ("get(from='a')", "near \"from='a'\\)\""),
        ("get(key=c1 + 1)", "c1 \\+ 1 in the arguments of get is neither a literal nor the id of a call"),
        ("get(key=f'{c1}')", "neither a literal nor the id of a call"),
        ("get(key=[*c1])", "\\*c1 in the arguments of get"),
        ("get(*c1)", "\\*c1 in the arguments of get"),
        ("get(**c1)", "\\*\\*c1 cannot be read"),
        ("get(key=lambda: 1)", "nothing is computed here"),
        ("get(key={1: 2})", "1 is no key of an object"),
        ("get(key={**c1})", "\\*\\* is no key of an object"),
        ("get(key={'a': 1, 'a': 2})", "the key 'a' stands twice"),
        ("get(key=c1[1:2])", "\\[1:2\\] in c1\\[1:2\\] is no step of a path"),
        ("get(key=c1[c2])", "\\[c2\\] in c1\\[c2\\] is no step of a path"),
        ("get(key=c1[True])", "is no step of a path"),
        ("get(key=c1.upper())", "is a call inside a call"),
        ("get(key=c1.a(2).b)", "is no path on a call"),
        ("get(key='abc'.x)", "is no path on a call"),
        ("get(key=1e999)", "has no JSON form"),
        ("get(key=b'a')", "has no JSON form"),
        ("get(key=...)", "has no JSON form"),
        ("get(key=-'a')", "neither a literal"),
        ("get(key=-True)", "neither a literal"),
        ("get(key=" + "9" * 5000 + ")", "can be read: Exceeds the limit"),
        ("get(key='\0')", "can be read"),
        ("get(key=" + "[" * 5000 + ")", "can be read"),
        ("get(key=" + "-" * 50_000 + "1)", "can be read|nested too deeply|neither"),
        ("get(key=c1" + ".a" * 20_000 + ".b()" + ")", "can be read|nested|inside a call"),
        ("get(key='" + "a" * 200_000 + "')", "is no call"),
    ],
)
def test_code_that_is_no_call_is_refused_by_name(code: str, complaint: str) -> None:
    with pytest.raises(BadCode, match=complaint) as error:
        read(code)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("get()", {}),
        ('get(key="abc")', {"key": "abc"}),
        (' get ( key = "abc" , ) ', {"key": "abc"}),
        ('get("abc", -3)', {"key": "abc", "n": -3}),
        ('get("abc", n=+1.5)', {"key": "abc", "n": 1.5}),
        (
            "get(a=True, b=true, c=False, d=false, e=None, f=null)",
            dict(zip("abcdef", [True, True, False, False, None, None], strict=True)),
        ),
        ("get(key=[1, [2], (3, 4)])", {"key": [1, [2], [3, 4]]}),
        ('get(key={"a": {"b": [null]}})', {"key": {"a": {"b": [None]}}}),
        ('get(**{"from": "x", "to": c1})', {"from": "x", "to": "$k7qz_1"}),
        ('get(key=\'it\\\'s\', n="""a\nb""")', {"key": "it's", "n": "a\nb"}),
        ('get(key="a" "b", n=r"\\d", o="\\d")', {"key": "ab", "n": "\\d", "o": "\\d"}),
        ("get(key=c1)", {"key": "$k7qz_1"}),
        ("get(key=c1.id)", {"key": "$k7qz_1.id"}),
        ('get(key=c1["a key"][0])', {"key": '$k7qz_1["a key"][0]'}),
        ("get(key=c1.items[-1].id)", {"key": "$k7qz_1.items[-1].id"}),
        ("get(n=[1, c1.id], other=c2)", {"n": [1, "$k7qz_1.id"], "other": "$k7qz_2"}),
        ('get(key={"a": c1})', {"key": {"a": "$k7qz_1"}}),
        ('get(key="[!END]")', {"key": "[END]"}),
        ('get(key=c1["[!END]"])', {"key": '$k7qz_1["[END]"]'}),
    ],
)
def test_a_call_is_read(code: str, arguments: dict[str, Any]) -> None:
    assert read(code).arguments == arguments


@pytest.mark.parametrize("name", ["get", "get_x", "get-x", "files.read", "mcp.get-x.v2", "класс"])
def test_tools_have_the_names_that_they_have(name: str) -> None:
    assert read(f"{name}(key=1)").tool == name


def test_it_says_which_calls_it_needs() -> None:
    assert read("get(key=[c2, c1.a, c2.b])").uses == ("c2", "c1")
    assert read('get(key="c1")').uses == ()


def test_an_earlier_call_named_like_a_word_of_json_is_that_call() -> None:
    assert read_code("get(a=true)", {"true": "$k7qz_1"}, DEFAULT_GRAMMAR, PARAMETERS.get).arguments == {
        "a": "$k7qz_1"
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert read(f"get(key={text})").arguments == {"key": value}


mentions = st.lists(
    st.sampled_from(
        ["$k7qz_1", "$$k7qz_1", "${k7qz_1.a}", "$this_1", "$zz9z_4", "$", "x", ".", "[0]", "{", "}"]
    )
).map("".join)


@given(st.dictionaries(mentions, mentions | st.lists(mentions)))
def test_text_that_reads_as_a_handle_stays_text(value: dict[str, Any]) -> None:
    """CML has no handles: whatever the model copies from a result, or makes up, reaches the tool as it is."""

    def lookup(tag: str, number: int, text: str) -> Any:
        raise unknown_handle(text)

    arguments = read(f"get(key={json.dumps(value)})").arguments
    assert scan(arguments, DEFAULT_GRAMMAR, lookup) == ({"key": value}, ())


def test_handles_of_any_grammar_are_kept_apart() -> None:
    grammar = HandleGrammar(sigil="@-", separator="~")
    assert read('get(key="@-k7qz~1")', grammar).arguments == {"key": "@-@-k7qz~1"}
