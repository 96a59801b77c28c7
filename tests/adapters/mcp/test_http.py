"""The proxy over HTTP: sessions, what it refuses, and servers that are reached by an address."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from tests.adapters.mcp.memory import handle, text
from tests.adapters.mcp.real import (
    ROOT,
    instead_of,
    none_left,
    over_stdio,
    processes_with,
    served,
    write_config,
)

pytestmark = pytest.mark.slow


def bench(mark: str = "") -> dict[str, Any]:
    """A server of our own, in a process of its own; `mark` makes that known by its command line."""
    arguments = ["-m", "benchmarks.mcp.server", *filter(None, [mark])]
    env = {"PYTHONPATH": str(ROOT)}
    return {"command": sys.executable, "args": arguments, "env": env, "asyncfc": {"trust": True}}


def test_a_proxy_is_a_server_like_any_other_to_another_proxy(tmp_path: Path) -> None:
    async def main() -> None:
        inner = write_config(tmp_path, {"bench": bench()}, grace=0)
        async with served(inner) as url:
            folder = tmp_path / "outer"
            folder.mkdir()
            outer = write_config(folder, {"inner": {"url": url, "headers": {"X-Test": "1"}}}, grace=5)
            async with over_stdio(outer) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert names == {
                    "quick",
                    "look_up",
                    "variable",
                    "inner__await_future",
                    "inner__cancel_future",
                    "await_future",
                    "cancel_future",
                }
                answer = await client.call_tool("look_up", {"topic": "cats", "seconds": 0.1})
                assert text(answer).startswith("$")  # of the inner one: this one held it
                told = await client.call_tool("inner__await_future", {})
                assert "about cats" in text(told)

    asyncio.run(main())


def test_each_session_is_a_conversation_of_its_own_and_ends_with_its_servers(tmp_path: Path) -> None:
    mark = f"mark-{tmp_path.name}"

    async def main() -> None:
        config = write_config(tmp_path, {"bench": bench(mark)}, grace=0)
        async with served(config) as url:
            async with Client(url) as one, Client(url) as two:
                first = handle(await one.call_tool("quick", {"text": "1"}))
                assert "UnknownHandle" in text(await two.call_tool("quick", {"text": first}))
                assert len(processes_with(mark)) == 2
            assert await none_left(mark)

    asyncio.run(main())


def test_what_is_no_session_of_the_protocol_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(write_config(tmp_path, {"bench": bench()})) as url, httpx2.AsyncClient() as http:
            accept = {"Accept": "application/json, text/event-stream"}
            ping = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
            assert (await http.post(url + "x", json=ping, headers=accept)).status_code == 404
            unknown = {**accept, "Mcp-Session-Id": "nobody"}
            assert (await http.post(url, json=ping, headers=unknown)).status_code == 404
            modern = await http.post(url, json=ping, headers={**accept, "MCP-Protocol-Version": "2026-07-28"})
            assert modern.status_code == 400
            assert (modern.json()["id"], modern.json()["error"]["code"]) == (7, -32022)
            assert "2025-11-25" in modern.json()["error"]["data"]["supported"]
            garbled = await http.post(
                url, content=b"{no json", headers={**accept, "Content-Type": "application/json"}
            )
            assert garbled.status_code == 400
            foreign = await http.post(url, json=ping, headers={**accept, "Host": "evil.example"})
            assert foreign.status_code == 421
            async with Client(url) as client:
                assert text(await client.call_tool("quick", {"text": "still here"})) == "still here"

    asyncio.run(main())


def test_one_changed_line_gives_the_server_the_environment_that_the_host_has_set() -> None:
    async def main() -> None:
        server = bench()
        async with instead_of({**server, "env": {"TOPIC": "${not a variable}"}}) as client:
            assert text(await client.call_tool("quick", {"text": "hi"})) == "hi"
            assert text(await client.call_tool("variable", {"name": "TOPIC"})) == "${not a variable}"

    asyncio.run(main())
