"""The proxy when servers end, hang, or talk nonsense, and when hosts go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
from mcp import MCPError
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from asyncfc.testing.loop import run_virtual
from tests.adapters.mcp.memory import Wire, bench, handle, proxied, text
from tests.adapters.mcp.shelf import WRITES, Shelf

TRUSTED = {"shelf": {"trust": True}}


def test_when_a_server_ends_its_calls_fail_by_name_and_it_is_started_again() -> None:
    async def main() -> None:
        shelf = Shelf()
        wire = Wire(shelf.server)
        async with proxied({"shelf": wire}, TRUSTED, grace=0) as host:
            await host.call_tool("put", {"key": "a", "text": "1", "seconds": 60})
            await asyncio.sleep(1)
            wire.crash()
            told = text(await host.call_tool("await_future", {}))
            assert (
                "Error: ServerLost: the connection to server 'shelf' ended while its tool 'put' ran" in told
            )
            await host.call_tool("put", {"key": "a", "text": "2"})
            assert text(await host.call_tool("await_future", {})).endswith("kept 1")
        assert (wire.opened, shelf.texts) == (2, {"a": "2"})

    run_virtual(main)


def test_a_read_is_made_again_when_its_server_ends_under_it_and_a_write_is_not() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.texts["a"] = "1"
        wire = Wire(shelf.server)
        async with proxied({"shelf": wire}, TRUSTED, grace=0) as host:
            await host.call_tool("get", {"key": "a", "seconds": 10})
            await asyncio.sleep(1)
            wire.crash()
            assert text(await host.call_tool("await_future", {})).endswith("has ended:\n1")
        assert shelf.log == ["get a", "get a cancelled", "get a"]

    run_virtual(main)


def test_a_server_that_stays_away_is_tried_again_ever_more_rarely_and_its_calls_say_so() -> None:
    async def main() -> None:
        wire = Wire(Shelf().server)
        settings = {"shelf": {"trust": True, "start_timeout": 5}}
        async with proxied({"shelf": wire}, settings, grace=0) as host:
            wire.away = True
            wire.crash()
            await asyncio.sleep(0.1)
            await host.call_tool("put", {"key": "a", "text": "1"})
            told = text(await host.call_tool("await_future", {}))
            assert "server 'shelf' is not running: FileNotFoundError: no such command" in told
            await asyncio.sleep(600)
            wire.away = False
            await asyncio.sleep(31)
            assert text(await host.call_tool("put", {"key": "a", "text": "12"})).startswith("$")
            assert text(await host.call_tool("await_future", {})).endswith("kept 2")

    run_virtual(main)


def test_a_server_that_never_starts_leaves_the_others_alone_and_comes_later() -> None:
    async def main() -> None:
        late = Wire(Shelf().server)
        late.away = True
        settings = {"late": {"start_timeout": 3}}
        async with proxied({"late": late, "shelf": Wire(Shelf().server)}, settings) as host:
            assert "get" in [tool.name for tool in (await host.list_tools()).tools]
            late.away = False
            await asyncio.sleep(60)
            names = [tool.name for tool in (await host.list_tools(cache_mode="refresh")).tools]
            assert {"late__get", "shelf__get"} <= set(names)
            await host.call_tool("late__put", {"key": "a", "text": "1"})
            assert text(await host.call_tool("late__get", {"key": "a"})) == "1"

    run_virtual(main)


def hanging() -> MCPServer:
    """A server whose tool, once called, keeps the whole server from doing anything else."""
    server = MCPServer("hanging")

    @server.tool(annotations=WRITES)
    async def freeze() -> str:
        """Never ends, whatever is asked."""
        while True:
            try:
                await asyncio.sleep(1e9)
            except asyncio.CancelledError:
                if server.thawed:  # type: ignore[attr-defined]
                    raise

    @server.tool(annotations=WRITES)
    async def touch() -> str:
        """Would be quick."""
        return "touched"

    return server


class Frozen(Wire):
    """After the first call of `freeze` nothing comes back any more."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        async with super().__call__() as (read, write):
            yield read, _Deaf(write, self)

    deaf = False


class _Deaf:
    def __init__(self, stream: Any, wire: Frozen) -> None:
        self._stream = stream
        self._wire = wire

    async def send(self, item: SessionMessage) -> None:
        self._wire.deaf = self._wire.deaf or b"freeze" in item.message.model_dump_json().encode()
        if not self._wire.deaf:
            await self._stream.send(item)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.aclose()


def test_a_call_of_a_server_that_hangs_times_out_and_what_it_claims_is_quarantined_until_it_ends() -> None:
    async def main() -> None:
        wire = Frozen(hanging)
        settings = {"hanging": {"trust": True, "timeout": 10}}
        async with proxied({"hanging": wire, "shelf": Wire(Shelf().server)}, settings, grace=0) as host:
            await host.call_tool("freeze", {})
            told = text(await host.call_tool("await_future", {}))
            assert "Error: ToolTimeout: freeze (m1) did not end within its timeout of 10 s" in told
            await asyncio.sleep(20)
            told = text(await host.call_tool("touch", {}))
            assert "freeze (m1) was given up but still works on 'mcp.hanging'" in told
            wire.deaf = False
            wire.crash()
            await asyncio.sleep(1)
            await host.call_tool("touch", {})
            assert text(await host.call_tool("await_future", {})).endswith("touched")

    run_virtual(main)


