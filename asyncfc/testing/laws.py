"""Laws: which programs are drawn, and what must hold of each. `LAWS` has them all by name.

The property tests draw a few hundred programs for each law, `benchmarks/programs.py` as many as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hypothesis import strategies as st

from asyncfc.errors import EffectEscape, ValueDropped
from asyncfc.futures.outcome import Failure
from asyncfc.testing import checks, crowd, directed, eventful, words
from asyncfc.testing.loop import Mode
from asyncfc.testing.oracle import Recorded, Step
from asyncfc.testing.programs import Program, programs, with_steps
from asyncfc.testing.trial import in_order, in_runtime, in_session

Check: TypeAlias = Callable[[Any, int, Mode], None]
"""Takes what was drawn, and seed and mode of the loop. Raises `AssertionError` with a witness."""


@dataclass(frozen=True, slots=True)
class Law:
    """What must hold of what a strategy draws."""

    drawn: st.SearchStrategy[Any]
    check: Check


def ordered(program: Program, seed: int, mode: Mode) -> None:
    """P1: as if the calls ran one after the other."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.serialisable(trial, in_order(program))
    checks.run_once_or_never(program, trial)
    checks.settled_once(trial)
    checks.told_once(trial)
    checks.nothing_kept(trial)
    checks.within_limits(program, trial)


def parallel(program: Program, seed: int, mode: Mode) -> None:
    """P4: every call starts, settles and releases at the very moment at which it can."""
    checks.parallel(program, in_session(program, seed=seed, mode=mode), in_order(program))


def urgent(program: Program, seed: int, mode: Mode) -> None:
    """P15: of the calls that wait for the only slot, the one with the longest way to go starts first."""
    limited = replace(of_one_second(program), limits={"*": 1 + seed % 2})
    trial = in_session(limited, seed=seed, mode=mode)
    checks.in_order_of_the_way_to_go(trial)
    checks.within_limits(limited, trial)
    checks.serialisable(trial, in_order(limited))
    checks.nothing_kept(trial)


def of_one_second(program: Program) -> Program:
    """The program with calls that all take the same: the longest way is that of the most calls."""

    def other(step: Step) -> Step:
        return replace(step, arguments={**step.arguments, "delay": 1})

    return with_steps(program, other)


def gated(program: Program, seed: int, mode: Mode) -> None:
    """E4, relaxed: an irreversible call needs the success of what its message has before it."""
    trial = in_session(program, seed=seed, mode=mode, irreversible="succeeded")
    reference = in_order(program)
    checks.serialisable(trial, reference)
    checks.run_once_or_never(program, trial)
    checks.settled_once(trial)
    checks.parallel(program, trial, reference)


def seen(program: Program, seed: int, mode: Mode) -> None:
    """E4: an irreversible call needs that the model has seen all that was before its message."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.knew_what_it_had_to(program, trial)
    checks.serialisable(trial, in_order(program, trial.recorded(withheld=True)))
    checks.all_seen(trial)
    checks.nothing_kept(trial)


def excepted(program: Program, seed: int, mode: Mode) -> None:
    """S12: timeouts and cancellations are recorded, and the calls that did run still obey the order."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.exceptions_are_due(program, trial)
    checks.serialisable(trial, in_order(program, trial.recorded()))
    checks.settled_once(trial)
    checks.told_once(trial)
    checks.nothing_kept(trial)
    checks.within_limits(program, trial)


def mixed(program: Program, seed: int, mode: Mode) -> None:
    """S12, with all that may happen to a program at once, and whatever the settings of the session."""
    trial = in_session(
        program,
        seed=seed,
        mode=mode,
        irreversible="succeeded",
        grace=[0, 0, 1, 60][seed % 4],
        rates={"*": "2/s"} if seed % 3 == 0 else None,
        max_retained_bytes=[None, 100_000][seed % 2],
    )
    checks.exceptions_are_due(program, trial)
    checks.serialisable(trial, in_order(program, trial.recorded()))
    checks.within_limits(program, trial)
    checks.nothing_kept(trial)


def timed(program: Program, seed: int, mode: Mode) -> None:
    """P9: a call that takes too long settles in time, and holds its claims until its work has ended."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.exceptions_are_due(program, trial)
    reference = in_order(program, trial.recorded())
    checks.serialisable(trial, reference)
    checks.parallel(program, trial, reference)


def broken_off(program: Program, seed: int, mode: Mode) -> None:
    """O3: messages that broke leave no trace; what is adopted of them is what the sequential run gives."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.serialisable(trial, in_order(program))
    checks.nothing_kept(trial)


def family(program: Program, seed: int, mode: Mode) -> None:
    """O5: what is called from inside a call is a part of it, and takes no slot that it holds."""
    trial = in_session(program, seed=seed, mode=mode)
    checks.serialisable(trial, in_order(program))
    checks.within_limits(program, trial)
    checks.nothing_kept(trial)


def shared(program: Program, seed: int, mode: Mode) -> None:
    """S9: a read that shares the outcome of an equal one gets what it would have read itself."""
    trial = in_session(program, seed=seed, mode=mode, duplicates="share")
    checks.serialisable(trial, in_order(program))
    checks.nothing_kept(trial)


def grouped(program: Program, seed: int, mode: Mode) -> None:
    """E1b: undeclared calls of one message in any order, and all else in the order of emission."""
    trial = in_session(program, seed=seed, mode=mode, same_message="concurrent")
    checks.in_some_order(program, trial)
    checks.settled_once(trial)


