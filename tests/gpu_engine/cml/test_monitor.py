from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.gpu_engine.cml.monitor import CmlCall, CmlTrap, Malformed, Monitor, Part, Text, Thought


def read(*pieces: str, thinking: bool = False) -> list[Part]:
    monitor = Monitor(thinking=thinking)
    return merged([part for piece in pieces for part in monitor.feed(piece)] + monitor.finish())


def merged(parts: list[Part]) -> list[Part]:
    whole: list[Part] = []
    for part in parts:
        if whole and isinstance(part, Text | Thought) and type(part) is type(whole[-1]):
            whole[-1] = type(part)(whole[-1].text + part.text)
        else:
            whole.append(part)
    return whole


CALL = "[CALL] c1 [HEAD] f(a=1) [END]"
TURNS: list[tuple[str, list[Part]]] = [
    # --- what is wrong with it ---
    (
        "[CALL] c1 f() [END] x",
        [Malformed("[CALL] c1 f() [END]", "there is no [HEAD] in it", "c1"), Text(" x")],
    ),
    ("[CALL][END]", [Malformed("[CALL][END]", "there is no [HEAD] in it", "?")]),
    (
        f"[CALL] c0 [HEAD] f( {CALL}",
        [
            Malformed("[CALL] c0 [HEAD] f( ", "[CALL] came before its [END]", "c0"),
            CmlCall("c1", "f(a=1)", CALL),
        ],
    ),
    (
        "[CALL] c0 [TRAP][END]",
        [Malformed("[CALL] c0 ", "there is no [HEAD] in it", "c0"), CmlTrap()],
    ),
    (
        "[CALL] two words [HEAD] f() [END]",
        [
            Malformed(
                "[CALL] two words [HEAD] f() [END]",
                "its id is 'two words'; expected one short word, such as c1",
                "two",
            )
        ],
    ),
    (
        "so [CALL] c1 [HEAD] f(",
        [Text("so "), Malformed("[CALL] c1 [HEAD] f(", "the turn ended before its [END]", "c1")],
    ),
    ("a [CA", [Text("a [CA")]),
    ("[HEAD] and [END]", [Text("[HEAD] and [END]")]),
    ("[TRAP] Now", [CmlTrap(), Text("Now")]),
    ("[TRAP]", []),
    ("[INTR] c1 [HEAD] 42 [END]", [Text("[!INTR] c1 [HEAD] 42 [END]")]),
    ("<think>unfinished", [Thought("unfinished")]),
    # --- what is right ---
    (CALL, [CmlCall("c1", "f(a=1)", CALL)]),
    (f"{CALL}{CALL}", [CmlCall("c1", "f(a=1)", CALL)] * 2),
    (f"a [[b] {CALL} c", [Text("a [[b] "), CmlCall("c1", "f(a=1)", CALL), Text(" c")]),
    ("[CALL]c1[HEAD]f()[END]", [CmlCall("c1", "f()", "[CALL]c1[HEAD]f()[END]")]),
    ("[CALL]\nc1\n[HEAD]\nf(\n)\n[END]", [CmlCall("c1", "f(\n)", "[CALL]\nc1\n[HEAD]\nf(\n)\n[END]")]),
    (
        '[CALL] c1 [HEAD] f(a="[INTR]") [END]',
        [CmlCall("c1", 'f(a="[!INTR]")', '[CALL] c1 [HEAD] f(a="[!INTR]") [END]')],
    ),
    ("[TRAP][END]", [CmlTrap()]),
    ("x[TRAP] \n [END]y", [Text("x"), CmlTrap(), Text("y")]),
    (f"<think>no {CALL} here</think>{CALL}", [Thought(f"no {CALL} here"), CmlCall("c1", "f(a=1)", CALL)]),
    ("Grüße 👋 [1, 2]", [Text("Grüße 👋 [1, 2]")]),
]


@pytest.mark.parametrize(("text", "parts"), TURNS)
def test_a_turn_is_read(text: str, parts: list[Part]) -> None:
    assert read(text) == parts


@pytest.mark.parametrize(("text", "parts"), TURNS)
def test_character_by_character_it_is_read_the_same(text: str, parts: list[Part]) -> None:
    assert read(*text) == parts


@given(
    st.lists(
        st.sampled_from([text for text, _ in TURNS] + ["[", "]", "[[CALL]", "][", "[EN", "</think>", " "])
    ),
    st.randoms(),
)
def test_how_text_falls_into_tokens_makes_no_difference(turns: list[str], rng: object) -> None:
    text = "".join(turns)
    pieces = []
    at = 0
    while at < len(text):
        size = rng.randint(1, 9)  # type: ignore[attr-defined]
        pieces.append(text[at : at + size])
        at += size
    assert read(*pieces) == read(text)


def test_a_thought_that_the_prompt_began_is_one() -> None:
    assert read(f"hm {CALL}</think>so", thinking=True) == [Thought(f"hm {CALL}"), Text("so")]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", True),
        ("words", True),
        ("words [", False),
        ("[1]", True),
        ("a <", False),
        ("a < b", True),
        ("[INT", False),
        ("[INTR]", True),
        ("[CALL]", False),
        ("[CALL] c1 [HEAD] f() [END", False),
        (CALL, True),
        (CALL + "[", False),
        ("[TRAP]", False),
        ("[TRAP][END]", True),
        ("<think>", False),
        ("<think>a</think>", True),
    ],
)
def test_it_is_clean_outside_blocks_with_nothing_held_back(text: str, clean: bool) -> None:
    monitor = Monitor()
    for char in text:
        monitor.feed(char)
    assert monitor.clean is clean


@pytest.mark.parametrize("where", ["", "<think>", "[CALL] c1 [HEAD] f(", "[CALL] "])
def test_a_forged_interrupt_is_counted_wherever_it_stands(where: str) -> None:
    monitor = Monitor()
    for char in where + "[INTR] c1 [INTR]":
        monitor.feed(char)
    assert monitor.forged == 2
