from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import DeclarationError
from asyncfc.execution.line import Share
from asyncfc.execution.rates import Rates, parse_rate
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.tools import Tool


@pytest.mark.parametrize("rate", ["", "5", "0/s", "5/0s", "5/day", "-1/s", "5 per s", 5, None])
def test_a_rate_of_no_known_form_is_refused_by_key(rate: object) -> None:
    with pytest.raises(DeclarationError, match="'tool:x'"):
        parse_rate("tool:x", rate)


@pytest.mark.parametrize(
    ("rate", "starts", "period"), [("5/s", 5, 1), ("100/min", 100, 60), ("2/10s", 2, 10), ("1/0.5h", 1, 1800)]
)
def test_rates_are_starts_per_time(rate: str, starts: int, period: float) -> None:
    limiter = parse_rate("*", rate)
    assert (limiter.rate_limit, limiter.period) == (starts, period)


def starts_of(
    durations: list[float], *, gaps: list[float] | None = None, **settings: object
) -> list[tuple[int, float]]:
    """Number and time of each start; calls are emitted one by one, after their gap."""
    started: list[tuple[int, float]] = []

    async def work(n: int, seconds: float) -> None:
        started.append((n, asyncio.get_running_loop().time()))
        await asyncio.sleep(seconds)

    async def main() -> None:
        async with Session([Tool(work, effects="pure")], **settings) as session:  # type: ignore[arg-type]
            for n, seconds in enumerate(durations):
                await asyncio.sleep(gaps[n] if gaps else 0)
                await session.submit([Call("c", "work", {"n": n, "seconds": seconds})])
            await session.finish()

    run_virtual(main)
    return started


def test_calls_start_first_come_first_served_at_the_rate() -> None:
    started = starts_of([0] * 5, rates={"tool:work": "2/s"})
    assert started == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]


@given(
    st.lists(st.tuples(st.sampled_from([0, 0.3, 1, 2.5]), st.sampled_from([0, 0, 0.2, 1])), max_size=12),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
def test_no_window_holds_more_starts_than_the_rate_whatever_the_slots(
    calls: list[tuple[float, float]], most: int, slots: int, two: bool
) -> None:
    rates = {"tool:work": f"{most}/s", **({"*": "2/2s"} if two else {})}
    started = starts_of(
        [seconds for seconds, _ in calls], gaps=[gap for _, gap in calls], rates=rates, limits={"*": slots}
    )
    assert len(started) == len(calls)
    for starts, period in [(most, 1.0), *([(2, 2.0)] if two else [])]:
        times = [t for _, t in started]
        for first, beyond in zip(times, times[starts:], strict=False):
            assert beyond - first >= period - 1e-9


def test_a_call_cancelled_at_the_gate_lets_the_next_one_through() -> None:
    async def main() -> None:
        doll = Puppet("doll", pure=True)
        async with Session([doll.tool], rates={"*": "1/10s"}) as session:
            answers = await session.submit([Call("c", "doll", {"n": n}) for n in range(3)])
            await settle_loop()
            assert session.cancel(answers[1].future)
            doll.running[0].succeed()
            await asyncio.sleep(10)
            await settle_loop()
            (run,) = doll.running
            assert run.arguments == {"n": 2}
            run.succeed()

    run_virtual(main)


def test_a_call_cancelled_just_as_its_turn_comes_passes_it_on() -> None:
    async def main() -> None:
        rates = Rates({"*": "1/s"})
        share, started = Share(), list[int]()

        async def slots() -> None: ...

        def turn(order: int) -> asyncio.Task[None]:
            start = partial(started.append, order)
            return asyncio.ensure_future(rates.start(order, share, ("*",), slots, start))

        turns = [turn(order) for order in range(4)]
        await settle_loop()
        turns[1].cancel()  # while it waits
        await asyncio.sleep(1)
        turns[2].cancel()  # perhaps as it is let in
        await asyncio.gather(*turns, return_exceptions=True)
        assert {0, 3} <= set(started)  # in what order they come is chance here
        await turn(4)
        assert started[-1] == 4

    for seed in range(20):
        run_virtual(main, seed=seed, mode="shuffled")


def test_waiting_at_a_gate_holds_no_slot_but_for_the_first() -> None:
    async def main() -> None:
        rated, free = Puppet("rated", pure=True), Puppet("free", pure=True)
        settings = {"limits": {"*": 2}, "rates": {"tool:rated": "1/100s"}}
        async with Session([rated.tool, free.tool], **settings) as session:  # type: ignore[arg-type]
            await session.submit([Call("c", "rated", {}) for _ in range(4)])
            await settle_loop()
            rated.running[0].succeed()
            await session.submit([Call("f", "free", {})])
            await settle_loop()
            assert len(free.running) == 1
            free.running[0].succeed()

    run_virtual(main)


def test_five_thousand_waiters_cost_no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> None: ...

    async def main() -> int:
        async with Session([Tool(nothing, effects="pure")], rates={"*": "1/s"}) as session:
            await session.submit([Call("c", "nothing", {}) for _ in range(5000)])
            polls = count_sleeps(monkeypatch)
            await asyncio.sleep(20)
            return len(polls)

    assert run_virtual(main) <= 1 + 21


def count_sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", counted)
    return slept
