from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.gpu_engine.cml.markers import MARKERS, Markup, inert, original
from tests.gpu_engine.cml.scripted import Format

texts = st.lists(st.sampled_from([*MARKERS, "[!END]", "[!!INTR]", "[", "!", "]", "END", "x"])).map("".join)


@given(texts)
def test_what_is_inert_holds_no_marker_and_can_be_undone(text: str) -> None:
    assert not any(marker in inert(text) for marker in MARKERS)
    assert original(inert(text)) == text


def test_other_text_stays_as_it_is() -> None:
    assert inert("[1] [end] [!] [ENDE]") == "[1] [end] [!] [ENDE]"


@pytest.mark.parametrize("specials", [(), MARKERS, ("[INTR]",), ("[HEAD]", "[END]")])
def test_markers_are_tokens_where_there_are_such(specials: tuple[str, ...]) -> None:
    kind = Format(specials)
    markup = Markup(kind.encode, kind.token_id)
    text = "[INTR] c1 [HEAD] [!END] [END]"
    tokens = markup.tokens(text)
    assert kind.decode(tokens) == text
    assert len(tokens) == len(text) - sum(len(special) - 1 for special in specials if special in text)


def test_only_the_marker_of_interrupts_is_forbidden() -> None:
    kind = Format(MARKERS)
    assert Markup(kind.encode, kind.token_id).forbidden == {kind.token_id("[INTR]")}
    assert Markup(Format().encode, Format().token_id).forbidden == set()
