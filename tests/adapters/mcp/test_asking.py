"""Questions to a host over HTTP, with real sockets: which stream they take, and that none hangs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn

from asyncfc.adapters.mcp_proxy.asking import PATIENCE
from asyncfc.adapters.mcp_proxy.http import Application, security_of
from asyncfc.adapters.mcp_proxy.written import watching
from tests.adapters.mcp.library import library
from tests.adapters.mcp.memory import Bench, Wire, bench

pytestmark = pytest.mark.slow

ACCEPT = {"Accept": "application/json, text/event-stream"}
TRUSTED = {"one": {"trust": True}}


class Poster:
    """A host that posts, and never listens beside that."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._headers = dict(ACCEPT)

    async def post(self, **message: Any) -> list[Any]:
        """Post a message; return what comes back on its stream. A question on it is answered with yes."""
        got: list[Any] = []
        raw = {"jsonrpc": "2.0", **message}
        async with self._http.stream("POST", self._url, json=raw, headers=self._headers) as response:
            if "mcp-session-id" in response.headers:
                self._headers["Mcp-Session-Id"] = response.headers["mcp-session-id"]
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    got.append(json.loads(line.removeprefix("data: ")))
                    if got[-1].get("method") == "elicitation/create":
                        yes = {"action": "accept", "content": {"sure": True}}
                        await self.post(id=got[-1]["id"], result=yes)
        return got

    async def call(self, number: int, tool: str, **arguments: Any) -> str:
        params = {"name": tool, "arguments": arguments}
        *_, answer = await self.post(id=number, method="tools/call", params=params)
        return "\n".join(block["text"] for block in answer["result"]["content"])


@asynccontextmanager
async def posting(made: Bench, capabilities: dict[str, Any]) -> AsyncIterator[Poster]:
    application = Application(made.proxy.new_host, made.proxy.end, security_of("127.0.0.1"))
    config = uvicorn.Config(watching(application), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        async with httpx2.AsyncClient(timeout=20) as http:
            host = Poster(http, f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
            info = {"name": "h", "version": "1"}
            params = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": info}
            await host.post(id=1, method="initialize", params=params)
            await host.post(method="notifications/initialized")
            yield host
        server.should_exit = True
        await application.close()
        await serving


def test_a_question_comes_on_the_stream_of_the_call_that_it_is_about() -> None:
    async def main() -> None:
        async with (
            bench({"one": Wire(lambda: library("one"))}, TRUSTED) as made,
            posting(made, {"elicitation": {}}) as host,
        ):
            assert await host.call(2, "confirm") == "accept {'sure': True}"

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_host_that_cannot_be_asked_is_not_waited_for() -> None:
    async def main() -> None:
        async with (
            bench({"one": Wire(lambda: library("one"))}, TRUSTED, grace=0) as made,
            posting(made, {"elicitation": {}}) as host,
        ):
            assert "is running" in await host.call(2, "confirm", seconds=0.1)
            await asyncio.sleep(PATIENCE + 0.5)
            assert "the host cannot be asked now" in await host.call(3, "await_future")

    asyncio.run(asyncio.wait_for(main(), 20))


def test_an_answer_whose_connection_was_dropped_is_told_again() -> None:
    async def main() -> None:
        async with (
            bench({"one": Wire(lambda: library("one"))}, TRUSTED, grace=0) as made,
            posting(made, {}) as host,
        ):
            assert "is running" in await host.call(2, "picture", seconds=1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(host.call(3, "await_future"), 0.3)
            await asyncio.sleep(1)
            *_, answer = await host.post(
                id=4, method="tools/call", params={"name": "await_future", "arguments": {}}
            )
            assert "a picture:" in answer["result"]["content"][0]["text"]

    asyncio.run(asyncio.wait_for(main(), 20))
