from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.conversation.wording import MAX_ERROR_CHARS, Wording
from asyncfc.errors import (
    CallCancelled,
    DeclarationError,
    EffectEscape,
    NotSettled,
    SessionClosed,
    ToolTimeout,
    TranscriptError,
    UnknownHandle,
    UnresolvedPath,
    UpstreamFailed,
)
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.session import Answer, Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool
from asyncfc.trace.events import Event

Story = Callable[[Session, Puppet], Awaitable[None]]


def play(story: Story, *, tools: Any = (), puppet: Puppet | None = None, **settings: Any) -> None:
    """Run a story in a session that has one puppet, pure unless given, and the tools named."""

    async def main() -> None:
        doll = puppet or Puppet("doll", pure=True)
        async with Session([doll.tool, *tools], id="play", **settings) as session:
            await story(session, doll)

    run_virtual(main)


def call(tool: str = "doll", id: str = "c", **arguments: Any) -> Call:
    return Call(id, tool, arguments)


async def submit(session: Session, *calls: Call) -> list[Answer]:
    return await session.submit(calls)


# --- answers --------------------------------------------------------------------------------------


def test_a_call_is_answered_at_once_with_a_handle() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        assert answer.future.handle
        assert answer.future.handle in answer.text
        assert (answer.value, answer.error, answer.held_s) == (None, None, 0)
        with pytest.raises(NotSettled):
            answer.future.result()

    play(story)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (call("nope"), "UnknownTool"),
        (Call("c", "doll", "{"), "BadArguments"),
        (Call("c", "doll", "[1]"), "BadArguments"),
        (Call("c", "doll", '{"x": 1, "x": 2}'), "BadArguments"),
        (call(x="$aaa1_1"), "UnknownHandle"),
        (call(x="$this_1"), "UnknownHandle"),
        (call(x="$this_2"), "UnknownHandle"),
        (call("two", y=1), "BadArguments"),
        (call("two", x=1, z=1), "BadArguments"),
        (Call("c", "doll", {"$this_1": 1}), "BadReference"),
    ],
)
def test_a_call_that_cannot_be_made_is_answered_with_the_reason_and_its_siblings_run(
    bad: Call, kind: str
) -> None:
    async def two(x: int, y: int = 0) -> int:
        return x + y

    async def story(session: Session, doll: Puppet) -> None:
        answers = await submit(session, bad, call(x=1))
        assert type(answers[0].error).__name__ == kind
        assert kind in answers[0].text
        await settle_loop()
        assert [run.arguments for run in doll.running] == [{"x": 1}]

    play(story, tools=[two])


def test_within_grace_the_caller_gets_the_tools_own_object_and_exception() -> None:
    class Mine(list[int]):
        pass

    own, error = Mine([1]), LookupError("gone")

    async def story(session: Session, doll: Puppet) -> None:
        answering = asyncio.ensure_future(submit(session, call(id="a"), call(id="b"), call(id="c")))
        await settle_loop()
        doll.running[0].succeed(own)
        doll.running[0].fail(error) if len(doll.running) < 3 else doll.running[1].fail(error)
        answers = await answering
        assert answers[0].value is own
        assert answers[0].text == "[1]"
        assert answers[1].error is error
        assert answers[1].text == "Error: LookupError: gone"
        assert not answers[2].future.settled
        assert {answer.held_s for answer in answers} == {3}

    play(story, grace=3)


def test_an_own_object_that_a_later_call_may_change_is_handed_over_as_a_copy() -> None:
    log: list[int] = []

    async def append(n: int) -> list[int]:
        await asyncio.sleep(1)
        log.append(n)
        return log

    async def story(session: Session, doll: Puppet) -> None:
        first, last = await submit(session, call("append", n=1), call("append", n=2))
        assert first.value == [1]
        assert last.value is log

    play(story, tools=[Tool(append)], grace=5)


def test_a_call_that_waits_for_others_is_not_held() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        await submit(session, call())
        held = asyncio.ensure_future(submit(session, call()))
        await settle_loop()
        assert held.done()
        assert not held.result()[0].future.settled

    barrier = Puppet("doll")  # undeclared: one after the other
    play(lambda session, doll: _with_grace(session, doll, story), puppet=barrier)


async def _with_grace(session: Session, doll: Puppet, story: Story) -> None:
    await story(session, doll)
    session._core.grace = 10
    answering = asyncio.ensure_future(submit(session, call()))
    await settle_loop()
    assert answering.done()


