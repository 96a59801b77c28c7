"""Which parts of a text are references, and which are text."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import BadReference, UnknownHandle
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.mention import Reference, mentions, split_text
from asyncfc.futures.table import FutureTable

GRAMMAR = DEFAULT_GRAMMAR


class AnyFuture:
    """Knows every handle, and notes which were asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def lookup(self, tag: str, number: int, text: str) -> Future:
        self.asked.append((tag, number))
        return Future(text, "read", number)


def split(text: str, grammar: HandleGrammar = GRAMMAR) -> list[Any]:
    """The parts; a reference as a tuple of its handle and path."""
    parts = split_text(text, grammar, AnyFuture().lookup)
    return [(part.future.call_id, *part.path) if isinstance(part, Reference) else part for part in parts]


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("$k7qz_1", ("$k7qz_1",)),
        ("$k7qz_12", ("$k7qz_12",)),
        ("$this_2", ("$this_2",)),
        ("$k7qz_1.items[0].id", ("$k7qz_1", "items", 0, "id")),
        ('$k7qz_1["a key"]', ("$k7qz_1", "a key")),
        ("${k7qz_1}", ("$k7qz_1",)),
        ("${k7qz_1.items[-1].id}", ("$k7qz_1", "items", -1, "id")),
        ('${k7qz_1["a } b"]}', ("$k7qz_1", "a } b")),
        ("$k7qz_1.json", ("$k7qz_1", "json")),
        ("$k7qz_1.__class__", ("$k7qz_1", "__class__")),
    ],
)
def test_a_reference_that_is_the_whole_text_comes_alone(text: str, reference: tuple[Any, ...]) -> None:
    assert split(text) == [reference]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # S23: a path without braces is one only in a whole-string reference.
        ("backup/$k7qz_1.tar.gz", ["backup/", ("$k7qz_1",), ".tar.gz"]),
        ("https://x/$k7qz_1.json", ["https://x/", ("$k7qz_1",), ".json"]),
        ("$k7qz_1.Then go", [("$k7qz_1",), ".Then go"]),
        ("see $k7qz_1.", ["see ", ("$k7qz_1",), "."]),
        (" $k7qz_1", [" ", ("$k7qz_1",)]),
        ("$k7qz_1\n", [("$k7qz_1",), "\n"]),
        ("a ${k7qz_1.items[0].id} b", ["a ", ("$k7qz_1", "items", 0, "id"), " b"]),
        ("x${k7qz_1}y${k7qz_2.a}z", ["x", ("$k7qz_1",), "y", ("$k7qz_2", "a"), "z"]),
        ("${k7qz_1}${k7qz_2}", [("$k7qz_1",), ("$k7qz_2",)]),
        ('<${k7qz_1["$k7qz_2"]}>', ["<", ("$k7qz_1", "$k7qz_2"), ">"]),
        ("$k7qz_1, $k7qz_10 and $k7qz_100", [("$k7qz_1",), ", ", ("$k7qz_10",), " and ", ("$k7qz_100",)]),
        ("?q=$k7qz_1&b", ["?q=", ("$k7qz_1",), "&b"]),
        ("$k7qz_1/$this_1", [("$k7qz_1",), "/", ("$this_1",)]),
        ("文件$k7qz_1的", ["文件", ("$k7qz_1",), "的"]),
        ("$5 for $k7qz_1", ["$5 for ", ("$k7qz_1",)]),
        # Escapes.
        ("$$k7qz_1 is not $k7qz_1", ["$k7qz_1 is not ", ("$k7qz_1",)]),
        ("$k7qz_1 is not $$$k7qz_1", [("$k7qz_1",), " is not $$k7qz_1"]),
        ("$${k7qz_1.a}${k7qz_1.a}", ["${k7qz_1.a}", ("$k7qz_1", "a")]),
    ],
)
def test_references_inside_a_text_stand_between_its_literal_parts(text: str, parts: list[Any]) -> None:
    assert split(text) == parts


GLUED = ["backup_$k7qz_1.tar.gz", "a$k7qz_1b", "a$k7qz_1", "$k7qz_12x", "$k7qz_1_", "1$k7qz_1", "$k7qz_1$"]
GLUED += ["$k7qz_1$k7qz_2", "$k7qz_1２"]  # no digit of any script is cut off a number


@pytest.mark.parametrize("text", GLUED)
def test_a_known_handle_that_is_part_of_a_longer_word_is_refused_with_the_braces_as_hint(text: str) -> None:
    with pytest.raises(BadReference, match=r"write \$\{k7qz_"):
        split(text)


@pytest.mark.parametrize("text", GLUED)
def test_part_of_a_longer_word_that_names_nothing_here_is_text(text: str) -> None:
    assert split_text(text, GRAMMAR, FutureTable("zz9z").lookup) == (text,)


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        # No handle at all.
        ("$user_1 = $1", None),
        ("$K7QZ_1", None),
        ("$k7q\u200bz_1", None),
        ("$κ7qz_1", None),
        ("＄k7qz_1", None),
        ("$k7qz-1", None),
        ("${ k7qz_1}", None),
        ("$", None),
        ("", None),
        # Escapes.
        ("$$k7qz_1", "$k7qz_1"),
        ("$$$k7qz_1", "$$k7qz_1"),
        ("$$ab1c_9", "$ab1c_9"),
        ("$$this_1", "$this_1"),
        ("a$$k7qz_1b", "a$k7qz_1b"),
        ("$${k7qz_1.a}", "${k7qz_1.a}"),
        ("$$$$", None),
        ("$$user_1", None),
    ],
)
def test_all_else_is_text_with_its_escapes_undone(text: str, literal: str | None) -> None:
    assert split(text) == [text if literal is None else literal]
    assert not mentions(text, GRAMMAR)


