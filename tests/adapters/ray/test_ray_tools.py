"""Where tools run, and how their calls can be stopped."""

# ruff: noqa: ASYNC110, ASYNC240  # what workers do is seen in files alone
from __future__ import annotations

import asyncio
import copy
import logging
import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ray

from asyncfc import (
    Cancelled,
    DeclarationError,
    Failure,
    NotTransferable,
    ResourceQuarantined,
    Runtime,
    Session,
    Tool,
    ToolFailed,
    ToolTimeout,
    tool,
)
from asyncfc.adapters.ray import RayExecutor
from tests.adapters.ray import ray_tools as tools
from tests.adapters.ray.stories import call, gone, is_there, outcomes, run, session_of, there, values

LOCK = threading.Lock()


class Here:
    def where(self) -> int:
        return os.getpid()


def _closure() -> Any:
    state: list[int] = []

    def where_closed() -> int:
        state.append(1)
        return os.getpid()

    return where_closed


def _in_a_notebook() -> Any:
    """A function that no module has under its name, without state."""

    def where_inside() -> int:
        return os.getpid()

    return where_inside


async def _where_async() -> int:
    return os.getpid()


# --- where ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "effects", "options"),
    [
        (tools.where, None, None),
        (tools.where.function, "pure", None),
        (_in_a_notebook(), "pure", None),
        (_where_async, "pure", {"where": {"num_cpus": 0.5}}),
        (_closure(), "pure", {"wh*": {}}),
        (tools.where.function, {"pure": True, "thread": "pool"}, {"where": {}}),
    ],
)
def test_a_stateless_tool_or_one_with_options_runs_on_a_worker(
    function: Any, effects: Any, options: Any
) -> None:
    made = function if effects is None else Tool(function, name="where", effects=effects)

    async def story() -> None:
        async with session_of([made], RayExecutor(options=options)) as session:
            assert await values(session, call(1, "where")) != [os.getpid()]

    run(story())


