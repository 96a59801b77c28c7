"""Calls of remote servers that go on although the connection has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from asyncfc.adapters.mcp_proxy.lost import LONGEST
from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.memory import Wire, bench, handle, proxied, text
from tests.adapters.mcp.shelf import READS, WRITES, Shelf


class Remote:
    """A server that finishes what it has begun, whoever has gone."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.begun: set[asyncio.Task[None]] = set()

    def server(self) -> MCPServer:
        server = MCPServer("remote")

        async def put(text: str, seconds: float = 0) -> str:
            async def work() -> None:
                await asyncio.sleep(seconds)
                self.shelf.log.append(text)

            task = asyncio.create_task(work())
            self.begun.add(task)
            await asyncio.shield(task)
            return f"kept {text}"

        async def get() -> str:
            return self.shelf.log[-1]

        idempotent = ToolAnnotations(idempotent_hint=True, open_world_hint=False)
        server.add_tool(put, annotations=WRITES)
        server.add_tool(put, name="set", annotations=idempotent)
        server.add_tool(get, annotations=READS)
        return server


async def cut(wire: Wire, away: float = 0) -> None:
    await asyncio.sleep(1)
    wire.away = away > 0
    wire.crash()
    await asyncio.sleep(away)
    wire.away = False


def clock() -> float:
    return asyncio.get_running_loop().time()


def test_a_write_that_a_lost_server_may_go_on_with_fails_at_once_and_keeps_its_place() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        async with proxied({"web": wire}, {"web": {"trust": True}}, grace=0, await_limit=600) as host:
            await host.call_tool("put", {"text": "old", "seconds": 30})
            await host.call_tool("put", {"text": "new"})
            await cut(wire)
            told = text(await host.call_tool("await_future", {"timeout": 2}))
            assert "ServerLost: the connection to server 'web' ended while its tool 'put' ran" in told
            assert "Still running" in told
            assert clock() < 5
            assert text(await host.call_tool("await_future", {})).endswith("kept new")
            assert clock() == pytest.approx(1 + LONGEST, abs=1)
        assert remote.shelf.log == ["old", "new"]

    run_virtual(main)


def test_it_goes_on_for_as_long_as_its_timeout_lets_it() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        settings = {"web": {"trust": True, "timeout": 20}}
        async with proxied({"web": wire}, settings, grace=0) as host:
            await host.call_tool("put", {"text": "old", "seconds": 10})
            await host.call_tool("put", {"text": "new"})
            await cut(wire)
            await host.call_tool("await_future", {})
            assert clock() == pytest.approx(20, abs=0.5)
        assert remote.shelf.log == ["old", "new"]

    run_virtual(main)


def test_a_server_that_cannot_be_reached_holds_up_others_for_some_time_only() -> None:
    async def main() -> None:
        remote, shelf = Remote(), Shelf()
        wire = Wire(remote.server, remote=True)
        servers: dict[str, Any] = {"web": wire, "shelf": Wire(shelf.server)}
        async with proxied(servers, {"web": {"trust": True}}, grace=0, await_limit=600) as host:
            await host.call_tool("web__put", {"text": "old", "seconds": 10})
            await host.call_tool("undeclared", {})  # a barrier
            cutting = asyncio.ensure_future(cut(wire, 1e4))
            await host.call_tool("await_future", {})
            assert clock() == pytest.approx(1 + 2 * LONGEST, abs=1)
            cutting.cancel()

    run_virtual(main)


def test_an_idempotent_write_is_made_again_only_when_the_first_is_over() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        async with proxied({"web": wire}, {"web": {"trust": True}}, grace=0, await_limit=600) as host:
            await host.call_tool("set", {"text": "old", "seconds": 30})
            await host.call_tool("put", {"text": "new"})
            await cut(wire)
            told = text(await host.call_tool("await_future", {}))
            assert "kept old" in told
            assert "kept new" in told
            assert clock() == pytest.approx(1 + LONGEST + 30, abs=1)
        assert remote.shelf.log == ["old", "old", "new"]

    run_virtual(main)


def test_an_idempotent_write_that_is_lost_twice_keeps_its_place_both_times() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        async with proxied({"web": wire}, {"web": {"trust": True}}, grace=0, await_limit=600) as host:
            await host.call_tool("set", {"text": "old", "seconds": 30})
            await host.call_tool("put", {"text": "new"})
            await cut(wire)
            await asyncio.sleep(LONGEST + 1)
            await cut(wire)
            told = text(await host.call_tool("await_future", {"timeout": 1}))
            assert "ServerLost: the connection to server 'web' ended while its tool 'set' ran" in told
            assert text(await host.call_tool("await_future", {})).endswith("kept new")
        assert remote.shelf.log == ["old", "old", "new"]

    run_virtual(main)


def test_a_read_is_made_again_at_once() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.texts["a"] = "1"
        wire = Wire(shelf.server, remote=True)
        async with proxied({"shelf": wire}, {"shelf": {"trust": True}}, grace=0) as host:
            await host.call_tool("get", {"key": "a", "seconds": 5})
            await cut(wire)
            assert text(await host.call_tool("await_future", {})).endswith("\n1")
            assert clock() < 10

    run_virtual(main)


def test_a_write_that_is_cancelled_while_its_server_is_out_of_reach_keeps_its_place() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        settings = {"web": {"trust": True, "effects": {"set": {"writes": "mcp:web", "idempotent": True}}}}
        async with proxied({"web": wire}, settings, grace=0, await_limit=600) as host:
            slow = handle(await host.call_tool("set", {"text": "old", "seconds": 30}))
            await cut(wire)
            await host.call_tool("cancel_future", {"handle": slow})
            await host.call_tool("set", {"text": "new"})
            told = text(await host.call_tool("await_future", {}))
            assert "set (m1) was given up but still works on 'mcp.web'" in told
            await asyncio.sleep(LONGEST)
            await host.call_tool("set", {"text": "new"})
            assert text(await host.call_tool("await_future", {})).endswith("kept new")
        assert remote.shelf.log == ["old", "new"]

    run_virtual(main)


def test_a_host_that_goes_is_not_kept_by_what_a_lost_server_may_go_on_with() -> None:
    async def main() -> None:
        remote = Remote()
        wire = Wire(remote.server, remote=True)
        async with (
            bench({"web": wire}, {"web": {"trust": True}}, grace=0, drain=3) as made,
            made.host() as host,
        ):
            await host.call_tool("put", {"text": "old", "seconds": 30})
            await cut(wire)
        assert clock() < 6
        await asyncio.gather(*remote.begun)

    run_virtual(main)
