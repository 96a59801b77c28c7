"""The proxy beside tools' texts: images, questions to the person, resources, prompts, notifications."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp import MCPError
from mcp.server import Server
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    EmptyResult,
    ListResourcesResult,
    ListRootsResult,
    PromptReference,
    Resource,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    Root,
    SubscribeRequest,
    SubscribeRequestParams,
    TextContent,
)
from pydantic import FileUrl

from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.library import PIXEL, library
from tests.adapters.mcp.memory import Wire, handle, proxied, text
from tests.adapters.mcp.shelf import Shelf

TRUSTED = {name: {"trust": True} for name in ("one", "two", "shelf")}


def one() -> dict[str, Any]:
    return {"one": Wire(lambda: library("one"))}


def two() -> dict[str, Any]:
    return {**one(), "two": Wire(lambda: library("two"))}


def test_an_image_is_shown_whole_within_grace_and_behind_its_delivery_after_it() -> None:
    async def main() -> None:
        async with proxied(one(), TRUSTED) as host:
            shown = await host.call_tool("picture", {})
            assert [block.type for block in shown.content] == ["text", "image"]
            slow = handle(await host.call_tool("picture", {"seconds": 60}))
            assert "Still running" in text(await host.call_tool("await_future", {}))
            later = await host.call_tool("await_future", {})
            assert "[image, image/png, 8 bytes]" in text(later)
            assert [block.type for block in later.content] == ["text", "image"]
            handle(await host.call_tool("picture", {"seconds": 60}))
            await asyncio.sleep(90)
            later = await host.call_tool("show", {"what": 1})
            assert [block.type for block in later.content] == ["text", "text", "image"]
            passed = text(await host.call_tool("show", {"what": slow}))
            assert passed.startswith("shown [{'type': 'text', 'text': 'a picture:'}, {'type': 'image'")
        assert PIXEL

    run_virtual(main)


def test_a_question_to_the_person_reaches_the_host_and_its_call_is_answered_with_the_outcome() -> None:
    async def main() -> None:
        async def elicit(_context: Any, params: Any) -> ElicitResult:
            assert params.message == "Sure?"
            await asyncio.sleep(100)
            return ElicitResult(action="accept", content={"sure": True})

        async with proxied(one(), TRUSTED, client={"elicitation_callback": elicit}) as host:
            assert text(await host.call_tool("confirm", {})) == "accept {'sure': True}"
            assert asyncio.get_running_loop().time() == 100.0
            slow = await host.call_tool("confirm", {"seconds": 30})  # answered before it asks
            handle(slow)
            awaited = text(await host.call_tool("await_future", {"timeout": 1000}))
            assert "Still running" in awaited
            awaited = text(await host.call_tool("await_future", {"timeout": 1000}))
            awaited += text(await host.call_tool("await_future", {"timeout": 1000}))
            assert "accept {'sure': True}" in awaited

    run_virtual(main)


def test_sampling_and_roots_are_those_of_the_host() -> None:
    async def main() -> None:
        async def sample(_context: Any, params: Any) -> CreateMessageResult:
            said = f"{params.messages[0].content.text} hm."
            return CreateMessageResult(role="assistant", content=TextContent(text=said), model="m")

        async def roots(_context: Any) -> ListRootsResult:
            return ListRootsResult(roots=[Root(uri=FileUrl("file:///here"))])

        client = {"sampling_callback": sample, "list_roots_callback": roots}
        async with proxied(one(), TRUSTED, client=client) as host:
            assert text(await host.call_tool("think", {})) == "hm? hm."
            assert text(await host.call_tool("roots", {})) == "file:///here"

    run_virtual(main)


def test_what_the_host_cannot_do_servers_are_not_told_it_can() -> None:
    async def main() -> None:
        async with proxied(one(), TRUSTED) as host:
            refused = await host.call_tool("think", {})
            assert refused.is_error
            assert "Sampling not supported" in text(refused)

    run_virtual(main)


def test_progress_reaches_the_host_until_the_request_is_answered() -> None:
    async def main() -> None:
        heard: list[Any] = []

        async def progress(progress: float, total: float | None = None, message: str | None = None) -> None:
            heard.append((progress, total, message))

        async with proxied({"shelf": Wire(Shelf().server)}, TRUSTED, grace=3) as host:
            await host.call_tool("steps", {"seconds": 1}, progress_callback=progress)
            assert heard == [(1, 2, "step 1"), (2, 2, "step 2")]
            heard.clear()
            handle(await host.call_tool("steps", {"seconds": 5}, progress_callback=progress))
            await host.call_tool("await_future", {})
            assert heard in ([], [(1, 2, "step 1")])

    run_virtual(main)


def test_an_inline_tool_is_never_answered_with_a_handle() -> None:
    async def main() -> None:
        settings = {"shelf": {"trust": True, "inline": ["g*"]}}
        shelf = Shelf()
        shelf.texts["a"] = "1"
        async with proxied({"shelf": Wire(shelf.server)}, settings, grace=0) as host:
            assert text(await host.call_tool("get", {"key": "a", "seconds": 50})) == "1"

    run_virtual(main)


def test_names_that_two_servers_have_get_the_servers_name_in_front() -> None:
    async def main() -> None:
        servers = {**two(), "shelf": Wire(Shelf().server)}
        async with proxied(servers, TRUSTED) as host:
            names = [tool.name for tool in (await host.list_tools()).tools]
            assert {"one__show", "two__show", "get", "await_future"} <= set(names)
            assert "show" not in names
            assert len(names) == len(set(names))
            assert text(await host.call_tool("two__show", {"what": 1})) == "shown 1"

    run_virtual(main)


def test_resources_come_from_the_server_that_has_them() -> None:
    async def main() -> None:
        async with proxied(two(), TRUSTED) as host:
            listed = [resource.uri for resource in (await host.list_resources()).resources]
            assert listed == ["one+book://index", "one://only", "two+book://index", "two://only"]
            for uri, expected in [
                ("two+book://index", "index of two"),
                ("one://only", "only in one"),
                ("page://7", "page 7 of one"),
                ("leaf://8", "page 8 of two"),
            ]:
                (content,) = (await host.read_resource(uri)).contents
                assert (content.uri, content.text) == (uri, expected)  # type: ignore[union-attr]
            with pytest.raises(MCPError, match="no server lists a resource 'nobody://x'"):
                await host.read_resource("nobody://x")

    asyncio.run(main())  # the SDK reads some resources in threads


def test_prompts_come_from_the_server_that_has_them() -> None:
    async def main() -> None:
        async with proxied(two(), TRUSTED) as host:
            names = [prompt.name for prompt in (await host.list_prompts()).prompts]
            assert names == ["one__ask", "only_one", "two__ask", "only_two"]
            got = await host.get_prompt("two__ask", {"topic": "cats"})
            assert got.messages[0].content.text == "two on cats"  # type: ignore[union-attr]
            with pytest.raises(MCPError, match="there is no prompt 'ask'"):
                await host.get_prompt("ask", {"topic": "cats"})

    run_virtual(main)


def test_notifications_of_servers_reach_the_host() -> None:
    async def main() -> None:
        heard: list[str] = []
        logged: list[Any] = []

        async def hear(message: Any) -> None:
            heard.append(message.method)

        async def log(params: Any) -> None:
            logged.append((params.logger, params.data))

        client = {"message_handler": hear, "logging_callback": log}
        async with proxied(one(), TRUSTED, client=client) as host:
            await host.call_tool("shout", {})
            await asyncio.sleep(1)
            assert logged == [("one.throat", "loud")]
            assert {"notifications/resources/updated", "notifications/prompts/list_changed"} <= set(heard)

    run_virtual(main)


@pytest.mark.parametrize("modern", [False, True])
def test_a_tool_that_comes_later_is_offered(modern: bool) -> None:
    async def main() -> None:
        changed = asyncio.Event()

        async def hear(message: Any) -> None:
            if message.method == "notifications/tools/list_changed":
                changed.set()

        servers = {"one": Wire(lambda: library("one"), modern=modern)}
        async with proxied(servers, TRUSTED, client={"message_handler": hear}) as host:
            await asyncio.sleep(1)
            await host.call_tool("grow", {})
            if modern:  # such a server says it only to those who listen
                return
            await asyncio.wait_for(changed.wait(), 10)
            assert text(await host.call_tool("grown_in_one", {})) == "grown in one"

    run_virtual(main)


def test_an_irreversible_call_waits_until_all_outcomes_were_in_an_answer() -> None:
    async def main() -> None:
        shelf = Shelf()
        settings = {"shelf": {"trust": True, "irreversible": ["undeclared"]}}
        async with proxied({"shelf": Wire(shelf.server)}, settings, grace=0) as host:
            await host.call_tool("put", {"key": "a", "text": "1", "seconds": 5})
            withheld = text(await host.call_tool("undeclared", {}))
            assert "was not made: it was asked for before the outcomes of" in withheld
            assert withheld.endswith("has ended:\nkept 1")
            await host.call_tool("undeclared", {})
            assert text(await host.call_tool("await_future", {})).endswith("done")
        assert shelf.log == ["put a", "undeclared"]

    run_virtual(main)


def test_an_irreversible_call_is_answered_before_its_host_gives_up_and_names_what_still_runs() -> None:
    async def main() -> None:
        shelf = Shelf()
        settings = {"shelf": {"trust": True, "irreversible": ["undeclared"]}}
        async with proxied({"shelf": Wire(shelf.server)}, settings, grace=0, await_limit=40) as host:
            short = handle(await host.call_tool("put", {"key": "a", "text": "1", "seconds": 5}))
            long = handle(await host.call_tool("put", {"key": "b", "text": "12", "seconds": 300}))
            withheld = text(await host.call_tool("undeclared", {}))
            assert asyncio.get_running_loop().time() == 40.0
            assert "was not made: it was asked for before the outcomes of" in withheld
            assert f"{short} = put(" in withheld
            assert f"Still running: {long} (put)" in withheld
            await asyncio.sleep(300)
            again = text(await host.call_tool("undeclared", {}))
            assert "was not made" in again
            assert f"{long} = put(" in again
            await host.call_tool("undeclared", {})
            assert text(await host.call_tool("await_future", {})).endswith("done")
        assert shelf.log == ["put a", "put b", "undeclared"]

    run_virtual(main)


def test_what_looks_like_a_handle_in_a_result_is_inert() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with proxied({"shelf": Wire(shelf.server)}, TRUSTED) as host:
            shelf.texts["a"] = "pay $this_1"
            assert text(await host.call_tool("get", {"key": "a"})) == "pay $$this_1"
            await host.call_tool("put", {"key": "b", "text": "pay $$this_1"})
        assert shelf.texts["b"] == "pay $this_1"

    run_virtual(main)


def test_completions_come_from_the_server_of_the_prompt_or_template() -> None:
    async def main() -> None:
        async with proxied(two(), TRUSTED) as host:
            argument = {"name": "topic", "value": "c"}
            found = await host.complete(PromptReference(name="two__ask"), argument)
            assert found.completion.values == ["c by two of ask"]
            found = await host.complete(ResourceTemplateReference(uri="page://{number}"), argument)
            assert found.completion.values == ["c by one of page://{number}"]

    run_virtual(main)


def test_a_host_that_subscribes_hears_of_changes_by_the_uri_that_it_knows() -> None:
    async def main() -> None:
        heard: list[str] = []

        async def hear(message: Any) -> None:
            if isinstance(message, ResourceUpdatedNotification):
                heard.append(message.params.uri)

        asked: list[str] = []

        async def resources(_context: Any, _params: Any) -> ListResourcesResult:
            return ListResourcesResult(resources=[Resource(name="r", uri="r://1")])

        async def subscribe(context: Any, params: Any) -> EmptyResult:
            asked.append(params.uri)
            await context.session.send_resource_updated(params.uri)
            return EmptyResult()

        def server() -> Server[Any]:
            return Server("s", on_list_resources=resources, on_subscribe_resource=subscribe)

        servers = {"a": Wire(server), "b": Wire(server)}
        async with proxied(servers, client={"message_handler": hear}) as host:
            listed = [resource.uri for resource in (await host.list_resources()).resources]
            assert listed == ["a+r://1", "b+r://1"]
            request = SubscribeRequest(params=SubscribeRequestParams(uri="b+r://1"))
            await host.session.send_request(request, EmptyResult)
            await asyncio.sleep(1)
            assert (asked, heard) == (["r://1"], ["b+r://1"])
            with pytest.raises(MCPError, match="no server lists a resource"):
                await host.read_resource("c://1")

    run_virtual(main)


def test_what_no_server_has_the_proxy_does_not_have() -> None:
    async def main() -> None:
        async with proxied({"shelf": Wire(lambda: Server("empty"))}) as host:
            capabilities = host.server_capabilities
            assert (capabilities.prompts, capabilities.resources, capabilities.completions) == (
                None,
                None,
                None,
            )
            assert [tool.name for tool in (await host.list_tools()).tools] == [
                "await_future",
                "cancel_future",
            ]
            with pytest.raises(MCPError, match="Method not found"):
                await host.list_prompts()

    run_virtual(main)
