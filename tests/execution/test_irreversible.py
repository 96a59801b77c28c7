"""Irreversible calls run only if the model knew what it would have known in a synchronous run (E4)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncfc.errors import CallWithheld, UpstreamFailed
from asyncfc.futures.outcome import Failure, Withheld
from asyncfc.session import Answer, Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop


class Bank:
    def __init__(self) -> None:
        self.check = Puppet("check", pure=True)
        self.pay = Puppet("pay", writes="bank", level="irreversible")


Story = Callable[[Session, Bank], Awaitable[None]]


def play(story: Story, **settings: Any) -> None:
    async def main() -> None:
        bank = Bank()
        async with Session([bank.check.tool, bank.pay.tool], id="bank", **settings) as session:
            await story(session, bank)

    run_virtual(main)


async def submit(session: Session, *names: str, **arguments: Any) -> list[Answer]:
    return await session.submit([Call(f"c{n}", name, arguments) for n, name in enumerate(names)])


def test_blind_it_is_withheld_and_its_answer_waits_for_what_was_unseen_and_carries_it() -> None:
    async def story(session: Session, bank: Bank) -> None:
        (check,) = await submit(session, "check")
        await settle_loop()
        bank.check.running[0].succeed(5)
        (pay,) = await submit(session, "pay", amount=100)
        assert isinstance(pay.future.outcome, Withheld)
        assert str(check.future.handle) in pay.text
        assert pay.text.endswith("5")
        assert bank.pay.running == []
        with session.sampling() as deliveries:
            assert deliveries == []  # carried already
        await submit(session, "pay", amount=3)
        await settle_loop()
        assert [run.arguments for run in bank.pay.running] == [{"amount": 3}]

    play(story)


def test_its_answer_does_not_come_before_the_unseen_outcomes() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        answering = asyncio.ensure_future(submit(session, "pay"))
        await settle_loop()
        assert not answering.done()
        bank.check.running[0].succeed(5)
        assert isinstance((await answering)[0].future.outcome, Withheld)

    play(story)


def test_after_everything_was_seen_it_runs_and_delivered_failures_do_not_count() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        await settle_loop()
        bank.check.running[0].fail(LookupError("x"))
        await session.finish()
        with session.sampling():
            pass
        (pay,) = await submit(session, "pay")
        await settle_loop()
        bank.pay.running[0].succeed("paid")
        assert await pay.future == "paid"

    play(story)


def test_told_but_in_no_request_yet_is_not_seen() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        await settle_loop()
        bank.check.running[0].succeed(5)
        await session.await_future()
        (pay,) = await submit(session, "pay")
        assert isinstance(pay.future.outcome, Withheld)

    play(story)


def test_what_the_request_of_a_stream_shows_counts_as_seen_for_that_message() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        await settle_loop()
        bank.check.running[0].succeed(5)
        await session.finish()
        with session.sampling():
            message = session.message()
            message.seal(Call("p", "pay", "{}"))
        message.commit()
        await message.answers()
        await settle_loop()
        assert len(bank.pay.running) == 1

    play(story)


def test_it_waits_for_earlier_calls_of_its_message_and_is_withheld_if_one_fails() -> None:
    async def story(session: Session, bank: Bank) -> None:
        check, pay = await submit(session, "check", "pay")
        await settle_loop()
        assert bank.pay.running == []
        bank.check.running[0].fail(LookupError("x"))
        with pytest.raises(CallWithheld, match=re.escape(str(check.future.handle))):
            await pay.future
        (delivery,) = (await session.await_future([pay.future])).settled
        assert "was not made" in delivery.text

    play(story)


def test_it_runs_when_all_earlier_calls_of_its_message_have_succeeded() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check", "pay", "check")
        await settle_loop()
        first, later = bank.check.running
        first.succeed(1)
        await settle_loop()
        assert len(bank.pay.running) == 1  # the later call of its message does not matter
        later.fail(ValueError())

    play(story)


def test_a_call_of_its_message_that_could_not_be_made_withholds_it() -> None:
    async def story(session: Session, bank: Bank) -> None:
        _, pay = await submit(session, "nope", "pay")
        assert isinstance(pay.future.outcome, Withheld)

    play(story)


def test_the_earliest_call_without_a_value_decides_between_withheld_and_upstream_failure() -> None:
    async def story(session: Session, bank: Bank) -> None:
        calls = [Call("a", "check", {}), Call("b", "check", {}), Call("p", "pay", {"x": "$this_2"})]
        answers = await session.submit(calls)
        await settle_loop()
        bank.check.running[1].fail(ValueError("input"))
        await settle_loop()
        assert not answers[2].future.settled  # an earlier call may still withhold it
        bank.check.running[0].succeed(1)
        await settle_loop()
        outcome = answers[2].future.outcome
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.error, UpstreamFailed)

    play(story)


def test_relaxed_it_needs_only_the_success_of_its_own_message() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        await submit(session, "pay")
        await settle_loop()
        assert len(bank.pay.running) == 1

    play(story, irreversible="succeeded")


def test_emitting_it_again_is_a_new_call() -> None:
    async def story(session: Session, bank: Bank) -> None:
        await submit(session, "check")
        await settle_loop()
        bank.check.running[0].succeed(1)
        for _ in range(2):
            await submit(session, "pay")
            with session.sampling():
                pass
        await settle_loop()
        assert len(bank.pay.running) == 1

    play(story, duplicates="reject")


def test_made_by_a_tool_it_is_no_matter_of_what_the_model_has_seen() -> None:
    async def main() -> None:
        bank = Bank()

        async def order() -> Any:
            (answer,) = await session.submit([Call("p", "pay", {})])
            return await answer.future

        tools: list[Any] = [bank.check.tool, bank.pay.tool, order]
        async with Session(tools) as session:
            await submit(session, "check")
            await settle_loop()
            (answer,) = await submit(session, "order")
            await settle_loop()
            bank.pay.running[0].succeed("paid")
            assert await answer.future == "paid"

    run_virtual(main)