def test_a_message_is_answered_once_and_only_when_committed() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        message = session.message()
        message.seal(call())
        with pytest.raises(TranscriptError, match="open"):
            await message.answers()
        message.commit()
        assert len(await message.answers()) == 1
        for again in (message.commit, message.withdraw, lambda: message.seal(call())):
            with pytest.raises(TranscriptError, match="answered"):
                again()
        with pytest.raises(TranscriptError, match="answered"):
            await message.answers()

    play(story)


def test_an_empty_message_has_no_answers() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        assert await submit(session) == []

    play(story)


# --- references -----------------------------------------------------------------------------------


def test_values_take_the_place_of_handles_right_before_the_call_starts() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (first,) = await submit(session, call())
        handle = str(first.future.handle)
        inside = handle.replace("$", "${") + ".items[0].id}"
        await submit(
            session, call(whole=handle, path=f"{handle}.items[0]", text=f"<{inside}>", future=first.future)
        )
        await settle_loop()
        doll.running[0].succeed({"items": [{"id": 7}]})
        await settle_loop()
        assert doll.running[0].arguments == {
            "whole": {"items": [{"id": 7}]},
            "path": {"id": 7},
            "text": "<7>",
            "future": {"items": [{"id": 7}]},
        }

    play(story)


def test_this_names_an_earlier_call_of_the_same_message() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        await submit(session, call(), call(x="$this_1"))
        await settle_loop()
        doll.running[0].succeed(5)
        await settle_loop()
        assert doll.running[0].arguments == {"x": 5}

    play(story)


def test_a_handle_is_known_only_once_it_was_shown() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        message = session.message()
        message.seal(call())
        (future,) = message.commit()
        with pytest.raises(UnknownHandle):
            await session.await_future(str(future.handle))
        await message.answers()
        assert (await session.await_future(str(future.handle), timeout=1)).pending == [future]

    play(story)


def test_a_missing_path_fails_that_call_and_its_dependants_only() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        answers = await submit(session, call(), call(x="$this_1.no"), call(x="$this_2"), call())
        await settle_loop()
        doll.running[0].succeed({"yes": 1})
        await settle_loop()
        missing, dependant = (answer.future.outcome for answer in answers[1:3])
        assert isinstance(missing, Failure)
        assert isinstance(missing.error, UnresolvedPath)
        assert isinstance(dependant, Failure)
        assert isinstance(dependant.error, UpstreamFailed)
        assert dependant.error.root.error is missing.error
        assert len(doll.running) == 1

    play(story)


def test_the_root_cause_is_the_earliest_failed_input_once_that_is_certain() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        answers = await submit(session, call(id="a"), call(id="b"), call(id="d", x=["$this_2", "$this_1"]))
        dependant = answers[2].future
        await settle_loop()
        doll.running[1].fail(ValueError("second"))
        await settle_loop()
        assert not dependant.settled
        doll.running[0].fail(ValueError("first"))
        with pytest.raises(UpstreamFailed, match="doll") as caught:
            await dependant
        assert caught.value.root.call_id == "a"

    play(story)


# --- delivery -------------------------------------------------------------------------------------


def test_an_outcome_is_delivered_once_and_seen_when_the_request_succeeds() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call(x=1))
        with session.sampling() as deliveries:
            assert deliveries == []
        await settle_loop()
        doll.running[0].succeed("done")
        await session.finish()
        broken = RuntimeError("HTTP 500")
        with pytest.raises(RuntimeError, match="500"), session.sampling() as deliveries:
            raise broken
        assert not answer.future.seen
        with session.sampling() as again:
            assert again == deliveries
            assert not answer.future.seen
        assert answer.future.seen
        (delivery,) = again
        assert delivery.handle == answer.future.handle
        assert '{"x": 1}' in delivery.text
        assert delivery.text.endswith("done")
        with session.sampling() as nothing:
            assert nothing == []

    play(story)


def test_what_was_awaited_or_answered_is_not_delivered_again() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await settle_loop()
        doll.running[0].succeed(1)
        awaited = await session.await_future("all")
        assert [delivery.future for delivery in awaited.settled] == [answer.future]
        with session.sampling() as deliveries:
            assert deliveries == []
        assert answer.future.seen

    play(story)


