"""Relay: asyncfc between an SDK and its HTTP client.

The SDKs of OpenAI and Anthropic build JSON requests, hand them to an httpx2 client, and make their own
objects of what comes back. The relay stands in that client's place. So every surface of an SDK works
(create, parse, stream, raw responses, helpers that run tools), its retries, timeouts and errors are its
own, and so are the objects that a program gets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2

from asyncfc.adapters.hosts import FromThread, OnLoop, through
from asyncfc.adapters.passage import Events, Passage, Wire
from asyncfc.blocking import BlockingSession


class Relay(httpx2.Client):
    """Stands in the place of the HTTP client of a synchronous SDK client.

    Args:
        inner: the SDK's own; it sends.
        wire: the conversation.
        session: runs the calls on its own loop.
    """

    def __init__(self, inner: httpx2.Client, wire: Wire, session: BlockingSession) -> None:
        super().__init__(transport=_Nothing(), trust_env=False)
        self._inner = inner
        self._wire = wire
        self._session = session
        self._passage = Passage(_Blocking(inner, session), wire)

    def build_request(self, *args: Any, **kwargs: Any) -> httpx2.Request:
        """As the SDK's own client does it, with its headers and cookies."""
        request = self._inner.build_request(*args, **kwargs)
        self._wire.require_free(request)
        return request

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request; one to a model goes through the conversation."""
        if self._wire.find(request) is not None:
            response = through(self._passage.take(request, request.read(), options))
            if response is not None:
                return response
        return self._inner.send(request, stream=stream, **options)

    def close(self) -> None:
        """Close the session, then the SDK's own client."""
        self._session.close()
        self._inner.close()
        super().close()


class AsyncRelay(httpx2.AsyncClient):
    """Stands in the place of the HTTP client of an asynchronous SDK client.

    Args:
        inner: the SDK's own; it sends.
        wire: the conversation.
        must_be_ready: see `Passage`.
    """

    def __init__(self, inner: httpx2.AsyncClient, wire: Wire, *, must_be_ready: bool) -> None:
        super().__init__(transport=_NothingAsync(), trust_env=False)
        self._inner = inner
        self._wire = wire
        self._passage = Passage(_Awaiting(inner), wire, must_be_ready=must_be_ready)

    def build_request(self, *args: Any, **kwargs: Any) -> httpx2.Request:
        """As the SDK's own client does it, with its headers and cookies."""
        request = self._inner.build_request(*args, **kwargs)
        self._wire.require_free(request)
        return request

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request; one to a model goes through the conversation."""
        if self._wire.find(request) is not None:
            response = await self._passage.take(request, await request.aread(), options)
            if response is not None:
                return response
        return await self._inner.send(request, stream=stream, **options)

    async def aclose(self) -> None:
        """Close the session, then the SDK's own client."""
        await self._wire.dialogue.session.close()
        await self._inner.aclose()
        await super().aclose()


class _Awaiting(OnLoop):
    """`Carrier` of an asynchronous client: the loop of the program is the session's."""

    def __init__(self, inner: httpx2.AsyncClient) -> None:
        self._inner = inner

    async def send(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        return await self._inner.send(request, stream=True, **options)

    async def read(self, response: httpx2.Response) -> bytes:
        return await response.aread()

    def chunks(self, response: httpx2.Response) -> Callable[[], Awaitable[bytes | None]]:
        iterator = response.aiter_bytes()

        async def next_chunk() -> bytes | None:
            return await anext(iterator, None)

        return next_chunk

    async def close(self, response: httpx2.Response) -> None:
        await response.aclose()

    def body_of(self, events: Events) -> httpx2.AsyncByteStream:
        return _AsyncBytes(events)


class _Blocking(FromThread):
    """`Carrier` of a synchronous client: it blocks, so that its coroutines never wait."""

    def __init__(self, inner: httpx2.Client, session: BlockingSession) -> None:
        super().__init__(session)
        self._inner = inner

    async def send(self, request: httpx2.Request, options: dict[str, Any]) -> httpx2.Response:
        return self._inner.send(request, stream=True, **options)

    async def read(self, response: httpx2.Response) -> bytes:
        return response.read()

    def chunks(self, response: httpx2.Response) -> Callable[[], Awaitable[bytes | None]]:
        iterator = response.iter_bytes()

        async def next_chunk() -> bytes | None:
            return next(iterator, None)

        return next_chunk

    async def close(self, response: httpx2.Response) -> None:
        response.close()

    def body_of(self, events: Events) -> httpx2.SyncByteStream:
        return _Bytes(events)


class _Bytes(httpx2.SyncByteStream):
    def __init__(self, events: Events) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := through(self._events.next())) is not None:
            yield chunk

    def close(self) -> None:
        through(self._events.close())


class _AsyncBytes(httpx2.AsyncByteStream):
    def __init__(self, events: Events) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._events.next()) is not None:
            yield chunk

    async def aclose(self) -> None:
        await self._events.close()


class _Nothing(httpx2.BaseTransport):
    """A relay sends through its inner client only."""


class _NothingAsync(httpx2.AsyncBaseTransport):
    """A relay sends through its inner client only."""
