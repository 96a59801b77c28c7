"""Which family a model belongs to, and formats that tokenizers describe themselves."""

from __future__ import annotations

from typing import Any

import pytest

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects import FAMILY_NAMES, Dialect, Malformed, Sealed, Text
from asyncfc.gpu_engine.dialects.detect import detect
from asyncfc.gpu_engine.dialects.own_template import of_tokenizer
from tests.gpu_engine.dialects.chats import HERMES, TEMPLATES, TOKENS, byte_level, tokenizer
from tests.gpu_engine.dialects.pieces import read

OWN: dict[str, Any] = {
    "start_anchor": "<|im_start|>assistant\n",
    "defaults": {"role": "assistant"},
    "fields": {
        "content": {"close": "<|im_end|>"},
        "thinking": {"open": "<think>", "close": "</think>"},
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "content": "json",
            "repeats": True,
            "transform": {"type": "function", "function": "{content}"},
        },
    },
}


def with_own() -> Any:
    made = byte_level(*TOKENS["hermes"])
    made.chat_template = HERMES
    made.response_template = OWN
    return made


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_the_chat_template_tells_the_family(kind: str) -> None:
    name = "mistral" if kind.startswith("mistral") else kind
    assert Dialect(tokenizer(kind)).name == name
    assert detect(tokenizer(kind), TEMPLATES[kind], family=None, model_type="qwen2").name == name


def test_the_model_type_helps_where_the_chat_template_shows_nothing() -> None:
    assert detect(None, "{{ messages }}", family=None, model_type="gpt_oss").name == "harmony"


def test_a_named_family_goes_first() -> None:
    assert detect(with_own(), HERMES, family="mistral", model_type=None).name == "mistral"


def test_what_cannot_be_told_lists_the_families() -> None:
    with pytest.raises(DeclarationError, match=r"'mamba'.*family=.*hermes") as found:
        detect(None, "{{ messages }}", family=None, model_type="mamba")
    assert all(name in str(found.value) for name in FAMILY_NAMES)
    with pytest.raises(DeclarationError, match=r"no family 'hermse'; there are .*hermes"):
        detect(None, HERMES, family="hermse", model_type=None)


def test_a_tokenizer_without_chat_template_is_told_so() -> None:
    with pytest.raises(DeclarationError, match="no chat template"):
        Dialect(byte_level(["<eos>", "<bos>"]))


def test_the_tokenizers_own_description_is_used() -> None:
    of = Dialect(with_own())
    assert of.name == "response_template"
    assert {of.decode([stop]) for stop in of.stop_ids} == {"<|im_end|>", "<|endoftext|>"}
    assert {of.decode([token]) for token in of.forbidden_ids} == {
        "<|im_start|>",
        "<tool_response>",
        "</tool_response>",
    }


def test_and_read_as_ours_are() -> None:
    family = of_tokenizer(OWN)
    call = '<tool_call>{"name": "f", "arguments": {"x": 1.0}}</tool_call>'
    assert read(family, f"Look. {call}{call}") == [
        Text("Look."),
        Sealed("f", '{"x": 1.0}', call),
        Sealed("f", '{"x": 1.0}', call),
    ]
    for body, reason in [
        ("{", "not valid JSON"),
        ('{"name": "f", "name": "g"}', "twice"),
        ('{"arguments": {}}', '"name"'),
        ("3", '"name"'),
    ]:
        [part, rest] = read(family, f"<tool_call>{body}</tool_call> then")
        assert isinstance(part, Malformed)
        assert reason in part.reason
        assert rest == Text("then")


def test_a_description_with_parsers_of_its_own_is_read_by_them() -> None:
    fields = {
        "tool_calls": {
            "open_pattern": r"<call:(?P<name>\w+)>",
            "close": "</call>",
            "content": "xml-inline",
            "content_args": {"tag_pattern": r"<(?P<key>\w+)>(?P<value>.*?)</(?P=key)>"},
            "repeats": True,
            "transform": {"function": {"name": "{name}", "arguments": "{content}"}},
        },
        "content": {"open": "<say>", "close": "</say>"},
    }
    family = of_tokenizer({"start_anchor": "<a>", "fields": fields})
    text = "junk<call:f><x>1</x><y>$k7qz_1</y></call>junk<say>hello</say>"
    assert read(family, text) == [
        Sealed("f", {"x": "1", "y": "$k7qz_1"}, "<call:f><x>1</x><y>$k7qz_1</y></call>"),
        Text("hello"),
    ]


def test_a_call_that_is_closed_by_the_end_of_turn_as_the_description_says() -> None:
    fields = {
        "content": {},
        "tool_calls": {**OWN["fields"]["tool_calls"], "open": "<call>", "close": "<|eot|>"},
    }
    family = of_tokenizer({"start_anchor": "<a>", "fields": fields})
    text = '<call>{"name": "f", "arguments": {}}'
    assert read(family, text, stop="<|eot|>") == [Sealed("f", "{}", text + "<|eot|>")]
    [cut] = read(family, text, stop="<|other|>")
    assert isinstance(cut, Malformed)
    assert cut.name == "f"
