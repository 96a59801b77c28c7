"""Every call settles once, nothing is lost or left, and the same seed gives the same run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import UpstreamFailed
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.session import Call, Finished, Session
from asyncfc.testing import checks, directed
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.puppets import Puppet, Stage, settle_loop
from asyncfc.testing.trial import in_order, in_session
from asyncfc.trace.events import Event

MODES = pytest.mark.parametrize("mode", ["fifo", "shuffled"])
SEEDS = st.integers(0, 2**16)
ANY = st.one_of(programs(limits=True), directed.never_runs(), directed.wide_covers())


@MODES
@given(program=ANY, seed=SEEDS)
def test_P6_P16_P17_every_call_settles_once_is_told_once_and_is_forgotten(
    mode: Mode, program: Program, seed: int
) -> None:
    trial = in_session(program, seed=seed, mode=mode)
    checks.settled_once(trial)
    checks.told_once(trial)
    checks.nothing_kept(trial)


@given(program=ANY, seed=SEEDS, grace=st.sampled_from([0.5, 2, 60]))
def test_P6_P17_hold_when_answers_are_held(program: Program, seed: int, grace: float) -> None:
    trial = in_session(program, seed=seed, mode="shuffled", grace=grace)
    checks.settled_once(trial)
    checks.told_once(trial)


@MODES
@given(program=ANY, seed=SEEDS)
def test_P10_closing_at_any_time_settles_all_leaves_nothing_and_breaks_no_order(
    mode: Mode, program: Program, seed: int
) -> None:
    trial = in_session(program, seed=seed, mode=mode, finish=False)
    checks.settled_once(trial)
    checks.nothing_kept(trial)
    checks.obeys_what_ended(trial, in_order(program))


@MODES
@given(program=ANY, seed=SEEDS)
def test_P20_the_same_seed_gives_the_same_trace(mode: Mode, program: Program, seed: int) -> None:
    checks.same_trace(in_session(program, seed=seed, mode=mode), in_session(program, seed=seed, mode=mode))


def _play(stage: Stage, calls: Sequence[Call], body: Any, **options: Any) -> list[Event]:
    """Submit the calls to a session of the stage's tools, run `body(session, futures)`, close."""
    events: list[Event] = []

    async def main() -> None:
        async with Session(stage.tools, id="play", on_event=events.append, **options) as session:
            futures = [answer.future for answer in await session.submit(calls)]
            await settle_loop()
            await body(session, futures)

    run_virtual(main)
    return events


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), StopIteration()]
)
def test_P11_whatever_a_tool_raises_is_the_outcome_of_that_call_alone(error: BaseException) -> None:
    stage = Stage(Puppet("one", pure=True), Puppet("two", pure=True))

    async def body(session: Session, futures: Any) -> None:
        one, two = stage.running
        one.fail(error)
        await settle_loop()
        two.succeed("fine")
        assert await session.finish() == Finished(2, ())
        failed, fine = (future.outcome for future in futures)
        assert isinstance(failed, Failure)
        assert isinstance(failed.error, type(error) | RuntimeError)  # a coroutine cannot raise StopIteration
        assert isinstance(fine, Value)

    _play(stage, [Call("a", "one", {}), Call("b", "two", {})], body)


