"""Bodies: the JSON of requests and responses, read and replaced."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import httpx2

from asyncfc.adapters.sse import encode
from asyncfc.conversation.formats.base import Json

ENCODED = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that say how a body was sent; it is another one now."""


def parsed(data: bytes | str) -> Json:
    """The JSON object; an empty one if it is none: `[DONE]`, or what the SDK will complain of."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def dumped(value: Json) -> str:
    """JSON as the SDKs write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: Json) -> bytes:
    """The same as bytes; a lone surrogate, which UTF-8 has no form of, is escaped."""
    try:
        return dumped(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def is_stream(response: httpx2.Response) -> bool:
    """Whether it brings server-sent events."""
    return bool(response.headers.get("content-type", "").startswith("text/event-stream"))


def with_body(request: httpx2.Request, body: Json, wanted: Json) -> httpx2.Request:
    """The request with another body; the very same one if nothing was added.

    Args:
        request: as the SDK made it.
        body: that it has.
        wanted: that it is to have.
    """
    if wanted == body:
        return request
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in ENCODED]
    return httpx2.Request(
        request.method, request.url, headers=headers, content=encoded(wanted), extensions=request.extensions
    )


def replaced(response: httpx2.Response, request: httpx2.Request, **body: Any) -> httpx2.Response:
    """The same response, to the request as the SDK made it, with another body: `content` or `stream`."""
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in ENCODED]
    other = httpx2.Response(
        response.status_code, headers=headers, request=request, extensions=response.extensions, **body
    )
    other.history = response.history
    copy_elapsed(response, other)
    return other


def copy_elapsed(response: httpx2.Response, other: httpx2.Response) -> None:
    """Say how long it took, once that is known: when the body has been read."""
    with suppress(RuntimeError):
        other.elapsed = response.elapsed


def error_event(response: httpx2.Response) -> bytes:
    """An error of the provider, in the middle of a stream that has begun well."""
    error = parsed(response.content).get("error") or {"message": response.text}
    if "status" in error:  # Google's: its SDK knows no names of events, and looks for nothing but this
        return encode(None, dumped({"error": error}))
    return encode("error", dumped({"type": "error", "error": error}))
