"""Answers that the host has not got: what they told is told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import MCPError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from asyncfc.adapters.mcp_proxy.answers import MOST_REMEMBERED, Answers
from asyncfc.adapters.mcp_proxy.written import Written, watching, written_of
from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.memory import Wire, bench, proxied, text
from tests.adapters.mcp.shelf import Shelf

TRUSTED = {"shelf": {"trust": True}}


class Raw:
    """A host that writes and reads messages of the protocol itself."""

    def __init__(self, streams: Any) -> None:
        self._read, self._write = streams

    async def send(self, method: str, request: int | None = None, **params: Any) -> None:
        raw: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        raw |= {} if request is None else {"id": request}
        message = jsonrpc_message_adapter.validate_python(raw, by_name=False)
        await self._write.send(SessionMessage(message))

    async def call(self, request: int, tool: str, **arguments: Any) -> None:
        await self.send("tools/call", request, name=tool, arguments=arguments)

    async def next(self) -> Any:
        return (await self._read.receive()).message

    async def answer(self, request: int) -> str:
        while True:
            message = await self.next()
            if getattr(message, "id", None) == request:
                return "\n".join(block["text"] for block in message.result["content"])


@asynccontextmanager
async def raw_host(made: Any, wait: float = 0) -> AsyncIterator[Raw]:
    """A host by hand; `wait` seconds pass within its handshake."""
    host = made.proxy.new_host()
    async with create_client_server_memory_streams() as (ours, theirs):
        serving = asyncio.create_task(host.serve(*theirs))
        raw = Raw(ours)
        info = {"name": "h", "version": "1"}
        await raw.send("initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
        await ours[0].receive()
        await asyncio.sleep(wait)
        await raw.send("notifications/initialized")
        yield raw
        for stream in ours:
            await stream.aclose()
        await serving
        await made.proxy.end(host)


def test_an_answer_that_crosses_its_cancellation_tells_nothing() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with (
            bench({"shelf": Wire(shelf.server)}, TRUSTED, grace=1) as made,
            raw_host(made) as host,
        ):
            await host.call(2, "put", key="a", text="1", seconds=5)
            assert "is running" in await host.answer(2)
            await asyncio.sleep(10)
            await host.call(3, "get", key="a")  # its answer carries the outcome of the other, too
            await asyncio.sleep(1)
            await host.send("notifications/cancelled", requestId=3)
            await asyncio.sleep(1)
            await host.call(4, "stats")
            told = await host.answer(4)
            assert '= put({"key": "a", "text": "1", "seconds": 5}) has ended:\nkept 1' in told
            assert '= get({"key": "a"}) has ended:\n1' in told
            await host.call(5, "stats")
            assert "has ended" not in await host.answer(5)

    run_virtual(main)


def test_an_irreversible_call_waits_until_what_got_lost_has_been_told() -> None:
    async def main() -> None:
        shelf = Shelf()
        settings = {"shelf": {"trust": True, "irreversible": ["undeclared"]}}
        async with (
            bench({"shelf": Wire(shelf.server)}, settings, grace=1) as made,
            raw_host(made) as host,
        ):
            await host.call(2, "put", key="a", text="1")
            await asyncio.sleep(1)
            await host.send("notifications/cancelled", requestId=2)
            await asyncio.sleep(1)
            await host.call(3, "undeclared")
            assert "was not made" in await host.answer(3)
        assert shelf.log == ["put a"]

    run_virtual(main)


def test_an_answer_that_got_lost_while_it_was_made_puts_back_what_it_tells() -> None:
    put_back: list[int] = []
    answers = Answers()
    answers.begin(1)
    answers.lose("1")
    answers.send(1, lambda: put_back.append(1))
    answers.begin(2)
    answers.drop(2)
    answers.lose(2)
    assert put_back == [1]


def test_only_the_newest_answers_are_remembered() -> None:
    put_back: list[int] = []
    answers = Answers()
    for request in range(MOST_REMEMBERED + 1):
        answers.begin(request)
        answers.send(request, lambda request=request: put_back.append(request))  # type: ignore[misc]
    for request in (0, 1, 1):
        answers.lose(request)
    assert put_back == [1]


ANSWER = b'event: message\r\ndata: {"jsonrpc":"2.0","id":3,"result":{"content":[]}}\r\n\r\n'
NOTICE = b'event: message\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\r\n\r\n'


@pytest.mark.parametrize(
    ("chunks", "lost"), [([], 1), ([NOTICE], 1), ([NOTICE, b": ping\r\n\r\n"], 1), ([NOTICE, ANSWER], 0)]
)
def test_an_answer_over_http_is_lost_if_the_connection_goes_before_it_is_written(
    chunks: list[bytes], lost: int
) -> None:
    losses: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        request = type("Request", (), {"scope": scope})
        written = written_of(request)
        assert written is not None
        written.when_lost(lambda: losses.append(1))
        await send({"type": "http.response.start", "status": 200})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": ANSWER})  # nobody is there any more

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    asyncio.run(watching(application)({"type": "http", "headers": []}, receive, send))  # type: ignore[arg-type]
    assert len(losses) == lost


def test_who_asks_too_late_is_told_at_once_that_the_connection_has_gone() -> None:
    written, losses = Written(), [0]
    written.ended()
    written.when_lost(losses.clear)
    assert losses == []
    assert written_of(None) is None


def test_a_request_that_the_host_gives_up_while_it_waits_is_told_later() -> None:
    async def main() -> None:
        async with proxied({"shelf": Wire(Shelf().server)}, TRUSTED, grace=0) as host:
            await host.call_tool("put", {"key": "a", "text": "1", "seconds": 30})
            with pytest.raises(MCPError, match="timed out"):
                await host.call_tool("await_future", {}, read_timeout_seconds=10)
            await asyncio.sleep(30)
            assert text(await host.call_tool("await_future", {})).endswith("kept 1")

    run_virtual(main)
