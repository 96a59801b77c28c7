"""Reading turns of the model: every family, any tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.gpu_engine.dialects.families import FAMILIES
from asyncfc.gpu_engine.dialects.parts import Malformed, Part, Sealed, Text, Thought
from tests.gpu_engine.dialects.chats import TEMPLATES, tokenizer
from tests.gpu_engine.dialects.pieces import STOP, Pieces, joined, read, reader
from tests.gpu_engine.dialects.turns_table import TURNS, Expected, Turn

CALL = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'


def shown(parts: Sequence[Part]) -> list[Expected]:
    result: list[Expected] = []
    for part in parts:
        match part:
            case Text(text):
                result.append(("text", text))
            case Thought(text):
                result.append(("thought", text))
            case Sealed(name, arguments):
                result.append((name, json.loads(arguments) if isinstance(arguments, str) else arguments))
            case Malformed(_, reason):
                result.append(("malformed", reason))
    return result


def whole(turn: Turn, places: Sequence[int] | None = None) -> list[Part]:
    return read(turn.family, turn.text, places, stop=turn.stop, prefix=turn.prefix, tools=turn.tools)


def test_there_are_turns_of_every_family() -> None:
    assert {turn.family for turn in TURNS} == {family.name for family in FAMILIES}


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_what_a_turn_consists_of(turn: Turn) -> None:
    found = shown(whole(turn))
    assert len(found) == len(turn.parts), found
    for (kind, said), (expected_kind, expected) in zip(found, turn.parts, strict=True):
        assert kind == expected_kind, found
        assert expected in said if kind == "malformed" else said == expected


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_turn_reads_the_same_in_one_token_and_in_one_per_byte(turn: Turn) -> None:
    assert whole(turn) == whole(turn, [])


@pytest.mark.slow
@given(st.sampled_from(TURNS), st.lists(st.integers(0, 500), max_size=12))
def test_how_text_falls_into_tokens_makes_no_difference(turn: Turn, places: list[int]) -> None:
    assert whole(turn, places) == whole(turn, [])


@pytest.mark.slow
@given(
    st.sampled_from(sorted({turn.family for turn in TURNS})),
    st.lists(
        st.sampled_from([turn.text for turn in TURNS] + ["<", "\n", " ", "[", "{", "é", "<|"]), max_size=4
    ),
    st.lists(st.integers(0, 2000), max_size=30),
)
def test_nor_does_it_in_a_turn_of_any_rubbish(family: str, texts: list[str], places: list[int]) -> None:
    text = "".join(texts)
    assert read(family, text, places, ended=False) == read(family, text, [], ended=False)


@pytest.mark.slow
@given(st.sampled_from(TURNS), st.integers(0, 500))
def test_a_turn_that_is_cut_off_seals_no_half_call(turn: Turn, at: int) -> None:
    cut = turn.text.encode()[: at % (len(turn.text.encode()) + 1)].decode(errors="ignore")
    parts = read(turn.family, cut, [], prefix=turn.prefix, tools=turn.tools, ended=False)
    sealed = [part for part in parts if isinstance(part, Sealed)]
    assert sealed == [part for part in whole(turn, []) if isinstance(part, Sealed)][: len(sealed)]
    said = "".join(part.text for part in parts if isinstance(part, Text))
    rest = iter(cut)  # nothing is said that does not stand there, in that order
    assert all(char in rest for char in said if not char.isspace())


@pytest.mark.parametrize("kind", sorted({turn.family for turn in TURNS}))
def test_real_tokenizers_with_unhelpful_merges_read_the_same(kind: str) -> None:
    assert kind in TEMPLATES
    made = tokenizer(kind)
    for turn in (turn for turn in TURNS if turn.family == kind):
        pieces = made(turn.text, add_special_tokens=False)["input_ids"]
        expected = whole(turn)
        of = reader(kind, stop=turn.stop, prefix=turn.prefix, tools=turn.tools)
        object.__setattr__(of, "_detokenizer", type(of._detokenizer)(made, ()))
        of._stops = {-1: turn.stop}  # a token that the tokenizer does not have
        parts = [part for token in [*pieces, -1] for part in of.feed(token)]
        assert joined(parts + of.finish()) == expected, turn


def test_words_come_out_as_soon_as_they_are_certain() -> None:
    pieces = Pieces()
    of = reader("hermes", pieces=pieces)
    text = "Hello world, 3 < 4. \n"
    streamed = [shown(of.feed(token)) for token in pieces.cut(text, range(len(text)))]
    assert streamed[:3] == [[("text", "H")], [("text", "e")], [("text", "l")]]
    assert streamed[text.index("<")] == []  # it may begin a call
    assert streamed[text.index("<") + 1] == [("text", " <")]
    assert streamed[-2:] == [[], []]  # white space may turn out to be layout


def test_a_call_is_sealed_by_the_very_token_that_completes_it() -> None:
    pieces = Pieces()
    of = reader("hermes", pieces=pieces)
    tokens = pieces.cut(CALL, range(len(CALL)))
    parts = [of.feed(token) for token in tokens]
    assert parts[-1] == [Sealed("f", '{"x": 1}', CALL)]
    assert parts[:-1] == [[]] * (len(tokens) - 1)
    assert not of.critical


def test_the_text_of_arguments_is_kept_as_the_model_wrote_it() -> None:
    written = '{ "b":1.50,  "a" : "\\u00e9" }'
    for family, text in [
        ("hermes", f'<tool_call>{{"name": "f", "arguments": {written}}}</tool_call>'),
        ("llama3", f'{{"name": "f", "parameters": {written}}}'),
        ("mistral", f'[TOOL_CALLS][{{"name": "f", "arguments": {written}}}]'),
        ("mistral", f"[TOOL_CALLS]f[ARGS]{written}"),
    ]:
        assert read(family, text) == [Sealed("f", written, text)]


def test_arguments_in_a_json_string_are_taken_out_of_it() -> None:
    text = '<tool_call>{"name": "f", "arguments": "{\\"x\\": 1}"}</tool_call>'
    assert read("hermes", text) == [Sealed("f", '{"x": 1}', text)]


def test_a_malformed_call_names_the_tool_where_it_can_be_told() -> None:
    named = [
        ("hermes", '<tool_call>{"name": "look", "arguments": {x}}</tool_call>'),
        ("llama3", '{"name": "look", "parameters": {x}}'),
        ("pythonic", "[look(1)]"),
        ("pythonic", "[look(a=)]"),
        ("mistral", "[TOOL_CALLS]look[ARGS]{x}"),
        ("qwen-xml", "<tool_call><function=look><parameter=a></function></tool_call>"),
        ("glm", "<tool_call>look<arg_key></tool_call>"),
        ("gemma4", "<|tool_call>call:look{x}<tool_call|>"),
        ("harmony", "<|channel|>commentary to=functions.look<|message|>{x}"),
    ]
    for family, text in named:
        stop = "<|call|>" if family == "harmony" else ""
        [part] = read(family, text, stop=stop)
        assert isinstance(part, Malformed), family
        assert part.name == "look", family
        assert part.raw in text + stop, family


def test_nesting_without_end_is_malformed_and_no_crash() -> None:
    deep = "[" * 100_000
    for family, text in [
        ("hermes", f'<tool_call>{{"name": "f", "arguments": {{"x": {deep}</tool_call>'),
        ("pythonic", f"<|python_start|>[f(x={deep})]<|python_end|>"),
        ("gemma4", f"<|tool_call>call:f{{x:{deep}}}<tool_call|>"),
    ]:
        [part] = read(family, text, [])
        assert isinstance(part, Malformed), family


def critical(family: str, text: str, *, prefix: str = "") -> str:
    """One mark per byte of text: ! where nothing may be injected behind it."""
    pieces = Pieces()
    of = reader(family, prefix=prefix, pieces=pieces)
    marks = ""
    for token in pieces.cut(text, range(len(text.encode()) + 1)):
        of.feed(token)
        marks += "!" if of.critical else "."
    return marks


def test_calls_thoughts_and_partial_delimiters_are_critical() -> None:
    assert critical("hermes", "a <b") == "..!."
    assert critical("hermes", "a <tool_call>{}</tool_call> b") == ".." + "!" * 24 + "..."
    assert critical("hermes", "<think>x</think>y") == "!" * 15 + ".."
    assert critical("llama3", '{"name": "f", "parameters": {}}') == "!" * 31
    assert critical("llama3", '{"x": 1}') == "!!......"


def test_half_a_character_is_critical() -> None:
    assert critical("hermes", "aéb🚲") == ".!..!!!."


def test_a_thought_that_the_chat_template_began_is_critical_from_the_start() -> None:
    of = reader("hermes", prefix="<|im_start|>assistant\n<think>\n")
    assert of.critical
    assert not reader("hermes", prefix="<|im_start|>assistant\n<think>\n\n</think>\n\n").critical
    assert not reader("hermes", prefix="<|im_start|>assistant\n").critical


def test_the_end_of_the_turn_is_a_token_never_text() -> None:
    pieces = Pieces()
    of = reader("hermes", stop="<|im_end|>", pieces=pieces)
    parts = [part for token in pieces.cut("a<|im_end|>b", [1, 11]) for part in of.feed(token)]
    assert not of.ended
    assert of.feed(STOP) == []
    assert of.ended
    assert of.end == STOP
    assert joined(parts + of.finish()) == [Text("a<|im_end|>b")]


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    pieces = Pieces()
    of = reader("hermes", pieces=pieces)
    [first, second, _] = pieces.cut("aé", [1, 2])
    assert joined([*of.feed(first), *of.feed(second), *of.feed(STOP), *of.finish()]) == [Text("a�")]


def test_the_text_and_where_each_token_ends_in_it_are_kept() -> None:
    pieces = Pieces()
    of = reader("hermes", pieces=pieces)
    for token in [*pieces.cut("né <tool", [1, 2, 3, 5]), STOP]:
        of.feed(token)
    assert of.text == "né <tool"
    assert of.ends == [1, 1, 2, 4, 8]