def test_what_the_program_has_told_itself_is_not_delivered() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await settle_loop()
        with pytest.raises(NotSettled):
            session.told(answer.future)
        doll.running[0].succeed(1)
        await settle_loop()
        session.told(answer.future)
        assert session.owed == []
        with session.sampling() as deliveries:
            assert deliveries == []
        assert answer.future.seen

    play(story)


def test_text_from_tools_that_looks_like_a_handle_is_made_inert() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        handle = str(answer.future.handle)
        await settle_loop()
        doll.running[0].succeed(f"see {handle}")
        (delivery,) = (await session.await_future()).settled
        assert delivery.text.endswith(f"see ${handle}")
        assert answer.future.result() == f"see {handle}"

    play(story)


def test_an_error_text_is_bounded_and_one_that_cannot_be_made_is_named() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    texts = Wording()

    def of(error: Exception) -> str:
        return texts.outcome(Failure(error), tool="t", handle="h", escape=str)

    assert len(of(ValueError("x" * 10_000))) < MAX_ERROR_CHARS + 100
    assert "RuntimeError" in of(Hostile())


# --- awaiting -------------------------------------------------------------------------------------


def test_await_any_returns_with_the_first_and_says_what_is_open() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        answers = await submit(session, call(), call())
        await settle_loop()
        doll.running[1].succeed(1)
        awaited = await session.await_future("all", mode="any")
        assert [delivery.future for delivery in awaited.settled] == [answers[1].future]
        assert awaited.pending == [answers[0].future]

    play(story)


def test_await_with_a_timeout_returns_what_there_is() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        awaited = await session.await_future([answer.future], timeout=2)
        assert awaited.pending == [answer.future]
        assert asyncio.get_running_loop().time() == 2

    play(story)


def test_owed_is_every_call_emitted_whose_outcome_the_model_was_not_told() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (first,) = await submit(session, call(id="a"))
        message = session.message()
        provisional = message.seal(call(id="b"))
        assert session.owed == [first.future, provisional]
        message.withdraw()
        (third,) = await submit(session, call(id="c"))
        await settle_loop()
        doll.runs[0].succeed()
        await first.future
        assert session.owed == [first.future, third.future]  # settled, but not told
        with session.sampling():
            assert session.owed == [third.future]

    play(story)


def test_waiting_without_awaiting_tells_nothing_and_ends_with_a_post() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        first, second = await submit(session, call(id="a"), call(id="b"))
        await settle_loop()
        doll.runs[0].succeed()
        await session.wait_for(session.owed, any_one=True)
        assert session.owed == [first.future, second.future]
        await session.wait_for(session.owed, timeout=1)
        assert asyncio.get_running_loop().time() == 1
        asyncio.get_running_loop().call_later(1, session.post, "stop", "Ada")
        await session.wait_for(session.owed)
        assert asyncio.get_running_loop().time() == 2
        assert not second.future.settled

    play(story)


def test_awaiting_nothing_returns_at_once() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        awaited = await session.await_future()
        assert (awaited.settled, awaited.pending) == ([], [])

    play(story)


def test_awaiting_a_future_gives_the_value_or_raises_with_a_traceback_that_does_not_grow() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        good, bad = await submit(session, call(), call())
        await settle_loop()
        doll.running[0].succeed({"a": [1]})
        doll.running[0].fail(ValueError("no")) if len(doll.running) == 1 else doll.running[1].fail(
            ValueError("no")
        )
        value = await good.future
        value["a"].append(2)
        assert await good.future == {"a": [1]}
        lengths = set()
        for _ in range(3):
            with pytest.raises(ValueError, match="no") as caught:
                await bad.future
            lengths.add(len(caught.traceback))
        assert len(lengths) == 1

    play(story)


def test_a_caller_that_is_cancelled_while_it_awaits_leaves_the_call_alone() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        waiting = asyncio.ensure_future(answer.future.wait())
        await settle_loop()
        waiting.cancel()
        await settle_loop()
        assert waiting.cancelled()
        doll.running[0].succeed(3)
        assert await answer.future == 3

    play(story)


def test_futures_refuse_to_be_pickled_or_copied() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="one session"):
                refuse(answer.future)

    play(story)


# --- provisional messages -------------------------------------------------------------------------


