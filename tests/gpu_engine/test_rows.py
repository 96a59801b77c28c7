"""Rows: coroutines that ask for tokens, one step at a time for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.rows import TICKS, Row, Rows
from asyncfc.gpu_engine.sequence import Sampling
from asyncfc.gpu_engine.stepping import in_thread, on_clock
from asyncfc.testing.loop import Deadlock, run_virtual
from tests.gpu_engine.checking import Broken, CheckingRunner, alone


class Bench:
    """An engine whose every step takes a second."""

    def __init__(self, blocks: int = 50, size: int = 4, **options: Any) -> None:
        self.runner = CheckingRunner(blocks, size)
        self.core = Core(self.runner, BlockPool(blocks, size), **options)
        self.rows = Rows(self.core, on_clock(self.runner, lambda _: 1.0))

    async def end(self) -> None:
        """Nothing is left, neither rows nor tasks."""
        await self.rows.rest()
        assert (self.core.running, self.core.waiting, self.core.trapped) == ((), (), ())
        assert self.core.pool.free == self.core.pool.count


async def decode(row: Row, count: int) -> list[int]:
    """Sample so often, then close."""
    try:
        return [await row.sample() for _ in range(count)]
    finally:
        row.close()


def said_alone(prompt: list[int], count: int, sampling: Sampling | None = None) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(alone(tokens, sampling or Sampling()))
    return tokens[len(prompt) :]


def now() -> float:
    return asyncio.get_running_loop().time()


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_opens_no_row() -> None:
    at = Bench(blocks=1)
    for prompt in ([], [1] * 5):
        with pytest.raises(EngineError, match="sequence"):
            at.rows.open(prompt)
    run_virtual(at.end)


def test_a_closed_row_gives_no_more_tokens() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        await row.sample()
        row.close()
        row.close()
        with pytest.raises(EngineError, match="sequence 0 has ended; it gives no more tokens"):
            await row.sample()
        assert not row.asks
        with pytest.raises(EngineError, match="sequence 0 has ended"):
            row.append([1])
        await at.end()

    run_virtual(main)


def test_who_waits_for_a_token_is_told_when_somebody_closes_the_row() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        asking = asyncio.create_task(row.sample())
        await asyncio.sleep(0.5)
        row.close()
        with pytest.raises(EngineError, match="sequence 0 has ended"):
            await asking
        await at.end()

    run_virtual(main)


def test_two_coroutines_cannot_ask_one_row_at_once() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        first = asyncio.create_task(row.sample())
        await asyncio.sleep(0.5)
        with pytest.raises(EngineError, match="sequence 0 is asked for a token already"):
            await row.sample()
        assert [await first] == said_alone([1], 1)
        row.close()
        await at.end()

    run_virtual(main)


def test_a_full_row_says_so_and_others_go_on() -> None:
    async def main() -> None:
        at = Bench(blocks=10, size=1, max_tokens=4)
        row, other = at.rows.open([1, 2]), at.rows.open([3])
        assert row.room == 2
        for _ in range(3):
            await row.sample()  # the last one stands behind all that fits, and is never computed
        assert row.room == -1
        with pytest.raises(EngineError, match="sequence 0 is full: 5 tokens"):
            await row.sample()
        with pytest.raises(EngineError, match="would have 6 tokens; at most 4 fit"):
            row.append([1])
        assert await decode(other, 3) == said_alone([3], 3)
        row.replace(1, 5, [7])
        assert await decode(row, 2) == said_alone([1, 7], 2)
        await at.end()

    run_virtual(main)


@pytest.mark.parametrize("stage", ["saves", "forward", "sampling"])
def test_a_failed_step_reaches_everybody_who_asked_and_the_engine_works_afterwards(stage: Any) -> None:
    async def main() -> None:
        at = Bench()
        rows = [at.rows.open([n]) for n in range(3)]
        before = await asyncio.gather(*(row.sample() for row in rows))
        at.runner.failing = stage
        errors = await asyncio.gather(*(row.sample() for row in rows[:2]), return_exceptions=True)
        for error in errors:
            assert isinstance(error, EngineError)
            assert f"the step failed: Broken: before {stage}" in str(error)
            assert isinstance(error.__cause__, Broken)
        said = await asyncio.gather(*(decode(row, 3) for row in rows))
        for n in range(3):
            assert [before[n], *said[n]] == said_alone([n], 4)
        await at.end()

    run_virtual(main)


def test_each_who_asked_gets_an_error_of_its_own_that_says_what_the_engine_said() -> None:
    async def main() -> None:
        at = Bench()
        told = EngineError("out of memory")

        async def fail(_: Plan) -> list[int | None]:
            raise told

        rows = Rows(at.core, fail)
        asked = [rows.open([1]), rows.open([2])]
        errors = await asyncio.gather(*(row.sample() for row in asked), return_exceptions=True)
        assert all(str(error).endswith("out of memory") for error in errors)
        assert errors[0] is not errors[1]
        assert all(isinstance(error, EngineError) and error.__cause__ is told for error in errors)
        for row in asked:
            row.close()
        await rows.rest()

    run_virtual(main)


def test_cancelling_a_coroutine_during_a_step_frees_its_row_and_harms_nobody() -> None:
    async def main() -> None:
        at = Bench()
        doomed = asyncio.create_task(decode(at.rows.open([1]), 100))
        other = asyncio.create_task(decode(at.rows.open([2]), 6))
        await asyncio.sleep(2.5)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        assert [row.id for row in (*at.core.running, *at.core.trapped)] == [1]
        assert await other == said_alone([2], 6)
        assert at.runner.rows[:4] == [(0, 1), (0, 1), (0, 1), (1,)]
        await at.end()

    run_virtual(main)


def test_a_token_that_nobody_waits_for_any_more_is_not_put_behind_the_others() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(row.sample(), 0.5)
        await asyncio.sleep(5)
        assert row.tokens == [1]
        assert await decode(row, 3) == said_alone([1], 3)
        await at.end()

    run_virtual(main)


def test_who_was_not_in_the_failed_step_hears_nothing_of_it() -> None:
    async def main() -> None:
        at = Bench(slots=1)
        asking = [asyncio.create_task(decode(at.rows.open([n]), 2)) for n in range(2)]
        at.runner.failing = "forward"
        with pytest.raises(EngineError, match="the step failed"):
            await asking[0]
        assert await asking[1] == said_alone([1], 2)
        await at.end()

    run_virtual(main)


def test_the_driver_may_be_cancelled_in_the_middle_of_a_step() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        asking = asyncio.create_task(row.sample())
        await asyncio.sleep(0.5)
        driver = at.rows._driver
        assert driver is not None
        driver.cancel()
        with pytest.raises(EngineError, match="the step failed: CancelledError"):
            await asking
        assert driver.cancelled()
        assert await decode(row, 2) == said_alone([1], 2)
        await at.end()

    run_virtual(main)


def test_a_pool_that_never_lets_anybody_go_on_is_an_error_and_no_silence() -> None:
    async def main() -> None:
        at = Bench(blocks=2)
        row = at.rows.open([1])
        at.core.pool._free.clear()  # cannot happen; if it does, nobody must wait for ever
        with pytest.raises(EngineError, match="no row can go on"):
            await row.sample()
        row.close()
        await at.rows.rest()

    run_virtual(main)


# --- who is in the batch ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_coroutines_get_the_tokens_that_they_would_get_alone(slots: int) -> None:
    async def main() -> None:
        at = Bench(blocks=8, size=2, slots=slots, budget=8)
        settings = [Sampling(seed=n) for n in range(5)]
        talks = [decode(at.rows.open([n, n], settings[n]), 3 + n) for n in range(5)]
        said = await asyncio.gather(*talks)
        assert said == [said_alone([n, n], 3 + n, settings[n]) for n in range(5)]
        await at.end()

    run_virtual(main)


def test_a_step_takes_as_long_as_is_said_and_all_rows_share_it() -> None:
    async def main() -> None:
        at = Bench()
        await asyncio.gather(*(decode(at.rows.open([n]), 5) for n in range(3)))
        assert now() == 5.0
        assert at.runner.rows == [(0, 1, 2)] * 5
        await at.end()

    run_virtual(main)


def test_a_row_is_in_no_step_while_its_coroutine_waits_for_something_else() -> None:
    async def main() -> None:
        at = Bench()

        async def with_tool(row: Row) -> list[int]:
            said = [await row.sample(), await row.sample()]
            await asyncio.sleep(3.5)  # a tool
            assert row.sequence.state == "trapped"
            row.append([7])
            return [*said, *await decode(row, 2)]

        waiting, other = at.rows.open([1]), at.rows.open([2])
        said, others = await asyncio.gather(with_tool(waiting), decode(other, 9))
        assert at.runner.rows == [(0, 1)] * 2 + [(1,)] * 4 + [(0, 1)] * 2 + [(1,)]
        assert others == said_alone([2], 9)
        first = said_alone([1], 2)
        assert said == [*first, *said_alone([1, *first, 7], 2)]
        assert waiting.sequence.spent == 5, "its KV was kept: no position was computed twice"
        await at.end()

    run_virtual(main)


def test_a_trapped_row_lends_its_slot() -> None:
    async def main() -> None:
        at = Bench(slots=1)

        async def with_tool(row: Row) -> None:
            await row.sample()
            await asyncio.sleep(2)
            await decode(row, 1)

        await asyncio.gather(with_tool(at.rows.open([1])), decode(at.rows.open([2]), 3))
        assert at.runner.rows == [(0,), (1,), (1,), (1,), (0,)]
        await at.end()

    run_virtual(main)


@pytest.mark.parametrize(("turns", "missed"), [(0, 0), (TICKS - 2, 0), (TICKS + 2, 1)])
def test_an_answer_that_takes_a_few_rounds_of_the_loop_costs_no_step(turns: int, missed: int) -> None:
    async def main() -> None:
        at = Bench()

        async def busy(row: Row) -> None:
            for _ in range(3):
                await row.sample()
                for _ in range(turns):
                    await asyncio.sleep(0)
            row.close()

        await asyncio.gather(busy(at.rows.open([1])), decode(at.rows.open([2]), 8))
        without = sum(0 not in rows for rows in at.runner.rows[: 3 + 2 * missed])
        assert without == 2 * missed
        await at.end()

    run_virtual(main)


def test_a_row_enters_the_batch_when_it_is_first_asked() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        assert await decode(at.rows.open([2]), 2) == said_alone([2], 2)
        assert at.runner.rows == [(1,), (1,)]
        assert row.sequence.state == "trapped"
        await decode(row, 1)
        await at.end()

    run_virtual(main)


def test_an_injection_from_elsewhere_during_a_step_makes_its_token_come_later() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        asking = asyncio.create_task(row.sample())
        await asyncio.sleep(0.5)
        row.append([5, 6])
        token = await asking
        assert now() == 2.0
        assert row.tokens == [1, 5, 6, token]
        assert token == alone([1, 5, 6])
        row.close()
        await at.end()

    run_virtual(main)


def test_the_driver_ends_when_nobody_asks_and_begins_anew_with_the_next_one() -> None:
    async def main() -> None:
        at = Bench()
        row = at.rows.open([1])
        for _ in range(2):
            await row.sample()
            await at.rows.rest()
            driver = at.rows._driver
            assert driver is not None
            assert driver.done()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            await asyncio.sleep(10)
        row.close()
        await at.end()

    run_virtual(main)


def test_resting_waits_for_nobody_as_long_as_others_ask() -> None:
    async def main() -> None:
        at = Bench()
        await at.rows.rest()
        asking = asyncio.create_task(decode(at.rows.open([1]), 3))
        await asyncio.sleep(0.5)
        await at.rows.rest()
        assert now() == 0.5
        await asking
        await at.end()

    run_virtual(main)


# --- event loops and threads --------------------------------------------------------------------------------


def test_one_event_loop_after_the_other() -> None:
    at = Bench()
    row = at.rows.open([1])

    async def some(count: int) -> list[int]:
        said = [await row.sample() for _ in range(count)]
        await at.rows.rest()
        return said

    assert [*run_virtual(lambda: some(2)), *run_virtual(lambda: some(3))] == said_alone([1], 5)
    row.close()
    run_virtual(at.end)


def test_an_event_loop_that_was_cut_off_in_the_middle_of_a_step() -> None:
    at = Bench()
    row = at.rows.open([1])

    async def stuck() -> None:
        asking = asyncio.create_task(row.sample())
        await asyncio.sleep(0.5)
        asking.cancel()
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(stuck)
    assert run_virtual(lambda: decode(row, 3)) == said_alone([1], 3)
    run_virtual(at.end)


def test_two_event_loops_at_once_are_refused_and_the_first_goes_on() -> None:
    at = Bench()

    async def main() -> None:
        asking = asyncio.create_task(decode(at.rows.open([1]), 3))
        await asyncio.sleep(0.5)
        other = at.rows.open([2])
        with ThreadPoolExecutor(1) as thread, pytest.raises(EngineError, match="in another event loop"):
            thread.submit(lambda: run_virtual(other.sample)).result()
        assert (other.asks, other.sequence.state) == (False, "trapped")
        assert await asking == said_alone([1], 3)
        other.close()
        await at.end()

    run_virtual(main)


@contextmanager
def threaded(at: Bench) -> Iterator[Rows]:
    with ThreadPoolExecutor(1) as thread:
        yield Rows(at.core, in_thread(at.runner, thread))


def test_in_a_thread_of_its_own() -> None:
    async def main() -> None:
        at = Bench(slots=2, budget=4)
        with threaded(at) as rows:
            said = await asyncio.gather(*(decode(rows.open([n, n, n]), 10) for n in range(4)))
            assert said == [said_alone([n, n, n], 10) for n in range(4)]
            await rows.rest()
        await at.end()

    asyncio.run(main())


def test_in_a_thread_a_failure_comes_out_and_the_next_step_works() -> None:
    async def main() -> None:
        at = Bench()
        with threaded(at) as rows:
            row = rows.open([1])
            at.runner.failing = "forward"
            with pytest.raises(EngineError, match="the step failed: Broken: before forward"):
                await row.sample()
            assert await decode(row, 3) == said_alone([1], 3)
            await rows.rest()
        await at.end()

    asyncio.run(main())


def test_cancelling_while_the_thread_is_at_work_leaves_the_next_step_to_wait_for_it() -> None:
    """The cancelled step goes on in its thread; nothing of it counts, and nothing of it gets in the way."""

    async def main() -> None:
        at = Bench()
        gate, entered = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        real = at.runner.run

        def run(plan: Plan) -> list[int | None]:
            loop.call_soon_threadsafe(entered.set)
            asyncio.run_coroutine_threadsafe(_wait(gate), loop).result()
            return real(plan)

        at.runner.run = run  # type: ignore[method-assign]
        with threaded(at) as rows:
            row, other = rows.open([1]), rows.open([2])
            asking = asyncio.create_task(decode(row, 5))
            others = asyncio.create_task(decode(other, 5))
            await entered.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert row.sequence.blocks == [], "given back while the thread still computes it"
            gate.set()
            assert await others == said_alone([2], 5)
            await rows.rest()
        await at.end()

    asyncio.run(main())


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()


def test_a_failing_step_fails_the_rows_in_it_and_no_others() -> None:
    async def main() -> None:
        at = Bench(slots=1)
        first, second = at.rows.open([1]), at.rows.open([2])
        at.runner.failing = "forward"
        results = await asyncio.gather(first.sample(), decode(second, 3), return_exceptions=True)
        assert isinstance(results[0], EngineError)
        assert results[1] == said_alone([2], 3)
        first.close()
        second.close()
        await at.rows.rest()

    run_virtual(main)


def test_a_fault_in_planning_reaches_everybody_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        at = Bench()
        rows = [at.rows.open([1]), at.rows.open([2])]

        def broken() -> Plan:
            raise LookupError("a bug")

        monkeypatch.setattr(at.core, "plan", broken)
        errors = await asyncio.gather(*(row.sample() for row in rows), return_exceptions=True)
        assert [str(error) for error in errors] == ["the step failed: LookupError: a bug"] * 2
        assert errors[0] is not errors[1]
        for row in rows:
            row.close()
        await at.rows.rest()

    run_virtual(main)
