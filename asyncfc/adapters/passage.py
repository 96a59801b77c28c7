"""Passage: the way of a request to a model and of its reply back, whoever carries them.

Written once for synchronous and asynchronous clients: what waits is left to a `Carrier`. That of a
synchronous client never waits as coroutines do: it blocks, so its coroutines run through at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2

from asyncfc.adapters.bodies import (
    copy_elapsed,
    dumped,
    encoded,
    error_event,
    is_stream,
    parsed,
    replaced,
    with_body,
)
from asyncfc.adapters.hosts import Host
from asyncfc.adapters.sse import Decoder, ServerEvent, encode
from asyncfc.conversation.formats.base import Format, Json, Reply
from asyncfc.dialogue import Dialogue
from asyncfc.errors import SessionClosed
from asyncfc.exchange import Conversation, Exchange
from asyncfc.streamed import Step, Streamed


class Carrier(Host, Protocol):
    """Sends and reads for a client, and reaches the loop of the session."""

    async def send(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        """Send a request; the response is not read yet."""

    async def read(self, response: httpx2.Response) -> bytes:
        """Read a response to its end."""

    def chunks(self, response: httpx2.Response) -> Callable[[], Awaitable[bytes | None]]:
        """What gives the next bytes of a response each time; None at its end."""

    async def close(self, response: httpx2.Response) -> None:
        """Close a response, read or not."""

    def body_of(self, events: Events) -> httpx2.SyncByteStream | httpx2.AsyncByteStream:
        """A streamed reply as the body of a response."""


class BrokenReply(Exception):
    """A reply ended before its message did, or has none. The SDK says so to the program in its own words."""


class Wire:
    """Which requests are the model's, and the conversation that they belong to.

    Args:
        dialogue: the conversation's protocol.
        formats: by the end of a request's path.
    """

    def __init__(self, dialogue: Dialogue, formats: Mapping[str, Format]) -> None:
        self.dialogue = dialogue
        self.newest: Conversation | None = None
        """The conversation of the newest request."""
        conversations = {one: Conversation(dialogue, one) for one in formats.values()}
        self._formats = {path: conversations[one] for path, one in formats.items()}

    def find(self, request: httpx2.Request) -> Conversation | None:
        """The conversation of a request, None if it is not one of its model: a tool may ask one, too."""
        if request.method != "POST" or self.dialogue.session.inside:
            return None
        path = request.url.path.rstrip("/")
        return next((found for end, found in self._formats.items() if path.endswith(end)), None)

    def require_free(self, request: httpx2.Request) -> None:
        """Refuse a request while another is under way. SDKs hide what goes wrong later, when they send.

        Raises:
            TranscriptError: one is.
        """
        conversation = self.find(request)
        if conversation is not None:
            conversation.require_free()

    def begin(self, conversation: Conversation, body: Json) -> Exchange:
        """Begin the exchange of a request."""
        exchange = Exchange(conversation, body)
        self.newest = conversation
        return exchange


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request as the SDK sends it."""

    conversation: Conversation
    request: httpx2.Request
    body: Json
    options: dict[str, Any]


class Passage:
    """The way of the requests of one client.

    Args:
        carrier: sends and reads.
        wire: the conversation.
        must_be_ready: the loop cannot wait when it makes a call, so that answers must be there before.
    """

    def __init__(self, carrier: Carrier, wire: Wire, *, must_be_ready: bool = False) -> None:
        self.carrier = carrier
        self._wire = wire
        self._must_be_ready = must_be_ready

    async def take(
        self, request: httpx2.Request, content: bytes, options: dict[str, Any]
    ) -> httpx2.Response | None:
        """The response to a request of the SDK; None if it is not one to a model, and is to go as it is.

        Args:
            request: as the SDK made it.
            content: its body.
            options: of sending it.
        """
        conversation, body = self._wire.find(request), parsed(content)
        if conversation is None or not body:
            return None
        exchange = await self.carrier.do(self._wire.begin, conversation, body)
        try:
            return await self._respond(exchange, _Sent(conversation, request, body, options))
        except BaseException as error:
            await self.fail(exchange, error)
            raise

    async def ask(self, exchange: Exchange, sent: _Sent) -> httpx2.Response:
        """The reply, not read, or the error of the provider, read."""
        carrier = self.carrier
        while True:
            wanted = await carrier.run(exchange.request)
            response = await carrier.send(with_body(sent.request, sent.body, wanted), sent.options)
            if response.is_success:
                return response
            await carrier.read(response)
            again = response.status_code == httpx2.codes.BAD_REQUEST and exchange.refused(response.text)
            await self.fail(exchange, BrokenReply())
            if not again:
                return response

    async def fail(self, exchange: Exchange, error: BaseException) -> None:
        """The exchange has come to nothing; one that has come to its end stays as it is."""
        with suppress(SessionClosed):
            await self.carrier.do(exchange.failed, error)

    async def ready(self, conversation: Conversation) -> None:
        """A message is about to be handed over: make its answers ready, if the loop cannot wait for them."""
        if self._must_be_ready:
            await self.carrier.run(conversation.answers)

    async def _respond(self, exchange: Exchange, sent: _Sent) -> httpx2.Response:
        carrier = self.carrier
        while True:
            response = await self.ask(exchange, sent)
            if not response.is_success:
                return response
            if is_stream(response):
                events = Events(self, exchange, sent, response)
                await carrier.do(events.begin)
                events.response = replaced(response, sent.request, stream=carrier.body_of(events))
                return events.response
            reply = parsed(await carrier.read(response))
            if not reply or reply.get("error"):  # the program hears of it from the SDK
                await self.fail(exchange, BrokenReply())
                return replaced(response, sent.request, content=response.content)
            answer = await carrier.run(exchange.replied, reply)
            if answer is not None:
                await self.ready(sent.conversation)
                content = response.content if answer is reply else encoded(answer)
                return replaced(response, sent.request, content=content)


