"""The models in the box: what they read and write, what they were shown, and that they do their tasks."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from asyncfc.futures.handle import HandleGrammar
from examples.tiny_llm.language import (
    SHAPES,
    TOOLS,
    Mode,
    Result,
    Task,
    any_id,
    plain_id,
    task,
    tools,
)
from examples.tiny_llm.tokenizer import CML, SPECIAL, TEMPLATE, Which, build, pieces
from examples.tiny_llm.train import IGNORE, RECIPES, config, example, loss_of, save, train
from examples.tiny_llm.transcripts import transcript

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1] / "examples" / "tiny_llm"
BOTH: tuple[Which, ...] = ("first", "second")
MODES: tuple[Mode, ...] = ("sync", "pipeline", "cml")
CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
TOKENIZERS = {which: build(which) for which in BOTH}
FUNCTIONS = {function.__name__: function for function in tools()}


def rendered(which: Which, messages: list[dict[str, Any]], *, prompt: bool = False) -> str:
    told = TOKENIZERS[which].apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    assert isinstance(told, str)
    return told


def speaks_of_futures(told: str) -> bool:
    return any(word in told for word in ("await_future", "cancel_future", "pending", "placeholder", "$this_"))


@pytest.mark.parametrize("which", BOTH)
def test_a_checkpoint_is_small_and_holds_what_it_needs(which: Which) -> None:
    names = {path.name for path in (ROOT / which).iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert all(path.stat().st_size <= 5 * 2**20 for path in (ROOT / which).iterdir())


@pytest.mark.parametrize("which", BOTH)
def test_the_saved_tokenizer_is_the_one_that_the_code_builds(which: Which) -> None:
    saved, built = AutoTokenizer.from_pretrained(ROOT / which), build(which)
    assert saved.get_vocab() == built.get_vocab()
    assert saved.chat_template == TEMPLATE
    assert saved.response_template == built.response_template
    assert saved.eos_token_id == AutoModelForCausalLM.from_pretrained(ROOT / which).config.eos_token_id


@given(st.text(max_size=60), st.sampled_from(BOTH))
def test_any_text_survives_the_tokenizer(text: str, which: Which) -> None:
    tokenizer = TOKENIZERS[which]
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=False) == text


@given(st.randoms(use_true_random=False), st.sampled_from(BOTH))
def test_an_id_is_read_byte_by_byte_wherever_it_stands(rng: random.Random, which: Which) -> None:
    tokenizer, value = TOKENIZERS[which], any_id(rng)
    alone = tokenizer(value)["input_ids"]
    assert len(alone) == len(value)
    for before in ('"item": "', "Join ", "Step 3: ", "<tool_response>\n", " with "):
        for after in ('"}}\n', " with ", ".\n", "\n</tool_response>", "\nStep 4: ", '", "b": "'):
            around = tokenizer(before + value + after)["input_ids"]
            at = len(tokenizer(before)["input_ids"])
            assert around == [*tokenizer(before)["input_ids"], *alone, *tokenizer(after)["input_ids"]], at


@pytest.mark.parametrize("which", BOTH)
def test_no_piece_of_the_scaffold_fits_into_an_id(which: Which) -> None:
    foreign = set(' "\n()[]{}<>|,=')
    # The one piece without such a character is the reserved tag, which is that in every context.
    assert [piece for piece in pieces(which) if not foreign & set(piece)] == ["$this_"] * (which == "second")


def test_markers_are_special_tokens_so_that_text_can_be_kept_from_becoming_one() -> None:
    tokenizer = TOKENIZERS["second"]
    for marker in (*SPECIAL, *CML):
        assert tokenizer.convert_tokens_to_ids(marker) in tokenizer.all_special_ids
        letters = [tokenizer.convert_tokens_to_ids(letter) for letter in marker]
        assert tokenizer(marker, split_special_tokens=True)["input_ids"] == letters
        assert tokenizer.decode(tokenizer(marker)["input_ids"], skip_special_tokens=False) == marker


CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "text", "text": " parts"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "join", "arguments": {"a": "é", "b": "2"}}},
            {"type": "function", "function": {"name": "note", "arguments": '{"text": "x"}'}},
        ],
    },
    {"role": "tool", "content": "$k7qz_1"},
    {"role": "tool", "content": "two\nlines"},
    {"role": "assistant", "content": "so", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
    {"role": "tool", "content": "3"},
    {"role": "assistant", "content": "Step 1: é"},
    {"role": "user", "content": "again"},
]


def test_the_template_writes_turns_as_hermes_does() -> None:
    assert rendered("first", CONVERSATION, prompt=True) == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\ntwo parts<|im_end|>\n"
        "<|im_start|>assistant\n"
        '<tool_call>\n{"name": "join", "arguments": {"a": "é", "b": "2"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "note", "arguments": {"text": "x"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n$k7qz_1\n</tool_response>\n"
        "<tool_response>\ntwo\nlines\n</tool_response><|im_end|>\n"
        '<|im_start|>assistant\nso\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nStep 1: é<|im_end|>\n<|im_start|>user\nagain<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_longer_conversation_begins_as_the_shorter_one_was_rendered() -> None:
    whole = rendered("first", CONVERSATION)
    for length in range(1, len(CONVERSATION) + 1):
        if CONVERSATION[length - 1]["role"] == "tool" == CONVERSATION[length % len(CONVERSATION)]["role"]:
            continue  # answers to one turn share a turn: it ends with the last of them
        assert whole.startswith(rendered("first", CONVERSATION[:length]))


def test_the_response_template_reads_what_the_chat_template_writes() -> None:
    tokenizer = TOKENIZERS["first"]
    prompt = rendered("first", CONVERSATION[:2], prompt=True)
    turn = rendered("first", CONVERSATION[:3])[len(prompt) :]
    read = tokenizer.parse_response(turn, prefix=prompt)
    assert [call["function"] for call in read["tool_calls"]] == [
        {"name": "join", "arguments": {"a": "é", "b": "2"}},
        {"name": "note", "arguments": {"text": "x"}},
    ]
    assert tokenizer.parse_response("Step 1: x\nStep 2: y<|im_end|>", prefix=prompt)["content"] == (
        "Step 1: x\nStep 2: y"
    )


# -- the language ---------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.sampled_from(MODES))
def test_a_task_is_the_same_every_time_and_its_own_results_answer_it(seed: int, mode: Mode) -> None:
    wanted = task(seed, mode)
    assert wanted == task(seed, mode)
    assert 1 <= len(wanted.steps) <= 6
    assert [n for turn in wanted.turns for n in turn] == list(range(1, len(wanted.steps) + 1))
    assert len(set(wanted.steps)) == len(wanted.steps)
    assert {step.tool.name for step in wanted.steps} == {tool.__name__ for tool in tools(wanted)}
    assert wanted.check(wanted.expected)
    assert not wanted.check(wanted.expected + "0")
    assert "$" not in wanted.text + wanted.expected, "a foreign handle would be refused"


@given(st.integers(0, 10**9))
def test_whatever_no_step_takes_is_told(seed: int) -> None:
    wanted = task(seed, "cml")
    taken = {ref.step for step in wanted.steps for ref in step.refs}
    assert taken | set(wanted.told) == set(range(1, len(wanted.steps) + 1))
    assert all(isinstance(wanted.results[step - 1], str) for step in wanted.told)


def test_a_wrong_argument_gives_another_result() -> None:
    assert FUNCTIONS["join"]("1", a="x", b="y") == FUNCTIONS["join"]("1", b="y", a="x")
    assert FUNCTIONS["join"]("1", a="x", b="y") != FUNCTIONS["join"]("1", a="y", b="x")
    assert FUNCTIONS["join"]("1", a="x", b="y") != FUNCTIONS["join"]("2", a="x", b="y")
    assert FUNCTIONS["note"]("1", text="x") != FUNCTIONS["sign"]("1", text="x")
    assert set(FUNCTIONS["find"]("1", name="x")) == {"id", "size"}
    assert FUNCTIONS.keys() == TOOLS.keys()


def test_ids_take_many_shapes_and_one_of_them_is_the_handle() -> None:
    rng = random.Random(0)
    shapes = {re.sub("[a-z]+", "a", re.sub("[0-9]+", "0", shape(rng))) for shape in SHAPES for _ in range(20)}
    assert len(shapes) > 20
    grammar = HandleGrammar()
    drawn = [any_id(rng) for _ in range(1000)]
    assert 150 < sum(grammar.parse(text) is not None for text in drawn) < 350
    assert all(grammar.parse(text) for text in drawn if text.startswith("$"))
    assert not any("$" in plain_id(rng) for _ in range(1000))


# -- what the models were shown -------------------------------------------------------------------


def test_the_first_model_never_sees_a_future() -> None:
    for number in range(300):
        told = rendered("first", transcript(f"0 {number}", "sync", objects=False).messages)
        assert not speaks_of_futures(told), told
        assert not set(CML) & set(re.findall(r"\[[A-Z]+\]", told))


def test_a_cut_a_foreign_turn_and_an_altered_value_are_read_and_not_learned() -> None:
    tokenizer = TOKENIZERS["second"]
    for number in range(300):
        made = transcript(f"{number}", MODES[number % 3], objects=True)
        ids, labels, _ = example(made, tokenizer)
        assert all(label in (token, IGNORE) for token, label in zip(ids, labels, strict=True))
        learned = str(tokenizer.decode([label for label in labels if label != IGNORE]))
        assert "[INTR]" not in learned
        assert "<tool_response>" not in learned
        assert "<|im_start|>" not in learned
        names = {json.loads(call)["name"] for call in CALL.findall(learned)}
        assert names <= TOOLS.keys()
        if made.task.mode == "cml":
            assert learned.count("[CALL]") == len(made.task.steps)
        else:
            assert learned.count("<tool_call>") == len(made.task.steps)


def test_a_pointer_leads_from_where_a_value_is_copied_to_where_it_stands() -> None:
    tokenizer = TOKENIZERS["second"]
    copied = 0
    for number in range(150):
        made = transcript(f"{number}", MODES[number % 3], objects=True)
        told = rendered("second", made.messages)
        assert all(
            told[at : at + size] == told[source : source + size] for at, source, size in made.copies(told)
        )
        ids, labels, pointers = example(made, tokenizer)
        assert all(source <= place and labels[place + 1] != IGNORE for place, source in pointers)
        copied += sum(ids[place + 1] == ids[source] for place, source in pointers)
    assert copied > 1000


def test_a_training_step_runs_and_training_lowers_the_loss() -> None:
    recipe, tokenizer = RECIPES["first"], TOKENIZERS["first"]
    torch.manual_seed(0)
    model = LlamaForCausalLM(config(recipe, tokenizer))
    batch = [example(transcript(f"{n}", "sync", objects=False, plain=True), tokenizer) for n in range(4)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(4):
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.slow
def test_a_recipe_runs_from_end_to_end_and_gives_the_same_twice() -> None:
    recipe = replace(RECIPES["first"], steps=3, polish=2, copying=1, easy=1, warm_up=1, tokens=512)
    first, second = (train(recipe, TOKENIZERS["first"]) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    untrained = train(replace(recipe, steps=1, polish=0), TOKENIZERS["first"])
    assert not torch.equal(first.lm_head.weight, untrained.lm_head.weight)


def test_a_saved_model_loads_as_it_was(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["first"]
    torch.manual_seed(0)
    model = LlamaForCausalLM(config(RECIPES["first"], tokenizer))
    save(model, tokenizer, tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert loaded.dtype == torch.bfloat16


# -- what they do ---------------------------------------------------------------------------------


@cache
def model_of(which: Which) -> Any:
    return AutoModelForCausalLM.from_pretrained(ROOT / which, dtype=torch.float32)


def write(which: Which, texts: list[str], stop: str = "<|im_end|>") -> list[str]:
    """Let a model go on with each text, greedily, until `stop` or the end of its turn."""
    tokenizer = TOKENIZERS[which]
    rows = [tokenizer(text)["input_ids"] for text in texts]
    length = max(map(len, rows))
    stops = [tokenizer.convert_tokens_to_ids(stop), tokenizer.eos_token_id]
    made = model_of(which).generate(
        torch.tensor([[tokenizer.pad_token_id] * (length - len(row)) + row for row in rows]),
        attention_mask=torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows]),
        max_new_tokens=160,
        eos_token_id=stops,
    )
    return [text.replace("<|endoftext|>", "") for text in tokenizer.batch_decode(made[:, length:])]


def answered(results: Sequence[Result]) -> str:
    texts = [r if isinstance(r, str) else json.dumps(r) for r in results]
    blocks = "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)
    return f"\n<|im_start|>user\n{blocks}<|im_end|>\n<|im_start|>assistant\n"


class Run:
    """One task in turns: tools run at once; with a tag the model is answered with handles."""

    def __init__(self, which: Which, wanted: Task, tag: str = "") -> None:
        self.task, self.text, self.tag = wanted, rendered(which, wanted.messages, prompt=True), tag
        self.values: dict[str, Result] = {}
        self.answer: str | None = None

    def take(self, turn: str) -> None:
        self.text += turn
        calls = [json.loads(call) for call in CALL.findall(turn)]
        if not calls:
            told = turn.removesuffix("<|im_end|>")
            self.answer = re.sub(r"\$\w{4}_\d+", lambda match: str(self.values[match[0]]), told)
            return
        before, results = len(self.values), []
        for call in calls:
            arguments = {k: self.value(v, before) for k, v in call["arguments"].items()}
            results.append(FUNCTIONS[call["name"]](**arguments))
            self.values[self.handle(len(self.values) + 1)] = results[-1]
        handles = [self.handle(number) for number in range(before + 1, len(self.values) + 1)]
        self.text += answered(handles if self.tag else results)

    def handle(self, number: int) -> str:
        return f"${self.tag or 'this'}_{number}"

    def value(self, text: str, before: int) -> str:
        if this := re.fullmatch(r"\$this_(\d+)(.*)", text):
            text = self.handle(before + int(this[1])) + this[2]
        name, _, path = text.partition(".")
        found = self.values.get(name, name)
        return found if isinstance(found, str) else found[path]


def finish(which: Which, runs: list[Run]) -> float:
    """Run all tasks to their answers; return the share of right ones."""
    for _ in range(12):
        if open_runs := [run for run in runs if run.answer is None]:
            for run, turn in zip(open_runs, write(which, [run.text for run in open_runs]), strict=True):
                run.take(turn)
    return sum(run.answer is not None and run.task.check(run.answer) for run in runs) / len(runs)


# What the checkpoints reach is below what they are for (0.99); their cards say it.
LEAST = 0.95


@pytest.mark.slow
@pytest.mark.parametrize("which", BOTH)
def test_it_does_its_tasks_call_by_call(which: Which) -> None:
    assert finish(which, [Run(which, task(seed)) for seed in range(24)]) > LEAST


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["k7qz", "ab3c", "b2d9", "z000"])
def test_it_passes_handles_on_though_it_never_saw_a_future(tag: str) -> None:
    assert finish("first", [Run("first", task(seed), tag) for seed in range(24)]) > LEAST


@pytest.mark.slow
def test_the_second_names_calls_of_the_same_turn_and_fields_of_their_results() -> None:
    runs = [Run("second", task(seed, "pipeline"), "k7qz") for seed in range(24)]
    assert finish("second", runs) > LEAST
    assert all(run.text.count("<tool_response>") == len(run.task.steps) for run in runs)
    assert any("$this_1.id" in run.text for run in runs)


@pytest.mark.slow
def test_the_second_calls_in_cml_and_waits_for_interrupts() -> None:
    tasks = [task(seed, "cml") for seed in range(24)]
    texts, values, right = (
        [rendered("second", t.messages, prompt=True) for t in tasks],
        [dict[str, Result]() for _ in tasks],
        0,
    )
    shown: list[set[str]] = [set() for _ in tasks]
    running = list(range(len(tasks)))
    for _ in range(12):
        turns = write("second", [texts[i] for i in running], "[END]") if running else []
        for i, turn in zip(list(running), turns, strict=True):
            texts[i] += turn
            if called := re.fullmatch(r"\[CALL\] (c\d) \[HEAD\] (\w+)\((.*)\) \[END\]", turn):
                arguments = dict(part.split("=", 1) for part in called[3].split(", "))
                resolved = {k: cml_value(v, values[i]) for k, v in arguments.items()}
                values[i][called[1]] = FUNCTIONS[called[2]](**resolved)
            elif turn == "[TRAP][END]":
                for name in values[i].keys() - shown[i]:
                    value = values[i][name]
                    told = value if isinstance(value, str) else json.dumps(value)
                    texts[i] += f"[INTR] {name} [HEAD] {told} [END]"
                shown[i] = set(values[i])
            else:
                right += tasks[i].check(turn.removesuffix("<|im_end|>"))
                running.remove(i)
    assert right > LEAST * len(tasks)


def cml_value(code: str, values: Mapping[str, Result]) -> str:
    if code.startswith('"'):
        return str(json.loads(code))
    name, _, path = code.partition(".")
    found = values[name]
    return found if isinstance(found, str) else found[path]