def test_of_a_message_still_streaming_only_reads_run() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        message = session.message()
        message.seal(call("reader"))
        message.seal(call("writer"))
        await settle_loop()
        assert (len(reader.running), len(writer.running)) == (1, 0)
        message.commit()
        await settle_loop()
        assert len(writer.running) == 1
        await message.answers()

    reader, writer = Puppet("reader", reads="a"), Puppet("writer", writes="b")
    play(story, tools=[reader.tool, writer.tool])


def test_a_withdrawn_message_settles_its_calls_and_passes_its_place_on() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        reader.ignore_cancel = True
        message = session.message()
        read, write = message.seal(call("reader")), message.seal(call("writer"))
        await settle_loop()
        message.withdraw("the stream broke")
        assert read.outcome == write.outcome == Cancelled("the stream broke")
        await submit(session, call("writer"))
        await settle_loop()
        assert writer.running == []  # the read has not truly stopped
        reader.running[0].succeed()
        await settle_loop()
        assert len(writer.running) == 1

    reader, writer = Puppet("reader", ignore_cancel=True, reads="a"), Puppet("writer", writes="a")
    play(story, tools=[reader.tool, writer.tool])


# --- cancelling, timeouts, coming to rest ---------------------------------------------------------


def test_a_call_that_has_not_started_is_cancelled_at_once_and_its_dependants_fail() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (first,) = await submit(session, call())
        waiting, dependant = await submit(session, call(x=first.future), call(x="$this_1"))
        assert session.cancel(waiting.future)
        assert isinstance(waiting.future.outcome, Cancelled)
        with pytest.raises(CallCancelled):
            await waiting.future
        with pytest.raises(UpstreamFailed):
            await dependant.future
        assert not session.cancel(waiting.future)

    play(story)


def test_work_that_accepts_a_cancel_settles_when_it_has_stopped() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await settle_loop()
        assert session.cancel(str(answer.future.handle))
        assert not answer.future.settled
        await settle_loop()
        assert isinstance(answer.future.outcome, Cancelled)

    play(story)


def test_work_that_ends_all_the_same_keeps_its_value() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await settle_loop()
        doll.running[0].ignore_cancel = True
        assert session.cancel(answer.future)
        await settle_loop()
        doll.running[0].succeed(1)
        assert await answer.future == 1

    play(story)


def test_a_timeout_settles_the_call_and_keeps_its_claims_until_the_work_has_ended() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        first, second = await submit(session, call(), call())
        await settle_loop()
        with pytest.raises(ToolTimeout, match="2 s"):
            await first.future
        await settle_loop()
        assert len(doll.running) == 1
        doll.running[0].succeed("late")
        await settle_loop()
        assert isinstance(first.future.outcome, Failure)
        doll.running[0].succeed("on time")
        assert await second.future == "on time"

    play(story, puppet=Puppet("doll", ignore_cancel=True, writes="a", timeout=2))


def test_a_timeout_counts_from_the_start_of_the_work() -> None:
    async def slow() -> float:
        await asyncio.sleep(3)
        return asyncio.get_running_loop().time()

    async def story(session: Session, doll: Puppet) -> None:
        answers = await submit(session, call("slow"), call("slow"))
        assert [await answer.future for answer in answers] == [3, 6]

    play(story, tools=[Tool(slow, effects={"writes": "a", "timeout": 4})])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, StopIteration, GeneratorExit]
)
def test_whatever_a_tool_raises_is_the_outcome_of_exactly_that_call(error: type[BaseException]) -> None:
    async def bad() -> None:
        raise error

    async def story(session: Session, doll: Puppet) -> None:
        wrong, right = await submit(session, call("bad"), call())
        await settle_loop()
        assert isinstance(wrong.future.outcome, Failure)
        assert isinstance(wrong.future.outcome.error, (error, RuntimeError))
        doll.running[0].succeed(1)
        assert await right.future == 1

    play(story, tools=[Tool(bad, effects="pure")])


def test_a_label_that_escapes_its_claim_fails_the_call_before_it_runs() -> None:
    ran = []

    async def write(path: str) -> None:
        ran.append(path)

    async def story(session: Session, doll: Puppet) -> None:
        (source,) = await submit(session, call())
        (answer,) = await submit(session, call("write", path=source.future))
        await settle_loop()
        doll.running[0].succeed("../etc/x")
        with pytest.raises(EffectEscape, match="fs:/etc/x"):
            await answer.future
        assert ran == []

    play(story, tools=[Tool(write, effects={"writes": "fs:/srv/{path}"})])


