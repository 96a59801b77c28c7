"""LangChain's messages, there and back."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.types import Command

from asyncfc.adapters.langchain.messages import (
    ToolError,
    calls_of,
    extended,
    in_place,
    may_insert_call,
    newest,
    rendered,
    with_note,
    with_text,
)
from asyncfc.conversation.providers import ANTHROPIC, ANTHROPIC_THINKING, GEMINI, MISTRAL, OPENAI_CHAT

BLOCK = {"type": "text", "text": "one"}
IMAGE = {"type": "image", "url": "x"}


def answer(content: Any = "one", **more: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id="1", id="a", **more)


@pytest.mark.parametrize(
    ("content", "grown"),
    [("one", "one\n\ntwo"), ([BLOCK, IMAGE], [BLOCK, IMAGE, {"type": "text", "text": "two"}])],
)
def test_a_text_goes_behind_what_is_there(content: Any, grown: Any) -> None:
    message = answer(content)
    assert extended(message, "two").content == grown
    assert extended(message, "two").id == "a"
    assert with_note(SystemMessage(content), "two").content == grown
    assert message.content == content


def test_a_note_makes_a_system_prompt_where_there_is_none() -> None:
    assert with_note(None, "note").content == "note"


@pytest.mark.parametrize("content", ["one", ["one", BLOCK, IMAGE]])
def test_only_texts_are_changed(content: Any) -> None:
    message = AIMessage(content)
    changed = with_text(message, str.upper)
    assert changed.text == message.text.upper()
    assert isinstance(content, str) or changed.content[-1] == IMAGE
    assert with_text(message, str.lower) is message


def test_calls_that_others_answer_count_and_are_not_ours() -> None:
    made: list[Any] = [
        {"name": name, "args": {}, "id": name} for name in ("ours", "answered", "theirs", "await_future")
    ]
    message = AIMessage("", tool_calls=made)
    calls = calls_of(message, {"ours", "answered"}, {"answered"}, ends=False)
    assert [call.kind for call in calls] == ["model", "foreign", "foreign", "model"]
    last = calls_of(message, {"ours", "answered"}, {"answered"}, ends=True)
    assert [call.kind for call in last] == ["program", "foreign", "foreign", "program"]


def test_the_newest_message_is_found_with_what_stands_behind_it() -> None:
    first, last = AIMessage("first"), AIMessage("last")
    assert newest([HumanMessage("Go."), first, answer(), last, answer(), HumanMessage("!")]) == (last, {"1"})
    assert newest([HumanMessage("Go.")]) == (None, set())


@pytest.mark.parametrize(
    "result",
    [
        answer("7"),
        Command(update={"messages": [answer("7")]}),
        Command(update=[answer("7")]),
        [Command(update={"other": 1}), answer("7")],
    ],
)
def test_the_text_of_a_result_is_what_the_model_would_be_told(result: Any) -> None:
    made = rendered(result)
    assert (made.value, made.text, made.own) == (7, "7", result)


def test_an_error_that_a_message_tells_of_is_no_value() -> None:
    with pytest.raises(ToolError, match="one") as raised:
        rendered(answer(status="error"))
    assert raised.value.message is not None


@pytest.mark.parametrize(
    ("provider", "last", "may"),
    [
        (OPENAI_CHAT, AIMessage("x"), True),
        (ANTHROPIC, AIMessage("x"), True),
        (ANTHROPIC, None, False),
        (ANTHROPIC_THINKING, AIMessage("x"), False),
        (MISTRAL, HumanMessage("x"), True),
        (GEMINI, HumanMessage("x"), False),
    ],
)
def test_a_call_is_inserted_only_where_the_provider_takes_it(provider: Any, last: Any, may: bool) -> None:
    assert may_insert_call(provider, last) is may


def test_changed_messages_stand_in_the_places_of_the_old_ones() -> None:
    first, second = HumanMessage("Go.", id="h"), answer()
    assert in_place([first, second], [answer("new")]) == [first, answer("new")]
    assert in_place([HumanMessage("no id")], [answer()]) == [HumanMessage("no id")]