class Events:
    """A streamed reply on its way to the SDK, in as many messages of the model as it takes.

    Args:
        passage: asks again where outcomes are to be delivered first.
        exchange: whose reply it is.
        sent: the request.
        came: the response of the provider, not read.
    """

    def __init__(self, passage: Passage, exchange: Exchange, sent: _Sent, came: httpx2.Response) -> None:
        self.response: httpx2.Response | None = None
        """What the SDK has of it."""
        self._passage = passage
        self._exchange = exchange
        self._sent = sent
        self._came = came
        self._next = passage.carrier.chunks(came)
        self._ready: deque[bytes] = deque()
        self._over = False

    def begin(self) -> None:
        """A message begins. On the session's loop."""
        self._flow = _Flow(self._sent.conversation, self._exchange)

    async def next(self) -> bytes | None:
        """The next bytes for the SDK; None at the end."""
        while not self._ready and not self._over:
            try:
                await self._advance()
            except BaseException as error:
                self._over = True
                await self._passage.fail(self._exchange, error)
                raise
        return self._ready.popleft() if self._ready else None

    async def close(self) -> None:
        """The SDK reads no further, or has read all."""
        if not self._over:
            self._over = True
            await self._passage.fail(self._exchange, BrokenReply())
        await self._passage.carrier.close(self._came)
        if self.response is not None:
            copy_elapsed(self._came, self.response)

    async def _advance(self) -> None:
        chunk = await self._next()
        if chunk is None:
            await self._end()
            return
        for step in self._flow.feed(chunk):
            if step.sealed or step.ended:
                await self._passage.carrier.do(self._flow.note, step)
            if step.ended:
                await self._passage.ready(self._sent.conversation)
            if step.passed:
                self._ready.append(self._flow.passed(step.passed))

    async def _end(self) -> None:
        """Nothing more comes of this message."""
        carrier = self._passage.carrier
        if not self._flow.ended:
            self._over = True
            await self._passage.fail(self._exchange, BrokenReply())
            self._ready.append(self._flow.broken())
        elif await carrier.run(self._exchange.concluded, self._flow.reply()):
            self._over = True
            self._ready.append(await carrier.do(self._flow.rest))
        else:
            await self._ask_again()

    async def _ask_again(self) -> None:
        carrier = self._passage.carrier
        await carrier.close(self._came)
        self._came = await self._passage.ask(self._exchange, self._sent)
        if self._came.is_success:
            self._next = carrier.chunks(self._came)
            await carrier.do(self.begin)
        else:
            self._over = True
            self._ready.append(error_event(self._came))


class _Flow:
    """One streamed message: server-sent events in, those to pass on out.

    State: `_raw` has the events that are held back as they came, by the identity of what they hold.
    """

    def __init__(self, conversation: Conversation, exchange: Exchange) -> None:
        self._exchange = exchange
        self._incoming = exchange.begin()
        self._reader = conversation.format.reader()
        self._streamed = Streamed(
            self._reader, conversation.session.handles.may_mention, exchange.may_be_superseded
        )
        self._decoder = Decoder()
        self._raw: dict[int, ServerEvent] = {}

    @property
    def ended(self) -> bool:
        """Whether the message has come to its end."""
        return self._streamed.ended

    def reply(self) -> Reply:
        """The message."""
        return self._reader.reply()

    def feed(self, chunk: bytes) -> Iterable[Step]:
        """What the next bytes bring, event by event."""
        for event in self._decoder.feed(chunk):
            data = parsed(event.data)
            self._raw[id(data)] = event
            yield self._streamed.feed(data)

    def note(self, step: Step) -> None:
        """Seal and start what an event has completed. On the session's loop."""
        for call in step.sealed:
            self._incoming.seal(call)
        if step.ended:
            self._exchange.ended(self.reply())

    def passed(self, events: list[Json]) -> bytes:
        """The events as bytes: as they came, if they are as they came."""
        return b"".join(self._bytes(event) for event in events)

    def rest(self) -> bytes:
        """What was held back, now that the message is final."""
        return self.passed(self._streamed.rest(self._exchange.final_text)) + self._decoder.rest()

    def broken(self) -> bytes:
        """What was held back of a message that broke off, as it came."""
        return self.passed(self._streamed.rest(str)) + self._decoder.rest()

    def _bytes(self, event: Json) -> bytes:
        came = self._raw.pop(id(event), None)
        return came.raw if came is not None else encode(event.get("type"), dumped(event))