def test_finish_waits_for_all_and_is_bounded() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        unfinished = await session.finish(timeout=5)
        assert unfinished.left == (answer.future,)
        assert unfinished.settled == 0
        doll.running[0].succeed()
        finished = await session.finish()
        assert (finished.settled, finished.left) == (1, ())

    play(story)


def test_close_settles_every_future_and_names_the_work_that_it_left() -> None:
    async def main() -> None:
        doll = Puppet("doll", ignore_cancel=True)
        session = Session([doll.tool])
        open_message = session.message()
        stubborn, waiting = (answer.future for answer in await submit(session, call(), call(x="$this_1")))
        provisional = open_message.seal(call())
        await settle_loop()
        finished = await session.close(timeout=1)
        assert finished.left == (stubborn,)
        assert all(isinstance(f.outcome, Cancelled) for f in (stubborn, waiting, provisional))
        with pytest.raises(SessionClosed):
            session.message()
        with pytest.raises(TranscriptError):
            open_message.seal(call())
        doll.running[0].succeed()
        assert (await session.close()).left == ()

    run_virtual(main)


def test_the_same_id_and_calls_give_the_same_handles() -> None:
    def handles() -> list[str | None]:
        got: list[str | None] = []

        async def story(session: Session, doll: Puppet) -> None:
            got.extend(answer.future.handle for answer in await submit(session, call(), call()))

        play(story)
        return got

    assert handles() == handles()
    assert len(set(handles())) == 2


# --- settings and events --------------------------------------------------------------------------


def test_wrong_settings_are_refused_by_name() -> None:
    async def one() -> None: ...

    with pytest.raises(DeclarationError, match="two tools are called 'one'"):
        Session([one, one])
    with pytest.raises(DeclarationError, match="'other'"):
        Session([one], effects={"other": "pure"})
    with pytest.raises(DeclarationError, match="'one'"):
        Session([one], effects={"one": {"reads": "a", "pure": True}})
    with pytest.raises(DeclarationError, match="limit"):
        Session([one], limits={"*": 0})


def test_effects_may_be_declared_for_tools_that_one_does_not_own() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        assert session.tools["other"].spec.pure
        await submit(session, call("other"), call("other"))

    async def other() -> None: ...

    play(story, tools=[other], effects={"other": "pure"})


def test_a_listener_hears_every_step_in_order_and_one_that_raises_is_dropped() -> None:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "settled":
            raise RuntimeError("broken listener")

    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await settle_loop()
        doll.running[0].succeed(1)
        assert await answer.future == 1

    play(story, on_event=listen)
    assert [event.kind for event in events] == ["sealed", "started", "committed", "answered", "settled"]


def test_limits_hold_and_queued_calls_start_in_emission_order() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        await submit(session, *[call(n=n) for n in range(4)])
        started = []
        for _ in range(4):
            await settle_loop()
            (run,) = doll.running
            started.append(run.arguments["n"])
            run.succeed()
        assert started == [0, 1, 2, 3]

    play(story, limits={"tool:doll": 1})


def test_a_queue_of_calls_that_fail_at_their_start_is_worked_off_without_recursion() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        (first,) = await submit(session, call())
        answers = await submit(session, *[call(x=f"{first.future.handle}.no") for _ in range(3000)])
        await settle_loop()
        doll.running[0].succeed({})
        await session.finish()
        assert all(isinstance(answer.future.outcome, Failure) for answer in answers)

    play(story, limits={"*": 1})


def test_a_chain_of_failures_reaches_its_end_without_recursion() -> None:
    async def story(session: Session, doll: Puppet) -> None:
        last = (await submit(session, call()))[0].future
        root = last
        for _ in range(3000):
            last = (await submit(session, call(x=last)))[0].future
        await settle_loop()
        doll.running[0].fail(ValueError("root"))
        with pytest.raises(UpstreamFailed) as caught:
            await last
        assert caught.value.root.call_id == root.call_id

    play(story)


def test_a_value_is_what_the_tool_returned_at_its_end_not_later() -> None:
    live = {"n": 1}

    async def change() -> None:
        live["n"] = 2

    async def story(session: Session, doll: Puppet) -> None:
        (answer,) = await submit(session, call())
        await submit(session, call("change"))
        await settle_loop()
        doll.running[0].succeed(live)
        await session.finish()
        assert isinstance(answer.future.outcome, Value)
        assert answer.future.result() == {"n": 1}

    play(story, tools=[change], puppet=Puppet("doll"))