@pytest.mark.parametrize(
    ("function", "effects", "warned"),
    [
        (_where_async, "pure", False),
        (tools.where.function, None, False),
        (tools.where.function, {"pure": True, "thread": "worker"}, False),
        (Here().where, "pure", True),
        (_closure(), "pure", True),
    ],
)
def test_everything_else_runs_here(
    function: Any, effects: Any, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    made = Tool(function, name="where", effects=effects)

    async def story() -> None:
        async with session_of([made], RayExecutor(options={"other": {}})) as session:
            assert await values(session, call(1, "where"), call(2, "where")) == [os.getpid()] * 2

    with caplog.at_level(logging.WARNING, "asyncfc"):
        run(story())
    assert len([record for record in caplog.records if "state of its own" in record.message]) == warned


def test_a_tool_gets_the_resources_that_it_asks_for() -> None:
    @tool(pure=True)
    def assigned() -> dict[str, float]:
        context: Any = ray.get_runtime_context()
        return dict(context.get_assigned_resources())

    async def story() -> None:
        renamed = {"assigned": assigned, "wide": assigned, "render_one": assigned}
        executor = RayExecutor(options={"wide": {"num_cpus": 3}, "render_*": {"num_cpus": 0.5}})
        async with session_of(renamed, executor) as session:
            found = await values(session, *(call(n, name) for n, name in enumerate(renamed)))
            assert [resources["CPU"] for resources in found] == [1, 3, 0.5]

    run(story())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"options": {"f": {"max_retries": 3}}}, "options of 'f': max_retries cannot be set"),
        ({"options": {"f": {"num_cpu": 3}}}, "options of 'f': "),
        ({"options": {"f": {"num_gpus": -1}}}, "options of 'f': "),
        ({"retries": -1}, "retries must be a whole number of at least 0, not -1"),
    ],
)
def test_what_is_declared_wrongly_is_refused_at_once(settings: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        RayExecutor(**settings)
    executor = RayExecutor()
    with pytest.raises(DeclarationError, match="options of 'Counter': num_returns cannot be set"):
        executor.actor(tools.Counter, num_returns=2)
    with pytest.raises(DeclarationError, match="the actor of Counter: "):
        executor.actor(tools.Counter, no_such_option=2)
    made: Any = tools.Counter()
    with pytest.raises(
        DeclarationError, match="pass its class, and what that takes as args and kwargs; not <"
    ):
        executor.actor(made)
    refused = r"the actor of Counter cannot be made: an argument .* \(cannot pickle '_thread.lock' object\)$"
    with pytest.raises(DeclarationError, match=refused):
        executor.actor(tools.Counter, args=(threading.Lock(),))

    class Locked:
        def held(self) -> bool:
            return LOCK.locked()

    Locked.__module__ = Locked.held.__module__ = "__main__"  # so that it goes as it is
    refused = r"the actor of Locked cannot be made: its class refers to what cannot be pickled \(LOCK: cannot"
    with pytest.raises(DeclarationError, match=refused):
        executor.actor(Locked)


def test_an_exception_comes_back_as_itself_with_the_traceback_of_the_worker() -> None:
    async def story() -> None:
        async with session_of([tools.fail, tools.interrupt]) as session:
            failed, interrupted = await outcomes(session, call(1, "fail", code=7), call(2, "interrupt"))
            assert isinstance(failed, Failure)
            assert isinstance(failed.error, tools.OwnError)
            assert failed.error.code == 7
            (note,) = failed.error.__notes__
            assert note.startswith("In worker process ")
            assert note.index("ray_tools.py") < note.index("OwnError: code 7")
            assert "job.py" not in note
            assert isinstance(interrupted, Failure)
            assert isinstance(interrupted.error, KeyboardInterrupt)

    run(story())


def test_an_exception_whose_class_is_only_there_comes_back_as_text() -> None:
    def fail_there() -> None:
        module: Any = ModuleType("only_there")
        sys.modules["only_there"] = module
        exec("class Full(Exception): ...", vars(module))
        raise module.Full("the disk is full")

    async def story() -> None:
        async with session_of([fail_there], effects={"fail_there": "pure"}) as session:
            (failed,) = await outcomes(session, call(1, "fail_there"))
            assert isinstance(failed, Failure)
            assert isinstance(failed.error, ToolFailed)
            assert str(failed.error) == "fail_there raised only_there.Full: the disk is full"
            (note,) = failed.error.__notes__
            assert note.index("in fail_there") < note.index("Full: the disk is full")

    run(story())


def test_a_function_that_refers_to_what_cannot_be_pickled_is_named() -> None:
    def locked() -> bool:
        return LOCK.locked()

    locked.__module__ = "__main__"  # so that it goes as it is, with what it refers to

    async def story() -> None:
        async with session_of([locked], effects={"locked": "pure"}) as session:
            (outcome,) = await outcomes(session, call(1, "locked"))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, NotTransferable)
            assert str(outcome.error).startswith(
                "locked did not run: its function refers to what cannot be pickled, so it cannot go to a Ray "
                "worker (LOCK: cannot pickle '_thread.lock' object); make that inside the function"
            )

    run(story())


def test_a_function_that_no_worker_can_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("only_here")
    exec("def where(): ...", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)

    async def story() -> None:
        async with session_of([module.where], effects={"where": "pure"}) as session:
            (outcome,) = await outcomes(session, call(1, "where"))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, NotTransferable)
            assert str(outcome.error).startswith(
                "where did not run: a worker process cannot import 'where' from 'only_here'"
            )
            assert "pass runtime_env={'working_dir': ...}" in str(outcome.error)

    run(story())


def test_an_interrupt_changes_nothing_once_a_write_has_begun() -> None:
    """It is how Ray asks a task to stop, and may come late."""

    async def story() -> None:
        effects = {"interrupted": {"writes": "a"}}
        async with session_of([tools.interrupted], effects=effects) as session:
            assert await values(session, call(1, "interrupted")) == [{"said": "done"}]

    run(story())


def test_a_bell_that_died_is_replaced() -> None:
    kinds: list[str] = []

    async def story() -> None:
        executor = RayExecutor()
        listening = session_of([tools.where], executor, on_event=lambda event: kinds.append(event.kind))
        async with listening as session:
            await values(session, call(1, "where"))
            number, dead = 2, executor._ears._bell
            ray.kill(dead)
            while executor._ears._bell is dead:
                await values(session, call(number, "where"))  # perhaps unheard
                number += 1
            kinds.clear()
            await values(session, call(number, "where"))

    run(story())
    assert "begun" in kinds


