"""Durations are learned from calls that ended by themselves; forecasts add up what waits for what."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.execution.estimates import (
    HALF_LIFE,
    LONGEST_CHAIN,
    QUANTILE,
    REMEMBERED,
    UNKNOWN_S,
    Estimates,
    Forecast,
)
from asyncfc.futures.future import Future
from asyncfc.session import Call, Runtime, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool

Story = Callable[[Session, "Ask"], Awaitable[None]]


class Ask:
    """Submits calls and asks how long they will take yet."""

    def __init__(self, session: Session, runtime: Runtime) -> None:
        self._session = session
        self._runtime = runtime

    async def submit(self, *calls: tuple[str, float] | tuple[str, float, Any]) -> list[Future]:
        made = [
            Call(f"c{place}", tool, {"s": seconds, "on": on[0] if on else None})
            for place, (tool, seconds, *on) in enumerate(calls)
        ]
        return [answer.future for answer in await self._session.submit(made)]

    async def end(self, *calls: tuple[str, float] | tuple[str, float, Any]) -> None:
        await self.submit(*calls)
        await self._session.finish()

    def forecast(self, *futures: Future) -> Forecast:
        return self._runtime.scheduler.forecast(futures)

    def remaining(self, *futures: Future) -> float:
        return self.forecast(*futures).remaining


def play(story: Story, *, learning: bool = True, **settings: Any) -> None:
    """Run a story with tools that take as long as asked; those of "w" and "v" wait for each other."""

    async def sleep(s: float, on: Any = None) -> None:
        await asyncio.sleep(s)

    async def flop(s: float, on: Any = None) -> None:
        await asyncio.sleep(s)
        raise LookupError

    async def stubborn(s: float, on: Any = None) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(s)

    tools = [
        Tool(sleep, name="r", effects="pure"),
        Tool(sleep, name="w", effects={"writes": "a"}),
        Tool(sleep, name="v", effects={"writes": "a"}),
        Tool(sleep, name="hasty", effects={"timeout": 1, "reads": []}),
        Tool(flop, effects="pure"),
        Tool(stubborn, effects={"writes": "a", "timeout": 1}),
    ]

    async def main() -> None:
        runtime = Runtime(**settings)
        if learning:
            runtime.scheduler.learn()
        async with Session(tools, runtime=runtime) as session:
            await story(session, Ask(session, runtime))
        runtime.close()

    run_virtual(main)


# --- what cannot be told ------------------------------------------------------------------------------


def test_nothing_is_learned_before_somebody_wants_to_know() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("r", 5))
        assert ask.remaining(*await ask.submit(("r", 5))) == 0

    play(story, learning=False)


def test_work_that_began_before_somebody_wanted_to_know_teaches_nothing() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.submit(("r", 5))
        await asyncio.sleep(4)
        async with Session([], runtime=session._runtime, grace="auto"):
            await session.finish()
            assert ask.remaining(*await ask.submit(("r", 1))) == 0

    play(story, learning=False)


@pytest.mark.parametrize("limits", [{"limits": {"tool:r": 1}}, {"rates": {"tool:r": "1/100s"}}])
def test_when_a_slot_is_free_cannot_be_told(limits: dict[str, Any]) -> None:
    async def story(session: Session, ask: Ask) -> None:
        first, second = await ask.submit(("r", 1), ("r", 1))
        await asyncio.sleep(0.1)
        assert (ask.remaining(first), ask.remaining(second)) == (0, math.inf)
        assert ask.remaining(first, second) == math.inf

    play(story, **limits)


def test_when_a_message_is_complete_cannot_be_told() -> None:
    async def story(session: Session, ask: Ask) -> None:
        message = session.message()
        read, write = message.seal(Call("r", "r", {"s": 9})), message.seal(Call("w", "w", {"s": 9}))
        (behind,) = await ask.submit(("v", 1))
        assert [ask.remaining(future) for future in (read, write, behind)] == [math.inf] * 3
        message.commit()
        assert [ask.remaining(future) for future in (read, write, behind)] == [0] * 3

    play(story)


def test_when_work_ends_that_was_given_up_cannot_be_told() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.submit(("stubborn", 3))
        await asyncio.sleep(1.1)
        (behind,) = await ask.submit(("w", 1))
        assert ask.remaining(behind) == math.inf

    play(story)


def test_a_long_chain_is_not_followed_to_its_end() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("w", 1))
        chain = await ask.submit(*[("w", 1)] * (LONGEST_CHAIN + 3))
        assert ask.remaining(chain[LONGEST_CHAIN]) == LONGEST_CHAIN + 1
        assert ask.remaining(chain[-1]) == math.inf
        assert ask.remaining(*chain) == len(chain)  # those that are asked for count as one
        await session.close()

    play(story)


# --- what is learned ------------------------------------------------------------------------------------


def test_a_call_that_was_cancelled_or_timed_out_teaches_nothing() -> None:
    async def story(session: Session, ask: Ask) -> None:
        (future,) = await ask.submit(("r", 60))
        await asyncio.sleep(5)
        session.cancel(future)
        await ask.end(("hasty", 60))
        await ask.end(("stubborn", 3))
        for tool in ("r", "hasty", "stubborn"):
            assert ask.remaining(*await ask.submit((tool, 1))) == 0

    play(story)


def test_one_that_ends_all_the_same_when_asked_to_stop_teaches_nothing() -> None:
    async def main() -> None:
        async def deaf() -> int:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return 1

        runtime = Runtime()
        runtime.scheduler.learn()
        async with Session([deaf], runtime=runtime) as session:
            (answer,) = await session.submit([Call("a", "deaf", {})])
            await asyncio.sleep(4)
            session.cancel(answer.future)
            assert await answer.future == 1
            (answer,) = await session.submit([Call("b", "deaf", {})])
            assert runtime.scheduler.forecast([answer.future]).remaining == 0

    run_virtual(main)


def test_a_call_that_failed_by_itself_teaches_how_long_that_takes() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("flop", 3))
        assert ask.remaining(*await ask.submit(("flop", 1))) == 3

    play(story)


def test_the_time_counts_from_the_start_of_the_work_and_each_tool_has_its_own() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("v", 7), ("w", 3))
        assert ask.remaining(*await ask.submit(("w", 1))) == 3

    play(story)


def test_sessions_of_one_runtime_learn_from_each_other() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("r", 3))
        async with Session(session.tools, runtime=session._runtime) as other:
            (answer,) = await other.submit([Call("c", "r", {"s": 1})])
            assert ask.remaining(answer.future) == 3

    play(story)


# --- forecasts ------------------------------------------------------------------------------------------


def test_what_runs_needs_the_rest_of_its_time_and_counts_as_ending_now_when_that_is_over() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("r", 3))
        (future,) = await ask.submit(("r", 60))
        assert ask.forecast(future) == Forecast(3, next_end=3)
        await asyncio.sleep(2)
        assert ask.forecast(future) == Forecast(1, next_end=1)
        await asyncio.sleep(1)
        assert ask.forecast(future) == Forecast(0)
        session.cancel(future)

    play(story)


def test_what_waits_needs_the_time_of_the_longest_way_to_it_and_its_own() -> None:
    async def story(session: Session, ask: Ask) -> None:
        for tool, seconds in [("r", 1.0), ("w", 2.0), ("v", 4.0)]:
            await ask.end((tool, seconds))
        read, write, both, apart = await ask.submit(
            ("r", 1), ("v", 4), ("w", 2, ["$this_1", "$this_2"]), ("r", 1, "$this_1")
        )
        assert [ask.remaining(future) for future in (read, write, both, apart)] == [1, 4, 6, 2]
        assert ask.forecast(both, apart) == Forecast(6, next_end=1)
        await asyncio.sleep(3)
        assert ask.forecast(both) == Forecast(3, next_end=1)

    play(story)


def test_what_waits_for_a_call_that_is_overdue_is_put_off() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("w", 2))
        await ask.end(("r", 5))
        _, behind, other = await ask.submit(("v", 60), ("w", 2), ("r", 5))  # nothing is known of v
        assert ask.forecast(behind, other) == Forecast(5, next_end=5, put_off=2)
        await asyncio.sleep(1)
        assert ask.forecast(behind, other) == Forecast(4, next_end=4, put_off=2)

    play(story)


def test_a_call_that_never_runs_passes_on_what_it_waits_for() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("w", 2))
        await ask.end(("r", 5))
        failed, _, never, behind = await ask.submit(("flop", 0), ("w", 2), ("w", 2, "$this_1"), ("w", 2))
        await failed.wait()
        assert never.settled
        assert ask.remaining(behind) == 4

    play(story)


def test_a_call_that_shares_the_work_of_another_ends_with_it() -> None:
    async def main() -> None:
        async def look() -> None:
            await asyncio.sleep(3)

        runtime = Runtime()
        runtime.scheduler.learn()
        async with Session([Tool(look, effects="pure")], runtime=runtime, duplicates="share") as session:
            await session.submit([Call("a", "look", {})])
            await session.finish()
            _, second = await session.submit([Call("b", "look", {}), Call("c", "look", {})])
            assert runtime.scheduler.forecast([second.future]).remaining == 3

    run_virtual(main)


def test_many_ways_to_a_call_are_not_walked_one_by_one() -> None:
    async def story(session: Session, ask: Ask) -> None:
        await ask.end(("r", 1))
        calls: list[tuple[str, float, Any]] = [("r", 1, None), ("r", 1, None)]
        for place in range(1, 81, 2):  # 2 to the power of 40 ways
            calls += [("r", 1, [f"$this_{place}", f"$this_{place + 1}"])] * 2
        assert ask.remaining(*await ask.submit(*calls)) == 41
        await session.close()

    play(story)


# --- the numbers ----------------------------------------------------------------------------------------


@given(st.floats(0, 1e6), st.integers(1, 50))
def test_of_constant_durations_that_very_one_is_expected(seconds: float, times: int) -> None:
    estimates = Estimates()
    assert estimates.expected("t") is None
    for _ in range(times):
        estimates.learn("t", seconds)
    assert estimates.expected("t") == seconds


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_three_of_four_calls_ended_within_what_is_expected_and_late_ones_count_more(
    durations: list[float],
) -> None:
    estimates = Estimates()
    for seconds in durations:
        estimates.learn("t", seconds)
    late = [
        (seconds, 2 ** (-age / HALF_LIFE)) for age, seconds in enumerate(reversed(durations[-REMEMBERED:]))
    ]
    expected = estimates.expected("t")
    assert expected in [seconds for seconds, _ in late]
    most = QUANTILE * sum(weight for _, weight in late)
    assert sum(weight for seconds, weight in late if seconds <= expected) >= most - 1e-5
    assert sum(weight for seconds, weight in late if seconds < expected) <= most + 1e-5


def test_a_tool_that_has_become_fast_is_expected_to_be_fast_before_all_is_forgotten() -> None:
    estimates = Estimates()
    for seconds in [9.0] * REMEMBERED + [1.0] * (2 * HALF_LIFE + 1):
        estimates.learn("t", seconds)
    assert estimates.expected("t") == 1.0


def test_a_tool_of_which_nothing_is_known_may_take_as_long_as_the_others() -> None:
    estimates = Estimates()
    assert estimates.guess("t") == UNKNOWN_S
    estimates.learn("a", 1.0)
    estimates.learn("b", 3.0)
    assert (estimates.guess("t"), estimates.guess("a"), estimates.expected("t")) == (2.0, 1.0, None)
    estimates.learn("t", 9.0)
    assert estimates.guess("t") == 9.0
