"""Each planted bug is caught by a property, which without it holds on the same programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeAlias

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from asyncfc.session import Call, Session
from asyncfc.testing import checks, directed
from asyncfc.testing.faults import FAULTS
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.testing.trial import TAG, in_order, in_session

Check: TypeAlias = Callable[[Any], None]

MOST = 2000
"""Programs within which a bug must be caught."""


def ordered(program: Program) -> None:
    checks.serialisable(in_session(program), in_order(program))


def parallel(program: Program) -> None:
    checks.parallel(program, in_session(program), in_order(program))


def limited(program: Program) -> None:
    checks.within_limits(program, in_session(program))


def fair(program: Program) -> None:
    limited_program = Program(program.messages, {"*": 1})
    checks.in_emission_order(limited_program, in_session(limited_program))


def own(program: Program) -> None:
    checks.own_objects_are_what_was_returned(in_session(program, grace=60))


def told(program: Program) -> None:
    checks.told_once(in_session(program))


def once(program: Program) -> None:
    checks.run_once_or_never(program, in_session(program))


def grouped(program: Program) -> None:
    checks.conflicts_in_order(program, in_session(program, same_message="concurrent"))


def fresh(path: str) -> None:
    """`read(a)` in flight, `write(path)`, the same `read(a)` again: it must read what was written."""
    read, write = Puppet("read", reads="fs:/{path}"), Puppet("write", writes="fs:/{path}")

    async def main() -> None:
        async with Session([read.tool, write.tool], duplicates="share") as session:
            arguments = [("read", "a"), ("write", path), ("read", "a")]
            calls = [Call(str(n), tool, {"path": where}) for n, (tool, where) in enumerate(arguments)]
            answers = await session.submit(calls)
            for value in ("old", None, "new"):
                await settle_loop()
                for run in [*read.running, *write.running]:
                    run.succeed(value)
            await session.finish()
            assert [await answers[n].future for n in (0, 2)] == ["old", "new"]

    run_virtual(main)


ANY = programs()
CAUGHT_BY: dict[str, tuple[st.SearchStrategy[Any], Check]] = {
    "drop RAW": (ANY, ordered),
    "drop WAR": (ANY, ordered),
    "drop WAW": (ANY, ordered),
    "exact labels": (ANY, ordered),
    "settling releases": (directed.never_runs(), ordered),
    "unbound covers": (directed.wide_covers(), ordered),
    "first of group hides": (directed.groups(), grouped),
    "stale share": (st.sampled_from(["a", ".", "a/b"]), fresh),
    "late snapshot": (directed.live_results(), ordered),
    "lost exception": (ANY, ordered),
    "leaked task": (ANY, ordered),
    "limit off by one": (programs(limits=True), limited),
    "newest first": (ANY, fair),
    "own object late": (directed.live_results(), own),
    "inserted text scanned again": (directed.forgeries([f"${TAG}_1", "$this_1"]), ordered),
    "told twice": (ANY, told),
    "first failure in time": (directed.two_failed_inputs(), ordered),
    "run twice": (ANY, once),
    "one after the other": (ANY, parallel),
    "eager writes": (ANY, parallel),
}

pytestmark = pytest.mark.planted


def _violates(check: Check, program: Any) -> bool:
    try:
        check(program)
    except AssertionError:
        return True
    return False


@cache
def _holds(strategy: st.SearchStrategy[Any], check: Check) -> None:
    given(strategy)(check)()


def test_every_fault_is_put_to_the_test() -> None:
    assert CAUGHT_BY.keys() == FAULTS.keys()


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_the_planted_bug_is_caught_and_without_it_all_is_well(name: str) -> None:
    strategy, check = CAUGHT_BY[name]
    _holds(strategy, check)
    until_found = settings(max_examples=MOST, phases=[Phase.generate], derandomize=True, database=None)
    with FAULTS[name]():
        program = find(strategy, partial(_violates, check), settings=until_found)
        assert _violates(check, program)
    check(program)
