from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import logging
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from asyncfc.blocking import BlockingSession
from asyncfc.errors import (
    CallCancelled,
    DeclarationError,
    NotSettled,
    SessionClosed,
    TranscriptError,
    UnknownHandle,
)
from asyncfc.execution.processes import ProcessExecutor
from asyncfc.execution.threads import Mailbox
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled, Failure, Value
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Answer, Awaited, Call, Delivery, Note
from asyncfc.tools import Tool

GUARD = 10.0
"""Seconds that only a fault waits for."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(GUARD)
        assert not thread.is_alive()


class Gate:
    """A tool that waits for the test to open it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.opened.wait(GUARD)
        return "through"


class Background:
    """Runs a function in another thread and keeps what it returns or raises."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error

    def join(self) -> Any:
        self._thread.join(GUARD)
        assert not self._thread.is_alive(), "it waits for ever"
        if self.error is not None:
            raise self.error
        return self.result


def double(n: int) -> int:
    return 2 * n


def call(tool: str, id: str = "c", **arguments: Any) -> Call:
    return Call(id, tool, arguments)


def pure(function: Callable[..., Any], name: str) -> Tool:
    return Tool(function, name=name, effects="pure")


def in_caller(function: Callable[..., Any]) -> Tool:
    """It writes, so that it does not run before its message has committed."""
    return Tool(function, effects={"thread": "caller", "writes": function.__name__})


def wait_until_waiting(session: BlockingSession, count: int) -> None:
    """Return when so many other threads wait for this session."""
    while len(session._waits) < count:
        session._do(int)


def commit_and_wait(session: BlockingSession, tool: str) -> tuple[Future, Callable[[], None]]:
    """A future, and what starts its call and waits for it."""
    message = session.message()
    future = message.seal(call(tool))

    def go() -> None:
        message.commit()
        session.wait(future)

    return future, go


# --- refusals -------------------------------------------------------------------------------------


def test_wrong_settings_are_refused_and_leave_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(DeclarationError):
        BlockingSession([double], effects={"other": "pure"})
    with pytest.raises(TypeError, match="no_such_setting"):
        BlockingSession([double], no_such_setting=1)
    assert threading.active_count() == before


def test_a_closed_session_takes_no_more_of_anything() -> None:
    session = BlockingSession([double])
    message = session.message()
    (answer,) = session.submit([call("double", n=1)])
    session.wait(answer.future)
    session.close()
    uses: list[Callable[[], object]] = [
        lambda: session.submit([]),
        session.message,
        session.await_future,
        session.finish,
        lambda: session.wait(answer.future),
        lambda: session.cancel(answer.future),
        lambda: session.sampling().__enter__(),
        lambda: message.seal(call("double", n=1)),
        message.commit,
        message.withdraw,
        message.answers,
    ]
    for use in uses:
        with pytest.raises(SessionClosed, match="closed"):
            use()
    assert answer.future.result() == 2


def test_close_again_says_the_same_again() -> None:
    session = BlockingSession([double])
    session.submit([call("double", n=n) for n in range(3)])
    session.finish()
    finished = session.close()
    assert (finished.settled, finished.left) == (3, ())
    assert session.close() is session.close(timeout=0) is finished


def test_what_session_refuses_is_raised_in_the_calling_thread() -> None:
    with BlockingSession([double]) as session:
        with pytest.raises(UnknownHandle):
            session.cancel("$abc1_1")
        with pytest.raises(UnknownHandle):
            session.await_future(["$abc1_1"])
        message = session.message()
        with pytest.raises(TranscriptError, match="open"):
            message.answers()
        (answer,) = session.submit([call("double")])
        assert isinstance(session.wait(answer.future), Failure)


def test_a_future_does_not_block_by_itself() -> None:
    gate = Gate()
    with BlockingSession([Tool(gate, name="gate")]) as session:
        (answer,) = session.submit([call("gate")])
        with pytest.raises(NotSettled):
            answer.future.result()
        gate.opened.set()
        assert isinstance(session.wait(answer.future), Value)
        assert answer.future.result() == "through"


def test_use_on_the_sessions_own_loop_is_refused_instead_of_waiting_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nested() -> Any:
        return session.submit([call("double", n=1)])

    def listen(event: Any) -> None:
        if event.kind == "settled":
            session.cancel("$abc1_1")

    with BlockingSession([double, nested], on_event=listen) as session:
        (answer,) = session.submit([call("nested")])
        session.wait(answer.future)
        with pytest.raises(RuntimeError, match="own loop"):
            answer.future.result()
        (answer,) = session.submit([call("double", n=2)])
        session.wait(answer.future)
        assert answer.future.result() == 4
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# --- the same as the session ----------------------------------------------------------------------


def test_a_conversation() -> None:
    gate = Gate()
    with BlockingSession([double, pure(gate, "gate")], id="talk") as session:
        (first,) = session.submit([call("gate", id="a")])
        assert str(first.future.handle) in first.text
        (second,) = session.submit([Call("b", "double", f'{{"n": "{first.future.handle}"}}')])
        with session.sampling() as deliveries:
            assert deliveries == []
        assert session.await_future([first.future], timeout=0) == Awaited([], [first.future], [])
        gate.opened.set()
        awaited = session.await_future(str(second.future.handle))
        assert [delivery.text.splitlines()[-1] for delivery in awaited.settled] == ["throughthrough"]
        session.finish()
        with session.sampling() as deliveries:
            assert [delivery.future for delivery in deliveries if isinstance(delivery, Delivery)] == [
                first.future
            ]
        assert first.future.seen
        assert second.future.seen


def test_within_grace_values_and_errors_are_the_tools_own() -> None:
    own = [1]

    def give() -> list[int]:
        return own

    with BlockingSession([give, double], grace=GUARD) as session:
        assert session.submit([call("give")])[0].value is own
        assert isinstance(session.submit([call("double")])[0].error, Exception)


def test_deliveries_of_a_request_that_fails_come_again() -> None:
    def request() -> None:
        with session.sampling() as deliveries:
            first.extend(deliveries)
            raise OSError("503")

    first: list[Delivery | Note] = []
    with BlockingSession([double]) as session:
        (answer,) = session.submit([call("double", n=4)])
        session.finish()
        with pytest.raises(OSError, match="503"):
            request()
        assert len(first) == 1
        assert not answer.future.seen
        with session.sampling() as second:
            assert second == first
        assert answer.future.seen


def test_the_blocks_own_error_is_not_hidden_by_a_session_closed_meanwhile() -> None:
    def request(error: Exception | None) -> None:
        session = BlockingSession([double])
        with session.sampling():
            session.close()
            if error is not None:
                raise error

    with pytest.raises(OSError, match="503"):
        request(OSError("503"))
    with pytest.raises(SessionClosed):
        request(None)


def test_messages_are_sealed_committed_and_withdrawn() -> None:
    with BlockingSession([Tool(double, effects={"writes": "a"})]) as session:
        broken, whole = session.message(), session.message()
        dropped = broken.seal(call("double", n=1))
        kept = whole.seal(call("double", n=2))
        broken.withdraw("the stream broke")
        assert dropped.outcome == Cancelled("the stream broke")
        assert whole.commit() == [kept]
        (answer,) = whole.answers()
        assert answer.future is kept
        session.wait(kept)
        assert kept.result() == 4


def test_calls_are_cancelled_by_future_and_by_handle() -> None:
    gate = Gate()
    with BlockingSession([Tool(gate, name="gate"), double]) as session:
        running, waiting, other = session.submit([call("gate"), call("double", n=1), call("double", n=2)])
        assert gate.begun.wait(GUARD)
        assert not session.cancel(running.future)
        assert session.cancel(waiting.future)
        assert session.cancel(str(other.future.handle))
        with pytest.raises(CallCancelled):
            waiting.future.result()
        assert session.finish(timeout=0).left == (running.future,)
        gate.opened.set()
        assert session.finish().left == ()


def test_what_is_posted_from_another_thread_ends_an_await_and_is_delivered() -> None:
    gate = Gate()
    with BlockingSession([Tool(gate, name="gate")]) as session:
        (answer,) = session.submit([call("gate")])
        waiting = Background(session.await_future)
        wait_until_waiting(session, 1)
        session.post("stop it", "Ann")
        awaited = waiting.join()
        assert awaited.pending == [answer.future]
        assert [note.text for note in awaited.notes] == ["Ann says:\nstop it"]
        gate.opened.set()


def test_a_message_submitted_again_is_answered_from_its_calls_of_then() -> None:
    with BlockingSession([double]) as session:
        (first,) = session.submit([call("double", n=1)], message_id="m1")
        (again,) = session.submit([call("double", n=1)], message_id="m1")
        assert again.future is first.future


def test_a_quarantined_call_is_released() -> None:
    gate = Gate()
    tools = [Tool(gate, name="gate", effects={"writes": "a", "timeout": 0.01, "abandon_after": 0.01})]
    with BlockingSession([*tools, pure(double, "double")]) as session:
        (hung,) = session.submit([call("gate")])
        session.wait(hung.future)
        assert not session.release(session.submit([call("double", n=1)])[0].future)
        while not session.release(hung.future):  # its time to end has not passed yet
            session.await_future(timeout=0.001)
        assert not session.release(hung.future)
        gate.opened.set()


def test_calls_may_come_from_a_generator_that_belongs_to_the_callers_thread() -> None:
    places = []

    def calls() -> Iterator[Call]:
        places.append(threading.current_thread())
        yield call("double", n=1)

    with BlockingSession([double]) as session:
        assert len(session.submit(calls())) == 1
    assert places == [threading.current_thread()]


def test_context_variables_are_those_of_the_caller() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def sync() -> str:
        return variable.get()

    async def on_loop() -> str:
        return variable.get()

    def read() -> str:
        return variable.get()

    with BlockingSession([sync, on_loop, in_caller(read)]) as session:
        variable.set("mine")
        answers = session.submit([call("sync"), call("on_loop"), call("read")])
        message = session.message()
        answers += [Answer("m", "", None, None, message.seal(call("sync")), 0)]
        variable.set("changed")
        message.commit()
        session.finish()
        assert [answer.future.result() for answer in answers] == ["mine"] * 4


def test_it_works_inside_a_running_loop() -> None:
    async def notebook() -> Any:
        async def fetch(n: int) -> int:
            await asyncio.sleep(0)
            return n

        with BlockingSession([fetch, in_caller(double)]) as session:
            (answer,) = session.submit([call("fetch", n=1)])
            (twice,) = session.submit([call("double", n=answer.future)])
            session.finish()
            return twice.future.result()

    assert asyncio.run(notebook()) == 2


# --- the caller's thread --------------------------------------------------------------------------


def test_a_caller_tool_uses_what_belongs_to_the_callers_thread() -> None:
    database = sqlite3.connect(":memory:")  # refuses every other thread
    database.execute("create table t (n)")

    def insert(n: int) -> int:
        database.execute("insert into t values (?)", (n,))
        return int(database.execute("select sum(n) from t").fetchone()[0])

    with BlockingSession(
        [Tool(insert, effects={"thread": "caller", "writes": "db"})], grace=GUARD
    ) as session:
        assert [answer.value for answer in session.submit([call("insert", n=n) for n in (1, 2)])] == [1, 3]
    with BlockingSession([insert], grace=GUARD) as session:
        assert isinstance(session.submit([call("insert", n=1)])[0].error, sqlite3.ProgrammingError)
    database.close()


@pytest.mark.parametrize("wait", ["submit", "await_future", "wait", "finish"])
def test_caller_tools_run_in_whatever_blocking_call_the_caller_is(wait: str) -> None:
    places = []

    def note() -> None:
        places.append(threading.current_thread())

    with BlockingSession([in_caller(note), double]) as session:
        (answer,) = session.submit([call("note")])
        waits: dict[str, Callable[[], object]] = {
            "submit": lambda: [session.submit([call("double", n=1)]), session.await_future()],
            "await_future": session.await_future,
            "wait": lambda: session.wait(answer.future),
            "finish": session.finish,
        }
        waits[wait]()
        assert answer.future.settled
    assert places == [threading.current_thread()]


@pytest.mark.parametrize("processes", [False, True])
def test_caller_tools_run_in_the_callers_thread_from_inside_one_another_whatever_the_executor(
    processes: bool,
) -> None:
    places: list[str] = []

    def note() -> None:
        places.append(threading.current_thread().name)

    def outer() -> None:
        session.wait(session.submit([Call("2", "note", {})])[0].future)

    given: dict[str, Any] = {"executor": ProcessExecutor(MemoryStore(), max_workers=1)} if processes else {}
    around = Tool(outer, effects={"thread": "caller", "writes": ["outer", "note"]})
    with BlockingSession([in_caller(note), around], **given) as session:
        session.wait(session.submit([Call("1", "note", {})])[0].future)
        session.wait(session.submit([Call("3", "outer", {})])[0].future)
    assert places == [threading.current_thread().name] * 2


def test_a_caller_tool_waits_until_somebody_waits() -> None:
    gate, places = Gate(), []

    def note(after: str) -> None:
        places.append(threading.current_thread())

    with BlockingSession([pure(gate, "gate"), in_caller(note)]) as session:
        _, answer = session.submit([call("gate"), call("note", after="$this_1")])
        gate.opened.set()
        while not session._caller._jobs:
            assert not answer.future.settled
        assert places == []
        session.wait(answer.future)
        assert places == [threading.current_thread()]


def test_a_caller_tool_may_use_the_session_itself() -> None:
    def outer() -> Any:
        (answer,) = session.submit([call("double", n=3)])
        session.wait(answer.future)
        return answer.future.result()

    with BlockingSession([in_caller(outer), pure(double, "double")]) as session:
        (answer,) = session.submit([call("outer")])
        assert isinstance(session.wait(answer.future), Value)
        assert answer.future.result() == 6


@pytest.mark.parametrize("kind", [ValueError, GeneratorExit, StopIteration, asyncio.CancelledError])
def test_what_a_caller_tool_raises_is_its_failure(kind: type[BaseException]) -> None:
    def bad() -> None:
        raise kind("no")

    with BlockingSession([in_caller(bad)], grace=GUARD) as session:
        assert isinstance(session.submit([call("bad")])[0].error, kind)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_caller_tool_is_recorded_and_raised_and_the_session_goes_on(
    kind: type[BaseException],
) -> None:
    def bad() -> None:
        raise kind("stop")

    with BlockingSession([in_caller(bad), double]) as session:
        future, go = commit_and_wait(session, "bad")
        with pytest.raises(kind, match="stop"):
            go()
        assert isinstance(session.wait(future), Failure)
        with pytest.raises(kind, match="stop"):
            future.result()
        (answer,) = session.submit([call("double", n=1)])
        session.wait(answer.future)
        assert answer.future.result() == 2
        assert session.finish().left == ()


def test_ctrl_c_while_a_caller_tool_runs_propagates_and_the_session_can_be_closed() -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    session = BlockingSession([in_caller(interrupted)])
    future, go = commit_and_wait(session, "interrupted")
    with pytest.raises(KeyboardInterrupt):
        go()
    assert session.finish().left == ()
    assert isinstance(future.outcome, Failure)
    assert isinstance(future.outcome.error, KeyboardInterrupt)
    assert session.close().left == ()


def test_ctrl_c_while_the_caller_only_waits_propagates_and_the_call_goes_on() -> None:
    gate, main = Gate(), threading.get_ident()

    def interrupt_and_wait() -> str:
        while sys._current_frames()[main].f_code is not Mailbox._run_one.__code__:
            pass
        signal.pthread_kill(main, signal.SIGINT)
        return gate()

    with BlockingSession([Tool(interrupt_and_wait)]) as session:
        future, go = commit_and_wait(session, "interrupt_and_wait")
        with pytest.raises(KeyboardInterrupt):
            go()
        gate.opened.set()
        session.wait(future)
        assert future.result() == "through"


def test_ctrl_c_in_a_grace_leaves_the_calls_in_the_session() -> None:
    gate = Gate()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with BlockingSession([pure(gate, "gate"), in_caller(interrupted)], grace=GUARD) as session:
        with pytest.raises(KeyboardInterrupt):
            session.submit([call("gate"), call("interrupted")])
        gate.opened.set()
        assert session.finish().settled == 2


# --- several threads ------------------------------------------------------------------------------


def test_several_threads_wait_and_each_hears_of_its_own() -> None:
    gates = [Gate() for _ in range(4)]
    tools = [pure(gate, f"gate{n}") for n, gate in enumerate(gates)]
    with BlockingSession(tools) as session:
        answers = session.submit([call(made.name) for made in tools])
        waits = [Background(lambda f=answer.future: session.wait(f)) for answer in answers]  # type: ignore[misc]
        wait_until_waiting(session, len(waits))
        for n in (2, 0, 3, 1):
            gates[n].opened.set()
            assert waits[n].join() is answers[n].future.outcome


def test_a_job_for_the_caller_is_done_by_a_thread_that_waits_even_if_another_leaves() -> None:
    gate, ran = Gate(), []

    def note() -> None:
        ran.append(threading.current_thread())

    with BlockingSession([pure(gate, "gate"), in_caller(note)]) as session:
        (first,) = session.submit([call("gate")])
        waiting = Background(lambda: session.wait(first.future))
        wait_until_waiting(session, 1)
        (second,) = session.submit([call("note")])  # this thread may leave before it could run it
        while not second.future.settled:
            session.await_future([second.future])
        gate.opened.set()
        waiting.join()
        assert len(ran) == 1


def test_every_waiting_thread_hears_of_a_job_so_that_none_can_swallow_it() -> None:
    caller, done = Mailbox(), concurrent.futures.Future[None]()
    caller._bells.update(SimpleQueue() for _ in range(20))  # of threads that are about to leave
    waiting = Background(lambda: caller.run_until(done))
    while len(caller._bells) <= 20:
        pass
    caller.submit(lambda: done.set_result(None))
    waiting.join()
    assert len(caller._bells) == 20


def test_many_threads_submit_at_once_and_every_call_is_answered_once() -> None:
    with BlockingSession([pure(double, "double"), in_caller(count_up)]) as session:

        def converse(start: int) -> list[Any]:
            futures: list[Future] = []
            for n in range(start, start + 10):
                answers = session.submit([call("double", n=n), call("count_up", n=n)])
                futures += [answer.future for answer in answers]
            session.await_future(futures)
            return [future.result() for future in futures]

        threads = [Background(lambda s=start: converse(s)) for start in (0, 100, 200)]  # type: ignore[misc]
        for start, thread in zip((0, 100, 200), threads, strict=True):
            assert thread.join() == [m for n in range(start, start + 10) for m in (2 * n, n + 1)]
        assert session.finish().settled == 60


def count_up(n: int) -> int:
    return n + 1


def test_closing_ends_the_waits_of_other_threads() -> None:
    gate = Gate()
    session = BlockingSession([Tool(gate, name="gate"), double])
    hung, waiting = session.submit([call("gate"), call("double", n=1)])
    assert gate.begun.wait(GUARD)
    waits = [
        Background(lambda: session.wait(hung.future)),
        Background(lambda: session.await_future([waiting.future])),
        Background(session.finish),
    ]
    wait_until_waiting(session, len(waits))
    assert session.close(timeout=0.01).left == (hung.future,)
    assert isinstance(waits[0].join(), Cancelled)
    assert isinstance(waits[1].join().settled[0], Delivery)
    with pytest.raises(SessionClosed):  # the work that it waits for goes on
        waits[2].join()
    gate.opened.set()


def test_two_threads_that_close_get_the_same_answer() -> None:
    gate = Gate()
    session = BlockingSession([Tool(gate, name="gate")])
    session.submit([call("gate")])
    assert gate.begun.wait(GUARD)
    closes = [Background(session.close) for _ in range(3)]
    gate.opened.set()
    first, *others = [close.join() for close in closes]
    assert (first.settled, first.left) == (1, ())
    assert all(other is first for other in others)


# --- the end --------------------------------------------------------------------------------------


def test_no_thread_of_any_kind_is_left_after_closing() -> None:
    before = set(threading.enumerate())
    with BlockingSession([double, pure(double, "pool"), in_caller(count_up)]) as session:
        session.submit([call(tool, n=1) for tool in ("double", "pool", "count_up")])
        session.finish()
        started = set(threading.enumerate()) - before
        assert {thread.name.rpartition("-")[0] for thread in started} >= {"asyncfc-worker", "asyncfc-pool"}
    for thread in started:
        thread.join(GUARD)
        assert not thread.is_alive()


def test_an_error_in_the_block_closes_the_session_and_passes_through() -> None:
    session = BlockingSession([double])
    futures = []

    def converse() -> None:
        with session:
            futures.append(session.submit([call("double", n=1)])[0].future)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        converse()
    assert futures[0].settled
    with pytest.raises(SessionClosed):
        session.submit([])


def test_async_tools_are_cancelled_and_clean_up_before_the_loop_ends() -> None:
    steps = []

    async def serve() -> None:
        steps.append("begun")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned")

    with BlockingSession([serve]) as session:
        (answer,) = session.submit([call("serve")])
        assert session.await_future(timeout=0).pending == [answer.future]
    assert steps == ["begun", "cleaned"]
    assert isinstance(answer.future.outcome, Cancelled)


# --- coroutines on the session's loop -----------------------------------------------------------------


def test_run_raises_what_the_coroutine_raises() -> None:
    async def fail(what: str) -> None:
        raise LookupError(what)

    with BlockingSession([]) as session, pytest.raises(LookupError, match="gone"):
        session.run(fail, "gone")


def test_run_is_refused_on_the_loop_itself_and_after_the_end() -> None:
    async def nothing() -> None: ...

    async def inside() -> None:
        session.run(nothing)

    with BlockingSession([]) as session, pytest.raises(RuntimeError, match="on its own loop"):
        session.run(inside)
    with pytest.raises(SessionClosed):
        session.run(nothing)


def test_a_coroutine_that_waits_for_ever_ends_with_the_session() -> None:
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    with BlockingSession([]) as session:
        waiting = Background(lambda: session.run(wait))
        assert begun.wait(GUARD)
    with pytest.raises(SessionClosed):
        waiting.join()


def test_run_drives_the_inner_session_while_this_thread_runs_callers_tools() -> None:
    def where() -> int:
        return threading.get_ident()

    async def ask(times: int) -> list[int]:
        answers = await session.inner.submit([Call(f"c{n}", "where", {}) for n in range(times)])
        return [await answer.future for answer in answers]

    with BlockingSession([in_caller(where)]) as session:
        assert session.run(ask, 3) == [threading.get_ident()] * 3


def test_what_is_owed_mentioned_and_filled_in_is_that_of_the_inner_session() -> None:
    gate = Gate()
    with BlockingSession([Tool(gate, name="gate", effects="pure")]) as session:
        (answer,) = session.submit([Call("c", "gate", {})])
        future, text = answer.future, f"It went {answer.future}."
        assert session.owed == session.handles.mentioned(text) == [future]
        assert "is not available: it is still running" in session.handles.fill(text)
        session.wait_for([future], timeout=0)
        assert not future.settled
        gate.opened.set()
        session.wait_for(session.owed)
        assert session.handles.fill(text) == "It went through."
        assert session.owed == [future]
        session.await_future()
        assert session.owed == []


def test_a_message_can_be_answered_without_holding() -> None:
    gate = Gate()
    with BlockingSession([Tool(gate, name="gate", effects="pure")], grace=GUARD) as session:
        message = session.message()
        message.seal(Call("c", "gate", {}))
        message.commit()
        (answer,) = message.answers(hold=False)
        assert (answer.future.settled, answer.held_s) == (False, 0)
        gate.opened.set()