def together(program: Program, seed: int, mode: Mode) -> None:
    """E1b, P4: undeclared calls of one message do not wait for each other."""
    trial = in_session(program, seed=seed, mode=mode, same_message="concurrent")
    checks.conflicts_in_order(program, trial)
    checks.parallel(program, trial, in_order(program), concurrent=True)


def conversing(programs: list[Program], seed: int, mode: Mode) -> None:
    """O1: the calls of all sessions of a runtime, in the order in which they were registered."""
    limits = [{}, {"*": 2}, {"*": 1}][seed % 3]
    program, trial = in_runtime(programs, seed=seed, mode=mode, limits=limits)
    checks.serialisable(trial, in_order(program))
    checks.settled_once(trial)
    checks.within_limits(program, trial)
    checks.nothing_kept(trial)


def rated(program: Program, seed: int, mode: Mode) -> None:
    """No window of a rate holds more starts than it admits, whatever the limits, and all come to an end."""
    key, rate = [("*", "2/s"), ("*", "1/0.5s"), ("tool:append", "1/2s")][seed % 3]
    trial = in_session(program, seed=seed, mode=mode, rates={key: rate})
    checks.within_rate(trial, key, rate)
    checks.within_limits(program, trial)
    checks.serialisable(trial, in_order(program))
    checks.nothing_kept(trial)


def escaped(program: Program, seed: int, mode: Mode) -> None:
    """S3: the call whose label leaves its prefix, number 1, fails before it runs; all else is in order."""
    escape = {1: Recorded(Failure(EffectEscape("outside")), ran=False)}
    checks.serialisable(in_session(program, seed=seed, mode=mode), in_order(program, escape))


def retained(program: Program, seed: int, mode: Mode) -> None:
    """V3: with room for few values, a call that was accepted still gets those that it refers to."""
    trial = in_session(program, seed=seed, mode=mode, max_retained_bytes=150)
    at_the_end = {e.call: e.data["outcome"] for e in trial.events if e.kind == "settled"}
    trial.outcomes = [at_the_end[future.order] for future in trial.futures]
    refused = trial.refused(ValueDropped)
    checks.serialisable(trial, in_order(program, trial.recorded() | refused))


def plainly(check: Callable[[Any], None]) -> Check:
    """A check that has a loop of its own."""

    def run(drawn: Any, _seed: int, _mode: Mode) -> None:
        check(drawn)

    return run


def closed(program: Program, seed: int, mode: Mode) -> None:
    """P10: a session that is closed early leaves nothing, and what did end has obeyed the order."""
    trial = in_session(program, seed=seed, mode=mode, finish=False)
    checks.settled_once(trial)
    checks.nothing_kept(trial)
    checks.serialisable(trial, in_order(program, trial.recorded()))


LAWS: dict[str, Law] = {
    "P1 any program": Law(programs(limits=True), ordered),
    "P4 any program": Law(programs(), parallel),
    "P4 late and lost": Law(directed.late_and_lost(), parallel),
    "P15 longest way first": Law(programs(max_calls=12, fails=False), urgent),
    "P15 nobody starves": Law(crowd.CROWDS, crowd.nobody_starves),
    "shares": Law(crowd.CROWDS, crowd.shared_fairly),
    "caps and retries": Law(crowd.CROWDS, crowd.within_caps),
    "P5 paths spelt otherwise": Law(eventful.respelt(), ordered),
    "P9 timeouts": Law(eventful.timed(), timed),
    "P10 closed early": Law(programs(limits=True), closed),
    "P14 calls from inside": Law(eventful.families(), family),
    "S1 never runs": Law(directed.never_runs(), ordered),
    "S2 wide covers": Law(directed.wide_covers(), ordered),
    "S9 repeated reads": Law(eventful.repeated(), shared),
    "S12 cancelled": Law(eventful.cancelled(), excepted),
    "S12 all at once": Law(eventful.mixed(), mixed),
    "O1 several sessions": Law(eventful.conversations(), conversing),
    "O3 broken messages": Law(eventful.broken_off(), broken_off),
    "E1b groups": Law(eventful.grouped(), grouped),
    "E1b groups overlap": Law(programs(max_calls=6), together),
    "E4 irreversible, succeeded": Law(eventful.irreversible(), gated),
    "E4 irreversible, seen": Law(eventful.irreversible(), seen),
    "F2 given up": Law(eventful.given_up(), excepted),
    "S3 escapes": Law(directed.escapes(), escaped),
    "S10 two failed inputs": Law(directed.two_failed_inputs(), ordered),
    "S37 groups": Law(directed.groups(), together),
    "V1 live results": Law(directed.live_results(), ordered),
    "V3 retention": Law(programs(max_calls=8, barriers=False), retained),
    "O3 retried behind a write": Law(directed.retried_behind_a_write(), broken_off),
    "F2 late into quarantine": Law(directed.late_into_quarantine(), excepted),
    "P21 scribbles": Law(words.SCRIBBLES, plainly(words.no_handle_reaches_a_tool)),
    "P22 P23 P24 values": Law(words.LETTERS, plainly(words.values_arrive_as_they_are)),
    "P25 strangers": Law(words.STRANGERS, plainly(words.strangers_are_all_alike)),
    "H2 echoes": Law(words.ECHOES, plainly(words.copied_text_is_text)),
    "D1 notes": Law(words.ACTS, plainly(words.every_note_comes_once)),
    "O4 submitted again": Law(words.AGAIN, plainly(words.submitted_again_runs_once)),
    "rates": Law(programs(max_calls=6, limits=True), rated),
}
"""Every law by name."""