def _into(kinds: list[str]) -> Any:
    return lambda event: kinds.append(event.kind)


def test_executors_of_a_program_share_a_bell_which_outlives_each() -> None:
    async def story() -> None:
        bells = []
        for _ in range(5):
            executor, kinds = RayExecutor(), list[str]()
            async with Session([tools.echo], executor=executor, on_event=_into(kinds)) as session:
                answers = await session.submit([call(1, "echo", thing=1)])
                await answers[0].future.wait()
                bells.append(executor._ears._bell)
            assert "begun" in kinds
        assert len({bell._actor_id for bell in bells}) == 1

    run(story())


def test_what_a_stream_yields_is_told_as_it_comes_and_in_order() -> None:
    seen: list[Any] = []

    def listen(event: Any) -> None:
        if event.kind in {"begun", "progress", "settled"}:
            seen.append((event.call, event.kind, event.data.get("item")))

    async def story() -> None:
        executor = RayExecutor()
        slow = executor.actor(tools.Slow)
        async with session_of([tools.count_to, slow.pages], executor, on_event=listen) as session:
            [numbers] = await values(session, call(1, "count_to", n=3))
            [pages] = await values(session, call(2, "pages", n=2))
            assert (numbers, pages) == ([{"n": 0}, {"n": 1}, {"n": 2}], [0, 1])

    run(story())
    begun = [(0, "begun", None)]
    numbers = [(0, "progress", {"n": n}) for n in range(3)]
    assert seen[:5] == [*begun, *numbers, (0, "settled", None)]
    assert seen[-3:] == [(1, "progress", 0), (1, "progress", 1), (1, "settled", None)]


# --- actors -----------------------------------------------------------------------------------------


def test_the_methods_of_an_actor_share_its_state_and_results_are_as_they_were() -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter, other = executor.actor(tools.Counter, args=(5,)), executor.actor(tools.Counter)
        made = [counter.add, counter.total, counter.pid]
        async with session_of(
            [*made, other.add.with_name("add_other")], executor, effects={"pid": "pure"}
        ) as s:
            found = await values(
                s,
                call(1, "add", by=2),
                call(2, "add", by=3),
                call(3, "total"),
                call(4, "add_other", by=1),
                call(5, "pid"),
            )
            assert found[:4] == [[5, 7], [5, 7, 10], 10, [0, 1]]
            assert is_there(found[4])
        await gone(found[4])  # closing the session has ended it
        async with session_of([counter.total], executor) as session:
            (late,) = await outcomes(session, call(6, "total"))
            assert isinstance(late, Failure)
            assert "total did not run: the actor of Counter has ended with its executor" in str(late.error)

    run(story())


def test_the_asynchronous_methods_of_an_actor_run_at_the_same_time() -> None:
    async def story() -> None:
        executor = RayExecutor()
        slow = executor.actor(tools.Slow)
        async with session_of([slow.meet], executor) as session:
            assert await values(session, *(call(n, "meet", of=5) for n in range(5))) == [5] * 5

    run(story())


def test_of_an_actor_only_the_methods_can_be_had() -> None:
    executor = RayExecutor()
    counter = executor.actor(tools.Counter)
    with pytest.raises(
        AttributeError, match="'marks' cannot be had here: the object of Counter lives in a Ray"
    ):
        _ = counter.marks
    assert repr(counter) == repr(copy.copy(counter)) == "<RayActor of Counter>"
    executor.close()


# --- stopping ---------------------------------------------------------------------------------------


def _hold_by_pid(begun: str) -> None:
    Path(begun).write_text(str(os.getpid()))
    tools.wait_for(f"{begun}.never")


async def _pid_in(path: Path) -> int:
    await there(path)
    while not (text := path.read_text()):
        await asyncio.sleep(0.005)
    return int(text)


def test_a_call_that_only_reads_is_stopped_with_its_worker(tmp_path: Path) -> None:
    async def story() -> None:
        async with session_of([_hold_by_pid], effects={"_hold_by_pid": "pure"}) as session:
            (answer,) = await session.submit([call(1, "_hold_by_pid", begun=str(tmp_path / "begun"))])
            pid = await _pid_in(tmp_path / "begun")
            assert session.cancel(answer.future)
            assert await answer.future.wait() == Cancelled("it was cancelled on request")
            await gone(pid)

    run(story())


