"""run: a whole agent loop over any callable model.

async def model(messages, tools):            # both in the form of Chat Completions
    ...
    return {"role": "assistant", "content": ..., "tool_calls": [...]}

done = await asyncfc.run(model, [{"role": "user", "content": "..."}], [search, write_file])
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from asyncfc.conversation.formats.base import Json, Reply, StreamReader, TextDelta
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import TranscriptError
from asyncfc.exchange import Conversation, Exchange
from asyncfc.session import Session
from asyncfc.streamed import Streamed
from asyncfc.tools import Tool

Model: TypeAlias = Callable[[list[Json], list[Json]], Any]
"""Takes the messages and the tools; gives the assistant's message, or chunks of it (an async iterator),
as such or awaitable; as Chat Completions write them, plain or as the SDK's objects."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a run came to."""

    text: str
    """The model's last words, without handles."""
    messages: list[Json]
    """The whole transcript as the model has it, what was delivered in between included; of the last message
    the text as above."""
    model_messages: int
    """How many messages the model has written."""
    extra_messages: int
    """How many of them were asked for only because outcomes were unseen."""


async def run(
    model: Model,
    messages: Sequence[Mapping[str, Any]],
    tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
    *,
    on_text: Callable[[str], object] | None = None,
    max_messages: int = 100,
    **settings: Any,
) -> Done:
    """Let a model call tools until it is done.

    Args:
        model: see `Model`. A synchronous one runs in a thread.
        messages: to begin with, as Chat Completions write them; not changed.
        tools: functions or `Tool`s; a mapping gives the names.
        on_text: gets the text that people may read, piece by piece if the model streams; nothing that is
            superseded later.
        max_messages: that the model may write.
        settings: of the `Dialogue` and of the `Session`; `grace` is `"auto"` if nothing is said.

    Raises:
        TranscriptError: the model was not done after `max_messages`.
        Exception: what the model raises.
    """
    of_dialogue, of_session = split_settings(settings)
    async with Session(tools, **of_session) as session:
        loop = _Loop(model, Dialogue(session, **of_dialogue), on_text or _nobody)
        return await loop.run([dict(message) for message in messages], max_messages)


class _Loop:
    def __init__(self, model: Model, dialogue: Dialogue, on_text: Callable[[str], object]) -> None:
        self._model = model
        self._dialogue = dialogue
        self._conversation = Conversation(dialogue, CHAT, owns_tools=True)
        self._on_text = on_text
        self._tools = [_declared(tool) for tool in dialogue.session.tools.values()]
        self._written = 0

    async def run(self, messages: list[Json], max_messages: int) -> Done:
        while True:
            exchange = Exchange(self._conversation, {"messages": messages, "tools": self._tools})
            reply = await self._reply(exchange, max_messages)
            messages = [*messages, *reply.items]
            if not reply.calls:
                break
            messages += await self._answers()
        return Done(
            reply.text,
            self._conversation.shadow.apply(messages),
            self._written,
            self._dialogue.extra_messages,
        )

    async def _reply(self, exchange: Exchange, max_messages: int) -> Reply:
        """The message that goes into the transcript: of provisional ones, the last."""
        while True:
            if self._written >= max_messages:
                exchange.over()
                raise TranscriptError(f"the model was not done after max_messages={max_messages} messages")
            body = await exchange.request()
            self._written += 1
            try:
                result = await _asked(self._model, body["messages"], body["tools"])
                if hasattr(result, "__aiter__"):
                    reply = await self._streamed(exchange, result)
                else:
                    reply = await self._whole(exchange, result)
            except BaseException as error:
                exchange.failed(error)
                raise
            if reply is not None:
                return reply

    async def _whole(self, exchange: Exchange, result: Any) -> Reply | None:
        answer = await exchange.replied(_completion(result))
        reply = None if answer is None else CHAT.reply(answer)
        if reply is not None and reply.text:
            self._on_text(reply.text)
        return reply

    async def _streamed(self, exchange: Exchange, chunks: AsyncIterator[Any]) -> Reply | None:
        reader, shown = CHAT.reader(), CHAT.reader()
        may_mention = self._dialogue.session.handles.may_mention
        streamed = Streamed(reader, may_mention, exchange.may_be_superseded)
        incoming = exchange.begin()
        try:
            async for chunk in chunks:
                step = streamed.feed(_plain(chunk))
                for call in step.sealed:
                    incoming.seal(call, known=True)
                if step.ended:
                    exchange.ended(reader.reply())
                self._show(shown, step.passed)
        finally:
            await _close(chunks)
        if not streamed.ended:
            raise TranscriptError("the model's stream ended without a chunk that has a finish_reason")
        if not await exchange.concluded(reader.reply()):
            return None
        self._show(shown, streamed.rest(exchange.final_text))
        return shown.reply()

    def _show(self, shown: StreamReader, events: list[Json]) -> None:
        for part in (part for event in events for part in shown.feed(event)):
            if isinstance(part, TextDelta):
                self._on_text(part.text)

    async def _answers(self) -> list[Json]:
        incoming = self._conversation.incoming
        assert incoming is not None
        replies = await self._conversation.answers()
        given = [
            await incoming.outcome(place) if incoming.is_inline(place) else reply
            for place, reply in enumerate(replies)
        ]
        for reply in given:
            self._conversation.note_own(reply)
        return [{"role": "tool", "tool_call_id": reply.call.id, "content": reply.text} for reply in given]


async def _close(chunks: AsyncIterator[Any]) -> None:
    """A stream that is not read to its end holds its connection until somebody closes it."""
    close = getattr(chunks, "aclose", None) or getattr(chunks, "close", None)
    closing = None if close is None else close()
    if inspect.isawaitable(closing):
        await closing


async def _asked(model: Model, messages: list[Json], tools: list[Json]) -> Any:
    asynchronous = inspect.iscoroutinefunction(model) or inspect.isasyncgenfunction(model)
    if asynchronous or inspect.iscoroutinefunction(type(model).__call__):
        result = model(messages, tools)
    else:
        result = await asyncio.to_thread(model, messages, tools)
    return await result if inspect.isawaitable(result) else result


def _completion(result: Any) -> Json:
    """What a model gave as a reply of Chat Completions: a bare message is one without the rest."""
    plain = _plain(result)
    if "choices" in plain:
        return plain
    reason = "tool_calls" if plain.get("tool_calls") else "stop"
    return {"choices": [{"index": 0, "message": {"role": "assistant", **plain}, "finish_reason": reason}]}


def _plain(result: Any) -> Json:
    if isinstance(result, Mapping):
        return dict(result)
    if hasattr(result, "model_dump"):
        dumped: Json = result.model_dump(exclude_none=True)
        return dumped
    if isinstance(result, str):
        return {"content": result}
    raise TranscriptError(
        f"the model gave {type(result).__name__}; expected a message of Chat Completions, such as "
        '{"role": "assistant", "content": "..."}, a text, or an async iterator of chunks'
    )


def _declared(tool: Tool) -> Json:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _nobody(text: str) -> None:
    """Nobody reads along."""
