from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyncfc.gpu_engine.cml.stretch import Stretch
from tests.gpu_engine.cml.scripted import Format


class Stripping(Format):
    """Drops a space at the beginning of whatever is decoded, as some tokenizers do."""

    def decode(self, tokens: Sequence[int]) -> str:
        return super().decode(tokens).removeprefix(" ")


def heard(kind: Format, *texts: str) -> tuple[Stretch, list[int]]:
    """A stretch of these tokens behind a prompt of one, and all tokens of the row."""
    row = [kind.token(">")]
    stretch = Stretch(kind.decode, row)
    for text in texts:
        row.append(kind.token(text))
        stretch.add(row[-1])
    return stretch, row


@pytest.mark.parametrize(
    ("texts", "gives_way", "becomes"),
    [
        (("a", "[INTR]"), 1, "[!INTR]"),
        (("a [", "IN", "TR] b"), 3, "a [!INTR] b"),
        (("a", " [INT", "R]"), 2, " [!INTR]"),
        (("[INTR][INTR]",), 1, "[!INTR][!INTR]"),
    ],
)
def test_a_forged_marker_gives_way_to_inert_text(
    texts: tuple[str, ...], gives_way: int, becomes: str
) -> None:
    kind = Format()
    stretch, row = heard(kind, *texts)
    count, tokens = stretch.take_back(kind.encode, row)
    assert (count, kind.decode(tokens)) == (gives_way, becomes)
    assert stretch.text == "".join(texts).replace("[INTR]", "[!INTR]")


@pytest.mark.parametrize("kind", [Format(), Stripping()])
def test_after_one_was_taken_back_text_and_tokens_still_go_together(kind: Format) -> None:
    stretch, row = heard(kind, "so", " [INTR]")
    for text in (" c1 ", "[INTR]", "[INTR]", "[IN", "TR]", " end"):
        if "[INTR]" in stretch.text:
            count, tokens = stretch.take_back(kind.encode, row)
            row[len(row) - count :] = tokens
        row.append(kind.token(text))
        assert stretch.add(row[-1]) == text
    assert stretch.text == "so [!INTR] c1 [!INTR][!INTR][!INTR] end"
    assert kind.decode(row) == ">" + stretch.text


def test_the_first_space_behind_an_injection_is_kept() -> None:
    stretch, _ = heard(Stripping(), " so", " on")
    assert stretch.text == " so on"
