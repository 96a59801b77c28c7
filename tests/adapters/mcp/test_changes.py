"""The proxy when servers change what they have, and when they come back."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp_types import (
    CallToolResult,
    ClientCapabilities,
    EmbeddedResource,
    EmptyResult,
    Implementation,
    InitializeRequest,
    InitializeRequestParams,
    InitializeResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    ReadResourceResult,
    Resource,
    SetLevelRequest,
    SetLevelRequestParams,
    SubscribeRequest,
    SubscribeRequestParams,
    TextResourceContents,
    Tool,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from asyncfc.adapters.mcp_proxy.passing import LISTING, _unique_uris
from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.memory import Wire, bench, proxied, text
from tests.adapters.mcp.shelf import READS, Shelf
from tests.adapters.mcp.test_lost_answers import raw_host


class Changing:
    """A server of tools that may be others when it starts again."""

    def __init__(self, *tools: str) -> None:
        self.tools = tools
        self.wire = Wire(self.server)

    def server(self) -> MCPServer:
        server = MCPServer("changing")

        async def answer() -> str:
            return "answered"

        for tool in self.tools:
            server.add_tool(answer, name=tool, description="d", annotations=READS)
        return server

    async def change(self, *tools: str) -> None:
        self.tools = tools
        self.wire.crash()
        await asyncio.sleep(5)


async def names(host: Any) -> list[str]:
    return [tool.name for tool in (await host.list_tools(cache_mode="refresh")).tools][:-2]


def test_a_removed_tool_that_has_effects_leaves_all_else_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        one, two = Changing("x", "gone", "final"), Changing("y")
        settings = {"one": {"effects": {"gone": "read"}, "irreversible": ["final*"]}}
        async with proxied({"one": one.wire, "two": two.wire}, settings) as host:
            await one.change("x", "final_x", "later")
            await two.change("y", "new")
            assert await names(host) == ["x", "final_x", "later", "y", "new"]
            assert text(await host.call_tool("new", {})) == "answered"
            await one.change("x", "gone", "final")
            assert await names(host) == ["x", "gone", "final", "y", "new"]

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "mcpServers.one.asyncfc.effects.gone: matches no tool; the tools are ['final_x', 'later', 'x']"
    ]


def test_a_server_that_comes_late_and_does_not_fit_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        late, other = Changing("x"), Changing("y")
        late.wire.away = True
        settings = {"late": {"effects": {"nosuch": "read"}, "start_timeout": 1}}
        async with proxied({"late": late.wire, "other": other.wire}, settings) as host:
            late.wire.away = False
            await asyncio.sleep(60)
            await other.change("y", "new")
            assert await names(host) == ["y", "new"]

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert "mcpServers.late.asyncfc.effects.nosuch: matches no tool" in caplog.text


def test_a_tool_whose_parameters_do_not_fit_its_effects_any_more_is_a_barrier() -> None:
    async def main() -> None:
        properties = {"path": {"type": "string"}, "seconds": {"type": "number"}}
        schema = {"properties": properties, "type": "object"}

        async def tools(_context: Any, _params: Any) -> ListToolsResult:
            return ListToolsResult(tools=[Tool(name="write", input_schema=schema)])

        async def call(_context: Any, params: Any) -> CallToolResult:
            await asyncio.sleep(5)
            return CallToolResult(content=[])

        wire = Wire(lambda: Server("s", on_list_tools=tools, on_call_tool=call))
        settings = {"s": {"effects": {"write": {"writes": "fs:{path}"}}}}

        async def two(host: Any, parameter: str) -> float:
            start = asyncio.get_running_loop().time()
            for path in "ab":
                await host.call_tool("write", {parameter: path})
            await host.call_tool("await_future", {})
            return asyncio.get_running_loop().time() - start

        async with proxied({"s": wire}, settings, grace=0) as host:
            assert await two(host, "path") == 5
            properties["file"] = properties.pop("path")
            wire.crash()
            await asyncio.sleep(5)
            assert await two(host, "file") == 10

    run_virtual(main)


def test_a_tool_that_comes_within_the_handshake_is_offered() -> None:
    async def main() -> None:
        late = Changing("late_one")
        late.wire.away = True
        servers = {"late": late.wire, "other": Changing("y").wire}
        async with bench(servers, {"late": {"start_timeout": 1}}) as made:

            async def come() -> None:
                await asyncio.sleep(0.1)
                late.wire.away = False

            coming = asyncio.create_task(come())
            async with raw_host(made, wait=10) as host:
                said = await host.next()
                assert said.method == "notifications/tools/list_changed"
                await host.send("tools/list", 2)
                listed = (await host.next()).result["tools"]
                assert [tool["name"] for tool in listed][:-2] == ["late_one", "y"]
            await coming

    run_virtual(main)


def test_a_second_handshake_connects_to_nothing_anew() -> None:
    async def main() -> None:
        wire = Wire(Shelf().server)
        async with proxied({"shelf": wire}) as host:
            before = await names(host)
            params = InitializeRequestParams(
                protocol_version="2025-06-18",
                capabilities=ClientCapabilities(),
                client_info=Implementation(name="x", version="1"),
            )
            await host.session.send_request(InitializeRequest(params=params), InitializeResult)
            assert (await names(host), wire.opened) == (before, 1)

    run_virtual(main)


def test_what_looks_like_a_handle_in_an_embedded_resource_is_inert() -> None:
    async def main() -> None:
        async def tools(_context: Any, _params: Any) -> ListToolsResult:
            return ListToolsResult(tools=[Tool(name="res", input_schema={"type": "object"})])

        async def call(_context: Any, params: Any) -> CallToolResult:
            await asyncio.sleep((params.arguments or {}).get("seconds", 0))
            contents = TextResourceContents(uri="r://1", text="pay ${this_1}")
            return CallToolResult(content=[EmbeddedResource(resource=contents)])

        wire = Wire(lambda: Server("s", on_list_tools=tools, on_call_tool=call))
        async with proxied({"s": wire}) as host:
            (block,) = (await host.call_tool("res", {})).content
            assert block.resource.text == "pay $${this_1}"  # type: ignore[union-attr]
            await host.call_tool("res", {"seconds": 5})
            told, block = (await host.call_tool("await_future", {})).content
            assert "pay $${this_1}" in told.text  # type: ignore[union-attr]
            assert block.resource.text == "pay $${this_1}"  # type: ignore[union-attr]

    run_virtual(main)


def test_a_server_that_hangs_costs_a_listing_some_seconds_and_nothing_else() -> None:
    async def main() -> None:
        async def hang(_context: Any, _params: Any) -> Any:
            await asyncio.sleep(1e6)

        async def resources(_context: Any, _params: Any) -> ListResourcesResult:
            return ListResourcesResult(resources=[Resource(name="r", uri="r://1")])

        async def templates(_context: Any, _params: Any) -> ListResourceTemplatesResult:
            return ListResourceTemplatesResult(resource_templates=[])

        async def prompts(_context: Any, _params: Any) -> ListPromptsResult:
            return ListPromptsResult(prompts=[Prompt(name="p")])

        async def read(_context: Any, params: Any) -> ReadResourceResult:
            return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, text="x")])

        def good() -> Server[Any]:
            return Server(
                "good",
                on_list_resources=resources,
                on_list_resource_templates=templates,
                on_list_prompts=prompts,
                on_read_resource=read,
            )

        def bad() -> Server[Any]:
            server = Server[Any](
                "bad",
                on_list_resources=hang,
                on_list_resource_templates=hang,
                on_list_prompts=hang,
                on_read_resource=hang,
            )
            server.add_request_handler("logging/setLevel", SetLevelRequestParams, hang)
            return server

        servers = {"bad": Wire(bad), "worse": Wire(bad), "good": Wire(good)}
        async with proxied(servers) as host:
            clock = asyncio.get_running_loop().time
            assert [one.uri for one in (await host.list_resources()).resources] == ["r://1"]
            assert clock() == LISTING
            assert [one.name for one in (await host.list_prompts()).prompts] == ["p"]
            assert clock() == 2 * LISTING
            assert (await host.read_resource("r://1")).contents
            assert clock() == 2 * LISTING
            request = SetLevelRequest(params=SetLevelRequestParams(level="debug"))
            await host.session.send_request(request, EmptyResult)
            assert clock() == 3 * LISTING

    run_virtual(main)


def test_a_server_that_starts_again_is_asked_for_what_it_had_been_asked_for() -> None:
    asked: list[str] = []

    async def main() -> None:
        async def resources(_context: Any, _params: Any) -> ListResourcesResult:
            return ListResourcesResult(resources=[Resource(name=n, uri=f"r://{n}") for n in "12"])

        async def note(_context: Any, params: Any) -> EmptyResult:
            asked.append(getattr(params, "uri", None) or params.level)
            return EmptyResult()

        def server() -> Server[Any]:
            server = Server[Any](
                "s",
                on_list_resources=resources,
                on_subscribe_resource=note,
                on_unsubscribe_resource=note,
            )
            server.add_request_handler("logging/setLevel", SetLevelRequestParams, note)
            return server

        wire = Wire(server)
        async with proxied({"s": wire}) as host:
            for number in "12":
                to = SubscribeRequest(params=SubscribeRequestParams(uri=f"r://{number}"))
                await host.session.send_request(to, EmptyResult)
            not_to = UnsubscribeRequest(params=UnsubscribeRequestParams(uri="r://2"))
            await host.session.send_request(not_to, EmptyResult)
            level = SetLevelRequest(params=SetLevelRequestParams(level="debug"))
            await host.session.send_request(level, EmptyResult)
            asked.clear()
            wire.crash()
            await asyncio.sleep(60)
            assert wire.opened == 2

    run_virtual(main)
    assert sorted(asked) == ["debug", "r://1"]


def test_the_uris_of_many_resources_are_told_apart_in_no_time() -> None:
    keys = [(server, f"file:///{n}") for server in "ab" for n in range(50_000)] + [("a", "file:///a")]
    start = time.process_time()
    uris = _unique_uris(keys)
    assert time.process_time() - start < 5
    assert (uris["b", "file:///7"], uris["a", "file:///a"]) == ("b+file:///7", "file:///a")
