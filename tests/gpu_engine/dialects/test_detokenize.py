"""Text out of tokens, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.gpu_engine.dialects.detokenize import Detokenizer
from asyncfc.gpu_engine.dialects.encoder import Encoder
from tests.gpu_engine.dialects.chats import TOKENS, tokenizer
from tests.gpu_engine.dialects.pieces import Pieces

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="▁\r"), max_size=40)


@pytest.mark.slow
@pytest.mark.parametrize("sentence", [False, True])
@given(text=TEXTS)
def test_the_text_comes_out_whole_and_never_half_a_character(sentence: bool, text: str) -> None:
    made = tokenizer("hermes", sentence=sentence)
    encoder = Encoder(made, TOKENS["hermes"][0])
    before = encoder.start("Well,")
    tokens = encoder.middle(text)
    detokenizer = Detokenizer(made, before)
    pieces = [detokenizer.add(token) for token in tokens]
    assert "".join(pieces) + detokenizer.finish() == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@pytest.mark.slow
@given(TEXTS, st.lists(st.integers(0, 200)))
def test_any_cut_of_the_bytes_will_do(text: str, places: list[int]) -> None:
    pieces = Pieces()
    detokenizer = Detokenizer(pieces)
    assert (
        "".join(detokenizer.add(token) for token in pieces.cut(text, places)) + detokenizer.finish() == text
    )


def test_a_space_at_the_start_of_the_turn_is_kept() -> None:
    made = tokenizer("mistral", sentence=True)
    encoder = Encoder(made, ())
    tokens = encoder.middle(" yes")
    with_context = Detokenizer(made, encoder.start("no"))
    assert "".join(with_context.add(token) for token in tokens) == " yes"


def test_special_tokens_are_text() -> None:
    made = tokenizer("hermes")
    detokenizer = Detokenizer(made)
    [token] = made("<|im_end|>", add_special_tokens=False)["input_ids"]
    assert detokenizer.add(token) == "<|im_end|>"


def test_a_long_turn_is_decoded_piece_by_piece() -> None:
    pieces = Pieces()
    text = "né🚲 " * 200
    tokens = pieces.cut(text, range(len(text.encode())))
    longest = 0
    detokenizer = Detokenizer(pieces)
    decode = detokenizer._decode

    def counted(tokens: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return str(decode(tokens))

    detokenizer._decode = counted
    assert "".join(detokenizer.add(token) for token in tokens) == text
    assert longest < 30
