"""Server-sent events: cut into blocks wherever the chunks begin and end, and never a byte lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.adapters.sse import Decoder, ServerEvent, encode


def decode(stream: bytes, *cuts: int) -> tuple[list[ServerEvent], bytes]:
    decoder = Decoder()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = [event for a, b in pairwise(places) for event in decoder.feed(stream[a:b])]
    return events, decoder.rest()


def read(stream: bytes) -> list[tuple[str | None, str]]:
    return [(event.event, event.data) for event in decode(stream)[0]]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: never ended\n", []),
        (b"", []),
        (b": sign of life\n\n", [(None, "")]),
        (b"data\n\n", [(None, "")]),
        (b"id: 1\nretry: 10\nunknown: x\n\n", [(None, "")]),
        (b"data: \xff\n\n", [(None, "\N{REPLACEMENT CHARACTER}")]),
        (b"data:a:b\n\n", [(None, "a:b")]),
        (b"data:  two spaces\n\n", [(None, " two spaces")]),
        (b"data: 1\ndata\ndata: 2\n\n", [(None, "1\n\n2")]),
        (b"event: a\nevent: b\ndata: x\n\n", [("b", "x")]),
        (b"event: a\ndata: x\n\ndata: y\n\n", [("a", "x"), (None, "y")]),
        (b"data: x\r\n\r\ndata: y\r\n\r\n", [(None, "x"), (None, "y")]),
        (b"data: x\r\rdata: y\r\r:", [(None, "x"), (None, "y")]),
        (b"\xef\xbb\xbfdata: x\n\n", [(None, "x")]),
        (b"\xef\xbb\xbf\ndata: x\n\n", [(None, ""), (None, "x")]),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [(None, "x"), (None, "")]),
        ("data: \N{LINE SEPARATOR}\x0b\x85\n\n".encode(), [(None, "\N{LINE SEPARATOR}\x0b\x85")]),
    ],
)
def test_a_stream_reads_as_the_specification_says(
    stream: bytes, events: list[tuple[str | None, str]]
) -> None:
    assert read(stream) == events


def test_an_event_is_there_with_its_last_byte_and_not_before() -> None:
    decoder = Decoder()
    assert decoder.feed(b"event: a\r\ndata: x\r\n\r") == []
    assert decoder.feed(b"\n") == [ServerEvent(b"event: a\r\ndata: x\r\n\r\n", "a", "x")]
    assert decoder.rest() == b""


lines = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"event: e",
        b": note",
        b"",
        b"",
        b"\xef\xbb\xbfdata: y",
        "data: \u20ac\u2028".encode(),
        b"id: 1",
    ]
)
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(streams, st.lists(st.integers(0, 200), max_size=20))
def test_where_the_chunks_end_changes_nothing_and_no_byte_is_lost(stream: bytes, cuts: list[int]) -> None:
    events, rest = decode(stream, *cuts)
    assert (events, rest) == decode(stream)
    assert b"".join(event.raw for event in events) + rest == stream


@given(
    st.sampled_from([None, "message_start"]),
    st.text().filter(lambda text: text.isprintable() or "\n" in text),
)
def test_what_is_encoded_is_decoded(event: str | None, data: str) -> None:
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert read(encode(event, data)) == [(event, expected)]


def test_an_event_is_encoded_as_the_providers_do() -> None:
    assert encode("ping", '{"type": "ping"}') == b'event: ping\ndata: {"type": "ping"}\n\n'
    assert encode(None, "[DONE]") == b"data: [DONE]\n\n"