def test_a_write_that_is_cancelled_ends_when_its_server_has_read_the_cancellation() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with proxied({"shelf": Wire(shelf.server)}, TRUSTED, grace=0) as host:
            slow = handle(await host.call_tool("put", {"key": "a", "text": "1", "seconds": 60}))
            await asyncio.sleep(1)
            assert "was asked to stop" in text(await host.call_tool("cancel_future", {"handle": slow}))
            assert "was cancelled" in text(await host.call_tool("await_future", {}))
            await host.call_tool("put", {"key": "a", "text": "12"})
            assert text(await host.call_tool("await_future", {})).endswith("kept 2")
            assert asyncio.get_running_loop().time() == 1.0
        assert shelf.log == ["put a", "put a cancelled", "put a"]

    run_virtual(main)


def test_a_request_that_the_host_gives_up_is_cancelled_at_its_server() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with proxied({"shelf": Wire(shelf.server)}, TRUSTED, grace=10) as host:
            with pytest.raises(MCPError, match="timed out"):
                await host.call_tool("put", {"key": "a", "text": "1", "seconds": 60}, read_timeout_seconds=2)
            await asyncio.sleep(1)
            assert shelf.log == ["put a", "put a cancelled"]
            assert "was cancelled" in text(await host.call_tool("stats", {}))

    run_virtual(main)


def test_the_calls_of_a_host_that_goes_are_finished() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with bench({"shelf": Wire(shelf.server)}, TRUSTED, grace=0) as made, made.host() as host:
            slow = handle(await host.call_tool("put", {"key": "a", "text": "1", "seconds": 5}))
            await host.call_tool("put", {"key": "b", "text": slow})
        assert shelf.texts == {"a": "1", "b": "kept 1"}
        assert shelf.running == 0

    run_virtual(main)


def test_what_does_not_end_in_time_after_a_host_has_gone_is_cancelled() -> None:
    async def main() -> None:
        shelf = Shelf()
        wire = Wire(shelf.server)
        async with bench({"shelf": wire}, TRUSTED, grace=0, drain=3) as made, made.host() as host:
            await host.call_tool("put", {"key": "a", "text": "1", "seconds": 1e6})
        assert asyncio.get_running_loop().time() < 30
        assert (shelf.texts, shelf.running) == ({}, 0)

    run_virtual(main)


def test_a_host_that_goes_while_a_call_is_held_does_not_lose_the_write() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with bench({"shelf": Wire(shelf.server)}, TRUSTED, grace=20) as made, made.host() as host:
            asking = asyncio.create_task(host.call_tool("put", {"key": "a", "text": "1", "seconds": 5}))
            await asyncio.sleep(1)
        with pytest.raises(MCPError, match="Connection closed"):
            await asking
        assert shelf.texts == {"a": "1"}

    run_virtual(main)


class Garbling(Wire):
    """Garbles the answers that hold a certain text."""

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Any]:
        async with super().__call__() as (read, write):
            yield _Garbled(read), write


class _Garbled:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def receive(self) -> Any:
        item = await self._stream.receive()
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        if "kept 3" in line:
            line = line[:-5]
        elif "kept 4" in line:
            line = line.replace('"result"', '"resultat"')
        elif "kept 5" in line:
            line = line.replace('"content"', '"inhalt"')
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValidationError as error:
            return error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize(
    ("length", "says"),
    [
        (3, "server 'shelf' sent a malformed answer"),
        (4, "server 'shelf' sent a malformed answer"),
        (5, "server 'shelf' answered the call of 'put' with what is no result"),
    ],
)
def test_a_malformed_answer_fails_its_call_and_no_other(length: int, says: str) -> None:
    async def main() -> None:
        async with proxied({"shelf": Garbling(Shelf().server)}, TRUSTED) as host:
            wrong = await host.call_tool("put", {"key": "a", "text": "x" * length})
            assert wrong.is_error
            assert says in text(wrong)
            assert text(await host.call_tool("put", {"key": "a", "text": "x"})) == "kept 1"

    run_virtual(main)


@pytest.mark.slow
def test_a_thousand_calls_are_in_flight_at_a_time() -> None:
    async def main() -> None:
        shelf = Shelf()
        shelf.texts.update({str(n): "x" * n for n in range(1000)})
        async with proxied({"shelf": Wire(shelf.server)}, TRUSTED, grace=0, limits={"*": 2000}) as host:
            answers = await asyncio.gather(
                *(host.call_tool("get", {"key": str(n), "seconds": 9}) for n in range(1000))
            )
            handles = [handle(answer) for answer in answers]
            assert [int(one.split("_")[1]) for one in handles] == list(range(1, 1001))
            await asyncio.sleep(1)
            assert shelf.running == 1000
            last = await host.call_tool("await_future", {"handles": handles[-1:]})
            assert "x" * 999 in text(last)

    run_virtual(main)
