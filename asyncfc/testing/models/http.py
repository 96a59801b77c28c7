"""As much of HTTP/1.1 as the providers' SDKs use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from asyncfc.testing.models.api import Event
from asyncfc.testing.models.script import Json


@dataclass(frozen=True, slots=True)
class Head:
    """Path, without a query, and headers, their names in lower case."""

    path: str
    headers: Mapping[str, str]


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next request on a connection, or None if there is none."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Head(first.split(" ")[1].partition("?")[0], headers)


async def read_body(head: Head, reader: asyncio.StreamReader) -> bytes:
    """The body of a request, by its length or in chunks."""
    if head.headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(head.headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


async def send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """A whole reply."""
    about = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    writer.write(_head(status, about) + body)
    await writer.drain()


async def send_json(
    writer: asyncio.StreamWriter, status: int, body: Json, headers: Mapping[str, str] | None = None
) -> None:
    """A whole reply of JSON."""
    await send(writer, status, _dumped(body), headers)


def begin_stream(writer: asyncio.StreamWriter) -> None:
    """The head of a reply that comes as server-sent events."""
    about = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
    writer.write(_head(200, about))


async def send_event(writer: asyncio.StreamWriter, event: Event) -> None:
    """One server-sent event, in a chunk of its own."""
    name, data = event
    raw = data.encode() if isinstance(data, str) else _dumped(data)
    text = (f"event: {name}\n".encode() if name else b"") + b"data: " + raw + b"\n\n"
    writer.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
    await writer.drain()


async def end_stream(writer: asyncio.StreamWriter) -> None:
    """The end of a stream; the connection goes on."""
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "x-request-id: req_1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _dumped(body: Json) -> bytes:
    """JSON as the providers write it: text as it is, unless UTF-8 has no form of it."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()
