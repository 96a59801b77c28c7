"""Talk: the way of a request to a model and of its reply back, with LiteLLM's functions.

As `passage` for HTTP, with arguments and objects instead of bodies: requests and replies have the form of
Chat Completions, whatever the provider.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from asyncfc.adapters.hosts import Host
from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.formats.chat import Chat
from asyncfc.conversation.providers import (
    ANTHROPIC,
    ANTHROPIC_THINKING,
    CHAT_COMPATIBLE,
    GEMINI,
    MISTRAL,
    Provider,
)
from asyncfc.dialogue import Dialogue
from asyncfc.errors import SessionClosed
from asyncfc.exchange import Conversation, Exchange
from asyncfc.streamed import Streamed

_ROWS: Final = (("gemini", GEMINI), ("claude", ANTHROPIC), ("anthropic", ANTHROPIC), ("mistral", MISTRAL))


class _ChatOfAny(Chat):
    """Chat Completions as a provider takes them that LiteLLM translates for; its model's name tells which."""

    def provider(self, body: Json) -> Provider:
        """The row of the table; what is not known has that of compatible servers."""
        model = str(body.get("model")).lower()
        row = next((row for name, row in _ROWS if name in model), CHAT_COMPATIBLE)
        thinks = body.get("thinking") or body.get("reasoning_effort")
        return ANTHROPIC_THINKING if row is ANTHROPIC and thinks else row


class Broken(Exception):
    """A stream ended before its message did, or is read no further."""


class Stream(Protocol):
    """A stream as LiteLLM gives it."""

    async def next(self) -> Any:
        """The next chunk; None at the end."""

    async def close(self) -> None:
        """Read no further."""


class Waiting:
    """An asynchronous `Stream`."""

    def __init__(self, came: Any) -> None:
        self._came = came
        self._chunks = aiter(came)

    async def next(self) -> Any:
        """The next chunk; None at the end."""
        return await anext(self._chunks, None)

    async def close(self) -> None:
        """Read no further."""
        await self._came.aclose()


class Blocking:
    """A synchronous one: it blocks, and what is not read of it goes with it."""

    def __init__(self, came: Any) -> None:
        self._chunks = iter(came)

    async def next(self) -> Any:
        """The next chunk; None at the end."""
        return next(self._chunks, None)

    async def close(self) -> None:
        """Read no further."""


@dataclass(frozen=True, slots=True)
class Library:
    """What of LiteLLM is needed here."""

    send: Callable[..., Awaitable[Any]]
    """The function that asks for a message."""
    refusal: type[Exception]
    """What it raises if the provider does not take a request."""
    stream: Callable[[Any], Stream]
    """`Waiting` or `Blocking`, as its streams are."""
    chunk: Callable[..., Any]
    """Makes a chunk of a stream from its fields."""


class Talk:
    """The requests of one wrapped function.

    Args:
        host: reaches the session's loop.
        library: sends.
        dialogue: the conversation's protocol.
    """

    def __init__(self, host: Host, library: Library, dialogue: Dialogue) -> None:
        self.host = host
        self.library = library
        self.conversation = Conversation(dialogue, _ChatOfAny())
        self.must_be_ready = False
        """The loop cannot wait when it makes a call, so that answers must be there before."""

    async def take(self, asked: Json) -> Any:
        """What the loop gets for a request: the reply, or `Chunks`.

        Args:
            asked: the arguments.
        """
        exchange = await self.host.do(Exchange, self.conversation, _body(asked))
        try:
            if asked.get("stream"):
                return await Chunks.begin(self, exchange, asked)
            while True:
                response = await self.ask(exchange, asked)
                reply = response.model_dump(exclude_none=True)
                answer = await self.host.run(exchange.replied, reply)
                if answer is not None:
                    await self.ready()
                    return response if answer is reply else _retold(response, answer)
        except BaseException as error:
            await self.fail(exchange, error)
            raise

    async def ask(self, exchange: Exchange, asked: Json) -> Any:
        """The reply, whole or begun."""
        while True:
            wanted = await self.host.run(exchange.request)
            changed: Json = {key: wanted[key] for key in ("messages", "tools") if key in wanted}
            try:
                return await self.library.send(**(asked | changed))
            except self.library.refusal as error:
                if not exchange.refused(str(error)):
                    raise
                await self.fail(exchange, error)

    async def fail(self, exchange: Exchange, error: BaseException) -> None:
        """The exchange has come to nothing; one that has come to its end stays as it is."""
        with suppress(SessionClosed):
            await self.host.do(exchange.failed, error)

    async def ready(self) -> None:
        """A message is about to be handed over: make its answers ready, if the loop cannot wait for them."""
        if self.must_be_ready:
            await self.host.run(self.conversation.answers)


