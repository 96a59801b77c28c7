"""One request of a loop: what is sent, what is seen, and what a failure leaves."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncfc.conversation.formats.chat import CHAT
from asyncfc.dialogue import Dialogue
from asyncfc.errors import TranscriptError
from asyncfc.exchange import Conversation, Exchange
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool

Json = dict[str, Any]
USER = {"role": "user", "content": "hi"}


class Stage:
    """A conversation over Chat Completions with the puppet `read` and the tool `echo`."""

    def __init__(self, **settings: Any) -> None:
        self.puppet = Puppet("read", pure=True)
        echo = Tool(self._echo, name="echo", effects="pure")
        self.session = Session([self.puppet.tool, echo], id="exchange", grace=settings.pop("grace", 0))
        self.conversation = Conversation(Dialogue(self.session, **settings), CHAT)
        self.items: list[Json] = [USER]

    async def _echo(self, text: str) -> str:
        return text

    def exchange(self) -> Exchange:
        """The next request of the loop."""
        tools = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
        return Exchange(self.conversation, {"model": "m", "messages": self.items, "tools": tools})

    async def says(self, exchange: Exchange, reply: Json) -> Json | None:
        """The model replies; the loop appends what it gets."""
        answer = await exchange.replied(reply)
        if answer is not None:
            self.items.append(answer["choices"][0]["message"])
        return answer

    async def tells(self) -> list[str]:
        """The loop makes all calls, and appends what they are answered with."""
        assert self.conversation.incoming is not None
        self.conversation.incoming.take_all()
        replies = await self.conversation.answers()
        await settle_loop()
        for reply in replies:
            self.items.append({"role": "tool", "tool_call_id": reply.call.id, "content": reply.text})
        return [reply.text for reply in replies]

    async def starts(self) -> str:
        """A call of `read` that runs; return its handle."""
        exchange = self.exchange()
        await exchange.request()
        await self.says(exchange, asks(("read", {})))
        return (await self.tells())[0].split()[0]


def message(**said: Any) -> Json:
    reason = "tool_calls" if said.get("tool_calls") else "stop"
    return {"choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": reason}]}


def asks(*calls: tuple[str, Any], ids: str = "abc") -> Json:
    made = [
        {"id": call_id, "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
        for call_id, (tool, arguments) in zip(ids, calls, strict=False)
    ]
    return message(content=None, tool_calls=made)


def on_stage(scene: Callable[[Stage], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        stage = Stage(**settings)
        async with stage.session:
            await scene(stage)

    run_virtual(main)


def told(body: Json) -> str:
    """All that tools and people say in a request."""
    return "\n".join(str(item["content"]) for item in body["messages"] if item["role"] in ("tool", "user"))


def test_two_requests_at_the_same_time_are_refused() -> None:
    async def scene(stage: Stage) -> None:
        first = stage.exchange()
        with pytest.raises(TranscriptError, match="under way already"):
            stage.exchange()
        await first.request()
        first.failed(OSError("gone"))
        stage.exchange()

    on_stage(scene)


def test_what_a_failed_request_brought_comes_again_and_once() -> None:
    async def scene(stage: Stage) -> None:
        await stage.starts()
        stage.puppet.runs[0].succeed("the value")
        await settle_loop()
        for _ in range(2):
            exchange = stage.exchange()
            assert told(await exchange.request()).count("the value") == 1
            exchange.failed(ConnectionResetError())
        exchange = stage.exchange()
        await exchange.request()
        await stage.says(exchange, message(content="Thanks."))
        stage.items.append(USER)
        assert told(await stage.exchange().request()).count("the value") == 1

    on_stage(scene)


def test_a_provisional_message_is_not_given_to_the_loop_and_stands_before_what_it_lacked() -> None:
    async def scene(stage: Stage) -> None:
        await stage.starts()
        exchange = stage.exchange()
        await exchange.request()
        waiting = asyncio.ensure_future(stage.says(exchange, message(content="Done?")))
        await settle_loop()
        stage.puppet.runs[0].succeed("the value")
        assert await waiting is None
        body = await exchange.request()
        said = [item["content"] for item in body["messages"] if item["role"] == "assistant"]
        assert "Done?" in said
        assert "the value" in body["messages"][-1]["content"]
        assert await stage.says(exchange, message(content="Done!")) is not None
        stage.items.append(USER)
        assert (await stage.exchange().request())["messages"][: len(body["messages"])] == body["messages"]

    on_stage(scene)


def test_a_provisional_message_stands_although_the_request_behind_it_failed() -> None:
    async def scene(stage: Stage) -> None:
        await stage.starts()
        exchange = stage.exchange()
        await exchange.request()
        stage.puppet.runs[0].succeed("the value")
        assert await stage.says(exchange, message(content="Done?")) is None
        before = (await exchange.request())["messages"]
        exchange.failed(ConnectionResetError())
        assert (await stage.exchange().request())["messages"] == before

    on_stage(scene)


def test_the_loop_gets_the_final_text_without_handles() -> None:
    async def scene(stage: Stage) -> None:
        handle = await stage.starts()
        stage.puppet.runs[0].succeed({"id": 42})
        await settle_loop()
        exchange = stage.exchange()
        await exchange.request()
        answer = await stage.says(exchange, message(content=f"It is {handle}.id."))
        assert answer is not None
        assert answer["choices"][0]["message"]["content"] == "It is 42."

    on_stage(scene)


def test_texts_of_people_and_tools_are_inert_and_those_of_asyncfc_are_not() -> None:
    async def scene(stage: Stage) -> None:
        handle = await stage.starts()
        forged = handle.replace("_1", "_2")
        stage.items.append({"role": "user", "content": f"use {forged}"})
        body = await stage.exchange().request()
        assert f"use ${forged}" in told(body)
        assert f"\n{handle} is running" in told(body)
        assert stage.items[-1]["content"] == f"use {forged}", "the loop's own list stays as it is"
        stage.puppet.runs[0].succeed()

    on_stage(scene)


def test_an_answer_in_json_of_the_loop_is_still_that_of_asyncfc() -> None:
    async def scene(stage: Stage) -> None:
        handle = await stage.starts()
        stage.items[-1]["content"] = json.dumps({"result": stage.items[-1]["content"]})
        assert f"${handle}" not in told(await stage.exchange().request())
        stage.puppet.runs[0].succeed()

    on_stage(scene)


def test_with_repeated_ids_a_result_is_not_taken_for_a_text_of_asyncfc() -> None:
    async def scene(stage: Stage) -> None:
        handle = await stage.starts()
        stage.puppet.runs[0].succeed()
        await settle_loop()
        exchange = stage.exchange()
        await exchange.request()
        await stage.says(exchange, asks(("echo", {"text": f"${handle}"})))
        await stage.tells()
        stage.items[-1]["content"] = handle  # what the tool returned, as a loop renders it
        assert told(await stage.exchange().request()).endswith(f"${handle}")

    on_stage(scene, grace=5)


def test_calls_that_the_loop_does_not_make_are_warned_of_and_told() -> None:
    async def scene(stage: Stage) -> None:
        exchange = stage.exchange()
        await exchange.request()
        await stage.says(exchange, asks(("echo", {"text": "untold"})))
        await settle_loop()
        stage.items.append({"role": "tool", "tool_call_id": "a", "content": "Denied."})
        with pytest.warns(RuntimeWarning, match="did not ask for the results of \\['echo'\\]"):
            exchange = stage.exchange()
        assert "untold" in told(await exchange.request())

    on_stage(scene)


def test_a_call_that_the_token_limit_cut_is_answered_all_the_same() -> None:
    async def scene(stage: Stage) -> None:
        exchange = stage.exchange()
        await exchange.request()
        reply = asks(("read", {}), ("read", {}))
        reply["choices"][0]["finish_reason"] = "length"
        await stage.says(exchange, reply)
        assert await stage.tells() == [stage.session.wording.cut_off] * 2
        assert stage.puppet.runs == []

    on_stage(scene)


def test_a_stream_that_breaks_before_its_end_leaves_nothing_to_ask_for() -> None:
    async def scene(stage: Stage) -> None:
        exchange = stage.exchange()
        await exchange.request()
        exchange.begin()
        exchange.failed(ConnectionResetError())
        assert stage.conversation.incoming is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = stage.exchange()
        await again.request()
        assert await stage.says(again, message(content="Hello.")) is not None

    on_stage(scene)


def test_the_schemas_are_sent_as_they_were_once_they_are_refused() -> None:
    async def scene(stage: Stage) -> None:
        exchange = stage.exchange()
        await exchange.request()
        assert not exchange.refused("Rate limit reached")
        assert exchange.refused("Invalid schema for function 'read'")

    on_stage(scene)
