"""How handles are written, recognised and escaped; what they name is the table's matter."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import BadReference, DeclarationError
from asyncfc.futures.handle import (
    DEFAULT_GRAMMAR,
    MAX_PATH_CHARS,
    MAX_PATH_PARTS,
    THIS,
    HandleGrammar,
    parse_path,
    read_path,
    show_path,
)

GRAMMARS = [
    DEFAULT_GRAMMAR,
    HandleGrammar(sigil="@ref-", separator="-", tag_length=3),
    HandleGrammar(sigil="#", separator="::", tag_length=8),
    HandleGrammar(sigil="<=", separator="=", tag_length=16),
    HandleGrammar(sigil="_", separator="-"),
]
grammars = st.sampled_from(GRAMMARS)


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"sigil": ""}, "sigil ''"),
        ({"sigil": "$ "}, "no space"),
        ({"sigil": "{"}, "brace"),
        ({"sigil": '"'}, "quote"),
        ({"sigil": "$."}, "dot"),
        ({"sigil": "$["}, "bracket"),
        ({"sigil": "\\"}, "backslash"),
        ({"sigil": "é"}, "ASCII"),
        ({"sigil": "$" + "x" * 16}, "1 to 16"),
        ({"sigil": "ref"}, "start and end with punctuation"),
        ({"sigil": "@ref"}, "start and end with punctuation"),
        ({"sigil": "1@"}, "start and end with punctuation"),
        ({"sigil": "$$"}, "starts as it ends"),
        ({"sigil": "#-#"}, "starts as it ends"),
        ({"separator": ""}, "separator ''"),
        ({"separator": "x"}, "separator 'x'"),
        ({"separator": "."}, "separator '.'"),
        ({"separator": "$"}, "without the sigil"),
        ({"separator": "_" * 5}, "1 to 4"),
        ({"tag_length": 2}, "tag_length is 2"),
        ({"tag_length": 17}, "tag_length is 17"),
    ],
)
def test_a_grammar_whose_parts_would_run_into_each_other_is_refused(
    settings: dict[str, Any], culprit: str
) -> None:
    with pytest.raises(DeclarationError, match=re.escape(culprit)):
        HandleGrammar(**settings)


@given(grammars, st.text(st.characters(exclude_categories=())))
def test_the_tag_depends_on_the_session_id_alone_and_is_a_tag(grammar: HandleGrammar, session: str) -> None:
    tag = grammar.tag_for(session)
    assert tag == HandleGrammar(grammar.sigil, grammar.separator, grammar.tag_length).tag_for(session)
    assert re.fullmatch(f"[a-z][a-z0-9]{{{grammar.tag_length - 1}}}", tag)
    assert any(char.isdigit() for char in tag)
    assert tag != THIS


def test_tags_of_different_sessions_differ() -> None:
    tags = {DEFAULT_GRAMMAR.tag_for(f"session {number}") for number in range(1000)}
    assert len(tags) > 990


@given(grammars, st.text(), st.integers(1, 10**9 - 1))
def test_what_is_minted_is_read_back(grammar: HandleGrammar, session: str, number: int) -> None:
    tag = grammar.tag_for(session)
    assert grammar.parse(grammar.mint(tag, number)) == (tag, number)
    assert grammar.parse(grammar.mint(THIS, number)) == (THIS, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k7qz_1",
        "$k7qz",
        "$k7qz_",
        "$k7qz1",
        "$ k7qz_1",
        "$k7qz_1 ",
        "$k7qz_1.a",
        "${k7qz_1}",
        "$$k7qz_1",
        "$k7q_1",
        "$k7qzz_1",
        "$7kqz_1",  # a letter comes first
        "$user_1",  # and not letters alone: PHP, shells
        "$that_1",
        "$K7QZ_1",
        "$к7qz_1",  # Cyrillic
        "$k7qz_１",  # full-width digit
        "$k7qz\u200b_1",  # zero-width space
        "＄k7qz_1",
        "$k7qz_-1",
    ],
)
def test_text_that_is_not_exactly_one_handle_is_none(text: str) -> None:
    assert DEFAULT_GRAMMAR.parse(text) is None


@pytest.mark.parametrize("digits", ["0", "01", "007", "9" * 10, "9" * 10_000])
def test_a_number_that_no_handle_has_reads_as_zero(digits: str) -> None:
    assert DEFAULT_GRAMMAR.parse(f"$k7qz_{digits}") == ("k7qz", 0)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("$k7qz_1", "$$k7qz_1"),
        ("$$k7qz_1", "$$$k7qz_1"),
        ("a$k7qz_1b $k7qz_12.", "a$$k7qz_1b $$k7qz_12."),
        ("${k7qz_1.items[0].id}", "$${k7qz_1.items[0].id}"),
        ('${k7qz_1["$k7qz_2"]}', '$${k7qz_1["$$k7qz_2"]}'),
        ("$this_3", "$$this_3"),
        ("$ab1c_5", "$ab1c_5"),  # of another session: not ours to touch
        ("$$ab1c_5", "$$$ab1c_5"),  # but what reads as an escape would lose its first $
        ("$user_1 $$ $5 $k7qz $k7qz_x", "$user_1 $$ $5 $k7qz $k7qz_x"),
    ],
)
def test_handles_of_this_session_are_escaped_and_nothing_else(text: str, escaped: str) -> None:
    assert DEFAULT_GRAMMAR.escape(text, "k7qz") == escaped
    assert DEFAULT_GRAMMAR.unescape(escaped) == text


def handle_like(grammar: HandleGrammar) -> st.SearchStrategy[str]:
    """Text made of what handles are made of, so that every edge is met often."""
    tag = grammar.tag_for("mine")
    own = [grammar.mint(tag, 1), grammar.mint(THIS, 2), f"{grammar.sigil}{{{tag}{grammar.separator}1.a}}"]
    near = [grammar.sigil, grammar.sigil * 2, grammar.separator, tag, grammar.tag_for("other"), THIS]
    around = ["{", "}", "1", "10", "0", ".a", "[0]", '["', '"]', "x", "_", "é", "字", "１", " "]
    pieces = [*own, *near, *around, *grammar.sigil]
    return st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=12).map("".join)


@given(grammars.flatmap(lambda grammar: st.tuples(st.just(grammar), handle_like(grammar) | st.text())))
def test_escaping_is_undone_exactly(case: tuple[HandleGrammar, str]) -> None:
    grammar, text = case
    assert grammar.unescape(grammar.escape(text, grammar.tag_for("mine"))) == text


@given(grammars.flatmap(lambda grammar: st.tuples(st.just(grammar), handle_like(grammar))))
def test_escaped_text_names_no_future_of_this_session(case: tuple[HandleGrammar, str]) -> None:
    grammar, text = case
    tag = grammar.tag_for("mine")
    alone = [match[3] for match in grammar.mention.finditer(grammar.escape(text, tag)) if not match[1]]
    assert tag not in alone
    assert THIS not in alone


@pytest.mark.parametrize(
    "text",
    [
        "$" * 1_000_000,
        "$k7qz_" * 160_000,
        "${k7qz_" * 140_000,
        "$k7qz_" + "1" * 1_000_000,
        "$" + "a" * 1_000_000,
        "$k7qz_1 " * 120_000,
        "hello world " * 80_000,
        "$$$k7qz_1" * 110_000,
    ],
)
def test_a_hostile_megabyte_is_scanned_in_linear_time(text: str) -> None:
    def seconds(part: str) -> float:
        started = time.process_time()
        for _ in DEFAULT_GRAMMAR.mention.finditer(part):
            pass
        return time.process_time() - started

    # Quadratic time would be hours; linear is some ten milliseconds.
    assert seconds(text) < 2.0


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        (".a", ("a",)),
        (".items[0].id", ("items", 0, "id")),
        ("[-1]", (-1,)),
        ('["a key"]', ("a key",)),
        ("['a key']", ("a key",)),
        (r'["say \"hi\" \\ ]"]', ('say "hi" \\ ]',)),
        (r"['it\'s']", ("it's",)),
        ('[""]', ("",)),
        (".größe.naïve-name_2", ("größe", "naïve-name_2")),
        (".0.1", ("0", "1")),
        ('["\n"]', ("\n",)),
        (".__class__.__init__", ("__class__", "__init__")),  # keys like any other
    ],
)
def test_paths_are_keys_and_indices(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text",
    ["a", ".", "..a", ".a.", ".a b", "[", "[]", "[x]", "[1", "[1.5]", "[0:2]", "[*]", '["a]', "['a\"]",
     ".f()", "[１]", "[1234567890]", '["a\\"]'],
)  # fmt: skip
def test_text_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(BadReference, match="cannot read the path"):
        parse_path(text)


@pytest.mark.parametrize("text", [".a" * (MAX_PATH_PARTS + 1), "." + "a" * MAX_PATH_CHARS, ".a" * 500_000])
def test_an_endless_path_is_refused_briefly(text: str) -> None:
    with pytest.raises(BadReference, match="too long") as caught:
        parse_path(text)
    assert len(str(caught.value)) < 200


paths = st.lists(
    st.text(st.characters(exclude_categories=()), max_size=8) | st.integers(-999_999_999, 999_999_999),
    max_size=8,
).map(tuple)


@given(paths)
def test_a_path_that_is_shown_reads_back_as_itself(path: tuple[str | int, ...]) -> None:
    assert parse_path(show_path(path)) == path


@given(paths)
def test_reading_a_path_stops_where_it_ends(path: tuple[str | int, ...]) -> None:
    text = show_path(path)
    assert read_path(f"$k7qz_1{text}}} and on", 7) == (path, 7 + len(text))
