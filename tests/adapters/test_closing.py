"""Two conversations side by side, and the end of a conversation."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from asyncfc import Runtime
from asyncfc.errors import SessionClosed
from asyncfc.testing.models import Emit, ModelServer, play
from tests.adapters import loops
from tests.adapters.loops import GO, Gate, fetch, request_of

CALL = play(Emit(calls=[("slow", {"text": "a"})]), Emit("Done."))


def session_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "asyncfc-loop"}


@pytest.mark.parametrize("api", ["chat", "messages"])
def test_closing_the_client_closes_the_session_and_its_thread(api: str) -> None:
    before = session_threads()
    gate = Gate()
    with ModelServer(CALL) as server:
        made = loops.wrap(loops.new_client(server, api), {"slow": gate.tool()}, grace=0)
        loops.ask(made.client, api, **request_of(api, GO, [gate.tool()]))
        assert gate.began.wait(5)
        threading.Timer(0.02, gate.opened.set).start()
        made.client.close()
        made.client.close()
        assert made.client.is_closed()
        with pytest.raises(SessionClosed, match="is closed"):
            made.tools["slow"]("b")
    assert session_threads() <= before
    assert gate.calls == ["a"]


def test_a_stream_may_be_closed_after_its_client() -> None:
    with ModelServer(play(Emit("one two three"))) as server:
        made = loops.wrap(loops.new_client(server, "chat"), [fetch])
        stream = made.client.chat.completions.create(model="m", messages=GO, stream=True)
        next(iter(stream))
        made.client.close()
        stream.close()


def test_an_asynchronous_client_closes_its_session() -> None:
    async def main() -> None:
        with ModelServer(CALL) as server:

            async def slow(text: str) -> str:
                await asyncio.get_running_loop().create_future()
                return text

            client = loops.new_client(server, "messages", asynchronous=True)
            made = loops.wrap(client, {"slow": slow}, grace=0)
            async with made.client:
                await loops.ask_async(made.client, "messages", **request_of("messages", GO, []))
                (future,) = made.session.owed
            assert future.settled
            assert "closed" in await made.tools["slow"]("a")
            with pytest.raises(SessionClosed, match="is closed"):
                await made.tools["slow"]("a")

    asyncio.run(main())


def test_a_conversation_that_nobody_closes_is_collected_with_its_client() -> None:
    """With warnings as errors, as in all tests here: nothing complains of what was left open."""
    message = {"role": "assistant", "content": "Done."}
    reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]

    async def main() -> weakref.ref[Any]:
        transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=reply))
        client = AsyncOpenAI(api_key="k", http_client=httpx2.AsyncClient(transport=transport))
        made = loops.wrap(client, [fetch])
        said = await loops.ask_async(made.client, "chat", **request_of("chat", GO, [fetch]))
        assert said.text == "Done."
        return weakref.ref(made.session)

    session = asyncio.run(main())
    gc.collect()
    assert session() is None


PROGRAM = """
import threading
from openai import OpenAI
from asyncfc.adapters.openai import wrap
from asyncfc.testing.models import Emit, ModelServer, play

began = threading.Event()

def slow() -> str:
    "Never ends."
    began.set()
    threading.Event().wait()

server = ModelServer(play(Emit(calls=[("slow", {{}})])))
server._thread.daemon = True
with server:
    client, tools = wrap(OpenAI(base_url=server.url + "/v1", api_key="k"), {{"slow": slow}}, grace=0)
    client.chat.completions.create(model="m", messages=[{{"role": "user", "content": "go"}}])
    began.wait()
    print(tools["slow"]()[:1], flush=True)
{end}
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "raise SystemExit(3)"])
def test_the_interpreter_ends_although_a_tool_never_does(end: str) -> None:
    program = PROGRAM.format(end=end)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "$\n"
    assert done.stderr == ""
    assert done.returncode == (3 if end else 0)


def test_two_conversations_of_one_runtime_keep_the_order_of_what_they_share() -> None:
    """The second one's write waits for the first one's, since both write the same label."""
    gate, after = Gate(), Gate()
    after.opened.set()
    runtime = Runtime()
    script = play(Emit(calls=[("slow", {"text": "a"})]), Emit("Done."))
    with ModelServer(script) as server:

        async def main() -> None:
            one = loops.wrap(
                loops.new_client(server, "chat", asynchronous=True),
                {"slow": gate.tool(writes=["x"])},
                grace=0,
                runtime=runtime,
            )
            two = loops.wrap(
                loops.new_client(server, "chat", asynchronous=True),
                {"slow": after.tool(writes=["x"])},
                grace=0,
                runtime=runtime,
            )
            async with one.client, two.client:
                for made in (one, two):
                    await loops.ask_async(made.client, "chat", **request_of("chat", GO, []))
                await asyncio.to_thread(gate.began.wait, 5)
                assert after.calls == []
                gate.opened.set()
                await two.session.finish()
                assert after.calls == ["a"]
            runtime.close()

        asyncio.run(main())


def test_two_clients_have_two_conversations() -> None:
    gate = Gate()
    tools = {"slow": gate.tool()}
    with (
        loops.wrapped(CALL, "chat", tools, grace=0) as (_, one),
        loops.wrapped(CALL, "messages", tools, grace=0) as (_, two),
    ):
        loops.ask(one.client, "chat", **request_of("chat", GO, [gate.tool()]))
        loops.ask(two.client, "messages", **request_of("messages", GO, [gate.tool()]))
        first, second = one.tools["slow"]("a"), two.tools["slow"]("a")
        gate.opened.set()
    assert first != second