def test_P11_cancelling_whoever_awaits_a_future_cancels_neither_the_call_nor_other_waiters() -> None:
    stage = Stage(Puppet("one"))

    async def body(session: Session, futures: Any) -> None:
        (future,) = futures
        waiters = [asyncio.ensure_future(future.wait()) for _ in range(3)]
        await settle_loop()
        waiters[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[1]
        (run,) = stage.running
        assert run.cancels == 0
        run.succeed(7)
        assert [await waiters[n] for n in (0, 2)] == [future.outcome] * 2
        assert await future == 7

    _play(stage, [Call("a", "one", {})], body)


def test_P11_cancelling_whoever_waits_for_the_end_leaves_the_calls_running() -> None:
    stage = Stage(Puppet("one"))

    async def body(session: Session, futures: Any) -> None:
        finishing = asyncio.ensure_future(session.finish())
        await settle_loop()
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        stage.running[0].succeed()
        assert await session.finish() == Finished(1, ())

    _play(stage, [Call("a", "one", {})], body)


def test_P7_an_error_is_in_its_own_future_and_its_root_in_every_data_dependant() -> None:
    stage = Stage(Puppet("one"), Puppet("two"), Puppet("three"))

    async def body(session: Session, futures: Any) -> None:
        (run,) = stage.running
        run.fail(ValueError("no such user"))
        await settle_loop()
        first, second, third = (future.outcome for future in futures)
        assert repr(first.error) == "ValueError('no such user')"
        assert all(isinstance(outcome.error, UpstreamFailed) for outcome in (second, third))
        assert second.error.root.error is third.error.root.error is first.error
        assert not stage.running

    calls = [Call("a", "one", {}), Call("b", "two", {"x": "$this_1"}), Call("c", "three", {"x": ["$this_2"]})]
    _play(stage, calls, body)


def test_P8_an_effect_dependant_runs_after_a_failure_and_after_a_cancellation() -> None:
    stage = Stage(Puppet("one", writes="db"), Puppet("two", writes="db"), Puppet("three", writes="db"))

    async def body(session: Session, futures: Any) -> None:
        stage.running[0].fail(ValueError("no"))
        await settle_loop()
        assert session.cancel(futures[1])
        await settle_loop()
        (run,) = stage.running
        assert run.puppet.name == "three"
        run.succeed()
        await session.finish()
        kinds = (Failure, Cancelled, Value)
        assert all(isinstance(f.outcome, kind) for f, kind in zip(futures, kinds, strict=True))

    _play(stage, [Call(name, name, {}) for name in ("one", "two", "three")], body)


def test_P9_claims_are_held_until_the_work_ends_however_long_it_ignores_its_cancellation() -> None:
    stage = Stage(Puppet("one", writes="db", timeout=5, ignore_cancel=True), Puppet("two", writes="db"))

    async def body(session: Session, futures: Any) -> None:
        (run,) = stage.running
        await asyncio.sleep(9)  # it is given up 5 s after its timeout
        assert futures[0].settled
        assert (run.cancels, stage.running) == (1, [run])
        assert not futures[1].settled
        run.succeed("too late")
        await settle_loop()
        assert isinstance(futures[0].outcome, Failure)
        stage.running[0].succeed()

    _play(stage, [Call("a", "one", {}), Call("b", "two", {})], body)


def test_P10_close_is_bounded_in_time_names_what_it_left_and_may_be_repeated() -> None:
    stage = Stage(Puppet("one", ignore_cancel=True), Puppet("two"))
    left: list[Finished] = []

    async def body(session: Session, futures: Any) -> None:
        (run,) = stage.running
        clock = asyncio.get_running_loop().time
        start = clock()
        left.append(await session.close(timeout=3))
        assert clock() - start == 3
        assert left[0].left == (futures[0],)
        assert all(future.settled for future in futures)
        run.succeed()  # so that nothing is left behind
        await settle_loop()
        left.append(await session.close())
        assert left[1].left == ()

    _play(stage, [Call("a", "one", {}), Call("b", "two", {})], body)


def test_P10_closing_starts_nothing() -> None:
    stage = Stage(Puppet("one", pure=True), Puppet("two", writes="db"), Puppet("three", writes="db"))

    async def body(session: Session, futures: Any) -> None:
        await session.close()
        assert all(isinstance(future.outcome, Cancelled) for future in futures)

    calls = [Call("a", "one", {}), Call("b", "two", {"x": "$this_1"}), Call("c", "three", {})]
    events = _play(stage, calls, body)
    assert [event.call for event in events if event.kind == "started"] == [0]


def test_O3_withdrawing_a_message_starts_nothing() -> None:
    stage = Stage(Puppet("one", pure=True), Puppet("two", writes="db"), Puppet("three", reads="db"))
    events: list[Event] = []

    async def main() -> None:
        async with Session(stage.tools, on_event=events.append) as session:
            message = session.message()
            futures = [message.seal(Call(name, name, {})) for name in ("one", "two", "three")]
            await settle_loop()
            message.withdraw()
            assert all(isinstance(future.outcome, Cancelled) for future in futures)

    run_virtual(main)
    assert [event.call for event in events if event.kind == "started"] == [0]


def test_P10_cancelling_the_program_inside_a_session_closes_it() -> None:
    puppet = Puppet("one")

    async def main() -> None:
        async def program() -> None:
            async with Session([puppet.tool]) as session:
                await session.submit([Call("a", "one", {})])
                await asyncio.Event().wait()

        task = asyncio.ensure_future(program())
        await settle_loop()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not puppet.running

    run_virtual(main)


def test_P6_what_ends_after_its_timeout_does_not_change_the_outcome() -> None:
    stage = Stage(Puppet("one", timeout=5, ignore_cancel=True))

    async def body(session: Session, futures: Any) -> None:
        (run,) = stage.running
        await asyncio.sleep(6)
        before = futures[0].outcome
        run.succeed("late")
        assert await session.finish() == Finished(1, ())
        assert futures[0].outcome is before

    events = _play(stage, [Call("a", "one", {})], body)
    (late,) = [event for event in events if event.kind == "ended late"]
    assert isinstance(late.data["outcome"], Value)
