from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import pytest

from asyncfc import (
    BadArguments,
    Call,
    Cancelled,
    DeclarationError,
    Failure,
    NotTransferable,
    ProjectionError,
    Session,
    Tool,
    ToolFailed,
    ToolTimeout,
    WorkerLost,
)
from asyncfc.execution.executors import LocalExecutor, Running, Work
from asyncfc.execution.processes import ProcessExecutor
from asyncfc.futures.outcome import Outcome
from asyncfc.futures.store import MemoryStore
from tests.execution import process_tools as tools

ROOT = Path(__file__).parents[2]
GUARD_S = 60.0
"""No test waits for time to pass; one that hangs fails after this."""

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    async def guarded() -> T:
        return await asyncio.wait_for(story, GUARD_S)

    return asyncio.run(guarded())


@pytest.fixture(scope="module")
def shared() -> Iterator[ProcessExecutor]:
    """For the tests that leave its processes alive."""
    executor = ProcessExecutor(MemoryStore(), max_workers=1)
    yield executor
    executor.close()


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(MemoryStore(), max_workers=2)
    yield executor
    executor.close()


class Guest(NamedTuple):
    """A tool that has come to a meeting, and waits for a word."""

    pid: int
    writer: asyncio.StreamWriter

    def release(self, word: str = "") -> None:
        self.writer.write(f"{word}\n".encode())
        self.writer.close()


class Meeting(NamedTuple):
    port: int
    guests: asyncio.Queue[Guest]


@asynccontextmanager
async def meeting() -> AsyncIterator[Meeting]:
    guests: asyncio.Queue[Guest] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        guests.put_nowait(Guest(int(await reader.readline()), writer))

    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    try:
        yield Meeting(server.sockets[0].getsockname()[1], guests)
    finally:
        server.close()
        for writer in writers:
            writer.close()


def start(executor: ProcessExecutor, tool: Tool, **arguments: Any) -> Running:
    return executor.start(Work(tool, arguments, copy_context()))


async def ended(running: Running) -> Outcome:
    outcome = (await running.ended).outcome
    assert running.outcome.done()
    return outcome


async def failure(running: Running) -> BaseException:
    outcome = await ended(running)
    assert isinstance(outcome, Failure), outcome
    return outcome.error


def value(executor: ProcessExecutor, tool: Tool, **arguments: Any) -> Any:
    async def story() -> Any:
        return (await ended(start(executor, tool, **arguments))).unwrap()

    return run(story())


def error(executor: ProcessExecutor, tool: Tool, **arguments: Any) -> BaseException:
    async def story() -> BaseException:
        return await failure(start(executor, tool, **arguments))

    return run(story())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes() -> set[int | None]:
    """The children of this process that live."""
    return {process.pid for process in multiprocessing.active_children()}


def call(number: int, tool: str, **arguments: Any) -> Call:
    return Call(f"c{number}", tool, json.dumps(arguments))


# --- a process dies -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_process_fails_the_call_that_it_ran_and_no_other(executor: ProcessExecutor) -> None:
    async def story() -> None:
        async with meeting() as met:
            running = [start(executor, tools.meet, port=met.port) for _ in range(2)]
            queued = start(executor, tools.where)
            killed, other = await met.guests.get(), await met.guests.get()
            os.kill(killed.pid, signal.SIGKILL)
            await asyncio.wait([each.ended for each in running], return_when=asyncio.FIRST_COMPLETED)
            ((lost,), (alive,)) = ([r for r in running if r.ended.done() is done] for done in (True, False))
            problem = await failure(lost)
            assert isinstance(problem, WorkerLost)
            assert str(problem) == (
                "meet may or may not have taken effect: its worker process died while it ran (SIGKILL)"
            )
            assert not is_there(killed.pid)
            assert (await ended(queued)).unwrap() not in (killed.pid, other.pid, os.getpid())
            other.release("still here")
            assert (await ended(alive)).unwrap() == "still here"

    run(story())


@pytest.mark.slow
def test_after_a_process_has_died_the_next_call_gets_a_new_one(executor: ProcessExecutor) -> None:
    for code in (3, 4):
        lost = error(executor, tools.leave, code=code)
        assert isinstance(lost, WorkerLost)
        assert f"exit code {code}" in str(lost)
    assert value(executor, tools.where) != os.getpid()


@pytest.mark.slow
def test_a_process_that_dies_while_it_is_idle_costs_no_call(executor: ProcessExecutor) -> None:
    pid = value(executor, tools.where)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert value(executor, tools.where) not in (pid, os.getpid())


