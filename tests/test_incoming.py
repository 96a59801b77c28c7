"""One message of the model: what each of its calls is answered with, waiting and cancelling among them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.futures.call import Call
from asyncfc.incoming import CallReply, Incoming
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool

Scene = Callable[["Stage"], Coroutine[Any, Any, None]]


class Stage:
    """A session over two puppets, `read` and `write`, and `inline`, which is answered with its outcome."""

    def __init__(self) -> None:
        self.read, self.write = Puppet("read", reads="a"), Puppet("write", writes="a")
        self.inline = Tool(self._inline, name="inline")
        self.session = Session([self.read.tool, self.write.tool, self.inline], id="incoming")

    async def _inline(self) -> str:
        """Ends at once."""
        return "inline value"

    def message(self, *calls: tuple[str, Any], known: bool = False) -> Incoming:
        """A message whose calls are sealed."""
        incoming = Incoming(self.session, self.session.message(), frozenset({"inline"}))
        for n, (tool, arguments) in enumerate(calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            incoming.seal(ReplyCall(Call(f"c{n}", tool, text)), known=known)
        return incoming

    async def answered(self, *calls: tuple[str, Any]) -> list[CallReply]:
        """The answers to a whole message."""
        incoming = self.message(*calls)
        incoming.complete()
        return await incoming.answers()


def on_stage(scene: Scene) -> None:
    async def main() -> None:
        stage = Stage()
        async with stage.session:
            await scene(stage)

    run_virtual(main)


def handle(number: int, stage: Stage) -> str:
    return stage.session.grammar.mint(stage.session.grammar.tag_for("incoming"), number)


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("await_future", "{", "BadArguments"),
        ("await_future", {"handles": ["$zz9z_1"]}, "UnknownHandle: $zz9z_1"),
        ("await_future", {"mode": "some"}, "expected 'all' or 'any'"),
        ("cancel_future", {}, "name 0 handles"),
        ("cancel_future", {"handle": "$zz9z_1"}, "UnknownHandle: $zz9z_1"),
        ("cancel_future", {"handle": "$this_1"}, "UnknownHandle: $this_1"),
    ],
)
def test_what_waiting_and_cancelling_cannot_do_is_said_at_once(
    tool: str, arguments: Any, complaint: str
) -> None:
    async def scene(stage: Stage) -> None:
        (reply,) = await stage.answered((tool, arguments))
        assert complaint in reply.text

    on_stage(scene)


def test_a_message_that_is_cut_off_answers_every_call_and_makes_none() -> None:
    async def scene(stage: Stage) -> None:
        incoming = stage.message(("write", {}), ("await_future", {}))
        never_sealed = ReplyCall(Call("c2", "write", '{"x'))
        incoming.cut("length", [ReplyCall(call) for call in incoming.calls] + [never_sealed])
        replies = await incoming.answers()
        assert [reply.call.id for reply in replies] == ["c0", "c1", "c2"]
        assert {reply.text for reply in replies} == {stage.session.wording.cut_off}
        await settle_loop()
        assert stage.write.runs == []
        assert incoming.leave() == []

    on_stage(scene)


def test_all_means_the_calls_before_and_not_those_behind() -> None:
    async def scene(stage: Stage) -> None:
        answers = asyncio.ensure_future(
            stage.answered(("read", {"n": 1}), ("await_future", {}), ("read", {"n": 2}))
        )
        await settle_loop()
        assert not answers.done()
        stage.read.runs[0].succeed("one")
        first, awaited, behind = await answers
        assert first.text == "one"
        assert awaited.text == stage.session.wording.awaited_beside
        assert f"{handle(2, stage)} is running" in behind.text
        stage.read.runs[1].succeed()

    on_stage(scene)


def test_two_awaits_of_one_message_tell_an_outcome_once() -> None:
    async def scene(stage: Stage) -> None:
        await stage.answered(("read", {}))
        await settle_loop()
        stage.read.runs[0].succeed("told")
        await settle_loop()
        one, two = await stage.answered(("await_future", {}), ("await_future", {}))
        assert "told" in one.text
        assert two.text == stage.session.wording.awaited_beside

    on_stage(scene)


def test_what_was_told_is_told_again_where_it_is_named() -> None:
    async def scene(stage: Stage) -> None:
        stage_call = asyncio.ensure_future(stage.answered(("read", {}), ("await_future", {})))
        await settle_loop()
        stage.read.runs[0].succeed("told")
        await stage_call
        (again,) = await stage.answered(("await_future", {"handles": [handle(1, stage)]}))
        assert "told" in again.text
        (nothing,) = await stage.answered(("await_future", {}))
        assert nothing.text == stage.session.wording.nothing_to_await

    on_stage(scene)


def test_an_await_ends_with_its_time_and_says_what_still_runs() -> None:
    async def scene(stage: Stage) -> None:
        await stage.answered(("read", {}))
        (reply,) = await stage.answered(("await_future", {"timeout": 3}))
        assert asyncio.get_running_loop().time() == 3
        assert reply.text == stage.session.wording.still_running.format(handles=f"{handle(1, stage)} (read)")
        stage.read.runs[0].succeed()

    on_stage(scene)


def test_an_await_does_not_wait_for_what_the_loop_can_only_make_with_its_answer() -> None:
    async def scene(stage: Stage) -> None:
        incoming = stage.message(("inline", {}), ("write", {}), ("await_future", {}))
        incoming.complete()
        inline, behind, awaited = await incoming.answers()
        assert (inline.text, inline.outcome) == ("", None)
        assert " is running" in behind.text
        assert "Still running" in awaited.text
        assert (await incoming.outcome(0)).text == "inline value"
        await settle_loop()
        stage.write.runs[0].succeed()

    on_stage(scene)


def test_a_call_is_cancelled_by_the_name_it_has_in_its_own_message() -> None:
    async def scene(stage: Stage) -> None:
        _, cancelled = await stage.answered(("read", {}), ("cancel_future", {"handle": "$this_1"}))
        assert "was asked to stop" in cancelled.text
        await settle_loop()
        (over,) = await stage.answered(("cancel_future", {"handle": handle(1, stage)}))
        assert "has ended already" in over.text

    on_stage(scene)


def test_a_tool_that_nobody_has_is_of_others_unless_all_tools_are_known() -> None:
    async def scene(stage: Stage) -> None:
        (foreign,) = await stage.answered(("other", {}))
        assert (foreign.kind, foreign.text, foreign.is_own_text) == ("foreign", "", False)
        incoming = stage.message(("other", {}), known=True)
        incoming.complete()
        (refused,) = await incoming.answers()
        assert "there is no tool 'other'" in refused.text
        assert refused.is_own_text

    on_stage(scene)


def test_what_the_loop_has_not_asked_for_runs_and_is_delivered_later() -> None:
    async def scene(stage: Stage) -> None:
        incoming = stage.message(("write", {}), ("inline", {}))
        incoming.complete()
        await settle_loop()
        assert [call.tool for call in incoming.leave()] == ["write"]
        stage.write.runs[0].succeed("late")
        await settle_loop()
        with stage.session.sampling() as (delivered,):
            assert "late" in str(delivered.text)

    on_stage(scene)


def test_the_outcome_is_that_of_the_moment_of_the_answer() -> None:
    async def scene(stage: Stage) -> None:
        (reply,) = await stage.answered(("read", {}))
        await settle_loop()
        stage.read.runs[0].succeed("later")
        await settle_loop()
        assert reply.answer is not None
        assert reply.answer.future.settled
        assert reply.outcome is None
        assert reply.is_own_text

    on_stage(scene)
