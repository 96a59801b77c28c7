"""What people read is held back from a handle on, until nothing can follow it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.gpu_engine.speech import Said, Speech

TAG = "k7qz"


def speech(grammar: HandleGrammar = DEFAULT_GRAMMAR, known: tuple[str, ...] = ("1", "2", "12")) -> Speech:
    def is_known(text: str) -> bool:
        match = grammar.mention.match(text)
        return match is not None and match[3] == TAG and match[4] in known

    return Speech(grammar, lambda text: grammar.may_mention(text, TAG), is_known)


def joined(pieces: list[Said]) -> list[Said]:
    """Neighbouring pieces without a mention as one: where these are cut is no matter."""
    result: list[Said] = []
    for piece in pieces:
        if result and not piece.is_mention and not result[-1].is_mention:
            result[-1] = Said(result[-1].text + piece.text)
        elif piece.text:
            result.append(piece)
    return result


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("no handle at all, $5 and $user_1", []),
        ("the price is $k7qz_1.", ["$k7qz_1"]),
        ("$k7qz_1", ["$k7qz_1"]),
        ("$k7qz_12, not $k7qz_1", ["$k7qz_12", "$k7qz_1"]),
        ("$k7qz_1$k7qz_2", ["$k7qz_1", "$k7qz_2"]),
        ("see $k7qz_1.items[0].id!", ["$k7qz_1.items[0].id"]),
        ('see ${k7qz_1["a key"]}x', ['${k7qz_1["a key"]}']),
        ("escaped $$k7qz_1 stays", []),
        ("foreign $z9zz_1 and unknown $k7qz_9 stay", []),
        ("ends in a part of one: $k7qz_", []),
        ("$k7qz_1 [see there]", ["$k7qz_1"]),
        ("$k7qz_1[", ["$k7qz_1"]),
    ],
)
def test_mentions_are_told_apart_from_the_rest(text: str, mentions: list[str]) -> None:
    whole = list(speech().feed(text, final=True))
    assert "".join(piece.text for piece in whole) == text
    assert [piece.text for piece in whole if piece.is_mention] == mentions


def test_a_handle_is_held_until_something_follows_it() -> None:
    said = speech()
    assert list(said.feed("it is $k7")) == [Said("it is ")]
    assert list(said.feed("qz_1")) == []
    assert list(said.feed("2")) == []
    assert list(said.feed(" and")) == [Said("$k7qz_12", is_mention=True), Said(" and")]


def test_text_without_a_sigil_is_never_held() -> None:
    said = speech()
    for word in ("one ", "two ", "three"):
        assert list(said.feed(word)) == [Said(word)]


def test_an_endless_path_is_not_held_for_ever() -> None:
    said = speech()
    pieces = list(said.feed('$k7qz_1["' + "x" * 5_000))
    assert pieces[0] == Said("$k7qz_1", is_mention=True)


def test_a_sigil_of_several_characters_is_held_from_its_first() -> None:
    said = speech(HandleGrammar(sigil="@ref-"))
    assert list(said.feed("see @re")) == [Said("see ")]
    assert list(said.feed("f-k7qz_1 now")) == [Said("@ref-k7qz_1", is_mention=True), Said(" now")]


PIECES = st.lists(
    st.sampled_from(
        [
            "$k7qz_1",
            "$k7qz_12",
            "$$k7qz_1",
            "${k7qz_2.a}",
            "$k7qz_1.b[0]",
            "$",
            ".",
            " ",
            "x",
            "[",
            "1",
            "$k7",
        ]
    ),
    max_size=8,
)


@given(PIECES, st.data())
def test_where_the_text_is_cut_into_pieces_changes_nothing(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    whole = joined(list(speech().feed(text, final=True)))
    said, found, rest = speech(), list[Said](), text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += said.feed(rest[:size])
        rest = rest[size:]
    found += said.feed("", final=True)
    assert joined(found) == whole