class Chunks:
    """A streamed reply, in as many messages of the model as it takes."""

    def __init__(self, talk: Talk, exchange: Exchange, asked: Json) -> None:
        self._talk = talk
        self._exchange = exchange
        self._asked = asked
        self._ready: deque[Any] = deque()
        self._over = False

    @classmethod
    async def begin(cls, talk: Talk, exchange: Exchange, asked: Json) -> Chunks:
        """Ask for one."""
        chunks = cls(talk, exchange, asked)
        await chunks._ask()
        return chunks

    async def next(self) -> Any | None:
        """The next chunk for the loop; None at the end."""
        while not self._ready and not self._over:
            try:
                await self._advance()
            except BaseException as error:
                self._over = True
                await self._talk.fail(self._exchange, error)
                raise
        return self._ready.popleft() if self._ready else None

    async def close(self) -> None:
        """The loop reads no further, or has read all."""
        if not self._over:
            self._over = True
            await self._talk.fail(self._exchange, Broken())
        await self._stream.close()

    async def _ask(self) -> None:
        came = await self._talk.ask(self._exchange, self._asked)
        self._stream = self._talk.library.stream(came)
        await self._talk.host.do(self._begin)

    def _begin(self) -> None:
        """A message begins. On the session's loop."""
        conversation = self._talk.conversation
        self._incoming = self._exchange.begin()
        self._reader = conversation.format.reader()
        self._streamed = Streamed(
            self._reader, conversation.session.handles.may_mention, self._exchange.may_be_superseded
        )
        self._came: dict[int, Any] = {}

    async def _advance(self) -> None:
        chunk = await self._stream.next()
        if chunk is None:
            await self._end()
            return
        event = chunk.model_dump(exclude_none=True)
        self._came[id(event)] = chunk
        step = self._streamed.feed(event)
        if step.sealed or step.ended:
            await self._talk.host.do(self._note, step.sealed, step.ended)
        if step.ended:
            await self._talk.ready()
        self._pass(step.passed)

    def _note(self, sealed: list[Any], ended: bool) -> None:
        """Seal and start what a chunk has completed. On the session's loop."""
        for call in sealed:
            self._incoming.seal(call)
        if ended:
            self._exchange.ended(self._reader.reply())

    async def _end(self) -> None:
        """Nothing more comes of this message."""
        host = self._talk.host
        if not self._streamed.ended:
            self._over = True
            await self._talk.fail(self._exchange, Broken())
            self._pass(self._streamed.rest(str))
        elif await host.run(self._exchange.concluded, self._reader.reply()):
            self._over = True
            self._pass(await host.do(self._streamed.rest, self._exchange.final_text))
        else:
            await self._stream.close()
            await self._ask()

    def _pass(self, events: list[Json]) -> None:
        """Hand on chunks: as they came, if they are as they came."""
        for event in events:
            came = self._came.pop(id(event), None)
            self._ready.append(self._talk.library.chunk(**event) if came is None else came)


def _body(asked: Json) -> Json:
    """The arguments as the body of a request of Chat Completions."""
    body = {**asked, "messages": [_message(message) for message in asked.get("messages") or ()]}
    if isinstance(asked.get("response_format"), type):  # a model of pydantic
        body["response_format"] = {"type": "json_schema"}
    return body


def _message(message: Any) -> Any:
    """A message as JSON; LiteLLM takes its own objects back."""
    if isinstance(message, Mapping) or not hasattr(message, "model_dump"):
        return message
    return {"content": None, **message.model_dump(exclude_none=True)}


def _retold(response: Any, answer: Json) -> Any:
    """The reply with the text of the first choice as it stands in the JSON."""
    other = response.model_copy(deep=True)
    for choice, told in zip(other.choices, answer["choices"], strict=True):
        choice.message.content = told["message"].get("content")
    return other
