"""Workers, actors and machines that die: the call fails and says so, or is sent again where it may be."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncfc import Failure, Tool, WorkerLost
from asyncfc.adapters.ray import RayExecutor, ValueLost
from asyncfc.adapters.ray.running import RayRunning
from asyncfc.adapters.ray.values import RemoteValue
from tests.adapters.ray import ray_tools as tools
from tests.adapters.ray.conftest import Machines
from tests.adapters.ray.stories import call, outcomes, run, session_of, there, values

# --- workers ----------------------------------------------------------------------------------------


def test_a_killed_worker_fails_the_call_that_it_ran_and_no_other(tmp_path: Path) -> None:
    def hold(begun: str, path: str) -> int:
        Path(begun).write_text(str(os.getpid()))
        tools.wait_for(path)
        return os.getpid()

    async def story() -> None:
        async with session_of([hold], effects={"hold": {"writes": "fs:{begun}"}}) as session:
            begun = [tmp_path / f"begun{n}" for n in range(2)]
            path = tmp_path / "go"
            killed, other = await session.submit(
                [call(n, "hold", begun=str(begun[n]), path=str(path)) for n in range(2)]
            )
            for file in begun:
                await there(file)
            os.kill(int(begun[0].read_text()), signal.SIGKILL)
            outcome = await killed.future.wait()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, WorkerLost)
            assert str(outcome.error) == (
                "hold may or may not have taken effect: its Ray worker died while it ran"
            )
            path.touch()
            assert (await other.future.wait()).unwrap() == int(begun[1].read_text())

    run(story())


@pytest.mark.parametrize(
    ("effects", "again"),
    [
        ({"pure": True}, True),
        ({"reads": "fs:{path}"}, True),
        ({"writes": "fs:{path}", "idempotent": True}, True),
        ({"writes": "fs:{path}", "idempotent": True, "timeout": 30}, True),
        ({"writes": "fs:{path}"}, False),
        ({"level": "irreversible", "writes": "fs:{path}"}, False),
    ],
)
def test_a_lost_call_is_sent_again_only_if_it_may_run_twice(
    effects: dict[str, Any], again: bool, tmp_path: Path
) -> None:
    async def story() -> None:
        async with session_of([tools.die_once], effects={"die_once": effects}) as session:
            (outcome,) = await outcomes(session, call(1, "die_once", path=str(tmp_path / "tries")))
            if again:
                assert outcome.unwrap() == "try 2"
            else:
                assert isinstance(outcome, Failure)
                assert isinstance(outcome.error, WorkerLost)
            assert (tmp_path / "tries").read_text().count("\n") == 1 + again

    run(story())


def test_each_try_tells_when_it_begins(tmp_path: Path) -> None:
    kinds: list[str] = []

    def listen(event: Any) -> None:
        kinds.append(event.kind)
        if event.kind == "begun":
            (tmp_path / "go").touch()

    async def story() -> None:
        effects = {"die_when_told": {"reads": "fs:{path}"}}
        async with session_of([tools.die_when_told], effects=effects, on_event=listen) as session:
            path, go = str(tmp_path / "tries"), str(tmp_path / "go")
            assert await values(session, call(1, "die_when_told", path=path, go=go)) == ["done"]

    run(story())
    assert [kind for kind in kinds if kind in {"begun", "settled"}] == ["begun", "begun", "settled"]


@pytest.mark.parametrize("effects", [{"pure": True}, {"reads": "fs:{path}"}])
@pytest.mark.parametrize("retries", [0, 2])
def test_it_is_not_tried_for_ever(effects: dict[str, Any], retries: int, tmp_path: Path) -> None:
    def die(path: str) -> None:
        tools.note(path)
        os.kill(os.getpid(), signal.SIGKILL)

    async def story() -> None:
        executor = RayExecutor(retries=retries)
        async with session_of([die], executor, effects={"die": effects}) as session:
            (outcome,) = await outcomes(session, call(1, "die", path=str(tmp_path / "tries")))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, WorkerLost)
            assert (tmp_path / "tries").read_text().count("\n") == 1 + retries

    run(story())


def test_a_tool_that_declares_retries_is_tried_again_by_its_session_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(path: str) -> None:
        tools.note(path)
        os.kill(os.getpid(), signal.SIGKILL)

    kinds: list[str] = []

    async def story() -> None:
        effects: dict[str, Any] = {
            "pure": {"pure": True, "retries": 1},
            "read": {"reads": "fs:{path}", "retries": 1},
        }
        made = {name: Tool(die, name=name, effects=declared) for name, declared in effects.items()}
        async with session_of(made, on_event=lambda event: kinds.append(event.kind)) as session:
            files = [tmp_path / name for name in effects]
            lost = await outcomes(
                session, *(call(n, file.name, path=str(file)) for n, file in enumerate(files))
            )
            assert all(isinstance(outcome, Failure) for outcome in lost)
            assert [file.read_text().count("\n") for file in files] == [2, 2]

    monkeypatch.setattr(
        "asyncfc.execution.retries._pause", lambda retries, tries: 0.0 if tries <= retries else None
    )
    run(story())
    assert kinds.count("retry") == 2


def test_a_write_that_dies_after_it_was_asked_to_stop_may_have_taken_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(begun: str, path: str) -> None:
        tools.hold(begun, path)
        os.kill(os.getpid(), signal.SIGKILL)

    async def story() -> None:
        async with session_of([die], effects={"die": {"writes": "a"}}) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            (answer,) = await session.submit([call(1, "die", begun=str(begun), path=str(path))])
            await there(begun)
            assert session.cancel(answer.future)
            while not late:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            begins(late[0])
            path.touch()
            outcome = await answer.future.wait()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, WorkerLost)

    late: list[RayRunning] = []  # the news of its beginning is under way when it is asked
    begins = RayRunning._on_begun

    def tell_later(running: RayRunning) -> None:
        late.append(running)

    monkeypatch.setattr(RayRunning, "_on_begun", tell_later)
    run(story())


def test_what_comes_after_a_lost_call_goes_on_in_order(tmp_path: Path) -> None:
    async def story() -> None:
        effects: dict[str, Any] = {"die_once": {"writes": "fs:{path}"}, "note": {"writes": "fs:{path}"}}
        async with session_of([tools.die_once, tools.note], effects=effects) as session:
            path = str(tmp_path / "a")
            lost, noted = await outcomes(
                session, call(1, "die_once", path=path), call(2, "note", path=path, text="later")
            )
            assert isinstance(lost, Failure)
            assert noted.unwrap() == 2
            assert (tmp_path / "a").read_text() == "x\nlater\n"

    run(story())


# --- actors -----------------------------------------------------------------------------------------


def test_the_state_of_an_actor_that_died_is_gone_and_no_call_goes_on_without_it() -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter = executor.actor(tools.Counter)
        async with session_of([counter.add, counter.total, counter.die], executor) as session:
            _, died, after = await outcomes(session, call(1, "add", by=1), call(2, "die"), call(3, "total"))
            texts = []
            for outcome in (died, after):
                assert isinstance(outcome, Failure)
                assert isinstance(outcome.error, WorkerLost)
                texts.append(str(outcome.error))
            assert texts == [
                "die may or may not have taken effect: the actor of Counter died, and its state with it",
                "total did not run: the actor of Counter has died, and its state with it",
            ]

    run(story())


def test_of_calls_that_run_at_the_same_time_in_an_actor_that_dies_any_may_have_taken_effect(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter = executor.actor(tools.Counter, max_concurrency=2)
        effects = {"hold": {"writes": "a"}, "die": {"writes": "b"}, "add": {"writes": "c"}}
        made = [counter.hold, counter.die, counter.add]
        async with session_of(made, executor, effects=effects) as session:
            begun = tmp_path / "begun"
            (held,) = await session.submit([call(1, "hold", begun=str(begun), path=str(tmp_path / "never"))])
            await there(begun)
            died, after = await outcomes(session, call(2, "die"), call(3, "add", by=1))
            texts = [str(outcome.error) for outcome in (died, await held.future.wait(), after)]  # type: ignore[union-attr]
            assert texts == [
                "die may or may not have taken effect: the actor of Counter died, and its state with it",
                "hold may or may not have taken effect: the actor of Counter died, and its state with it",
                "add did not run: the actor of Counter has died, and its state with it",
            ]

    run(story())


def test_an_actor_that_may_be_made_anew_serves_the_calls_that_may_run_twice() -> None:
    async def story() -> None:
        executor = RayExecutor()
        counter = executor.actor(tools.Counter, args=(5,), max_restarts=1)
        async with session_of([counter.add, counter.total, counter.die], executor) as session:
            _, died, after = await outcomes(session, call(1, "add", by=1), call(2, "die"), call(3, "total"))
            assert isinstance(died, Failure)
            assert after.unwrap() == 5

    run(story())


def test_an_object_that_cannot_be_made_fails_its_calls_and_says_why() -> None:
    async def story() -> None:
        executor = RayExecutor()
        broken = executor.actor(tools.Broken)
        async with session_of([broken.read], executor) as session:
            (outcome,) = await outcomes(session, call(1, "read"))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, WorkerLost)
            assert "read did not run: the object of Broken could not be made" in str(outcome.error)
            assert "ValueError: no such database" in str(outcome.error)

    run(story())


# --- machines ---------------------------------------------------------------------------------------

FAR = {"num_cpus": 0, "resources": {"far": 1}}


@pytest.fixture
def several(cluster: Machines) -> Iterator[Machines]:
    yield cluster
    cluster.settle()


def test_a_lost_machine_fails_what_it_ran_and_loses_what_it_kept(several: Machines, tmp_path: Path) -> None:
    several.have("far")

    def keep(chars: int) -> str:
        return "k" * chars

    async def story() -> None:
        executor = RayExecutor(options={"hold": FAR, "keep": FAR, "big": FAR})
        effects: dict[str, Any] = {"hold": {"writes": "a"}, "keep": {"writes": "b"}}
        made = [tools.hold, keep, tools.big, tools.length]
        async with session_of(made, executor, effects=effects, max_chars=10) as session:
            kept, pure = await session.submit([call(1, "keep", chars=500_000), call(2, "big", chars=500_000)])
            value = await kept.future.wait()
            await pure.future.wait()
            assert isinstance(value, RemoteValue)
            begun, never = tmp_path / "begun", tmp_path / "never"
            (held,) = await session.submit([call(3, "hold", begun=str(begun), path=str(never))])
            await there(begun)
            several.lose("far")
            lost = await held.future.wait()
            assert isinstance(lost, Failure)
            assert isinstance(lost.error, WorkerLost)
            assert "hold may or may not have taken effect" in str(lost.error)
            (failed,) = await outcomes(session, call(4, "length", thing=kept.future.handle))
            assert isinstance(failed, Failure)
            assert isinstance(failed.error, ValueLost)
            assert "length did not run: a value among its arguments" in str(failed.error)
            with pytest.raises(ValueLost, match=r"the value that keep returned .* is gone"):
                value.get()
            assert value.preview(20_000).startswith("kkk")
            several.have("far")  # a pure tool may run again to give its value once more
            assert await values(session, call(5, "length", thing=pure.future.handle)) == [500_000]

    run(story())


def test_a_call_that_may_run_twice_goes_to_another_machine(several: Machines, tmp_path: Path) -> None:
    several.have("far")

    async def story() -> None:
        executor = RayExecutor(options={"hold": FAR})
        async with session_of([tools.hold], executor, effects={"hold": {"reads": "a"}}) as session:
            begun, path = tmp_path / "begun", tmp_path / "go"
            (held,) = await session.submit([call(1, "hold", begun=str(begun), path=str(path))])
            await there(begun)
            several.lose("far")
            several.have("far")
            while begun.read_text() != "x\nx\n":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            path.touch()
            assert (await held.future.wait()).unwrap() == "done"

    run(story())
