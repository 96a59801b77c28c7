"""Loops and frameworks that are cancelled, come back, ask in other orders, or ask from inside a tool."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncfc import run, tool
from asyncfc.adapters.callables import Callables
from asyncfc.attached import Attached, attached_tool
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.dialogue import Dialogue
from asyncfc.errors import TranscriptError
from asyncfc.exchange import Conversation, Exchange
from asyncfc.futures.call import Call
from asyncfc.incoming import Incoming
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Emit, play
from asyncfc.testing.puppets import Puppet, settle_loop
from tests.adapters import loops

Json = dict[str, Any]
ANYTHING: Json = {"type": "object", "properties": {}}


def asks(*tools: str, ids: str = "abc") -> Json:
    made = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for call_id, name in zip(ids, tools, strict=False)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


class Loop:
    """A hand-written loop over one tool, `read`, that a test drives."""

    def __init__(self, session: Session, **settings: Any) -> None:
        self.conversation = Conversation(Dialogue(session, **settings), CHAT)
        self.tools = Callables(lambda: self.conversation, session).by_name()
        self.items: list[Json] = [{"role": "user", "content": "hi"}]

    def exchange(self) -> Exchange:
        return Exchange(self.conversation, {"messages": self.items, "tools": []})

    async def hears(self, *tools: str) -> None:
        """The model answers the next request with these calls."""
        exchange = self.exchange()
        await exchange.request()
        answer = await exchange.replied(asks(*tools))
        assert answer is not None
        self.items.append(answer["choices"][0]["message"])

    async def waits_in_vain(self, *tools: str) -> None:
        """The loop calls these for a while, and then tells the model that they took too long."""
        waiting = [asyncio.wait_for(self.tools[name](), 1) for name in tools]
        for call_id, outcome in zip(
            "abc", await asyncio.gather(*waiting, return_exceptions=True), strict=False
        ):
            assert isinstance(outcome, TimeoutError)
            self.items.append({"role": "tool", "tool_call_id": call_id, "content": "timed out"})

    async def is_told(self) -> str:
        """What the next request, which fails, would tell the model."""
        exchange = self.exchange()
        body = await exchange.request()
        exchange.failed(ConnectionError())
        return json.dumps(body["messages"])


def with_read(scene: Callable[[Loop, Puppet], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        read = Puppet("read", pure=True)
        async with Session([read.tool], grace=settings.pop("grace", 0)) as session:
            await scene(Loop(session, **settings), read)

    run_virtual(main)


# --- a loop that stops waiting ---


@pytest.mark.parametrize(
    ("calls", "settings"),
    [
        (["read"], {"grace": 100}),
        (["read", "await_future"], {}),
        (["read"], {"inline": ["read"]}),
    ],
)
def test_what_a_loop_has_stopped_waiting_for_is_delivered_once(
    calls: list[str], settings: dict[str, Any]
) -> None:
    async def scene(loop: Loop, read: Puppet) -> None:
        await loop.hears(*calls)
        await loop.waits_in_vain(*calls)
        assert "VALUE" not in await loop.is_told()
        read.runs[0].succeed("VALUE")
        await asyncio.sleep(200)
        assert (await loop.is_told()).count("VALUE") == 1
        await loop.hears()
        assert not loop.conversation.session.owed

    with_read(scene, **settings)


@pytest.mark.parametrize("settings", [{"grace": 100}, {"inline": ["read"]}])
def test_a_call_that_a_loop_makes_again_after_it_stopped_waiting_runs_once(settings: dict[str, Any]) -> None:
    async def scene(loop: Loop, read: Puppet) -> None:
        await loop.hears("read")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.tools["read"](), 1)
        again = asyncio.ensure_future(loop.tools["read"]())
        await settle_loop()
        read.runs[0].succeed("VALUE")
        assert await again == "VALUE"
        assert len(read.runs) == 1
        assert "VALUE" not in await loop.is_told()

    with_read(scene, **settings)


def test_a_call_that_comes_after_another_request_is_refused_and_does_not_run_twice() -> None:
    async def scene(loop: Loop, read: Puppet) -> None:
        await loop.hears("read")
        loop.items.append({"role": "tool", "tool_call_id": "a", "content": "later"})
        with pytest.warns(RuntimeWarning, match="did not ask for the results of \\['read'\\]"):
            await loop.hears()
        with pytest.raises(TranscriptError, match="read was called after another request to the model"):
            await loop.tools["read"]()
        await settle_loop()
        assert len(read.runs) == 1
        read.runs[0].succeed("VALUE")
        await settle_loop()
        assert "VALUE" in await loop.is_told()

    with_read(scene, final="open")


# --- waiting and cancelling in one message ---


def test_a_wait_behind_a_cancel_is_for_what_the_cancel_leaves() -> None:
    async def main() -> None:
        read = Puppet("read", pure=True)
        async with Session([read.tool]) as session:
            (running,) = await session.submit([Call("a", "read", "{}")])
            await settle_loop()
            incoming = Incoming(session, session.message())
            cancel = json.dumps({"handle": running.future.handle})
            incoming.seal(ReplyCall(Call("b", "cancel_future", cancel)))
            incoming.seal(ReplyCall(Call("c", "await_future", "{}")))
            incoming.complete()
            cancelled, awaited = await asyncio.wait_for(incoming.answers(), 1)
            assert "was asked to stop" in cancelled.text
            assert "was cancelled" in awaited.text

    run_virtual(main)


# --- frameworks ---


def attached(
    story: Callable[[Attached], Coroutine[Any, Any, None]], *, together: bool = True, **settings: Any
) -> None:
    async def main() -> None:
        look = attached_tool("look", "Look.", ANYTHING, effects="pure")
        async with Session([look], **settings) as session:
            await story(Attached(Dialogue(session), together=together))

    run_virtual(main)


def asked(call_id: str, tool: str = "look") -> ReplyCall:
    return ReplyCall(Call(call_id, tool, "{}"))


async def slow(arguments: Json) -> str:
    await asyncio.sleep(5)
    return "VALUE"


def test_a_wait_that_a_framework_repeats_says_the_same_again() -> None:
    async def story(at: Attached) -> None:
        at.received([asked("a"), asked("w", "await_future")])
        _, first = await asyncio.gather(at.answer("a", slow), at.answer("w", slow))
        assert "VALUE" in first.text
        assert (await at.answer("w", slow)).text == first.text

    attached(story)


@pytest.mark.parametrize("exhausted", [False, True])
def test_the_outcome_of_a_hook_that_was_cancelled_is_delivered(*, exhausted: bool) -> None:
    async def story(at: Attached) -> None:
        at.dialogue.extra_messages = 100 if exhausted else 0
        at.received([asked("a")])
        hook = asyncio.ensure_future(at.answer("a", slow))
        await settle_loop()
        hook.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hook
        await asyncio.sleep(10)
        with at.sampling() as deliveries:
            assert [delivery.text.count("VALUE") for delivery in deliveries] == [1]
        with at.sampling() as deliveries:
            assert not deliveries

    attached(story, grace=100)


def test_a_wait_is_not_for_a_call_that_the_framework_has_not_come_to() -> None:
    async def story(at: Attached) -> None:
        at.received([asked("a"), asked("w", "await_future")])
        awaited = await asyncio.wait_for(at.answer("w", slow), 1)
        assert "Still running" in awaited.text
        assert "(look)" in awaited.text

    attached(story, together=False)


def test_what_a_hook_brought_is_let_go_of_when_its_call_has_run() -> None:
    class State:
        """What a framework's hook holds: all its messages, say."""

    async def story(at: Attached) -> None:
        state = State()
        held = weakref.ref(state)

        async def work(arguments: Json, state: State = state) -> str:
            return "done"

        at.received([asked("a")])
        await at.answer("a", work)
        await at.session.finish()
        del state, work
        gc.collect()
        assert held() is None

    attached(story)


