"""The promise on Ray: results and final state are those of the calls run one after the other.

Whole programs run against a world in an actor, and BFCL cases against its API classes, an actor each.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from asyncfc import Call, Future, Runtime, Session, Tool
from asyncfc.adapters.ray import RayActor, RayExecutor
from asyncfc.testing import checks, directed
from asyncfc.testing.faults import FAULTS
from asyncfc.testing.programs import Emitted, Program, programs
from asyncfc.testing.trial import SESSION_ID, Trial, _converse, _finish, in_order
from asyncfc.testing.world import World, effects_of
from benchmarks.bfcl.data import CATEGORIES, Case, Category, packaged_cases
from benchmarks.bfcl.dependencies import with_handles
from benchmarks.bfcl.labels import LEVELS, Level, footprint
from benchmarks.bfcl.plan import Plan, Settings, plan
from benchmarks.bfcl.replay import Replay
from benchmarks.bfcl.sequential import Trace, show
from tests.adapters.ray.conftest import Machines
from tests.adapters.ray.far_world import UNIT_S, Island, api
from tests.adapters.ray.stories import run

PROFILE = settings.get_profile(settings.get_current_profile_name())
FEWER = settings(PROFILE, max_examples=max(25, PROFILE.max_examples // 100))
KEEP_ALL = pytest.mark.parametrize("keep_all", [False, True], ids=["small come back", "all stay there"])


class Far(NamedTuple):
    """An executor, and an island of it."""

    executor: RayExecutor
    island: RayActor


@cache
def far(keep_all: bool) -> Far:
    """One for all programs: actors take a while to begin."""
    executor = RayExecutor()
    return Far(executor, executor.actor(Island, kwargs={"keep_all": keep_all}))


@pytest.fixture(scope="module", autouse=True)
def _closed(cluster: Machines) -> Iterator[None]:
    yield
    for executor in (far(False).executor, far(True).executor, _bfcl()):
        executor.close()
    for made in (far, _bfcl, _far_api, _tool, _tools):
        made.cache_clear()


def on_ray(program: Program, *, keep_all: bool) -> Trial:
    """Run the program through a session whose tools work on an island."""
    return run(_on_ray(program, far(keep_all)))


async def _on_ray(program: Program, place: Far) -> Trial:
    trial = Trial(World(), {name: _tool(place.island, name) for name in sorted(program.tools)})
    await _ask(place, "reset")
    runtime = Runtime(limits=program.limits, executor=place.executor)
    async with Session(trial.tools, runtime=runtime, id=SESSION_ID, on_event=trial.events.append) as session:
        trial.session = session
        await _converse(session, _in_real_time(program), trial, str)
        await _finish(session, trial)
        trial.settle()
        cells, log = await _ask(place, "seen")
    trial.world.cells = {tuple(path): marks for path, marks in cells}
    trial.world.log = [tuple(entry) for entry in log]
    return trial


@cache
def _tool(island: RayActor, name: str) -> Tool:
    kind, _, variant = name.partition("_")
    return Tool(getattr(island, f"do_{name}"), name=name, effects=effects_of(kind, variant) or None)


async def _ask(place: Far, method: str) -> Any:
    runtime = Runtime(executor=place.executor)
    async with Session([getattr(place.island, method)], runtime=runtime) as session:
        return await session.call(method, {})


def _in_real_time(program: Program) -> Program:
    def faster(message: Emitted) -> Emitted:
        return replace(message, gaps=tuple(gap * UNIT_S for gap in message.gaps))

    return replace(program, messages=tuple(map(faster, program.messages)))


def check(program: Program, *, keep_all: bool) -> None:
    trial = on_ray(program, keep_all=keep_all)
    checks.serialisable(trial, in_order(program))
    checks.run_once_or_never(program, trial)


@KEEP_ALL
def test_P1_any_program_ends_as_if_its_calls_ran_one_after_the_other(keep_all: bool) -> None:
    @FEWER
    @given(program=programs())
    def any_program(program: Program) -> None:
        check(program, keep_all=keep_all)

    any_program()


@KEEP_ALL
def test_P1_holds_under_limits(keep_all: bool) -> None:
    @FEWER
    @given(program=programs(limits=True))
    def any_program(program: Program) -> None:
        check(program, keep_all=keep_all)

    any_program()


@pytest.mark.parametrize(
    "drawn",
    [
        directed.never_runs(),
        directed.wide_covers(),
        directed.late_and_lost(),
        directed.two_failed_inputs(),
        directed.live_results(),
    ],
    ids=["S1 never runs", "S2 wide covers", "S2 late and lost", "S10 two failed inputs", "V1 live results"],
)
@KEEP_ALL
def test_directed_programs_end_so_too(drawn: st.SearchStrategy[Program], keep_all: bool) -> None:
    @FEWER
    @given(program=drawn)
    def any_program(program: Program) -> None:
        check(program, keep_all=keep_all)

    any_program()


@pytest.mark.planted
@pytest.mark.parametrize("fault", ["drop RAW", "drop WAR", "drop WAW"])
def test_a_planted_bug_shows_on_ray_too(fault: str) -> None:
    def shows(program: Program) -> bool:
        with FAULTS[fault]():
            trial = on_ray(program, keep_all=False)
        try:
            checks.serialisable(trial, in_order(program))
        except AssertionError:
            return True
        return False

    until_found = settings(max_examples=500, phases=[Phase.generate], derandomize=True, database=None)
    find(programs(barriers=False), shows, settings=until_found)


# --- BFCL -------------------------------------------------------------------------------------------

SAMPLE = (1, 24, 39, 55, 61, 67, 92, 107, 146, 183)


def _sample(category: Category) -> list[Case]:
    ids = {f"multi_turn_{category}_{number}" for number in SAMPLE}
    return [case for case in packaged_cases(category) if case.id in ids]


@cache
def _bfcl() -> RayExecutor:
    return RayExecutor()


@cache
def _far_api(class_name: str) -> RayActor:
    return _bfcl().actor(api(class_name), args=(class_name,))


async def _replay(ready: Plan, level: Level) -> Replay:
    """Replay a case with an actor for each of its classes, all messages as fast as they can be sent."""
    case = ready.case
    actors = {name: _far_api(name) for name in case.classes}
    tools = [tool for name in case.classes for tool in _tools(name, level)]
    runtime = Runtime(executor=_bfcl())
    for name, actor in actors.items():
        async with Session([actor.load], runtime=runtime) as session:
            config = {name: case.initial_config[name]} if name in case.initial_config else {}
            await session.call("load", {"config": config, "long_context": case.long_context})
    futures: list[Future] = []
    async with Session(tools, runtime=runtime, id=case.id) as session:
        for place in range(len(case.calls)):
            [answer] = await session.submit([_emit(ready, place, futures)])
            futures.append(answer.future)
        outcomes = [await future.wait() for future in futures]
        results = tuple(map(show, outcomes))
    state: dict[str, str] = {}
    for actor in actors.values():
        async with Session([actor.state], runtime=runtime) as session:
            state |= await session.call("state", {})
    return Replay(Trace(tuple(outcomes), results, state), 0.0)


@cache
def _tools(class_name: str, level: Level) -> list[Tool]:
    from benchmarks.bfcl.backend import methods

    def declared(name: str) -> Any:
        return None if level == "none" else footprint(class_name, name, level).declaration()

    actor = _far_api(class_name)
    return [Tool(getattr(actor, name), name=name, effects=declared(name)) for name in methods(class_name)]


def _emit(ready: Plan, place: int, futures: Sequence[Future]) -> Call:
    call = ready.case.calls[place]
    needed = ready.dependencies[place]
    arguments = with_handles(call.arguments, needed, lambda producer: str(futures[producer]))
    return Call(f"call_{place}", call.tool, json.dumps(arguments))


def _mismatches(cases: Sequence[Case], level: Level) -> dict[str, list[str]]:
    found = {}
    for case in cases:
        ready = plan(case, Settings(labels=level, barrier="case"))
        found[case.id] = asyncio.run(_replay(ready, level)).mismatches(ready.reference)
    return {name: mismatches for name, mismatches in found.items() if mismatches}


@pytest.mark.bfcl
@pytest.mark.parametrize("level", LEVELS)
def test_cases_replayed_with_actors_end_as_one_after_the_other(level: Level) -> None:
    cases = _sample("base")
    assert len(cases) == len(SAMPLE)
    assert _mismatches(cases, level) == {}


@cache
def _distinct() -> dict[str, list[Case]]:
    """By category, the cases that differ in more than their messages from all cases before."""
    seen: set[str] = set()
    found: dict[str, list[Case]] = {category: [] for category in CATEGORIES}
    for category in CATEGORIES:
        for case in packaged_cases(category):
            content = repr((case.calls, case.initial_config, case.long_context))
            if content not in seen:
                found[category].append(case)
                seen.add(content)
    return found


@pytest.mark.bfcl
@pytest.mark.parametrize("category", CATEGORIES)
def test_so_do_all_cases_of_a_category(category: Category) -> None:
    cases = _distinct()[category]
    assert len(cases) == {"base": 200, "miss_func": 11, "miss_param": 4, "long_context": 200}[category]
    assert _mismatches(cases, "attribute") == {}
