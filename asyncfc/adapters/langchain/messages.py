"""Messages: what LangChain's messages, calls and results are to asyncfc, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.conversation.providers import (
    ANTHROPIC,
    ANTHROPIC_THINKING,
    GEMINI,
    MISTRAL,
    OPENAI_CHAT,
    Provider,
)
from asyncfc.errors import CallError
from asyncfc.futures.call import Call
from asyncfc.futures.outcome import Value
from asyncfc.futures.rendered import Rendered
from asyncfc.incoming import CallReply

MARK = "asyncfc"
"""The key under which messages and artifacts say what they are to asyncfc; no provider is sent it."""


class ToolError(Exception):
    """A tool told of an error in the message that it gave, so that nothing may go on with its result."""

    def __init__(self, text: str, message: ToolMessage | None = None) -> None:
        super().__init__(text)
        self.message = message


def newest(messages: Sequence[AnyMessage]) -> tuple[AIMessage | None, set[str]]:
    """The last message of the model, and the ids of those of its calls that are answered already."""
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            return message, answered
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
    return None, answered


def calls_of(
    message: AIMessage, tools: Collection[str], answered: Collection[str], *, ends: bool
) -> list[ReplyCall]:
    """All calls of a message, in its order.

    Args:
        message: of the model.
        tools: the names of those that asyncfc answers for.
        answered: the ids of calls that others have answered; they count, but are none of asyncfc's.
        ends: the run ends with the answers, so that these go to no model (DESIGN D6).
    """
    known = {*tools, AWAIT_FUTURE, CANCEL_FUTURE}
    calls = []
    for made in message.tool_calls:
        call = Call(made["id"] or "", made["name"], made["args"])
        others = made["name"] not in known or made["id"] in answered
        calls.append(ReplyCall(call, "foreign" if others else "program" if ends else "model"))
    return calls


def rendered(result: Any) -> Rendered:
    """The result of a tool, as `ToolNode` gives it: its text is what the model would have been told.

    Raises:
        ToolError: it tells of an error.
    """
    told = _told(result)
    if isinstance(result, ToolMessage) and result.status == "error":
        raise ToolError(str(result.text), result)
    text = "\n".join(str(message.text) for message in told)
    return Rendered(value_of(text), text, result)


def _told(result: Any) -> list[ToolMessage]:
    """The messages in what a tool gave: one, a `Command` with some in its update, or a list of these."""
    if isinstance(result, Command):
        update = result.update
        result = update.get("messages", ()) if isinstance(update, dict) else update
    if isinstance(result, ToolMessage):
        return [result]
    return [one for part in result for one in _told(part)] if isinstance(result, list | tuple) else []


def value_of(text: str) -> Any:
    """What other calls get for a text: what it holds, if that is JSON other than a string."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict | list):
        return value
    return value if not isinstance(value, str) and json.dumps(value) == text else text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def answer_of(reply: CallReply, *, has_artifact: bool) -> Any:
    """What a hook returns for a call: what the framework made of it, or a message with asyncfc's text.

    What a tool raised is told to the model, within grace as after it; of an inline call it is raised.

    Args:
        reply: to the call.
        has_artifact: the messages of its tool carry an artifact; without the value, it is the handle.

    Raises:
        BaseException: what the tool of an inline call raised, or how it asks for a person.
    """
    answer = reply.answer
    if answer is None:
        return own_message(reply.call, reply.text)
    if isinstance(answer.value, Rendered):
        return _inert(answer.value, answer.text)
    if answer.error is not None:
        told = reply.kind != "inline" and not isinstance(answer.error, GraphBubbleUp)
        return error_of(reply.call, answer.error, answer.text, told=told)
    pending = reply.outcome is None
    artifact = {MARK: answer.future.handle} if pending and has_artifact else None
    succeeded = pending or isinstance(reply.outcome, Value)
    return own_message(reply.call, answer.text, artifact=artifact, failed=not succeeded)


def error_of(call: Call, error: BaseException, text: str, *, told: bool = False) -> ToolMessage:
    """The message of a failed call.

    Args:
        call: which failed.
        error: why.
        text: that says so.
        told: whatever the error is; else what the tool raised is raised again.

    Raises:
        BaseException: that error.
    """
    if isinstance(error, ToolError) and error.message is not None:
        return error.message
    if not told and not isinstance(error, CallError | ToolError):
        raise error
    return own_message(call, text, failed=True)


def own_message(call: Call, text: str, *, artifact: Any = None, failed: bool = False) -> ToolMessage:
    """A text of asyncfc as the answer to a call."""
    status = "error" if failed else "success"
    return ToolMessage(text, name=call.tool, tool_call_id=call.id, artifact=artifact, status=status)


def _inert(result: Rendered, text: str) -> Any:
    """The framework's own result; what reads as a handle in its text has been made inert (DESIGN H2)."""
    own = result.own
    if not isinstance(own, ToolMessage) or text == result.text or not isinstance(own.content, str):
        return own
    return own.model_copy(update={"content": text})


def extended(message: ToolMessage, text: str) -> ToolMessage:
    """An answer with a text behind it."""
    content = message.content
    if isinstance(content, str):
        return message.model_copy(update={"content": f"{content}\n\n{text}"})
    return message.model_copy(update={"content": [*content, {"type": "text", "text": text}]})


def with_note(system: SystemMessage | None, note: str) -> SystemMessage:
    """The system prompt with a text behind it."""
    if system is None:
        return SystemMessage(note)
    content = system.content
    if isinstance(content, str):
        return system.model_copy(update={"content": f"{content}\n\n{note}"})
    return system.model_copy(update={"content": [*content, {"type": "text", "text": note}]})


def with_text(message: AIMessage, change: Callable[[str], str]) -> AIMessage:
    """A message with its texts changed; the very same one if none is."""
    content = message.content
    if isinstance(content, str):
        text = change(content)
        return message if text == content else message.model_copy(update={"content": text})
    changed = [_changed(block, change) for block in content]
    return message if changed == content else message.model_copy(update={"content": changed})


def _changed(block: Any, change: Callable[[str], str]) -> Any:
    if isinstance(block, str):
        return change(block)
    is_text = block.get("type") == "text" and isinstance(block.get("text"), str)
    return {**block, "text": change(block["text"])} if is_text else block


def provider_of(model: BaseChatModel) -> Provider:
    """The row of the table that a model falls under."""
    kind = str(getattr(model, "_llm_type", "")).lower()  # what LangChain has chat models say of themselves
    rows = {"anthropic": ANTHROPIC, "google": GEMINI, "gemini": GEMINI, "vertex": GEMINI, "mistral": MISTRAL}
    row = next((row for name, row in rows.items() if name in kind), OPENAI_CHAT)
    return ANTHROPIC_THINKING if row is ANTHROPIC and getattr(model, "thinking", None) else row


def may_insert_call(provider: Provider, last: BaseMessage | None) -> bool:
    """Whether a call that the model did not make may stand behind this message."""
    if provider.synthetic_calls == "no" or (last is None and provider.first_must_be_user):
        return False
    return provider.calls_after_assistant or not isinstance(last, AIMessage)


def marked(message: AIMessage, word: str) -> AIMessage:
    """The message, saying what has become of it."""
    return message.model_copy(update={"response_metadata": {**message.response_metadata, MARK: word}})


def in_place(messages: Sequence[AnyMessage], changed: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The messages, with those changed in the places of those with their ids."""
    by_id = {message.id: message for message in changed}
    return [by_id.get(message.id, message) if message.id else message for message in messages]
