"""Server-sent events: bytes in, events out, and back.

By the WHATWG specification. Written here because the libraries that do it (`httpx-sse`, `aiohttp-sse-client`)
are tied to an HTTP client of their own, and because a relay has to know the bytes of each event: what it
does not change it hands on as it came.
"""

from __future__ import annotations

from dataclasses import dataclass

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One block of a stream, up to and with the blank line that ends it."""

    raw: bytes
    """Its bytes as they came."""
    event: str | None
    """The name, or None if it has none."""
    data: str
    """The data; empty for a block that is no event but a comment (a sign of life) or other fields."""


class Decoder:
    """Cuts a stream into blocks, wherever its chunks begin and end."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._tail = b""
        self._at_start = True

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The blocks that this chunk completes."""
        lines = (self._tail + chunk).splitlines(keepends=True)
        # A carriage return at the end is not yet a line's end: a line feed may come that belongs to it.
        self._tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        events = []
        for line in lines:
            self._lines.append(line)
            if not self._content(line):
                events.append(self._event())
        return events

    def rest(self) -> bytes:
        """The bytes that came behind the last whole block."""
        return b"".join(self._lines) + self._tail

    def _content(self, line: bytes) -> str:
        """A line without its end; a byte order mark counts at the very beginning of the stream only."""
        text = line.rstrip(b"\r\n").decode("utf-8", "replace")
        return text.removeprefix(_BOM) if self._at_start and len(self._lines) == 1 else text

    def _event(self) -> ServerEvent:
        raw, name, data = b"".join(self._lines), None, []
        for number, line in enumerate(self._lines):
            text = line.rstrip(b"\r\n").decode("utf-8", "replace")
            if number == 0 and self._at_start:
                text = text.removeprefix(_BOM)
            field, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value or None
            elif field == "data":
                data.append(value)
        self._lines, self._at_start = [], False
        return ServerEvent(raw, name, "\n".join(data))


def encode(event: str | None, data: str) -> bytes:
    """An event as bytes. A line end of any kind in the data comes out of a decoder as a line feed."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    name = [f"event: {event}"] if event else []
    return "\n".join([*name, *(f"data: {line}" for line in lines), "", ""]).encode()