@pytest.mark.parametrize(
    "text",
    ["${k7qz_1", "${k7qz_1 }", "${k7qz_1:-x}", "${k7qz_1.items[*]}", "${k7qz_1.f()}", "see ${k7qz_1.a. }",
     '${k7qz_1["a}', "${k7qz_1.a}${k7qz_2"],
)  # fmt: skip
def test_braces_around_what_is_no_path_are_refused_rather_than_passed_on(text: str) -> None:
    with pytest.raises(BadReference, match="cannot read") as caught:
        split(text)
    assert "one more $" in str(caught.value)


def test_an_endless_path_is_refused() -> None:
    with pytest.raises(BadReference, match="too long"):
        split("$k7qz_1" + ".a" * 1000)


@pytest.mark.parametrize(
    "text",
    ["$k7qz_2", "$k7qz_2.a.b", "${k7qz_2.a}", "${k7qz_2", "see $k7qz_2 now", "x ${k7qz_2} y", "$ab1c_1",
     "$k7qz_01", "$k7qz_99999999999999999999"],
)  # fmt: skip
def test_a_handle_that_names_nothing_is_refused_wherever_it_stands(text: str) -> None:
    table = FutureTable("k7qz")
    shown, hidden = Future("a", "read", 0), Future("b", "read", 1)
    table.add(shown)
    table.add(hidden)
    shown.shown = True
    with pytest.raises(UnknownHandle, match=r"^\$\w+ is not a known handle"):
        split_text(text, GRAMMAR, table.lookup)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("see $k7qz_1.id", "${k7qz_1.id}"),
        ("see $k7qz_1.items[0].id.", "${k7qz_1.items[0].id}"),
        ("see $k7qz_1[0] now", "${k7qz_1[0]}"),
        ('see $k7qz_1["a key"]', '${k7qz_1["a key"]}'),
        ("$k7qz_1.Then go", "${k7qz_1.Then}"),
        ("see $k7qz_1.", None),
        ("see $k7qz_1. Then", None),
        ("see $k7qz_1 [0]", None),
        ("costs $k7qz_1.50 or so", None),
        ("see $k7qz_1[a link]", None),
        ("see $k7qz_1..a", None),
        ("see $k7qz_1" + ".a" * 10_000, "${k7qz_1" + ".a" * 100 + "}"),
    ],
)
def test_a_bare_handle_knows_the_form_that_was_perhaps_meant(text: str, meant: str | None) -> None:
    (reference,) = [
        part for part in split_text(text, GRAMMAR, AnyFuture().lookup) if isinstance(part, Reference)
    ]
    assert reference.meant == meant
    assert reference.path == ()


def test_another_grammar_is_recognised_in_the_same_ways() -> None:
    grammar = HandleGrammar(sigil="@ref-", separator="-")
    assert split("@ref-k7qz-1.a", grammar) == [("@ref-k7qz-1", "a")]
    assert split("mail me or @ref-{k7qz-2.a}!", grammar) == ["mail me or ", ("@ref-k7qz-2", "a"), "!"]
    with pytest.raises(BadReference, match=r"@ref-\{k7qz-1\}"):
        split("mail me@ref-k7qz-1", grammar)
    assert split("@ref-@ref-k7qz-1 $k7qz_1", grammar) == ["@ref-k7qz-1 $k7qz_1"]


PIECES = ["$", "$$", "k7qz", "_", "1", "10", "{", "}", ".a", "[0]", '["', '"]', "this", " ", "x", "字"]
PIECES += ["$k7qz_1", "${k7qz_1.a}", "$$k7qz_1"]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=10).map("".join)


@given(texts)
def test_escaped_text_is_never_a_reference_and_reads_as_it_was(text: str) -> None:
    futures = AnyFuture()
    assert split_text(GRAMMAR.escape(text, "k7qz"), GRAMMAR, futures.lookup) == (text,)
    assert futures.asked == []


@given(texts)
def test_literal_parts_and_references_are_the_text_again(text: str) -> None:
    try:
        parts = split_text(text, GRAMMAR, AnyFuture().lookup)
    except BadReference:
        return  # braces that hold no path: tested above
    written = "".join(
        part.text if isinstance(part, Reference) else GRAMMAR.escape(part, "k7qz") for part in parts
    )
    assert GRAMMAR.unescape(written) == GRAMMAR.unescape(text)
    assert any(isinstance(part, Reference) for part in parts) == mentions(text, GRAMMAR)


@pytest.mark.parametrize(
    "text", ["see $k7qz_1 " * 50_000, "$$k7qz_1" * 50_000, "x${k7qz_1.a}" * 50_000, "$k7qz_1[" * 50_000]
)
@pytest.mark.slow
def test_a_text_full_of_handles_is_split_in_linear_time(text: str) -> None:
    started = time.process_time()
    split_text(text, GRAMMAR, AnyFuture().lookup)
    assert time.process_time() - started < 5.0  # quadratic time would be minutes
