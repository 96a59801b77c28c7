"""The client adapter: the tools of a server in a session of one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp import Client, ClientSession
from mcp.server.mcpserver import MCPServer
from mcp_types import ElicitResult
from mcp_types import Tool as McpTool

from asyncfc import Call, Session
from asyncfc.adapters.mcp import Blocks, Changes, ServerError, ServerLost, tools_of
from asyncfc.errors import BadReference, DeclarationError, ToolTimeout
from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.library import library
from tests.adapters.mcp.memory import Wire
from tests.adapters.mcp.shelf import Shelf


def call(number: int, tool: str, **arguments: Any) -> Call:
    return Call(f"c{number}", tool, arguments)


@pytest.mark.parametrize("modern", [False, True])
def test_calls_overlap_are_ordered_by_annotations_and_take_handles(modern: bool) -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.texts.update(a="1", b='{"c": [7]}')
        async with Client(Wire(shelf.server, modern=modern)()) as client:
            tools = await tools_of(client, server="shelf", trust=True)
            async with Session(tools) as session:
                one, two, three = await session.submit(
                    [
                        call(1, "get", key="a", seconds=5),
                        call(2, "get", key="b", seconds=5),
                        call(3, "put", key="d", text="${this_2.c[0]}"),
                    ]
                )
                assert await one.future == "1"
                assert await two.future == '{"c": [7]}'
                assert asyncio.get_running_loop().time() == 5.0
                assert await three.future == "kept 1"
        assert shelf.texts["d"] == "7"

    run_virtual(main)


def test_a_plain_client_session_does_as_well() -> None:
    async def main() -> None:
        async with Wire(Shelf().server)() as streams, ClientSession(*streams) as client:
            await client.initialize()
            tools = await tools_of(client, server="shelf")
            assert [tool.name for tool in tools] == ["get", "put", "undeclared", "stats", "steps"]
            assert not tools[0].spec.declared
            async with Session(tools) as session:
                (answer,) = await session.submit([call(1, "put", key="a", text="xyz")])
                assert await answer.future == "kept 3"

    run_virtual(main)


def test_structured_output_is_the_value_unless_it_only_wraps_the_text() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.texts["a"] = "1"
        async with Client(shelf.server()) as client:
            tools = {tool.name: tool for tool in await tools_of(client, server="shelf", trust=True)}
            async with Session(tools) as session:
                stats, steps = await session.submit([call(1, "stats"), call(2, "steps")])
                assert await stats.future == {"count": 1, "keys": ["a"]}
                assert await steps.future == 2
            assert tools["stats"].returns is not None or tools["steps"].returns is None

    run_virtual(main)


def test_an_image_is_an_artifact_that_other_calls_get_whole() -> None:
    async def main() -> None:
        async with Client(library("one")) as client:
            tools = await tools_of(client, server="one", trust=True)
            async with Session(tools) as session:
                picture, shown, part = await session.submit(
                    [
                        call(1, "picture"),
                        call(2, "show", what="$this_1"),
                        call(3, "show", what="$this_1.data"),
                    ]
                )
                value = await picture.future
                assert isinstance(value, Blocks)
                assert str(value) == "a picture:\n[image, image/png, 8 bytes]"
                assert "'mimeType': 'image/png'" in await shown.future
                with pytest.raises(BadReference, match="has no JSON form and no parts"):
                    await part.future

    run_virtual(main)


def test_what_a_server_reports_as_an_error_fails_the_call_with_its_words() -> None:
    async def main() -> None:
        async with Client(Shelf().server()) as client:
            tools = await tools_of(client, server="shelf", trust=True)
            async with Session(tools) as session:
                (wrong,) = await session.submit([call(1, "get", key="nobody")])
                with pytest.raises(ServerError, match="Error executing tool get"):
                    await wrong.future

    run_virtual(main)


def test_when_the_connection_ends_its_calls_fail_by_name() -> None:
    async def main() -> None:
        wire = Wire(Shelf().server)
        async with Client(wire()) as client:
            tools = await tools_of(client, server="shelf", trust=True)
            async with Session(tools) as session:
                (slow,) = await session.submit([call(1, "put", key="a", text="", seconds=50)])
                await asyncio.sleep(1)
                wire.crash()
                with pytest.raises(ServerLost, match="server 'shelf' ended while its tool 'put' ran"):
                    await slow.future

    run_virtual(main)


def test_cancelling_a_call_cancels_its_request() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with Client(Wire(shelf.server)()) as client:
            tools = await tools_of(client, server="shelf", trust=True)
            async with Session(tools) as session:
                (slow,) = await session.submit([call(1, "put", key="a", text="", seconds=50)])
                await asyncio.sleep(1)
                assert session.cancel(slow.future)
                await session.finish()
        assert shelf.log == ["put a", "put a cancelled"]
        assert asyncio.get_running_loop().time() == 1.0

    run_virtual(main)


def test_progress_and_questions_reach_the_program() -> None:
    async def main() -> None:
        heard: list[Any] = []

        async def progress(*report: Any) -> None:
            heard.append(report)

        async def elicit(context: Any, params: Any) -> ElicitResult:
            return ElicitResult(action="decline")

        async with Client(Wire(Shelf().server)()) as client:
            tools = await tools_of(client, server="shelf", trust=True, progress=progress)
            async with Session(tools) as session:
                (answer,) = await session.submit([call(1, "steps")])
                await answer.future
                await asyncio.sleep(1)
        assert heard == [("steps", 1, 2, "step 1"), ("steps", 2, 2, "step 2")]
        async with Client(Wire(lambda: library("one"))(), elicitation_callback=elicit) as client:
            tools = await tools_of(client, server="one", trust=True)
            async with Session(tools) as session:
                (answer,) = await session.submit([call(1, "confirm")])
                assert await answer.future == "decline None"

    run_virtual(main)


def test_tools_that_come_later_are_offered() -> None:
    async def main() -> None:
        changes = Changes()
        settings: dict[str, Any] = {"server": "one", "trust": True}
        async with Client(Wire(lambda: library("one"))(), message_handler=changes) as client:
            tools = await tools_of(client, **settings)
            async with Session(tools) as session, changes.follow(session, client, **settings):
                (grow,) = await session.submit([call(1, "grow")])
                await grow.future
                await asyncio.sleep(1)
                (grown,) = await session.submit([call(2, "grown_in_one")])
                assert await grown.future == "grown in one"

    run_virtual(main)


def test_a_listing_of_several_pages_is_read_to_its_end() -> None:
    async def main() -> None:
        from mcp.server import Server
        from mcp_types import ListToolsResult

        async def listed(_context: Any, params: Any) -> ListToolsResult:
            page = int(params.cursor or 0) if params else 0
            more = str(page + 1) if page < 2 else None
            return ListToolsResult(
                tools=[McpTool(name=f"t{page}", input_schema={"type": "object"})], next_cursor=more
            )

        async with Client(Server("pages", on_list_tools=listed)) as client:
            tools = await tools_of(client, server="pages")
            assert [tool.name for tool in tools] == ["t0", "t1", "t2"]

    run_virtual(main)


def test_a_wrong_label_names_the_tool() -> None:
    async def main() -> None:
        async with Client(Shelf().server()) as client:
            with pytest.raises(DeclarationError, match=r"tool 'get': field 'reads': .*'pth'"):
                await tools_of(client, server="shelf", effects={"get": {"reads": "fs:{pth}"}})

    run_virtual(main)


def test_a_timeout_of_the_server_holds_where_effects_say_none() -> None:
    async def main() -> None:
        server = MCPServer("slow")

        @server.tool()
        async def sleep(seconds: float) -> str:
            await asyncio.sleep(seconds)
            return "done"

        async with Client(server) as client:
            tools = await tools_of(client, server="slow", timeout=3)
            async with Session(tools) as session:
                (answer,) = await session.submit([call(1, "sleep", seconds=9)])
                with pytest.raises(ToolTimeout, match="did not end within its timeout of 3 s"):
                    await answer.future
                await session.finish()

    run_virtual(main)
