"""What is injected behind a turn of the model: the same text as the chat template writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects import AnsweredCall, Dialect, Part, Sealed
from tests.gpu_engine.dialects.chats import HERMES, LLAMA3, TEMPLATES, byte_level, dialect, text_of, tokenizer
from tests.gpu_engine.dialects.pieces import joined

KINDS = sorted(TEMPLATES)
TEXT = 'sunny, "22 °C"\n{"a": [1]}\t🚲'
QUESTION = {"role": "user", "content": "Is it warm?"}
SYSTEM = {"role": "system", "content": "Be brief."}
SINGLE = ("llama3", "harmony")
"""Chat templates that render one call per turn."""


def rendered(of: Dialect, messages: Sequence[dict[str, Any]]) -> str:
    return of._renderer.text(messages)


def asked(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    written = [
        {"id": f"call0000{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": "", "tool_calls": written}


def answered(index: int, name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call0000{index}", "name": name, "content": text}


def turn_read(of: Dialect, prompt: list[int], turn: Sequence[int]) -> tuple[list[Part], bool]:
    reader = of.reader(prompt)
    parts = [part for token in turn for part in reader.feed(token)]
    return joined(parts + reader.finish()), reader.ended


def calls_of(parts: Sequence[Part]) -> list[tuple[str, Any]]:
    assert all(isinstance(part, Sealed) for part in parts), parts
    return [
        (part.name, json.loads(part.arguments) if isinstance(part.arguments, str) else part.arguments)
        for part in parts
        if isinstance(part, Sealed)
    ]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    # The decoders of SentencePiece turn the blanks in DeepSeek's tokens into spaces.
    [
        (kind, sentence)
        for kind in KINDS
        for sentence in (False, True)
        if not (sentence and kind == "deepseek")
    ],
)
def test_prompt_turn_and_answers_are_what_the_chat_template_writes(kind: str, sentence: bool) -> None:
    of = dialect(kind, sentence=sentence)
    calls = [("look", {"city": "Oslo", "n": 3}), ("note", {})]
    if kind in SINGLE:
        calls = calls[:1]
    system = [] if kind == "mistral" else [SYSTEM]  # the old one writes it into the last user turn
    results = [answered(index, name, f"{TEXT} {index}") for index, (name, _) in enumerate(calls)]
    whole = rendered(of, [*system, QUESTION, asked(*calls), *results])
    prompt = of.prompt([*system, QUESTION])
    answers = of.answers(
        [AnsweredCall(f"call0000{i}", name, args, f"{TEXT} {i}") for i, (name, args) in enumerate(calls)],
        ended=True,
    )
    before, after = text_of(of._tokenizer, prompt), text_of(of._tokenizer, answers)
    if kind == "deepseek":  # the generation prompt begins a thought, which no turn of old has
        before = before.removesuffix("<think>\n")
        prompt = of._encoder.start(before)
    assert whole.startswith(before)
    assert whole.endswith(after)
    turn = whole[len(before) : len(whole) - len(after)]
    assert "22 °C" not in turn
    parts, ended = turn_read(of, prompt, of._encoder.middle(turn))
    assert ended
    assert calls_of(parts) == calls
    tokens = [*prompt, *of._encoder.middle(turn), *answers]
    assert text_of(of._tokenizer, tokens) == whole
    # The next turn is read as one that begins here.
    assert not of.reader(tokens).critical or kind == "qwen-xml"


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_before_the_end_of_the_turn_writes_that_end(kind: str) -> None:
    of = dialect(kind)
    call = AnsweredCall("call00000", "look", {}, TEXT)
    whole = rendered(of, [QUESTION, asked(("look", {"city": "Oslo"})), answered(0, "look", TEXT)])
    early = text_of(of._tokenizer, of.answers([call], ended=False))
    late = text_of(of._tokenizer, of.answers([call], ended=True))
    assert whole.endswith(early)
    assert early.endswith(late)
    end = early.removesuffix(late)
    assert any(of.kept(stop, calls=True) and end.endswith(of._stops[stop]) for stop in of.stop_ids)
    before = text_of(of._tokenizer, of.prompt([QUESTION]))
    if kind == "deepseek":
        before = before.removesuffix("<think>\n")
    turn = whole.removesuffix(early)[len(before) :]
    parts, _ = turn_read(of, of._encoder.start(before), of._encoder.middle(turn + end))
    assert calls_of(parts) == [("look", {"city": "Oslo"})]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_user_says_follows_the_models_words(kind: str) -> None:
    of = dialect(kind)
    messages = [QUESTION, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And now?"}]
    whole = rendered(of, messages)
    early = text_of(of._tokenizer, of.said("And now?", ended=False))
    assert whole.endswith("Yes." + early)
    late = text_of(of._tokenizer, of.said("And now?", ended=True))
    assert early.endswith(late)
    assert len(late) < len(early)


GOES_ON = {
    "hermes": "<|im_end|>\n<|im_start|>assistant\n",
    "qwen-xml": "<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "llama3": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "pythonic": "<|eot|><|header_start|>assistant<|header_end|>\n\n",
    "mistral": "</s>",
    "mistral-new": "</s>",
    "deepseek": "<｜end▁of▁sentence｜><｜Assistant｜><think>\n",
    "harmony": "<|end|><|start|>assistant",
    "glm": "<|assistant|>",
    "gemma4": "<turn|>\n<|turn>model\n",
    "gemma": "<end_of_turn>\n<start_of_turn>model\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_goes_on_behind_its_own_words(kind: str) -> None:
    of = dialect(kind)
    early, late = (text_of(of._tokenizer, of.continued(ended=ended)) for ended in (False, True))
    assert early == GOES_ON[kind]
    assert late == early.partition(of._text_end)[2] or kind == "glm"  # which writes no end of its own


def test_a_chat_template_that_prompts_behind_users_only_is_helped() -> None:
    of = Dialect(
        tokenizer("hermes"),
        chat_template=HERMES.replace(
            "if add_generation_prompt", "if add_generation_prompt and messages[-1].role != 'assistant'"
        ),
    )
    assert of.decode(of.continued(ended=False)) == GOES_ON["hermes"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_await_is_forced_as_a_turn_of_its_own(kind: str) -> None:
    of = dialect(kind)
    prompt = of.prompt([QUESTION])
    tokens = of.awaited(["$k7qz_1", "$k7qz_2"], TEXT, prompt)
    end = next(index for index, token in enumerate(tokens) if token in of.stop_ids)
    parts, ended = turn_read(of, prompt, tokens[: end + 1])
    assert ended
    assert calls_of(parts) == [("await_future", {"handles": ["$k7qz_1", "$k7qz_2"]})]
    shown = text_of(of._tokenizer, tokens)
    assert TEXT in shown or json.dumps(TEXT, ensure_ascii=False) in shown
    again = [*prompt, *tokens]
    assert text_of(of._tokenizer, [*again, *of.awaited(["$k7qz_3"], "x", again)]).count("await_future") == (
        4 if kind in {"harmony", "gemma4"} else 2
    )


def test_a_thought_that_the_generation_prompt_began_is_ended_before_a_forced_await() -> None:
    of = dialect("deepseek")
    prompt = of.prompt([QUESTION])
    assert text_of(of._tokenizer, prompt).endswith("<think>\n")
    assert text_of(of._tokenizer, of.awaited(["$a"], "x", prompt)).startswith("\n</think>\n\n<")
    behind_results = [*prompt, *of.answers([AnsweredCall("1", "f", {}, "x")], ended=True)]
    assert text_of(of._tokenizer, of.awaited(["$a"], "x", behind_results)).startswith("<")


def test_ids_take_the_form_that_the_chat_template_asks_for() -> None:
    of = dialect("mistral")
    for call_id in ("a", "call_abcdefghijklmnop", "x" * 200, "ab cd-ef!"):
        text = text_of(of._tokenizer, of.answers([AnsweredCall(call_id, "f", {}, "1")], ended=True))
        made = text.partition('"call_id": "')[2].partition('"')[0]
        assert len(made) == 9
        assert made.isalnum()
        messages = [QUESTION, {**asked(("f", {})), "tool_calls": [{"id": call_id, **_function("f")}]}]
        assert made in text_of(of._tokenizer, of.prompt(messages))
    kept = text_of(of._tokenizer, of.answers([AnsweredCall("abcDEF123", "f", {}, "1")], ended=True))
    assert '"call_id": "abcDEF123"' in kept


def _function(name: str, arguments: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments or {}}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{"x": 1}, '{"x": 1}'])
def test_arguments_in_a_conversation_are_objects_or_json_text(kind: str, arguments: Any) -> None:
    of = dialect(kind)
    messages = [QUESTION, asked(("f", arguments)), answered(0, "f", "1")]
    same = [QUESTION, asked(("f", {"x": 1})), answered(0, "f", "1")]
    assert of.prompt(messages) == of.prompt(same)


def test_the_prompt_is_what_transformers_makes_of_it() -> None:
    made = tokenizer("hermes")
    tools: list[Any] = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    messages = [SYSTEM, QUESTION, asked(("look", {})), answered(0, "look", TEXT)]
    assert Dialect(made).prompt(messages, tools) == made.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, return_dict=False
    )


def test_tokens_that_end_a_turn() -> None:
    ends = {
        "hermes": {"<|im_end|>", "<|endoftext|>"},
        "llama3": {"<|eot_id|>", "<|eom_id|>"},
        "glm": {"<|endoftext|>", "<|user|>", "<|observation|>"},
        "harmony": {"<|call|>", "<|return|>"},
        "gemma4": {"<turn|>", "<|tool_response>", "<eos>"},
        "gemma": {"<end_of_turn>", "<eos>"},
    }
    for kind, expected in ends.items():
        of = dialect(kind)
        assert {text_of(of._tokenizer, [stop]) for stop in of.stop_ids} == expected


def test_an_end_that_the_chat_template_would_not_write_is_told_from_the_one_that_it_does() -> None:
    def kept(kind: str, *, calls: bool) -> set[str]:
        of = dialect(kind)
        return {of.decode([stop]) for stop in of.stop_ids if of.kept(stop, calls=calls)}

    assert kept("hermes", calls=True) == kept("hermes", calls=False) == {"<|im_end|>"}
    assert kept("glm", calls=True) == {"<|observation|>"}
    assert kept("glm", calls=False) == {"<|user|>"}
    assert kept("harmony", calls=True) == {"<|call|>"}
    assert kept("harmony", calls=False) == set()  # an answer that ended with <|return|> is kept as <|end|>
    assert kept("gemma4", calls=True) == {"<|tool_response>"}


def test_gemma_gets_its_tools_in_the_first_message() -> None:
    of = dialect("gemma")
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    messages = [
        SYSTEM,
        QUESTION,
        asked(("look", {"x": 1})),
        answered(0, "look", "1"),
        answered(1, "look", "2"),
    ]
    text = text_of(of._tokenizer, of.prompt(messages, tools))
    first, called, results = text.split("<start_of_turn>")[1:4]
    assert first.startswith("user\nYou can call tools.")
    assert first.endswith("Be brief.\n\nIs it warm?<end_of_turn>\n")
    assert called == (
        'model\n<tool_call>\n{"name": "look", "arguments": {"x": 1}}\n</tool_call><end_of_turn>\n'
    )
    assert results == (
        "user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><end_of_turn>\n"
    )


# --- chat templates that do not do --------------------------------------------------------------------------


def refuses(template: str, match: str, **options: Any) -> None:
    with pytest.raises(DeclarationError, match=match):
        Dialect(tokenizer("hermes"), chat_template=template, **options)


def test_a_chat_template_without_calls_is_refused() -> None:
    refuses(
        "{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}",
        "out the arguments",
        family="hermes",
    )


def test_a_chat_template_without_results_is_refused() -> None:
    refuses(
        HERMES.replace("{{ message.content }}\n</tool_response>", "</tool_response>"),
        "leaves out tool results",
    )


def test_a_chat_template_of_another_format_is_refused() -> None:
    refuses(HERMES, "written in another format", family="qwen-xml")
    refuses(
        LLAMA3.replace("<|eot_id|>", "<|im_end|>"), "does not go with the format 'mistral'", family="mistral"
    )


def test_a_chat_template_that_puts_results_first_is_refused() -> None:
    backwards = HERMES.replace("for message in messages", "for message in messages | reverse")
    refuses(backwards, "before the calls|leaves out")


def test_a_chat_template_that_shows_the_last_result_only_is_refused() -> None:
    only = HERMES.replace(
        "{{ message.content }}\n</tool_response>",
        "{{ message.content if loop.last else '' }}\n</tool_response>",
    )
    refuses(only, "second of two results")


def test_a_chat_template_that_forgets_what_the_model_said_is_refused() -> None:
    forgetful = HERMES.replace("{{- message.content or '' }}", "")
    refuses(forgetful, "leaves out what the model's last turn said")


def test_a_chat_template_without_control_tokens_is_refused() -> None:
    plain = byte_level(["<eos>", "<bos>"])
    with pytest.raises(DeclarationError, match="without any special token"):
        Dialect(plain, chat_template=HERMES.replace("<|", "<").replace("|>", ">"))


def test_messages_that_the_chat_template_does_not_take_are_told() -> None:
    of = dialect("gemma")
    with pytest.raises(DeclarationError, match=r"roles must alternate.*assistant"):
        of.prompt([{"role": "assistant", "content": "Hi"}])


def test_a_thought_that_the_template_drops_from_older_turns_does_no_harm() -> None:
    of = dialect("hermes")
    first = rendered(of, [QUESTION, {"role": "assistant", "content": "Yes.", "reasoning_content": "hm"}])
    assert "<think>" in first
    tokens = of.prompt([QUESTION]) + of.encode("Yes.") + of.said("And now?", ended=False)
    assert text_of(of._tokenizer, tokens).endswith(
        "<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )
