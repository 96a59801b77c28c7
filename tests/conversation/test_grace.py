"""`grace="auto"`: answers are held exactly as long as that is expected to save a message (DESIGN D2)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.grace import TOLERANCE, MessageCost, budget, hold_for
from asyncfc.errors import DeclarationError
from asyncfc.session import Answer, Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool
from asyncfc.trace.events import Event

BUDGET = 0.75
"""Seconds: the messages here cost 1."""


def near(seconds: float) -> Any:
    """Equal, but for the rounding of sums."""
    return pytest.approx(seconds)


def play(story: Callable[[Session], Awaitable[None]], *, cost: float | None = 1.0, **settings: Any) -> None:
    """Run a story in a session whose model has said something once, with tools that take as long as asked.

    `sleep` and `nap` touch nothing, `step` and `haul` wait for each other; `flop` raises.
    """

    async def sleep(s: float, on: Any = None) -> str:
        await asyncio.sleep(s)
        return f"slept {s}"

    async def flop(s: float) -> None:
        await asyncio.sleep(s)
        raise LookupError("gone")

    tools = [
        Tool(sleep, effects="pure"),
        Tool(sleep, name="nap", effects="pure"),
        Tool(sleep, name="step", effects={"writes": "a"}),
        Tool(sleep, name="haul", effects={"writes": "a"}),
        Tool(flop, effects="pure"),
    ]

    async def main() -> None:
        async with Session(tools, grace="auto", **settings) as session:
            if cost is not None:
                await say(session, cost)
            await story(session)

    run_virtual(main)


async def say(session: Session, seconds: float = 1.0, error: Exception | None = None) -> None:
    """The model makes a message, or the request for it fails."""
    with session.sampling():
        await asyncio.sleep(seconds)
        if error is not None:
            raise error


async def ask(session: Session, *calls: tuple[str, float], **arguments: Any) -> list[Answer]:
    """A message with calls of a tool that take so many seconds each."""
    return await session.submit(
        Call(f"c{place}", tool, {"s": seconds, **arguments}) for place, (tool, seconds) in enumerate(calls)
    )


async def teach(session: Session, tool: str, seconds: float) -> None:
    """One call of a tool that takes so long, to its end."""
    await ask(session, (tool, seconds))
    await session.finish()


def held(answers: list[Answer]) -> float:
    (seconds,) = {answer.held_s for answer in answers}
    return seconds


def by_value(answers: list[Answer]) -> list[bool]:
    return [answer.future.settled for answer in answers]


# --- nothing is held for what will not end in time --------------------------------------------------


def test_before_the_cost_of_a_message_is_known_nothing_is_held() -> None:
    async def story(session: Session) -> None:
        assert held(await ask(session, ("sleep", 0.1))) == 0

    play(story, cost=None)


def test_a_request_that_failed_tells_no_cost() -> None:
    async def story(session: Session) -> None:
        broken = ConnectionError()
        with pytest.raises(ConnectionError):
            await say(session, 60, broken)
        assert held(await ask(session, ("sleep", 60))) == 0

    play(story, cost=None)


def test_an_unknown_tool_is_held_for_at_most_the_budget_and_then_not_at_all() -> None:
    async def story(session: Session) -> None:
        answers = await ask(session, ("sleep", 2))
        assert (held(answers), by_value(answers)) == (near(BUDGET), [False])
        await session.finish()
        answers = await ask(session, ("sleep", 2))
        assert (held(answers), by_value(answers)) == (0, [False])

    play(story)


def test_one_short_and_one_long_call_are_not_held() -> None:
    async def story(session: Session) -> None:
        await teach(session, "sleep", 0.1)
        await teach(session, "nap", 5)
        assert held(await ask(session, ("sleep", 0.1), ("nap", 5))) == 0

    play(story)


def test_two_short_calls_in_a_row_are_held_only_if_both_fit() -> None:
    async def story(session: Session) -> None:
        await teach(session, "step", 0.3)
        answers = await ask(session, ("step", 0.3), ("step", 0.3))
        assert (held(answers), by_value(answers)) == (near(0.6), [True, True])
        assert held(await ask(session, *[("step", 0.3)] * 3)) == 0
        await session.finish()
        data = [Call("a", "sleep", {"s": 0.3}), Call("b", "step", {"s": 0.3, "on": "$this_1"})]
        await teach(session, "sleep", 0.3)
        assert held(await session.submit(data)) == near(0.6)
        await teach(session, "sleep", 0.5)
        await teach(session, "sleep", 0.5)
        assert held(await session.submit(data)) == 0

    play(story)


def test_a_short_call_behind_a_long_one_of_an_earlier_message_is_not_held() -> None:
    async def story(session: Session) -> None:
        await teach(session, "step", 0.2)
        await teach(session, "haul", 9)
        assert held(await ask(session, ("haul", 9))) == 0
        assert held(await ask(session, ("step", 0.2))) == 0
        await asyncio.sleep(8.8)
        answers = await ask(session, ("step", 0.2))
        assert by_value(answers) == [True]
        assert held(answers) == near(0.2 + 0.2 + 0.2)

    play(story)


def test_what_waits_for_a_limit_or_a_rate_is_not_held() -> None:
    async def story(session: Session) -> None:
        await teach(session, "sleep", 0.1)
        assert held(await ask(session, ("sleep", 0.1), ("sleep", 0.1))) == 0

    play(story, limits={"tool:sleep": 1})
    play(story, rates={"tool:sleep": "1/10s"})


def test_what_waits_for_a_call_of_a_message_that_is_still_open_is_not_held() -> None:
    async def story(session: Session) -> None:
        await teach(session, "step", 0.1)
        message = session.message()
        message.seal(Call("open", "step", {"s": 0.1}))
        assert held(await ask(session, ("step", 0.1))) == 0
        message.withdraw()

    play(story)


def test_what_waits_for_work_that_was_given_up_is_not_held() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(3)

    async def quick() -> None: ...

    async def main() -> None:
        tools = [
            Tool(stubborn, effects={"writes": "a", "timeout": 0.1}),
            Tool(quick, effects={"reads": "a"}),
        ]
        async with Session(tools, grace="auto") as session:
            await say(session)
            (answer,) = await session.submit([Call("s", "stubborn", {})])
            assert (answer.held_s, answer.future.settled) == (near(0.1), True)
            (answer,) = await session.submit([Call("q", "quick", {})])
            assert answer.held_s == 0

    run_virtual(main)


def test_the_answers_to_a_tool_that_makes_calls_are_not_held() -> None:
    async def outer() -> float:
        (answer,) = await session.submit([Call("in", "inner", {})])
        await answer.future
        return answer.held_s

    async def inner() -> None:
        await asyncio.sleep(0.2)

    session = Session([outer, inner], grace="auto")

    async def main() -> None:
        async with session:
            await say(session)
            (answer,) = await session.submit([Call("out", "outer", {})])
            assert (answer.value, answer.held_s) == (0, near(0.2))

    run_virtual(main)


def test_a_message_can_be_answered_without_holding() -> None:
    async def story(session: Session) -> None:
        message = session.message()
        message.seal(Call("c", "sleep", {"s": 0.1}))
        message.commit()
        assert held(await message.answers(hold=False)) == 0

    play(story)
    play(story, cost=None)


def test_a_call_that_waits_for_the_program_is_not_held_for_and_keeps_no_other_from_being_held() -> None:
    async def story(session: Session) -> None:
        message = session.message()
        message.seal(Call("inline", "nap", {"s": 9}), waits=True, inline=True)
        message.seal(Call("c", "sleep", {"s": 0.5}))
        message.commit()
        answers = await message.answers()
        assert (held(answers), by_value(answers)) == (near(0.5), [False, True])

    play(story)


@pytest.mark.parametrize("grace", [-1, math.nan, "always", None, True])
def test_a_grace_that_is_none_is_refused(grace: Any) -> None:
    with pytest.raises(
        DeclarationError, match=r"grace=.*: expected a number of seconds, at least 0, or 'auto'"
    ):
        Session([], grace=grace)


# --- what will, is answered with its value, without a second more -----------------------------------


@pytest.mark.parametrize("tool", ["sleep", "step"])
def test_a_call_of_half_a_message_is_answered_with_its_value_when_it_is_there(tool: str) -> None:
    async def story(session: Session) -> None:
        for _ in range(5):
            (answer,) = await ask(session, (tool, 0.5))
            assert (answer.value, answer.held_s) == ("slept 0.5", near(0.5))

    play(story)


def test_a_call_that_fails_is_answered_with_its_error_and_teaches_how_long_it_takes() -> None:
    async def story(session: Session) -> None:
        (answer,) = await ask(session, ("flop", 0.5))
        assert isinstance(answer.error, LookupError)
        await teach(session, "flop", 2)
        assert held(await ask(session, ("flop", 0.5))) == 0

    play(story)


def test_a_call_that_is_overdue_is_held_until_it_ends_or_the_budget_does() -> None:
    async def story(session: Session) -> None:
        await teach(session, "sleep", 0.2)
        assert held(await ask(session, ("sleep", 0.6))) == near(0.6)
        await teach(session, "nap", 0.2)
        assert held(await ask(session, ("nap", 5))) == near(BUDGET)

    play(story)


def test_holding_ends_when_an_overdue_call_leaves_no_time_for_the_one_behind_it() -> None:
    async def story(session: Session) -> None:
        await teach(session, "nap", 0.1)
        await teach(session, "step", 0.5)
        calls = [Call("a", "nap", {"s": 9}), Call("b", "step", {"s": 0.5, "on": "$this_1"})]
        answers = await session.submit(calls)
        assert (held(answers), by_value(answers)) == (near(BUDGET - 0.5), [False, False])

    play(story)


def test_what_takes_less_than_expected_is_not_held_any_longer() -> None:
    async def story(session: Session) -> None:
        await teach(session, "sleep", 0.7)
        assert held(await ask(session, ("sleep", 0.1), ("nap", 0.2))) == near(0.2)

    play(story)


def test_a_call_that_ran_while_the_message_streamed_needs_the_rest_of_its_time_only() -> None:
    async def story(session: Session) -> None:
        await teach(session, "sleep", 2)
        message = session.message()
        message.seal(Call("c", "sleep", {"s": 2}))
        await asyncio.sleep(1.5)
        message.commit()
        assert held(await message.answers()) == near(0.5)

    play(story)


def test_the_cost_is_that_of_typical_messages_of_late() -> None:
    async def story(session: Session) -> None:
        assert held(await ask(session, ("sleep", 9))) == near(BUDGET)
        for _ in range(8):
            await say(session, 4)
        await say(session, 400)
        assert held(await ask(session, ("nap", 9))) == near(3)

    play(story)


@given(
    st.lists(st.tuples(st.sampled_from(["read", "write"]), st.sampled_from([0.1, 0.2, 0.4, 2])), max_size=4)
)
def test_with_constant_tools_all_answers_are_values_or_nothing_was_held(
    calls: list[tuple[str, float]],
) -> None:
    async def take(s: float) -> None:
        await asyncio.sleep(s)

    effects: dict[str, Any] = {"read": "pure", "write": {"writes": "a"}}
    tools = {f"{kind}_{s}": Tool(take, name=f"{kind}_{s}", effects=effects[kind]) for kind, s in calls}
    in_a_row = sum(s for kind, s in calls if kind == "write")
    makespan = max([in_a_row, *(s for kind, s in calls if kind == "read")])

    async def main() -> None:
        async with Session(tools, grace="auto") as session:
            for kind, s in calls:
                await teach(session, f"{kind}_{s}", s)
            await say(session)
            clock = asyncio.get_running_loop().time
            start = clock()
            answers = await ask(session, *((f"{kind}_{s}", s) for kind, s in calls))
            assert clock() - start == near(makespan if makespan <= BUDGET else 0)
            assert all(by_value(answers)) is (makespan <= BUDGET)

    run_virtual(main)


# --- every decision is an event ---------------------------------------------------------------------


def test_every_decision_is_an_event_of_the_first_call() -> None:
    events: list[Event] = []

    async def story(session: Session) -> None:
        await ask(session, ("sleep", 0.5), ("nap", 0.5))
        await ask(session, ("sleep", 0.5), ("step", 9))
        await session.finish()
        await ask(session, ("sleep", 0.5), ("step", 9))
        message = session.message()
        message.seal(Call("c", "sleep", {"s": 0.5}))
        await asyncio.sleep(1)
        message.commit()
        await message.answers()
        await session.submit([])

    play(story, on_event=events.append)
    found = [event for event in events if event.kind == "held"]
    assert [event.call for event in found] == [0, 2, 4, 6]
    assert [event.data["decision"] for event in found] == ["settled", "budget spent", "too long", "settled"]
    assert [event.data["budget"] for event in found] == [BUDGET] * 4
    assert [event.data["expected"] for event in found] == [0, near(0.5), 9, 0]
    assert [event.data["held_s"] for event in found] == [near(0.5), near(BUDGET), 0, 0]


@pytest.mark.parametrize(("grace", "held"), [(0, []), (1, ["settled"]), (0.25, ["budget spent"])])
def test_a_session_that_is_told_how_long_to_hold_says_what_came_of_it(grace: float, held: list[str]) -> None:
    events: list[Event] = []

    async def main() -> None:
        async def slow() -> None:
            await asyncio.sleep(0.5)

        async with Session([slow], grace=grace, on_event=events.append) as session:
            await session.submit([Call("c", "slow", {})])
            await session.finish()

    run_virtual(main)
    assert [event.data["decision"] for event in events if event.kind == "held"] == held


# --- the numbers ------------------------------------------------------------------------------------


def test_a_message_costs_the_median_of_the_last_eight() -> None:
    cost = MessageCost()
    assert (cost.typical, budget(cost.typical)) == (0, 0)
    for seconds, typical in [(4, 4), (2, 3), (9, 4), (4, 4)]:
        cost.learn(seconds)
        assert cost.typical == typical
    for _ in range(8):
        cost.learn(1)
    assert cost.typical == 1


_TIMES = st.floats(0, 10) | st.just(math.inf) | st.just(0.0)


@given(st.floats(-1, 10), _TIMES, _TIMES.filter(bool), _TIMES)
def test_holding_goes_on_for_no_longer_than_is_left_and_never_for_no_time(
    left: float, remaining: float, next_end: float, put_off: float
) -> None:
    pause = hold_for(left, remaining, next_end, min(put_off, remaining))
    assert pause == 0 or 0 < pause <= left
    if remaining > left + 2 * TOLERANCE:
        assert pause == 0
