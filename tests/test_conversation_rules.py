"""Re-submission, posted notes and shared runtimes: what a session owes its conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncfc.errors import DeclarationError, TranscriptError, UnknownHandle
from asyncfc.session import Call, Note, Runtime, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop


def test_a_message_submitted_again_is_answered_from_the_same_calls() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            calls = [Call("call_0", "doll", {"n": 1})]
            first = await session.submit(calls, message_id="m1")
            await settle_loop()
            doll.running[0].succeed(5)
            await first[0].future
            again = await session.submit(calls, message_id="m1")
            assert again[0].future is first[0].future
            assert again[0].text == "5"
            other = await session.submit(calls, message_id="m2")  # equal ids in different messages
            assert other[0].future is not first[0].future
            with pytest.raises(TranscriptError, match="n': 2"):
                await session.submit([Call("call_0", "doll", {"n": 2})], message_id="m1")
            with pytest.raises(TranscriptError, match="1 calls before, 0 now"):
                await session.submit([], message_id="m1")

    run_virtual(main)


def test_equal_ids_in_one_message_are_answered_by_position() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            answers = await session.submit([Call("x", "doll", {"n": n}) for n in range(2)])
            await settle_loop()
            for run in list(doll.running):
                run.succeed(run.arguments["n"])
            assert [await answer.future for answer in answers] == [0, 1]

    run_virtual(main)


def test_a_post_is_delivered_like_an_outcome_and_again_if_the_request_fails() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool], id="x") as session:
            (answer,) = await session.submit([Call("c", "doll", {})])
            session.post(f"stop at {answer.future.handle}", "Ann")
            broken = ConnectionError()
            with pytest.raises(ConnectionError), session.sampling() as deliveries:
                raise broken
            with session.sampling() as again:
                assert again == deliveries
            (note,) = again
            assert isinstance(note, Note)
            assert note.source == "Ann"
            assert f"stop at ${answer.future.handle}" in note.text  # inert
            with session.sampling() as nothing:
                assert nothing == []

    run_virtual(main)


def test_a_post_ends_an_await_and_comes_with_it() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            (answer,) = await session.submit([Call("c", "doll", {})])
            waiting = asyncio.ensure_future(session.await_future())
            await settle_loop()
            assert not waiting.done()
            session.post("never mind", "Ann")
            awaited = await waiting
            assert awaited.pending == [answer.future]
            assert [note.source for note in awaited.notes] == ["Ann"]
            session.post("one more", "Ann")
            assert len((await session.await_future()).notes) == 1

    run_virtual(main)


def test_sessions_of_one_runtime_share_one_order_and_their_limits() -> None:
    async def main() -> None:
        one, two = Puppet("one", writes="db"), Puppet("two", reads="db")
        runtime = Runtime(limits={"*": 8})
        async with Session([one.tool], runtime=runtime) as a, Session([two.tool], runtime=runtime) as b:
            await a.submit([Call("w", "one", {})])
            (answer,) = await b.submit([Call("r", "two", {})])
            await settle_loop()
            assert two.running == []
            assert (await b.finish(timeout=1)).left == (answer.future,)
            one.running[0].succeed()
            assert (await a.finish()).left == ()
            await settle_loop()
            assert len(two.running) == 1
        runtime.close()

    run_virtual(main)


def test_sessions_of_their_own_are_not_ordered() -> None:
    async def main() -> None:
        one, two = Puppet("one"), Puppet("two")
        async with Session([one.tool]) as a, Session([two.tool]) as b:
            await a.submit([Call("w", "one", {})])
            await b.submit([Call("r", "two", {})])
            await settle_loop()
            assert (len(one.running), len(two.running)) == (1, 1)

    run_virtual(main)


def test_limits_and_executor_belong_to_the_runtime() -> None:
    with pytest.raises(DeclarationError, match="Runtime"):
        Session([], runtime=Runtime(), limits={"*": 1})


@pytest.mark.parametrize("written", ["future", "handle"])
def test_what_belongs_to_another_session_is_refused(written: str) -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool], id="a") as a, Session([doll.tool], id="b") as b:
            (foreign,) = await a.submit([Call("c", "doll", {})])
            argument: Any = foreign.future if written == "future" else foreign.future.handle
            (answer,) = await b.submit([Call("c", "doll", {"x": argument})])
            assert isinstance(answer.error, UnknownHandle)

    run_virtual(main)


def test_an_outcome_on_its_way_to_the_model_is_an_event_and_so_is_that_it_was_seen() -> None:
    async def main() -> list[str]:
        events: list[Any] = []
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool], on_event=events.append) as session:
            await session.submit([Call("c", "doll", {})])
            await settle_loop()
            doll.running[0].succeed()
            await session.finish()
            events.clear()
            with session.sampling():
                assert [event.kind for event in events] == ["sampling", "delivered"]
        return [event.kind for event in events]

    assert run_virtual(main) == ["sampling", "delivered", "seen", "sampled"]


def test_a_call_that_was_cancelled_says_why() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            (answer,) = await session.submit([Call("c", "doll", {})])
            await settle_loop()
            session.cancel(answer.future)
            (delivery,) = (await session.await_future()).settled
            assert "on request" in delivery.text

    run_virtual(main)


def test_an_await_takes_a_number_of_its_message_that_names_nothing() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool]) as session:
            message = session.message()
            message.seal(Call("a", "doll", {}))
            message.skip()  # await_future
            message.seal(Call("b", "doll", {}))
            wrong = message.seal(Call("c", "doll", {"x": "$this_2"}))
            right = message.seal(Call("d", "doll", {"x": "$this_3"}))
            message.commit()
            assert wrong.settled
            assert not right.settled
            with pytest.raises(TranscriptError):
                message.skip()

    run_virtual(main)