# --- a session that is closed, a stream that is left ---


def test_a_reply_that_breaks_off_after_its_session_was_closed_leaves_nothing_under_way() -> None:
    async def scene(loop: Loop, read: Puppet) -> None:
        exchange = loop.exchange()
        await exchange.request()
        exchange.begin()
        await loop.conversation.session.close()
        exchange.failed(asyncio.CancelledError())
        assert loop.conversation.under_way is None

    with_read(scene)


def test_the_stream_of_a_model_is_closed_when_the_run_fails() -> None:
    closed: list[bool] = []

    async def model(messages: list[Json], tools: list[Json]) -> Any:
        try:
            for text in "ab":
                yield {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        finally:
            closed.append(True)

    def show(text: str) -> None:
        assert not closed
        raise ValueError(text)

    async def main() -> None:
        with contextlib.suppress(ValueError):
            await run(model, [{"role": "user", "content": "go"}], [], on_text=show)
        assert closed == [True]

    run_virtual(main)


# --- tools that use what was wrapped ---


def test_a_tool_may_ask_the_model_through_the_client_that_its_loop_uses() -> None:
    done: list[str] = []
    clients: list[Any] = []
    asked_it = threading.Event()

    @tool(pure=True)
    def summarise(text: str) -> str:
        inner = loops.request_of("chat", [{"role": "user", "content": text}], [])
        said = clients[0].chat.completions.create(**inner).choices[0].message.content
        asked_it.set()
        return str(said)

    @tool(writes=["x"])
    def put(text: str) -> str:
        done.append(text)
        return "put"

    def script(view: Any) -> Any:
        return Emit("In short.") if view.messages[-1].text == "long" else outer(view)

    outer = play(Emit(calls=[("summarise", {"text": "long"}), ("put", {"text": "b"})]), Emit("Done."))
    with loops.wrapped(script, "chat", [summarise, put], grace=60) as (_, made):
        clients.append(made.client)
        loops.ask(made.client, "chat", **loops.request_of("chat", loops.GO, [summarise, put]))
        assert asked_it.wait(10)
        ask_summary, ask_put, *_ = made.tools
        assert [ask_summary(text="long"), ask_put(text="b")] == ["In short.", "put"]
        assert done == ["b"]


def test_a_synchronous_tool_may_call_another_while_the_loop_is_asynchronous() -> None:
    functions: dict[str, Callable[..., Any]] = {}

    @tool
    def child() -> int:
        return 1

    @tool
    def parent() -> int:
        return int(functions["child"]()) + 1

    async def main() -> None:
        async with Session([child, parent]) as session:
            loop = Loop(session)
            functions.update(loop.tools)
            await loop.hears("parent")
            (reply,) = await loop.conversation.answers()
            assert reply.answer is not None
            await session.finish(10)
            assert reply.answer.future.result() == 2

    asyncio.run(main())


# --- texts that are not asyncfc's ---


def test_what_a_person_writes_is_inert_where_calls_have_no_ids() -> None:
    seen: list[list[Json]] = []

    @tool(pure=True)
    async def look() -> str:
        return "a"

    async def model(messages: list[Json], tools: list[Json]) -> Any:
        seen.append(messages)
        return asks("look", ids=[""]) if len(seen) == 1 else {"content": "Done."}  # type: ignore[arg-type]

    async def main() -> None:
        session = Session([look], id="inert")
        handle = session.grammar.mint(session.grammar.tag_for("inert"), 1)
        await run(model, [{"role": "user", "content": f"a {handle}"}], [look], id="inert", grace=60)
        assert [messages[-1 if n == 0 else 1]["content"] for n, messages in enumerate(seen)] == [
            f"a ${handle}"
        ] * 2

    run_virtual(main)
