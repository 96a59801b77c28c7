"""Attached: a framework runs the loop, and its hooks come in whatever order they like."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from asyncfc.attached import Attached, attached_tool
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.dialogue import Dialogue
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call
from asyncfc.futures.outcome import Cancelled, Value
from asyncfc.futures.rendered import Rendered
from asyncfc.incoming import CallReply
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import settle_loop

ANYTHING = {"type": "object", "properties": {"x": {}}}


def asked(call_id: str, tool: str = "look", arguments: str = "{}") -> ReplyCall:
    return ReplyCall(Call(call_id, tool, arguments))


def play(story: Callable[[Attached], Awaitable[None]], *, together: bool = True, **settings: Any) -> None:
    async def main() -> None:
        tools = [
            attached_tool("look", "Look.", ANYTHING, effects="pure"),
            attached_tool("put", "Put.", ANYTHING),
        ]
        async with Session(tools, **settings) as session:
            await story(Attached(Dialogue(session), together=together))

    run_virtual(main)


def works(value: Any, seconds: float = 0.0, log: list[Any] | None = None) -> Callable[[Any], Awaitable[Any]]:
    async def work(arguments: dict[str, Any]) -> Any:
        if log is not None:
            log.append(arguments)
        await asyncio.sleep(seconds)
        return value

    return work


def test_hooks_in_any_order_leave_the_order_of_the_message() -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        attached.received([asked(f"c{n}", "put", f'{{"x": {n}}}') for n in range(4)])
        hooks = [attached.answer(f"c{n}", works(n, log=log)) for n in (2, 0, 3, 1)]
        replies = await asyncio.gather(*hooks)
        await attached.session.finish()
        assert [call["x"] for call in log] == [0, 1, 2, 3]
        assert [reply.call.id for reply in replies] == ["c2", "c0", "c3", "c1"]

    play(story)


def test_a_handle_of_one_call_is_the_value_of_another() -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        attached.received([asked("a"), asked("b", arguments='{"x": "$this_1.n"}')])
        await asyncio.gather(
            attached.answer("b", works(2, log=log)),
            attached.answer("a", works(Rendered({"n": 7}, "seven", own=object()), seconds=1)),
        )
        await attached.session.finish()
        assert log == [{"x": 7}]
        with attached.sampling() as deliveries:
            assert deliveries[0].text.endswith("has ended:\nseven")

    play(story)


def test_within_grace_the_framework_gets_its_own_object() -> None:
    async def story(attached: Attached) -> None:
        own = object()
        attached.received([asked("a")])
        reply = await attached.answer("a", works(Rendered("v", "text", own=own), seconds=1))
        assert reply.answer is not None
        assert reply.answer.value.own is own
        assert reply.text == "text"

    play(story, grace=2)


@pytest.mark.parametrize("together", [True, False])
def test_automatic_grace_holds_short_calls_together_or_one_after_the_other(together: bool) -> None:
    async def story(attached: Attached) -> None:
        with attached.sampling():
            await asyncio.sleep(1)  # what a message costs
        replies: list[CallReply] = []
        for turn in range(2):  # the first teaches
            attached.received([asked(f"a{turn}"), asked(f"b{turn}")])
            short = attached.answer(f"a{turn}", works(1, seconds=0.4))
            other = attached.answer(f"b{turn}", works(2, seconds=0.4))
            replies = list(await asyncio.gather(short, other)) if together else [await short, await other]
        by_value = [isinstance(reply.outcome, Value) for reply in replies]
        assert by_value == ([True, True] if together else [True, False])  # 0.8 is more than the grace

    play(story, together=together, grace="auto")


def test_a_message_received_again_runs_nothing_again() -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        texts = []
        for _ in range(3):
            attached.received([asked("a")], key="m1")
            texts.append((await attached.answer("a", works(5, log=log))).text)
        await attached.session.finish()
        assert len(log) == 1
        assert "is running" in texts[0]
        assert attached.knows("a")
        assert not attached.knows("b")

    play(story)


def test_edited_calls_stand_for_those_before_unless_these_were_made() -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        attached.received([asked("a", arguments='{"x": 1}')], key="m1")
        attached.received([asked("a", arguments='{"x": 2}')], key="m1")
        await attached.answer("a", works(5, log=log))
        await attached.session.finish()
        assert log == [{"x": 2}]
        with pytest.raises(TranscriptError, match="'m1' comes again with other calls"):
            attached.received([asked("b")], key="m1")

    play(story)


def test_a_call_that_is_never_made_does_not_run_and_blocks_nothing() -> None:
    async def story(attached: Attached) -> None:
        attached.received([asked("a", "put"), asked("b", "put")])
        await attached.answer("b", works(1))
        first = attached._places["a"][0]._asked[0].future
        assert first is not None
        with attached.sampling() as deliveries:
            assert isinstance(first.outcome, Cancelled)
            assert deliveries == []  # b waits for a until now
        await attached.session.finish()
        with attached.sampling() as deliveries:
            assert [delivery.text[-1] for delivery in deliveries] == ["1"]

    play(story)


def test_the_work_has_the_context_of_its_hook() -> None:
    place: ContextVar[str] = ContextVar("place")

    async def story(attached: Attached) -> None:
        seen: list[str] = []

        async def work(_: dict[str, Any]) -> None:
            seen.append(place.get())

        attached.received([asked("a")])
        place.set("hook")
        await attached.answer("a", work)
        await attached.session.finish()
        assert seen == ["hook"]

    play(story)


def test_a_call_sealed_in_a_stream_starts_at_once_and_is_answered_without_its_hook() -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        begun = attached.begin()
        begun.seal(asked("a", arguments='{"x": 1}'), works(1, log=log))
        begun.seal(asked("b", "put", '{"x": 2}'), works(2, log=log))
        begun.seal(asked("c", arguments='{"x": 3}'))
        await settle_loop()
        assert log == [{"x": 1}]
        final = [*begun.calls, asked("d", arguments='{"x": "$this_1"}')]
        attached.received(final, key="m")  # the write may run now; nobody has asked for the others
        await settle_loop()
        assert log == [{"x": 1}, {"x": 2}]
        never = works("never", log=log)
        replies = await asyncio.gather(
            *(attached.answer(call_id, never) for call_id in "ab"),
            attached.answer("d", works(4, log=log)),
            attached.answer("c", works(3, log=log)),
        )
        assert [reply.text for reply in replies] == ["1", "2", "4", "3"]
        assert sorted(call["x"] for call in log) == [1, 1, 2, 3]
        attached.received(final, key="m")
        assert (await attached.answer("a", never)).text == "1"

    play(story, grace=1)


@pytest.mark.parametrize(
    "final",
    [
        pytest.param([asked("a", arguments='{"x": 2}'), asked("b", "put")], id="other arguments"),
        pytest.param([asked("b", "put"), asked("a")], id="another order"),
        pytest.param([asked("a")], id="fewer calls"),
        pytest.param([ReplyCall(Call("a", "look", "{}"), "foreign"), asked("b", "put")], id="another kind"),
    ],
)
def test_a_message_that_is_not_as_it_began_is_registered_anew(final: list[ReplyCall]) -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        begun = attached.begin()
        begun.seal(asked("a"), works("early", 9, log=log))
        begun.seal(asked("b", "put"))
        await settle_loop()
        attached.received(final)
        hooks = [attached.answer(one.call.id, works("late", log=log)) for one in final]
        replies = await asyncio.gather(*hooks)
        await attached.session.finish()
        assert len(log) == 1 + sum(one.kind != "foreign" for one in final)
        assert all(reply.text == "late" for reply in replies if reply.kind != "foreign")

    play(story, grace=1)


@pytest.mark.parametrize("how", ["drop", "sampling", "begin"])
def test_a_message_that_never_becomes_complete_is_withdrawn(how: str) -> None:
    async def story(attached: Attached) -> None:
        log: list[Any] = []
        begun = attached.begin()
        begun.seal(asked("a"), works(1, 9, log=log))
        begun.seal(asked("b", "put"), works(2, log=log))
        await settle_loop()
        if how == "sampling":
            with attached.sampling():
                pass
        else:
            getattr(attached, how)()
        attached.drop()
        await attached.session.finish()
        assert log == [{}]
        assert attached.session.owed == []
        attached.received([asked("a")])
        assert (await attached.answer("a", works("again"))).text == "again"

    play(story, grace=1)


def test_a_session_may_be_closed_while_a_message_comes_in() -> None:
    async def story(attached: Attached) -> None:
        attached.begin().seal(asked("a"), works(1, 9))
        await attached.session.close()
        attached.drop()

    play(story)


def test_a_call_that_has_started_and_is_never_asked_for_is_stopped() -> None:
    async def story(attached: Attached) -> None:
        begun = attached.begin()
        begun.seal(asked("a"), works(1, 9))
        begun.seal(asked("b"), works(2, 9))
        attached.received(begun.calls)
        attached.give_up("a")
        attached.session.post("A note.", source="test")
        with attached.sampling() as deliveries:
            assert len(deliveries) == 1
        finished = await attached.session.finish(timeout=1)
        assert not finished.left
        with attached.sampling() as deliveries:
            assert deliveries == []

    play(story)


def test_awaiting_is_a_call_too() -> None:
    async def story(attached: Attached) -> None:
        attached.received([asked("a"), asked("w", "await_future")])
        first, awaited = await asyncio.gather(
            attached.answer("a", works("v", seconds=1)), attached.answer("w", works("never"))
        )
        assert "is running" in first.text
        assert awaited.text.endswith("has ended:\nv")

    play(story)


def test_cancelling_a_call_cancels_its_work() -> None:
    async def story(attached: Attached) -> None:
        ended: list[str] = []

        async def work(_: dict[str, Any]) -> None:
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        attached.received([asked("a")])
        reply = await attached.answer("a", work)
        await settle_loop()
        assert reply.answer is not None
        assert attached.session.cancel(reply.answer.future)
        await attached.session.finish()
        assert ended == ["cancelled"]

    play(story)


def test_an_unknown_call_is_refused() -> None:
    async def story(attached: Attached) -> None:
        with pytest.raises(TranscriptError, match="'zzz' stands in no message"):
            await attached.answer("zzz", works(1))

    play(story)


def test_the_work_of_a_blocking_framework_runs_in_a_thread() -> None:
    tool = attached_tool("look", "Look.", ANYTHING, effects="pure", asynchronous=False)
    with BlockingSession([tool]) as session:
        attached = Attached(Dialogue(session.inner), together=True)

        async def register() -> None:
            attached.received([asked("a", arguments='{"x": 3}')])

        session.run(register)
        reply = session.run(attached.answer, "a", lambda arguments: arguments["x"] + 1)
        assert reply.answer is not None
        assert session.wait(reply.answer.future).unwrap() == 4
