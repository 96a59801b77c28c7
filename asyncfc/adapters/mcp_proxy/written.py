"""Written: what of HTTP the SDK does not tell: whether an answer was written, and whether a host listens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY = "asyncfc.written"
"""Of the scope of a request."""
_HEAD = 300
"""Bytes of a message in which it shows whether it is an answer."""


class Written:
    """One HTTP request; it bears one message of the protocol.

    Args:
        hears: whether its host listens to what comes on no request of its own.
    """

    def __init__(self, hears: Callable[[], bool] = bool) -> None:
        self.hears = hears
        self._answered = False
        self._lost = False
        self._when_lost: Callable[[], None] | None = None

    def when_lost(self, call: Callable[[], None]) -> None:
        """Call this when the connection has gone before the answer was written; at once if it has."""
        self._when_lost = call
        if self._lost:
            call()

    def saw(self, message: Message) -> None:
        """The server got this from the connection."""
        if message["type"] == "http.disconnect":  # comes after a complete response, too
            self.ended()

    def wrote(self, message: Message) -> None:
        """The server has written this."""
        if message["type"] == "http.response.body" and not self._lost:
            self._answered = self._answered or _is_answer(message.get("body", b""))

    def ended(self) -> None:
        """Nothing more can be written."""
        if not (self._answered or self._lost):
            self._lost = True
            if self._when_lost is not None:
                self._when_lost()


def watching(application: ASGIApp) -> ASGIApp:
    """The application; its scopes have a `Written`."""
    listening: Counter[str | None] = Counter()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        session = Headers(scope=scope).get(MCP_SESSION_ID_HEADER) if scope["type"] == "http" else None
        written = Written(lambda: listening[session] > 0)
        listens = False

        async def seeing() -> Message:
            message = await receive()
            written.saw(message)
            return message

        async def writing(message: Message) -> None:
            nonlocal listens
            await send(message)
            written.wrote(message)
            if message["type"] == "http.response.start" and scope.get("method") == "GET":
                listens = message["status"] == HTTPStatus.OK
                listening[session] += listens

        try:
            await application({**scope, KEY: written}, seeing, writing)
        finally:
            written.ended()
            listening[session] -= listens
            if not listening[session]:
                del listening[session]

    return watched


def written_of(request: Any) -> Written | None:
    """Of a request as the SDK hands it to handlers; None if it did not come over HTTP."""
    scope = getattr(request, "scope", None)
    return None if scope is None else scope.get(KEY)


def hears_of(request: Any) -> Callable[[], bool]:
    """Whether the host that made a request hears what comes on no request of its own; over stdio it does."""
    if request is None:
        return lambda: True
    written = written_of(request)
    return bool if written is None else written.hears


def _is_answer(body: bytes) -> bool:
    """Whether a chunk is an answer: neither a notification, nor a request to the host, nor to keep alive."""
    head = bytes(body[:_HEAD])
    return b'"jsonrpc"' in head and b'"method"' not in head