def test_a_write_that_has_begun_cannot_be_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        async with session_of([tools.hold], effects={"hold": {"writes": "fs:{path}"}}) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            (answer,) = await session.submit([call(1, "hold", begun=str(begun), path=str(path))])
            await there(begun)
            while session.cancel(answer.future):  # the news of its beginning may still be under way
                await asyncio.sleep(0.005)
            path.touch()
            assert (await answer.future.wait()).unwrap() == "done"

    run(story())


def test_a_write_that_waits_for_a_worker_is_taken_back(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor(options={"hold": {"num_cpus": 4}, "note": {"num_cpus": 4}})
        effects = {"hold": {"writes": "a"}, "note": {"writes": "b"}}
        async with session_of([tools.hold, tools.note], executor, effects=effects) as session:
            begun, path, noted = (tmp_path / name for name in ("begun", "go", "noted"))
            holding, waiting = await session.submit(
                [call(1, "hold", begun=str(begun), path=str(path)), call(2, "note", path=str(noted))]
            )
            await there(begun)
            assert session.cancel(waiting.future)
            assert isinstance(await waiting.future.wait(), Cancelled)
            path.touch()
            assert (await holding.future.wait()).unwrap() == "done"
            assert not noted.exists()

    run(story())


def test_a_call_that_waits_for_its_actor_is_taken_back_and_one_that_has_begun_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        patient, nothing = {"writes": "held"}, {"writes": "added.{by}"}
        counter = executor.actor(tools.Counter)
        effects: dict[str, Any] = {"hold": patient, "add": nothing, "total": "read"}
        async with session_of(
            [counter.hold, counter.add, counter.total], executor, effects=effects
        ) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            hold, add = await session.submit(
                [call(1, "hold", begun=str(begun), path=str(path)), call(2, "add", by=1)]
            )
            await there(begun)
            assert session.cancel(hold.future) is False
            assert session.cancel(add.future) is True
            path.touch()
            assert (await hold.future.wait()).unwrap() == "done"
            assert isinstance(await add.future.wait(), Cancelled)
            assert await values(session, call(3, "total")) == [0]

    run(story())


def test_a_call_of_an_actor_that_finds_no_machine_is_taken_back() -> None:
    async def story() -> None:
        executor = RayExecutor()
        nowhere = executor.actor(tools.Slow, resources={"nowhere": 1})
        counter = executor.actor(tools.Counter, resources={"nowhere": 1})
        async with session_of([nowhere.cancels, counter.total, counter.add], executor) as session:
            answers = await session.submit(
                [call(1, "cancels"), call(2, "total"), call(3, "total"), call(4, "add", by=1)]
            )
            await asyncio.sleep(0)
            for answer in answers[:3]:
                assert session.cancel(answer.future)
                assert isinstance(await answer.future.wait(), Cancelled)
            assert len((await session.close(timeout=0)).left) == 1

    run(story())


def test_a_call_that_cannot_be_sent_leaves_its_turn_to_others() -> None:
    async def story() -> None:
        async def make_lock() -> Any:
            return tools.lock.function()

        executor = RayExecutor()
        counter = executor.actor(tools.Counter)
        async with session_of([make_lock, counter.add], executor, effects={"make_lock": "pure"}) as session:
            assert await values(session, call(1, "add", by=1)) == [[0, 1]]
            _, refused, added = await outcomes(
                session, call(2, "make_lock"), call(3, "add", by="$this_1"), call(4, "add", by=2)
            )
            assert isinstance(refused, Failure)
            assert isinstance(refused.error, NotTransferable)
            assert added.unwrap() == [0, 1, 3]

    run(story())


def test_calls_whose_loop_has_ended_leave_their_turns_to_others(tmp_path: Path) -> None:
    effects: dict[str, Any] = {"hold": {"writes": "a"}, "add": {"writes": "b"}}
    begun, path = tmp_path / "begun", tmp_path / "go"
    executor = RayExecutor()
    counter = executor.actor(tools.Counter)
    runtime = Runtime(executor=executor)

    async def left_alone() -> None:
        session = Session([counter.hold, counter.add], effects=effects, runtime=runtime)
        await session.submit([call(1, "hold", begun=str(begun), path=str(path)), call(2, "add", by=1)])
        await there(begun)

    async def story() -> None:
        path.touch()
        async with Session([counter.total], runtime=Runtime(executor=executor)) as session:
            assert await values(session, call(3, "total"), call(4, "total")) == [0, 0]

    run(left_alone())
    run(story())
    executor.close()


def test_a_call_is_stopped_also_where_no_other_can_run_beside_it(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        slow = executor.actor(tools.Slow, max_concurrency=1)
        async with session_of([slow.sleep, slow.meet, slow.cancels], executor) as session:
            (asleep,) = await session.submit([call(1, "sleep", begun=str(tmp_path / "begun"))])
            await there(tmp_path / "begun")
            two = await session.submit([call(2, "meet", of=2), call(3, "meet", of=2)])
            for answer in (two[0], asleep, two[1]):
                assert session.cancel(answer.future)
                assert isinstance(await answer.future.wait(), Cancelled)
            assert await values(session, call(4, "cancels")) == [1]

    run(story())


def test_an_asynchronous_method_is_cancelled_inside(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        slow = executor.actor(tools.Slow)
        async with session_of([slow.sleep, slow.cancels], executor) as session:
            (answer,) = await session.submit([call(1, "sleep", begun=str(tmp_path / "begun"))])
            await there(tmp_path / "begun")
            assert session.cancel(answer.future)
            assert isinstance(await answer.future.wait(), Cancelled)
            assert await values(session, call(2, "cancels")) == [1]

    run(story())


def test_a_synchronous_method_of_an_asynchronous_object_cannot_be_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        slow = executor.actor(tools.Slow)
        async with session_of([slow.block], executor) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            (answer,) = await session.submit([call(1, "block", begun=str(begun), path=str(path))])
            await there(begun)
            assert session.cancel(answer.future) is False
            path.touch()
            assert (await answer.future.wait()).unwrap() == "done"

    run(story())


def test_a_timeout_counts_from_when_the_work_begins(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor(options={"hold": {"num_cpus": 4}, "note": {"num_cpus": 4}})
        effects = {"hold": {"writes": "a"}, "note": {"writes": "b", "timeout": 0.3}}
        async with session_of([tools.hold, tools.note], executor, effects=effects) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            _, waiting = await session.submit(
                [
                    call(1, "hold", begun=str(begun), path=str(path)),
                    call(2, "note", path=str(tmp_path / "noted")),
                ]
            )
            await there(begun)
            await asyncio.sleep(0.6)  # longer than the timeout
            path.touch()
            assert (await waiting.future.wait()).unwrap() == 1

    run(story())


def test_what_is_timed_out_and_goes_on_keeps_its_claims_until_it_ends(tmp_path: Path) -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter = executor.actor(tools.Counter)
        async with session_of([counter.hold, counter.add, tools.echo], executor) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            hold, add, echo = await session.submit(
                [
                    call(1, "hold", begun=str(begun), path=str(path)),
                    call(2, "add", by=1),
                    call(3, "echo", thing=1),
                ]
            )
            assert (await echo.future.wait()).unwrap() == 1
            timed_out, refused = await hold.future.wait(), await add.future.wait()
            assert isinstance(timed_out, Failure)
            assert isinstance(timed_out.error, ToolTimeout)
            assert isinstance(refused, Failure)
            assert isinstance(refused.error, ResourceQuarantined)
            path.touch()
            while isinstance((await outcomes(session, call(4, "add", by=2)))[0], Failure):
                await asyncio.sleep(0.01)  # the quarantine ends with the work
            assert await values(session, call(5, "add", by=3)) == [[0, 2, 5]]

    run(story())


@pytest.mark.parametrize("timeout", [0, 0.01, 0.3])
def test_closing_a_session_ends_what_it_left_on_ray(timeout: float, tmp_path: Path) -> None:
    async def story() -> None:
        session = Session([_hold_by_pid], effects={"_hold_by_pid": {"writes": "a"}}, executor=RayExecutor())
        await session.submit([call(1, "_hold_by_pid", begun=str(tmp_path / "begun"))])
        pid = await _pid_in(tmp_path / "begun")
        before = asyncio.all_tasks()
        finished = await session.close(timeout=timeout)
        assert len(finished.left) == 1
        assert len(before) > 2
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 2  # this one, and the guard
        await gone(pid)

    run(story())
