from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from asyncfc.testing.loop import Deadlock, LeftBehind, Livelock, Mode, VirtualLoop, run_virtual

MODES: tuple[Mode, ...] = ("fifo", "shuffled")


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


@pytest.mark.parametrize("mode", MODES)
def test_what_can_never_happen_is_a_deadlock_that_names_the_tasks_and_where_they_wait(mode: Mode) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for_ever(), name="stuck")

    with pytest.raises(Deadlock, match=r"stuck in wait_for_ever > wait \(locks\.py:\d+\)"):
        run_virtual(main, mode=mode)


def test_a_loop_that_spins_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncfc.testing.loop._MAX_IDLE_TURNS", 50)

    async def main() -> None:
        while True:  # noqa: ASYNC110  (spinning is the point)
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="main"):
        run_virtual(main)


def test_turns_are_counted_anew_whenever_time_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncfc.testing.loop._MAX_IDLE_TURNS", 50)

    async def main() -> None:
        for _ in range(100):
            await asyncio.sleep(1)

    run_virtual(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_task_that_is_left_running_is_reported(mode: Mode) -> None:
    async def main() -> None:
        _loop().orphan = asyncio.create_task(asyncio.sleep(9), name="orphan")  # type: ignore[attr-defined]

    with pytest.raises(LeftBehind, match="still running: orphan"):
        run_virtual(main, mode=mode)


def test_a_task_that_refuses_to_be_cancelled_does_not_hang_the_end() -> None:
    async def stubborn() -> None:
        for _ in range(5):
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        _loop().orphan = asyncio.create_task(stubborn())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    with pytest.raises(LeftBehind, match="stubborn"):
        run_virtual(main)


def test_an_exception_that_nobody_retrieves_is_reported_even_if_the_task_is_still_referenced() -> None:
    async def fail() -> None:
        raise KeyError("lost")

    async def main() -> None:
        _loop().lost = asyncio.create_task(fail())  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    with pytest.raises(LeftBehind, match=r"never retrieved: KeyError\('lost'\)"):
        run_virtual(main)


def test_a_retrieved_exception_and_a_cancelled_task_are_no_trouble() -> None:
    async def fail() -> None:
        raise KeyError("known")

    async def main() -> str:
        failing, sleeping = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(9))
        await asyncio.sleep(1)
        sleeping.cancel()
        await asyncio.wait([sleeping])
        return repr(failing.exception())

    assert run_virtual(main) == "KeyError('known')"


def test_an_error_in_a_callback_is_reported() -> None:
    async def main() -> None:
        nothing: dict[str, int] = {}
        _loop().call_soon(lambda: nothing["missing"])
        await asyncio.sleep(1)

    with pytest.raises(LeftBehind, match=r"unhandled in the loop: KeyError\('missing'\)"):
        run_virtual(main)


def test_the_error_of_the_program_itself_is_raised_as_it_is() -> None:
    async def main() -> None:
        _loop().orphan = asyncio.create_task(asyncio.sleep(9))  # type: ignore[attr-defined]
        raise ValueError("the program's own")

    with pytest.raises(ValueError, match="the program's own"):
        run_virtual(main)


def test_threads_and_io_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="no threads on virtual time"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match=r"no I/O on virtual time"):
            _loop().add_reader(0, print)

    run_virtual(main)


def test_a_callback_from_another_thread_is_refused() -> None:
    async def main() -> list[str]:
        loop, errors = _loop(), list[str]()

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        return errors

    (error,) = run_virtual(main)
    assert "came from another thread" in error


@pytest.mark.parametrize("mode", MODES)
def test_time_jumps_to_each_timer_exactly(mode: Mode) -> None:
    delays = [0.1, 0.2, 0.1 + 0.2, 0.3, 1e9, 1e9 + 1e-6]

    async def main() -> dict[float, float]:
        woken: dict[float, float] = {}

        async def sleep(delay: float) -> None:
            await asyncio.sleep(delay)
            woken[delay] = _loop().time()

        await asyncio.gather(*(sleep(delay) for delay in delays))
        return woken

    assert run_virtual(main, mode=mode) == {delay: delay for delay in delays}


def test_days_pass_in_one_jump() -> None:
    async def main() -> float:
        await asyncio.sleep(40 * 24 * 3600)
        return _loop().time()

    assert run_virtual(main) == 40 * 24 * 3600


def _order(seed: int, mode: Mode) -> list[int]:
    async def main() -> list[int]:
        order: list[int] = []

        async def note(n: int) -> None:
            await asyncio.sleep(n % 2)
            order.append(n)

        await asyncio.gather(*(note(n) for n in range(12)))
        return order

    return run_virtual(main, seed=seed, mode=mode)


def test_shuffling_depends_on_the_seed_alone_and_mixes_ties_of_timers() -> None:
    orders = [_order(seed, "shuffled") for seed in range(5)]
    assert orders == [_order(seed, "shuffled") for seed in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert all({n % 2 for n in order[:6]} == {0} for order in orders), "a later timer fired first"


def test_fifo_does_not_depend_on_the_seed() -> None:
    assert _order(1, "fifo") == _order(2, "fifo")
    assert _order(1, "fifo")[:6] == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("mode", MODES)
def test_cancelled_timers_do_not_move_time(mode: Mode) -> None:
    async def main() -> float:
        for n in range(200):
            _loop().call_later(n, print).cancel()
        async with asyncio.timeout(50):
            await asyncio.sleep(3)
        return _loop().time()

    assert run_virtual(main, mode=mode) == 3


@pytest.mark.parametrize("mode", MODES)
def test_idle_returns_when_nothing_is_ready_and_before_time_advances(mode: Mode) -> None:
    async def main() -> tuple[int, float]:
        steps = 0

        async def busy() -> None:
            nonlocal steps
            for _ in range(20):
                steps += 1
                await asyncio.sleep(0)
            await asyncio.sleep(1)
            steps += 1

        task = asyncio.create_task(busy())
        await asyncio.gather(_loop().idle(), _loop().idle())
        seen = steps, _loop().time()
        await task
        return seen

    assert run_virtual(main, mode=mode) == (20, 0.0)


def test_async_generators_are_closed() -> None:
    closed: list[bool] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            closed.append(True)

    async def main() -> None:
        _loop().kept = generator = numbers()  # type: ignore[attr-defined]
        await anext(generator)

    run_virtual(main)
    assert closed == [True]


def test_a_coroutine_may_be_given_instead_of_a_function() -> None:
    assert run_virtual(asyncio.sleep(5, "done")) == "done"
