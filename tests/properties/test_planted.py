"""Each planted bug is caught by a property, which without it holds on the same programs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from asyncfc.session import Call, Session
from asyncfc.testing import checks, directed, eventful
from asyncfc.testing.dialogues import judges
from asyncfc.testing.dialogues.drawn import KEEPING, Talk, awaits_then_calls, habits, manners, talks
from asyncfc.testing.dialogues.loop import hold
from asyncfc.testing.faults import FAULTS
from asyncfc.testing.laws import LAWS, Law, family, ordered
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.testing.trial import TAG, in_session

MOST = 2000
"""Programs within which a bug must be caught."""


def fair(program: Program, seed: int, mode: Mode) -> None:
    limited_program = Program(program.messages, {"*": 1})
    trial = in_session(limited_program, seed=seed, mode=mode, priority="emission")
    checks.in_emission_order(limited_program, trial)


def own(program: Program, seed: int, mode: Mode) -> None:
    checks.own_objects_are_what_was_returned(in_session(program, seed=seed, mode=mode, grace=60))


def grouped(program: Program, seed: int, mode: Mode) -> None:
    trial = in_session(program, seed=seed, mode=mode, same_message="concurrent")
    checks.conflicts_in_order(program, trial)


def fresh(path: str, seed: int, mode: Mode) -> None:
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

    run_virtual(main, seed=seed, mode=mode)


def held(talk: Talk, seed: int, mode: Mode) -> None:
    judges.judge(hold(talk, seed=seed, mode=mode))


def patient(talk: Talk, seed: int, mode: Mode) -> None:
    judges.answered_with_handles(hold(talk, seed=seed, mode=mode))


ANY = LAWS["P1 any program"]
TIMES = LAWS["P4 any program"]
ONE_SLOT = Law(eventful.families().map(lambda program: replace(program, limits={"*": 1})), family)
TALKS = Law(talks(), held)
ENDED_EARLY = Law(
    talks(
        manners(protocol="messages", streamed=True), habits(**KEEPING), (None, *["drop after 99 events"] * 3)
    ),
    held,
)
FAILING = Law(talks(habit=habits(**KEEPING), faults=(None, "429", None, "429", "length", "429")), held)
TRIMMED = Law(
    talks(
        manners(final="open"), habits(trims=2, turns=2, between="nothing", pause=10), (None, None, "429") * 3
    ),
    held,
)
CAUGHT_BY: dict[str, Law] = {
    # the order of calls
    "drop RAW": ANY,
    "drop WAR": ANY,
    "drop WAW": ANY,
    "exact labels": ANY,
    "labels as written": LAWS["P5 paths spelt otherwise"],
    "settling releases": LAWS["S1 never runs"],
    "unbound covers": LAWS["S2 wide covers"],
    "first of group hides": Law(directed.groups(), grouped),
    "group in order": LAWS["S37 groups"],
    "escape unchecked": LAWS["S3 escapes"],
    "doomed stays wide": LAWS["P4 late and lost"],
    "one after the other": TIMES,
    "eager writes": TIMES,
    # running calls
    "leaked task": ANY,
    "run twice": ANY,
    "limit off by one": ANY,
    "newest first": Law(programs(), fair),
    "rank forgotten": LAWS["P15 longest way first"],
    "share forgotten": LAWS["shares"],
    "cap forgotten": LAWS["caps and retries"],
    "never the longest waiting": LAWS["P15 nobody starves"],
    "retry without a slot": LAWS["caps and retries"],
    "slot given back twice": ANY,
    "slot kept while waiting": ONE_SLOT,
    "slot not taken again": ONE_SLOT,
    "rate off by one": LAWS["rates"],
    "timeout releases": LAWS["P9 timeouts"],
    "quarantine forgotten": LAWS["F2 given up"],
    "quarantine unchecked at start": LAWS["F2 late into quarantine"],
    "quarantine for ever": LAWS["F2 given up"],
    "siblings unordered": LAWS["P14 calls from inside"],
    "parent releases first": LAWS["P14 calls from inside"],
    "child outside its parent": LAWS["P14 calls from inside"],
    # values
    "late snapshot": LAWS["V1 live results"],
    "lost exception": ANY,
    "first failure in time": LAWS["S10 two failed inputs"],
    "own object late": Law(directed.live_results(), own),
    "inserted text scanned again": Law(directed.forgeries([f"${TAG}_1", "$this_1"]), ordered),
    "handle left in text": LAWS["P21 scribbles"],
    "text for value": LAWS["P22 P23 P24 values"],
    "shared values": LAWS["P22 P23 P24 values"],
    "hidden handles known": LAWS["P25 strangers"],
    "dropped while referenced": LAWS["V3 retention"],
    # between the model and the calls
    "stale share": Law(st.sampled_from(["a", ".", "a/b"]), fresh),
    "stale adoption": LAWS["O3 retried behind a write"],
    "other call adopted": LAWS["O3 broken messages"],
    "withdrawn runs": LAWS["O3 broken messages"],
    "submitted again runs again": LAWS["O4 submitted again"],
    "gate dropped": LAWS["E4 irreversible, succeeded"],
    "blind runs": LAWS["E4 irreversible, seen"],
    "told twice": ANY,
    "note lost": LAWS["D1 notes"],
    "unescaped": LAWS["H2 echoes"],
    # between the session and the provider
    "sent message rewritten": TALKS,
    "insertion forgotten": TALKS,
    "sent answer extended": ENDED_EARLY,
    "delivery lost": FAILING,
    "delivered twice": FAILING,
    "lost with its anchor": TRIMMED,
    "provisional text shown": TALKS,
    "handle in the final answer": TALKS,
    "cut message runs": FAILING,
    "await waits for later calls": Law(awaits_then_calls(), patient),
    "own texts escaped": TALKS,
    "user text unescaped": TALKS,
}

pytestmark = pytest.mark.planted


def _violates(law: Law, drawn: Any) -> bool:
    try:
        law.check(drawn, 0, "fifo")
    except AssertionError:
        return True
    return False


@cache
def _holds(law: Law) -> None:
    """The laws that are not in `LAWS` are put to no other test."""
    if law not in LAWS.values():
        given(law.drawn)(lambda drawn: law.check(drawn, 0, "fifo"))()


def test_every_fault_is_put_to_the_test() -> None:
    assert CAUGHT_BY.keys() == FAULTS.keys()


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_the_planted_bug_is_caught_and_without_it_all_is_well(name: str) -> None:
    law = CAUGHT_BY[name]
    _holds(law)
    until_found = settings(max_examples=MOST, phases=[Phase.generate], derandomize=True, database=None)
    with FAULTS[name]():
        drawn = find(law.drawn, lambda drawn: _violates(law, drawn), settings=until_found)
    law.check(drawn, 0, "fifo")
