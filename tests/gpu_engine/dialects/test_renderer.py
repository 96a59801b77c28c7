"""Conversations as a chat template takes them, where it is strict."""

from __future__ import annotations

from typing import Any

import pytest

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.renderer import Habits, Renderer

OBJECTS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}[{{ k }}={{ v }}]"
    "{% endfor %}{% endfor %}{% endfor %}"
)
ONE_CALL = (
    "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length > 1 %}"
    "{{ raise_exception('one call only') }}{% endif %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.id }}]{% endfor %}{% endfor %}"
)


class Tokenizer:
    """All that a renderer asks a tokenizer for."""

    def __init__(self) -> None:
        self.special_tokens_map: dict[str, str] = {}


def asked(*calls: tuple[str, Any]) -> dict[str, Any]:
    entries = [{"id": one, "function": {"name": "find", "arguments": arguments}} for one, arguments in calls]
    return {"role": "assistant", "content": "", "tool_calls": entries}


def answered(id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": f"result {id}"}


def render(template: str, habits: Habits, *messages: dict[str, Any]) -> str:
    return Renderer(Tokenizer(), template, habits).text(messages, prompt=False)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"q": "x"}', "[q=x]"),
        ({"q": "x"}, "[q=x]"),
        ("", ""),
        (None, ""),
        ('{"q": }', '[arguments={"q": }]'),
        ("[1, 2]", "[arguments=[1, 2]]"),
    ],
)
def test_arguments_that_are_no_object_do_not_break_a_template_that_takes_objects(
    arguments: Any, shown: str
) -> None:
    assert render(OBJECTS, Habits(), asked(("a", arguments))) == f"<assistant>{shown}"


def test_calls_of_one_message_become_messages_with_their_results_behind_them() -> None:
    messages = (
        asked(("a", {}), ("b", {}), ("c", {})),
        answered("b"),
        answered("a"),
        {"role": "user", "content": "x"},
    )
    text = render(ONE_CALL, Habits(one_call=True), *messages)
    assert text == "<assistant>[a]<tool>result a<assistant>[b]<tool>result b<assistant>[c]<user>x"


def test_a_message_with_one_call_stays_as_it_is() -> None:
    text = render(ONE_CALL, Habits(one_call=True), asked(("a", {})), answered("a"))
    assert text == "<assistant>[a]<tool>result a"


def test_a_template_that_refuses_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"does not take these messages: .*one call only.* assistant"):
        render(ONE_CALL, Habits(), asked(("a", {}), ("b", {})))
