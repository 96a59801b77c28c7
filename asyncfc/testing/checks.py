"""What must hold of every trial: one function per property, each raising `AssertionError` with a witness.

The letters are those of the properties of the design: P1 serialisable, P4 parallel, P6 settled once, ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from asyncfc.depgraph.effects import Claim, conflict
from asyncfc.depgraph.resource import overlaps, parse_label
from asyncfc.errors import UnresolvedPath
from asyncfc.futures.outcome import Failure, Value
from asyncfc.testing.ideal import ideal_times
from asyncfc.testing.oracle import digest, first_failed
from asyncfc.testing.programs import Program
from asyncfc.testing.trial import Trial


def serialisable(trial: Trial, reference: Trial) -> None:
    """P1: results and final state are those of the sequential run."""
    (results, cells), (expected, expected_cells) = trial.promised, reference.promised
    for n, (got, wanted) in enumerate(zip(results, expected, strict=True)):
        assert got == wanted, f"call {n}: {got} instead of {wanted}"
    for path, marks in expected_cells.items():
        assert cells[path] == marks, f"cell {'/'.join(path)}: {cells[path]} instead of {marks}"


def parallel(program: Program, trial: Trial, reference: Trial) -> None:
    """P4: every call starts, settles and releases exactly when it can, given free slots."""
    starts, settles, releases = (trial.times(kind) for kind in ("started", "settled", "released"))
    ideal = ideal_times(program, reference.outcomes, reference.tools)
    for n, call in enumerate(ideal):
        got = starts.get(n), settles[n], releases[n]
        wanted = call.start, call.settle, call.release
        assert got == wanted, f"call {n}: (start, settle, release) at {got} instead of {wanted}"


def settled_once(trial: Trial) -> None:
    """P6: one terminal state per call, the same wherever it is told; and it releases once, later."""
    for n, future in enumerate(trial.futures):
        events = [event for event in trial.events if event.call == n]
        kinds = [event.kind for event in events if event.kind in {"started", "settled", "released"}]
        assert kinds in (["settled", "released"], ["started", "settled", "released"]), f"call {n}: {kinds}"
        told = [event.data["outcome"] for event in events if event.kind == "settled"]
        told += [told.outcome for told in trial.told if told.call_id == future.call_id]
        assert all(outcome is future.outcome for outcome in told), f"call {n}: {told}, {future.outcome}"


def run_once_or_never(program: Program, trial: Trial) -> None:
    """P7, P8, P12: a call runs once; never if, and only if, a value that it needs is missing."""
    starts = Counter(n for _, n, what in trial.world.log if what == "start")
    for n, step in enumerate(program.steps):
        outcome = trial.outcomes[n]
        stopped = isinstance(outcome, Failure) and isinstance(outcome.error, UnresolvedPath)
        expected = 0 if stopped or first_failed(step.arguments, trial.outcomes) is not None else 1
        assert starts[n] == expected, f"call {n} ran {starts[n]} times instead of {expected}: {outcome}"


def conflicts_in_order(program: Program, trial: Trial) -> None:
    """E1b, S37: conflicting calls never overlap and never swap, but for undeclared ones of one message."""
    place = {(n, what): index for index, (_, n, what) in enumerate(trial.world.log)}
    ran = sorted(n for n, what in place if what == "start")
    message = [i for i, emitted in enumerate(program.messages) for _ in emitted.steps]
    free = [(message[n], trial.tools[step.tool].spec.declared) for n, step in enumerate(program.steps)]
    claims = {n: _claim(n, program, trial) for n in ran}
    for older, newer in combinations(ran, 2):
        together = free[older] == free[newer] == (message[older], False)
        if not together and conflict(claims[older], claims[newer]) is not None:
            in_order = place[older, "end"] < place[newer, "start"]
            assert in_order, f"call {newer} started before call {older} had ended"


def within_limits(program: Program, trial: Trial) -> None:
    """P14: at no time does more work run than a limit admits."""
    for key, most in program.limits.items():
        for running in _running(trial):
            counted = [n for n in running if _counts(n, key, program, trial)]
            assert len(counted) <= most, f"limit {key!r} of {most}: {counted} run at the same time"


def in_emission_order(program: Program, trial: Trial) -> None:
    """P15: of the calls that wait for a slot of the same, single limit the oldest starts first."""
    (key,) = program.limits  # with several a newer call may be ahead in another queue
    counted = {n for n, step in enumerate(program.steps) if key in {"*", f"tool:{step.tool}"}}
    queued: set[int] = set()
    for event in trial.events:
        if event.kind == "queued":
            queued.add(event.call)
        elif event.kind == "settled":  # it need not have started: it may fail before
            queued.discard(event.call)
        elif event.kind == "started":
            queued.discard(event.call)
            older = [n for n in queued & counted if n < event.call and event.call in counted]
            assert not older, f"call {event.call} started before {older}, which waited for the same slot"


def nothing_kept(trial: Trial) -> None:
    """P16: when all is released, neither the graph nor the index remembers any call."""
    assert trial.session is not None
    scheduler = trial.session._scheduler
    index = scheduler._index
    assert (len(scheduler._graph), len(scheduler._graph._graph), len(index)) == (0, 0, 0)
    assert not index._side
    assert not index._unbound
    for trie in (index._readers, index._writers):
        assert (trie._places, trie._root.entries, trie._root.children) == ({}, {}, {})


def told_once(trial: Trial) -> None:
    """P17: every call is answered once and in its place, and every outcome is told exactly once."""
    ids = [future.call_id for future in trial.futures]
    assert [call_id for message in trial.answered for call_id in message] == ids
    counts = Counter(told.call_id for told in trial.told)
    assert counts == Counter(ids), f"outcomes told: {counts}"
    assert all(future.seen for future in trial.futures)


def own_objects_are_what_was_returned(trial: Trial) -> None:
    """P19: what the caller is handed within grace shows nothing of what later calls did to it."""
    for told in trial.told:
        if told.own is not None:
            assert told.own == digest(told.outcome), f"call {told.call_id} was handed {told.own}"


def same_trace(one: Trial, two: Trial) -> None:
    """P20: two runs of the same program on the same seed have the same events at the same times."""
    for left, right in zip(one.events, two.events, strict=True):
        assert repr(left) == repr(right)


def obeys_what_ended(trial: Trial, reference: Trial) -> None:
    """Of a session that was closed early: the calls that did end, ended as in the sequential run."""
    for n, outcome in enumerate(trial.outcomes):
        if isinstance(outcome, Value | Failure):
            got, wanted = digest(outcome), digest(reference.outcomes[n])
            assert got == wanted or got[0] == "upstream", f"call {n}: {got} instead of {wanted}"


def _running(trial: Trial) -> Iterator[set[int]]:
    running: set[int] = set()
    for _, n, what in trial.world.log:
        if what == "start":
            running.add(n)
            yield running
        else:
            running.discard(n)


def _counts(n: int, key: str, program: Program, trial: Trial) -> bool:
    """Whether call `n` counts against a limit."""
    name = program.steps[n].tool
    if key == "*" or key.startswith("tool:"):
        return key in {"*", f"tool:{name}"}
    claim = _claim(n, program, trial)
    return any(overlaps(parse_label(key), label) for label in (*claim.reads, *claim.writes))


def _claim(n: int, program: Program, trial: Trial) -> Claim:
    """What call `n` claimed when it started."""
    (arguments,) = [e.data["arguments"] for e in trial.events if e.kind == "started" and e.call == n]
    return trial.tools[program.steps[n].tool].spec.bind(arguments)