@pytest.mark.slow
def test_claims_are_released_once_the_process_is_dead(executor: ProcessExecutor, tmp_path: Path) -> None:
    path = str(tmp_path / "a")

    async def story() -> None:
        async with (
            meeting() as met,
            Session([tools.meet_and_append, tools.append], executor=executor) as session,
        ):
            lost, later = await session.submit(
                [
                    call(1, "meet_and_append", port=met.port, path=path, text="never"),
                    call(2, "append", path=path, text="later"),
                ]
            )
            guest = await met.guests.get()
            os.kill(guest.pid, signal.SIGKILL)
            with pytest.raises(WorkerLost):
                await lost.future
            assert not is_there(guest.pid)
            assert await later.future == "later;"

    run(story())


@pytest.mark.slow
def test_a_worker_that_lost_its_pipe_but_lives_is_stopped_before_the_call_ends(
    executor: ProcessExecutor,
) -> None:
    before = processes()
    assert isinstance(error(executor, tools.hang_without_pipe), WorkerLost)
    assert processes() == before


@pytest.mark.slow
def test_a_child_that_survives_its_worker_does_not_hide_the_worker_s_death(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfc.execution.worker.LOOK_AGAIN_S", 0.01)

    async def story() -> None:
        async with meeting() as met:
            lost = start(executor, tools.leave_a_child, port=met.port)
            child = await met.guests.get()
            assert isinstance(await failure(lost), WorkerLost)
            child.release()

    run(story())


@pytest.mark.slow
def test_a_process_that_dies_before_it_is_ready_has_not_run_the_call(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfc.execution.worker.serve", tools.leave_at_once)
    lost = error(executor, tools.where)
    assert isinstance(lost, WorkerLost)
    assert str(lost).startswith(
        "where did not run: its worker process died before it was ready (exit code 7; the reason is on"
    )


def test_a_system_that_gives_no_process_fails_the_call(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise BlockingIOError(11, "try again")

    monkeypatch.setattr("asyncfc.execution.worker_pool.Worker", refuse)
    lost = error(executor, tools.where)
    assert isinstance(lost, WorkerLost)
    assert str(lost) == "where did not run: a worker process cannot start: [Errno 11] try again"


def test_a_system_that_gives_no_thread_fails_the_call(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def story() -> None:
        running = start(executor, tools.where)
        assert str(await failure(running)) == "can't start new thread"
        assert not running.cancel()

    monkeypatch.setattr("threading.Thread.start", refuse)
    run(story())


# --- what cannot cross --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "reason"),
    [("lock", "cannot pickle"), ("coroutine", "cannot pickle"), ("unreadable", "ValueError")],
)
def test_a_result_that_cannot_cross_fails_its_call(shared: ProcessExecutor, what: str, reason: str) -> None:
    refused = error(shared, tools.give, what=what)
    assert isinstance(refused, NotTransferable)
    assert str(refused).startswith("give has run, but ")
    assert reason in str(refused)
    assert "thread='pool'" in str(refused)


def test_a_result_that_cannot_be_pickled_crosses_in_its_json_form(shared: ProcessExecutor) -> None:
    assert value(shared, tools.give, what="keys") == ["a", "b"]


def test_a_returned_generator_gives_the_list_of_its_items(shared: ProcessExecutor) -> None:
    assert value(shared, tools.give, what="generator") == [1, 2]


def test_a_result_without_a_projection_fails_as_it_does_in_this_process(shared: ProcessExecutor) -> None:
    assert isinstance(error(shared, tools.give, what="cycle"), ProjectionError)


@pytest.mark.parametrize("thing", [threading.Lock(), lambda: None], ids=["lock", "function"])
def test_an_argument_that_cannot_be_pickled_fails_its_call(shared: ProcessExecutor, thing: object) -> None:
    refused = error(shared, tools.take, thing=thing)
    assert isinstance(refused, NotTransferable)
    kind = type(thing).__name__
    assert f"take did not run: its argument 'thing', of type {kind}, cannot be pickled" in str(refused)


def test_an_argument_that_cannot_be_read_back_fails_its_call(shared: ProcessExecutor) -> None:
    refused = error(shared, tools.take, thing=tools.Unreadable())
    assert isinstance(refused, NotTransferable)
    assert "take did not run: its argument 'thing' cannot be read in a worker process" in str(refused)


def test_a_module_that_a_worker_cannot_import_fails_the_call(
    shared: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("only_here")
    exec("def lonely() -> int:\n    return 1", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    refused = error(shared, Tool(module.lonely, effects="pure"))
    assert isinstance(refused, NotTransferable)
    assert "lonely did not run: a worker process cannot import 'lonely' from 'only_here'" in str(refused)


@pytest.mark.slow
def test_a_call_whose_artifact_cannot_be_pickled_fails_alone(executor: ProcessExecutor) -> None:
    async def story() -> None:
        async with Session([tools.make_lock, tools.take, tools.where], executor=executor) as session:
            made, taken, healthy = await session.submit(
                [call(1, "make_lock"), call(2, "take", thing="$this_1"), call(3, "where")]
            )
            with pytest.raises(NotTransferable, match="its argument 'thing', of type lock"):
                await taken.future
            assert type(await made.future).__name__ == "lock"
            assert await healthy.future != os.getpid()

    run(story())


# --- exceptions ---------------------------------------------------------------------------------------


def test_an_exception_comes_back_as_itself(shared: ProcessExecutor) -> None:
    own = error(shared, tools.fail, how="own")
    assert isinstance(own, tools.OwnError)
    assert (str(own), own.args, own.code) == ("code 5", ("code 5",), 5)
    missing = error(shared, tools.fail, how="os")
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.filename) == (2, "a.txt")
    assert str(missing) == "[Errno 2] No such file: 'a.txt'"


def test_an_exception_carries_the_traceback_of_the_worker(shared: ProcessExecutor) -> None:
    (note,) = error(shared, tools.fail, how="own").__notes__
    assert note.startswith(f"In worker process {value(shared, tools.where)}:\nTraceback")
    assert note.count("File ") == 1  # the tool's own frame, and none of ours
    assert "in fail\n" in note


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("two parts", f"{tools.__name__}.TwoPartError: one and two"),
        ("locked", "builtins.ValueError: ('holds a lock', <unlocked _thread.lock object"),
        ("hostile", f"{tools.__name__}.HostileError: "),
        ("disguised", f"{tools.__name__}.DisguisedError: ordinary text"),
    ],
)
def test_an_exception_that_cannot_cross_is_named(shared: ProcessExecutor, how: str, named: str) -> None:
    failed = error(shared, tools.fail, how=how)
    assert isinstance(failed, ToolFailed)
    assert str(failed).startswith(f"fail raised {named}")


@pytest.mark.parametrize(
    ("how", "kind"),
    [("interrupt", KeyboardInterrupt), ("exit", SystemExit), ("generator exit", GeneratorExit)],
)
def test_an_interrupt_that_a_tool_raises_is_the_failure_of_its_call_alone(
    shared: ProcessExecutor, how: str, kind: type[BaseException]
) -> None:
    pid = value(shared, tools.where)
    assert type(error(shared, tools.fail, how=how)) is kind
    assert value(shared, tools.where) == pid


def test_ctrl_c_interrupts_the_tool_that_runs_and_leaves_its_process(shared: ProcessExecutor) -> None:
    async def story() -> None:
        async with meeting() as met:
            running = start(shared, tools.meet, port=met.port)
            guest = await met.guests.get()
            os.kill(guest.pid, signal.SIGINT)
            assert isinstance(await failure(running), KeyboardInterrupt)
            os.kill(guest.pid, signal.SIGINT)  # it is idle now
            assert (await ended(start(shared, tools.where))).unwrap() == guest.pid

    run(story())


# --- which tools go where -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [tools.where_plain, tools.Place.where_static, os.getpid],
    ids=["function", "static method", "built-in"],
)
def test_a_function_that_can_be_imported_runs_in_another_process(
    shared: ProcessExecutor, function: Callable[..., Any]
) -> None:
    assert value(shared, Tool(function, effects="pure")) != os.getpid()


def test_a_decorated_function_is_found_behind_its_tool(shared: ProcessExecutor) -> None:
    assert value(shared, tools.where) != os.getpid()
    assert value(shared, tools.where.with_effects("read").with_name("other")) != os.getpid()


@pytest.mark.parametrize(
    "function",
    [
        tools.Place().where,
        tools.Place(),
        tools.closure(),
        lambda _=0: os.getpid(),
        partial(tools.where_plain, 3),
    ],
    ids=["bound method", "object", "closure", "lambda", "partial"],
)
def test_a_function_with_state_of_its_own_stays_in_this_process_with_one_warning(
    shared: ProcessExecutor, function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    tool = Tool(function, name="f", effects="pure")
    with caplog.at_level(logging.WARNING, "asyncfc"):
        assert [value(shared, tool), value(shared, tool)] == [os.getpid()] * 2
    (record,) = caplog.records
    assert record.getMessage() == (
        "<Tool 'f'> runs in the fallback executor, because no worker process can import its function by "
        "name; declare thread='pool' to say that this is meant"
    )


@pytest.mark.parametrize(
    ("function", "effects", "expected"),
    [
        (tools.where_async, "pure", os.getpid()),
        (tools.where_plain, None, os.getpid()),
        (tools.where_item_by_item, "pure", [os.getpid()]),
        *((tools.where_plain, {"thread": thread}, os.getpid()) for thread in ("worker", "pool", "caller")),
    ],
    ids=["async", "undeclared", "stream", "worker", "pool", "caller"],
)
def test_everything_else_stays_in_this_process_without_a_warning(
    shared: ProcessExecutor,
    function: Callable[..., Any],
    effects: Any,
    expected: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert value(shared, Tool(function, effects=effects)) == expected
    assert caplog.records == []


def test_a_function_of_an_interactive_main_module_stays_in_this_process(
    shared: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    exec("import os\ndef typed_in() -> int:\n    return os.getpid()", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert value(shared, Tool(main.typed_in, effects="pure")) == os.getpid()


def test_a_fallback_can_be_given_and_is_closed_too() -> None:
    class Fallback(LocalExecutor):
        log: list[str]

        def start(self, work: Work) -> Running:
            self.log.append(work.tool.name)
            return super().start(work)

        def close(self) -> None:
            self.log.append("closed")

    fallback = Fallback(MemoryStore())
    fallback.log = []
    executor = ProcessExecutor(MemoryStore(), fallback=fallback)
    assert value(executor, Tool(tools.where_async, effects="pure")) == os.getpid()
    executor.close()
    assert fallback.log == ["where_async", "closed"]


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "4"])
def test_the_number_of_processes_is_a_whole_number_of_at_least_one(size: Any) -> None:
    with pytest.raises(DeclarationError, match="max_workers must be a whole number of at least 1, not "):
        ProcessExecutor(MemoryStore(), max_workers=size)


def test_no_work_starts_while_a_worker_imports_the_main_module(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        start(executor, tools.where)

    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(DeclarationError, match="must not start its work again"):
        run(story())


# --- what crosses -------------------------------------------------------------------------------------


def test_parameters_that_validate_themselves_are_validated_before_the_call_goes_out(
    shared: ProcessExecutor,
) -> None:
    pid, kind, x = value(shared, tools.shift, point={"x": 1}, by=2)
    assert pid != os.getpid()
    assert (kind, x) == ("Point", 3)
    assert isinstance(error(shared, tools.shift, point={"x": "one"}, by=2), BadArguments)


def test_a_result_is_a_snapshot_and_state_stays_in_the_worker(shared: ProcessExecutor) -> None:
    async def story() -> list[Any]:
        outcomes = [await ended(start(shared, tools.remember, n=n)) for n in (1, 2)]
        return [outcome.unwrap() for outcome in outcomes]

    assert run(story()) == [[1], [1, 2]]
    assert tools.EVER_SEEN == []


def test_context_variables_do_not_cross(shared: ProcessExecutor) -> None:
    token = tools.VARIABLE.set("mine")
    try:
        assert value(shared, tools.variable) == "default"
    finally:
        tools.VARIABLE.reset(token)


def test_large_values_cross_in_both_directions(shared: ProcessExecutor) -> None:
    thing = {"text": "x" * 1_000_000, "odd": ["\ud800", float("inf"), None, 2**70]}
    assert value(shared, tools.echo, thing=thing) == thing


# --- in parallel, in order ----------------------------------------------------------------------------


@pytest.mark.slow
def test_as_many_calls_as_there_are_processes_run_at_the_same_time(executor: ProcessExecutor) -> None:
    async def story() -> None:
        async with meeting() as met:
            running = [start(executor, tools.meet, port=met.port) for _ in range(3)]
            first, second = await met.guests.get(), await met.guests.get()
            assert first.pid != second.pid
            assert met.guests.empty()
            first.release("a")
            third = await met.guests.get()
            assert third.pid == first.pid
            second.release("b")
            third.release("c")
            *words, last = [(await ended(each)).unwrap() for each in running]
            assert sorted(words) == ["a", "b"]
            assert last == "c"

    run(story())


@pytest.mark.slow
def test_a_session_gives_the_results_of_the_calls_one_after_the_other(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    calls = [call(2 * n + i, "append", path=path, text=n) for n in range(3) for i, path in enumerate((a, b))]
    calls.append(call(9, "append", path=b, text="$this_5"))  # which is the last one to `a`

    async def story() -> list[Any]:
        async with Session([tools.append], executor=executor, grace=GUARD_S) as session:
            return [answer.value for answer in await session.submit(calls)]

    results = run(story())
    assert results[0::2] == ["0;", "0;1;", "0;1;2;", "0;1;2;0;1;2;;"]
    assert results[1::2] == ["0;", "0;1;", "0;1;2;"]


# --- cancelling and timeouts --------------------------------------------------------------------------


def test_a_queued_call_can_be_cancelled_and_a_running_one_cannot(shared: ProcessExecutor) -> None:
    async def story() -> None:
        async with meeting() as met:
            running, queued = (start(shared, tools.meet, port=met.port) for _ in range(2))
            guest = await met.guests.get()
            assert not running.cancel()
            assert queued.cancel()
            assert not queued.cancel()
            assert await ended(queued) == Cancelled("cancelled before it began")
            guest.release("done")
            assert (await ended(running)).unwrap() == "done"
            assert not running.cancel()
            assert (await ended(start(shared, tools.where))).unwrap() == guest.pid
            assert met.guests.empty()

    run(story())


@pytest.mark.slow
def test_work_has_begun_when_a_process_takes_it() -> None:
    executor = ProcessExecutor(MemoryStore(), max_workers=1)
    begun: list[int] = []

    async def story() -> None:
        async with meeting() as met:
            running = [
                executor.start(Work(tools.meet, {"port": met.port}, copy_context(), partial(begun.append, n)))
                for n in (1, 2)
            ]
            first = await met.guests.get()
            assert begun == [1]
            first.release()
            await ended(running[0])
            second = await met.guests.get()
            assert begun == [1, 2]
            second.release()
            await ended(running[1])
            assert begun == [1, 2]

    try:
        run(story())
    finally:
        executor.close()


@pytest.mark.slow
def test_a_process_that_never_gets_ready_has_begun_nothing(
    executor: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfc.execution.worker.serve", tools.leave_at_once)
    begun: list[int] = []

    async def story() -> None:
        work = Work(tools.where, {}, copy_context(), partial(begun.append, 1))
        await failure(executor.start(work))

    run(story())
    assert begun == []


@pytest.mark.slow
def test_a_call_that_outlives_its_timeout_keeps_its_claims_until_it_ends(executor: ProcessExecutor) -> None:
    async def story() -> None:
        async with meeting() as met, Session([tools.meet_too_long], executor=executor) as session:
            (late,) = await session.submit([call(1, "meet_too_long", port=met.port)])
            guest = await met.guests.get()
            with pytest.raises(ToolTimeout):
                await late.future
            assert (await session.finish(timeout=0)).left == (late.future,)
            guest.release()
            assert (await session.finish()).left == ()

    run(story())


# --- the end ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_closing_ends_idle_processes_in_peace(
    executor: ProcessExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    before = processes()
    value(executor, tools.say, text="written but not flushed")
    assert processes() != before
    executor.close()
    assert processes() == before
    assert capfd.readouterr().out == "written but not flushed"


@pytest.mark.slow
@pytest.mark.parametrize("tool", [tools.meet, tools.meet_undisturbed], ids=["hanging", "ignoring SIGTERM"])
def test_closing_a_session_leaves_no_process_even_if_a_call_hangs(
    executor: ProcessExecutor, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfc.execution.worker_pool.CLOSE_S", 0.1)
    before = processes()

    async def story() -> None:
        async with meeting() as met:
            session = Session([tool], executor=executor)
            (answer,) = await session.submit([call(1, tool.name, port=met.port)])
            guest = await met.guests.get()
            assert (await session.close(timeout=0)).left == (answer.future,)
            assert not is_there(guest.pid)
            assert processes() == before

    run(story())


@pytest.mark.slow
def test_closing_fails_what_has_not_begun_and_what_cannot_end() -> None:
    executor = ProcessExecutor(MemoryStore(), max_workers=1)

    async def story() -> None:
        async with meeting() as met:
            running, queued = (start(executor, tools.meet, port=met.port) for _ in range(2))
            await met.guests.get()
            executor.close()
            assert "died while it ran (SIGTERM)" in str(await failure(running))
            assert str(await failure(queued)) == "meet did not run: its executor was closed"

    run(story())


@pytest.mark.slow
def test_closing_twice_does_no_harm_and_later_work_starts_anew(executor: ProcessExecutor) -> None:
    executor.close()
    pid = value(executor, tools.where)
    executor.close()
    executor.close()
    assert value(executor, tools.where) not in (pid, os.getpid())


# --- whole programs -----------------------------------------------------------------------------------

PROGRAM = """
import asyncio, os, signal, sys, threading
from asyncfc import Call, Session, tool
from asyncfc.execution.processes import ProcessExecutor
from asyncfc.futures.store import MemoryStore

print("imported", flush=True)
not_used = ProcessExecutor(MemoryStore())  # does no harm in a worker

@tool(pure=True)
def square(n):
    return n * n

@tool(pure=True)
def hang():
    print("hangs", flush=True)
    threading.Event().wait()

def session():
    return Session([square, hang], executor=ProcessExecutor(MemoryStore(), max_workers=1))

async def squared():
    async with session() as s:
        (answer,) = await s.submit([Call("c", "square", {"n": 3})])
        print(await answer.future.wait(), flush=True)

async def interrupted():
    s = session()
    await s.submit([Call("c", "hang", {})])
    try:
        await s.finish()
    finally:
        await s.close(timeout=0)

async def not_closed():
    s = session()
    await s.submit([Call("c", "hang", {})])
    await asyncio.to_thread(input)

async def killed():
    s = session()
    (answer,) = await s.submit([Call("c", "square", {"n": 3})])
    print(await answer.future, flush=True)
    await s.submit([Call("d", "square", {"n": 3})])
    os.kill(os.getpid(), signal.SIGKILL)

"""
GUARDED = 'if __name__ == "__main__":\n    asyncio.run(globals()[sys.argv[1]]())\n'


def program(path: Path, end: str, *arguments: str) -> subprocess.Popen[str]:
    file = path / "program.py"
    file.write_text(PROGRAM + end, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(file), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_tools_of_the_main_module_run_in_worker_processes(tmp_path: Path) -> None:
    done = program(tmp_path, GUARDED, "squared")
    out, problems = done.communicate(timeout=GUARD_S)
    assert out.splitlines() == ["imported", "imported", "JsonValue(9)"]
    assert (problems, done.returncode) == ("", 0)


@pytest.mark.slow
def test_a_main_module_that_is_not_guarded_is_told_so_and_does_not_work_twice(tmp_path: Path) -> None:
    out, problems = program(tmp_path, "asyncio.run(squared())").communicate(timeout=GUARD_S)
    *imported, outcome = out.splitlines()
    assert imported == ["imported", "imported"]
    assert "square did not run: its worker process died before it was ready" in outcome
    assert "DeclarationError: a worker process imports the main module" in problems


@pytest.mark.slow
def test_ctrl_c_ends_the_program_and_its_processes(tmp_path: Path) -> None:
    running = program(tmp_path, GUARDED, "interrupted")
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(3)] == ["imported\n", "imported\n", "hangs\n"]
    running.send_signal(signal.SIGINT)
    # The output ends when the last process that could write to it has ended.
    assert running.communicate(timeout=GUARD_S)[0] == ""
    assert running.returncode == -signal.SIGINT


@pytest.mark.slow
def test_a_session_that_was_not_closed_keeps_neither_the_program_nor_a_process_alive(tmp_path: Path) -> None:
    running = program(tmp_path, GUARDED, "not_closed")
    assert running.stdout is not None
    assert [running.stdout.readline() for _ in range(3)] == ["imported\n", "imported\n", "hangs\n"]
    assert running.communicate("go on\n", timeout=GUARD_S) == ("", "")
    assert running.returncode == 0


@pytest.mark.slow
def test_idle_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    running = program(tmp_path, GUARDED, "killed")
    out, _ = running.communicate(timeout=GUARD_S)
    assert out.splitlines() == ["imported", "imported", "9"]
    assert running.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_without_a_process_executor_multiprocessing_is_not_loaded() -> None:
    check = (
        "import asyncfc.session, asyncfc.execution.scheduler, sys; print('multiprocessing' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
