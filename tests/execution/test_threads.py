from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from asyncfc.execution.threads import ThreadPool

GUARD = 10.0
"""Seconds that only a fault waits for."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(GUARD)
        assert not thread.is_alive()


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool("test", 3)
    yield made
    made.close()


class Jobs:
    """Makes jobs that wait for `gate`, and notes where and in which order they ran."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ran: list[object] = []
        self.threads: list[threading.Thread] = []
        self._begun = threading.Semaphore(0)
        self._done = threading.Semaphore(0)

    def make(self, name: object) -> Callable[[], None]:
        def job() -> None:
            self.ran.append(name)
            self.threads.append(threading.current_thread())
            self._begun.release()
            assert self.gate.wait(GUARD)
            self._done.release()

        return job

    def wait_begun(self, count: int) -> None:
        for _ in range(count):
            assert self._begun.acquire(timeout=GUARD)

    def open(self, count: int) -> None:
        self.gate.set()
        for _ in range(count):
            assert self._done.acquire(timeout=GUARD)


def wait_idle(pool: ThreadPool, count: int) -> None:
    """Wait until so many threads of the pool have nothing to do."""
    for _ in range(count):
        assert pool._idle.acquire(timeout=GUARD)
    for _ in range(count):
        pool._idle.release()


# --- unhappy --------------------------------------------------------------------------------------


def test_without_any_thread_the_refusal_of_the_system_is_passed_on(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_threads(monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.submit(pytest.fail)


def test_with_one_thread_a_refused_second_only_makes_the_job_wait(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs()
    pool.submit(jobs.make(1))
    jobs.wait_begun(1)
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        pool.submit(jobs.make(2))
    jobs.open(2)
    assert jobs.ran == [1, 2]
    assert len(set(jobs.threads)) == 1
    wait_idle(pool, 1)
    jobs.gate.clear()
    for n in (3, 4):
        pool.submit(jobs.make(n))
    jobs.wait_begun(2)  # the system gives threads again: the two overlap
    jobs.open(2)


def refuse_threads(patch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    patch.setattr(threading.Thread, "start", start)


def test_a_hung_thread_holds_up_nobody_but_itself(pool: ThreadPool) -> None:
    hung, jobs = Jobs(), Jobs()
    pool.submit(hung.make("hung"))
    hung.wait_begun(1)
    pool.close()  # returns at once
    jobs.gate.set()
    for n in range(3):
        pool.submit(jobs.make(n))
    jobs.open(3)
    assert not set(hung.threads) & set(jobs.threads)
    hung.open(1)


# --- happy ----------------------------------------------------------------------------------------


def test_jobs_overlap_up_to_the_size_and_wait_in_order_beyond_it(pool: ThreadPool) -> None:
    jobs = Jobs()
    for n in range(6):
        pool.submit(jobs.make(n))
    jobs.wait_begun(3)
    assert sorted(map(str, jobs.ran)) == ["0", "1", "2"]
    jobs.open(6)
    assert len(set(jobs.threads)) == 3


def test_a_pool_of_one_runs_jobs_in_order_in_one_thread() -> None:
    pool, jobs = ThreadPool("one", 1), Jobs()
    jobs.gate.set()
    for n in range(20):
        pool.submit(jobs.make(n))
    jobs.open(20)
    assert jobs.ran == list(range(20))
    assert {thread.name for thread in jobs.threads} == {"one-0"}
    assert all(thread.daemon for thread in jobs.threads)
    pool.close()


def test_threads_start_only_while_none_is_idle(pool: ThreadPool) -> None:
    jobs = Jobs()
    jobs.gate.set()
    for n in range(5):
        pool.submit(jobs.make(n))
        jobs.open(1)
        wait_idle(pool, 1)
    assert len(set(jobs.threads)) == 1


def test_no_thread_starts_before_there_is_a_job(pool: ThreadPool) -> None:
    before = threading.active_count()
    pool.close()
    pool.close()
    assert threading.active_count() == before


def test_closing_lets_what_was_queued_run_and_then_all_threads_end(pool: ThreadPool) -> None:
    jobs = Jobs()
    for n in range(5):
        pool.submit(jobs.make(n))
    jobs.wait_begun(3)
    pool.close()
    pool.close()
    jobs.open(5)
    assert sorted(map(str, jobs.ran)) == ["0", "1", "2", "3", "4"]
    for thread in jobs.threads:
        thread.join(GUARD)
        assert not thread.is_alive()


def test_a_job_that_comes_after_closing_starts_threads_anew(pool: ThreadPool) -> None:
    jobs = Jobs()
    jobs.gate.set()
    pool.submit(jobs.make(1))
    jobs.open(1)
    pool.close()
    pool.submit(jobs.make(2))
    jobs.open(1)
    assert jobs.ran == [1, 2]


def test_an_idle_thread_keeps_nothing_of_its_last_job_alive(pool: ThreadPool) -> None:
    class Big:
        def __call__(self) -> None:
            pass

    job = Big()
    gone = weakref.ref(job)
    pool.submit(job)
    del job
    wait_idle(pool, 1)
    gc.collect()
    assert gone() is None
