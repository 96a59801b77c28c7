"""What must hold of every trial: one function per property, each raising `AssertionError` with a witness.

The letters are those of the properties of the design: P1 serialisable, P4 parallel, P6 settled once, ...
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import combinations, permutations, product

from asyncfc.depgraph.effects import Claim, conflict
from asyncfc.depgraph.resource import overlaps, parse_label
from asyncfc.errors import EffectEscape, ResourceQuarantined, ToolTimeout, UnresolvedPath
from asyncfc.execution.rates import parse_rate
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Cancelled, Failure, Value, Withheld
from asyncfc.testing.ideal import ideal_times
from asyncfc.testing.oracle import digest, first_failed, refs
from asyncfc.testing.programs import Program, is_final
from asyncfc.testing.trial import Trial, in_order


def serialisable(trial: Trial, reference: Trial) -> None:
    """P1: results and final state are those of the sequential run."""
    (results, cells), (expected, expected_cells) = trial.promised, reference.promised
    for n, (got, wanted) in enumerate(zip(results, expected, strict=True)):
        assert got == wanted, f"call {n}: {got} instead of {wanted}"
    for path, marks in expected_cells.items():
        assert cells[path] == marks, f"cell {'/'.join(path)}: {cells[path]} instead of {marks}"


def in_some_order(program: Program, trial: Trial) -> None:
    """E1b: results and final state are those of the calls in an order in which only groups are mixed."""
    differences = []
    for order in _orders(program):
        try:
            return serialisable(trial, in_order(program, order=order))
        except AssertionError as difference:
            differences.append(f"{order}: {difference}")
    raise AssertionError("\n".join(differences))


def _orders(program: Program) -> Iterator[list[int]]:
    """The orders in which the undeclared calls of each message are mixed, and inputs still come first."""
    groups: dict[int, list[int]] = {}
    for n, step in enumerate(program.steps):
        if step.tool.endswith("_once"):
            groups.setdefault(program.firsts[n], []).append(n)
    places = [n for group in groups.values() for n in group]
    for mixed in product(*map(permutations, groups.values())):
        taken = dict(zip(places, (n for group in mixed for n in group), strict=True))
        order = _completed([taken.get(n, n) for n in range(len(program.steps))], program)
        if order is not None:
            yield order


def _completed(mixed: list[int], program: Program) -> list[int] | None:
    """The order with pure calls, which may come anywhere, where they are needed; None if an input is late."""
    pure = {n for n, step in enumerate(program.steps) if step.tool == "pick"}
    order: dict[int, None] = {}

    def place(n: int) -> bool:
        inputs = {ref.call for ref in refs(program.steps[n].arguments)}
        placed = all(i in order or (i in pure and place(i)) for i in sorted(inputs))
        order[n] = None
        return placed

    placed = all(place(n) for n in mixed if n not in pure)
    return list(order) + [n for n in mixed if n not in order] if placed else None


def exceptions_are_due(program: Program, trial: Trial) -> None:
    """Only what was asked to stop is cancelled, only what takes too long times out, at its time, ..."""
    asked = {n for _, n in program.cancels}
    starts, settles = trial.times("started"), trial.times("settled")
    for n, outcome in enumerate(trial.outcomes):
        step, timeout = program.steps[n], trial.tools[program.steps[n].tool].timeout
        error = outcome.error if isinstance(outcome, Failure) else None
        if isinstance(outcome, Cancelled):
            assert n in asked, f"call {n} was cancelled: {outcome}"
        if isinstance(error, ToolTimeout):
            assert timeout is not None
            assert step.arguments["delay"] > timeout, f"call {n} timed out although it takes less"
            took = settles[n] - starts[n]
            assert abs(took - timeout) < 1e-9, f"call {n} timed out after {took} s"
        if isinstance(error, ResourceQuarantined):
            lost = {future.order for future in trial.made if future.tool.endswith("_lost")}
            given_up = [e for e in trial.events if e.kind == "started" and e.call in lost]
            assert given_up, f"call {n} was refused, and nothing was given up: {error}"
            assert n not in starts, f"call {n} ran"


def knew_what_it_had_to(program: Program, trial: Trial) -> None:
    """E4: an irreversible call runs if, and only if, all outcomes of earlier messages had been seen."""
    ran = {n for _, n, what in trial.world.log if what == "start"}
    for n, step in enumerate(program.steps):
        if is_final(step):
            unseen = set(range(program.firsts[n])) - trial.knew[n]
            missing = [u for u in program.gates[n] if not isinstance(trial.outcomes[u], Value)]
            assert n not in ran or not (unseen or missing), f"call {n} ran blind to {unseen or missing}"
            if isinstance(trial.outcomes[n], Withheld):
                assert unseen or missing, f"call {n} was withheld for nothing: {trial.outcomes[n]}"


def texts_in(value: object) -> Iterator[str]:
    """All texts in a value, keys included."""
    rest = deque([value])
    while rest:
        value = rest.popleft()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            rest.extend([*value, *value.values()])
        elif isinstance(value, list | tuple):
            rest.extend(value)


def handles_in(text: str) -> set[str]:
    """What looks like a handle in a text, without braces and escapes."""
    found = DEFAULT_GRAMMAR.mention.finditer(text)
    return {f"{DEFAULT_GRAMMAR.sigil}{match[3]}{DEFAULT_GRAMMAR.separator}{match[4]}" for match in found}


def parallel(program: Program, trial: Trial, reference: Trial, *, concurrent: bool = False) -> None:
    """P4: every call starts, settles and releases exactly when it can, given free slots."""
    starts, settles, releases = (trial.times(kind) for kind in ("started", "settled", "released"))
    numbers = {future.order: n for n, future in enumerate(trial.futures)}
    sealed = [event for event in trial.events if event.kind == "sealed"]
    pending = {numbers[event.call]: [numbers[order] for order in event.data["data"]] for event in sealed}
    ideal = ideal_times(program, reference.outcomes, reference.tools, concurrent=concurrent, pending=pending)
    for n, call in enumerate(ideal):
        got = starts.get(n), settles[n], releases[n]
        wanted = call.start, call.settle, call.release
        assert got == wanted, f"call {n}: (start, settle, release) at {got} instead of {wanted}"


def settled_once(trial: Trial) -> None:
    """P6: one terminal state per call, the same wherever it is told; and it releases once, later."""
    for n, future in enumerate(trial.futures):
        events = trial.events_of(n)
        kinds = [event.kind for event in events if event.kind in {"started", "settled", "released"}]
        assert kinds in (["settled", "released"], ["started", "settled", "released"]), f"call {n}: {kinds}"
        told = [event.data["outcome"] for event in events if event.kind == "settled"]
        told += [told.outcome for told in trial.told if told.call_id == future.call_id]
        assert all(outcome == future.outcome for outcome in told), f"call {n}: {told}, {future.outcome}"


def run_once_or_never(program: Program, trial: Trial) -> None:
    """P7, P8, P12: a call runs once; never if, and only if, a value that it needs is missing."""
    starts = Counter(n for _, n, what in trial.world.log if what == "start")
    for n, step in enumerate(program.steps):
        outcome = trial.outcomes[n]
        stopped = isinstance(outcome, Failure) and isinstance(outcome.error, UnresolvedPath | EffectEscape)
        blame = first_failed(step.arguments, trial.outcomes, program.gates.get(n, ()))
        expected = 0 if stopped or blame is not None else 1
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


def within_rate(trial: Trial, key: str, rate: str) -> None:
    """No window of the rate's length holds more starts than it admits (`"*"` or `"tool:NAME"`)."""
    limiter = parse_rate(key, rate)
    names = {future.order: future.tool for future in trial.made}
    times = [e.t for e in trial.events if e.kind == "started" and key in {"*", f"tool:{names[e.call]}"}]
    for first, beyond in zip(times, times[limiter.rate_limit :], strict=False):
        assert beyond - first >= limiter.period - 1e-9, (
            f"{limiter.rate_limit + 1} starts from {first} to {beyond}"
        )


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


def in_order_of_the_way_to_go(trial: Trial) -> None:
    """P15: of the calls that wait for a slot the one with the longest way to go starts first.

    For a single limit, calls that all take the same, and fewer turns than it takes for age to count.
    """
    older: dict[int, list[int]] = {}  # of each call those that it waits for
    queued: set[int] = set()
    for event in trial.events:
        if event.kind == "sealed":
            older[event.call] = [*event.data["data"], *event.data["effects"]]
        elif event.kind == "queued":
            queued.add(event.call)
        elif event.kind == "settled":
            queued.discard(event.call)
        elif event.kind == "started" and event.call in queued:
            ways = dict.fromkeys(older, 1)
            for newer in sorted(older, reverse=True):
                for order in older[newer]:
                    ways[order] = max(ways[order], ways[newer] + 1)
            first = min(queued, key=lambda order: (-ways[order], order))
            assert event.call == first, f"call {event.call} (way: {ways[event.call]}) started before {first}"
            queued.discard(event.call)


def nothing_kept(trial: Trial) -> None:
    """P16: when all is released, neither the graph nor the index remembers any call."""
    assert trial.session is not None
    order = trial.session._scheduler._order
    index = order._index
    assert (len(order), len(order._graph._graph), len(index)) == (0, 0, 0)
    assert (len(order._tasks), len(order.quarantine)) == (0, 0)
    assert not index._side
    assert not index._unbound
    assert order.ranks is None or len(order.ranks) == 0
    for slots in trial.session._scheduler._limits._slots.values():
        assert (slots.free, len(slots.line)) == (slots.size, 0)
    for trie in (index._readers, index._writers):
        assert (trie._places, trie._root.entries, trie._root.children) == ({}, {}, {})


def told_once(trial: Trial) -> None:
    """P17: every call is answered once and in its place, and every outcome is told exactly once."""
    ids = [future.call_id for future in trial.futures]
    assert [call_id for message in trial.answered for call_id in message] == ids
    counts = Counter(told.call_id for told in trial.told)
    assert counts == Counter(ids), f"outcomes told: {counts}"
    all_seen(trial)


def all_seen(trial: Trial) -> None:
    """P17: no outcome is left that the model has not seen."""
    unseen = [n for n, future in enumerate(trial.futures) if not future.seen]
    assert not unseen, f"never seen: {unseen}"


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
        if what in {"start", "resume"}:
            running.add(n)
            yield running
        else:
            running.discard(n)


def _counts(n: int, key: str, program: Program, trial: Trial) -> bool:
    """Whether call `n` counts against a limit."""
    if key == "*" or n >= len(program.steps):  # calls from inside and of broken messages count there only
        return key == "*"
    name = program.steps[n].tool
    if key.startswith("tool:"):
        return key == f"tool:{name}"
    claim = _claim(n, program, trial)
    return any(overlaps(parse_label(key), label) for label in (*claim.reads, *claim.writes))


def _claim(n: int, program: Program, trial: Trial) -> Claim:
    """What call `n` claimed when it started."""
    (arguments,) = [e.data["arguments"] for e in trial.events_of(n) if e.kind == "started"]
    return trial.tools[program.steps[n].tool].spec.bind(arguments)
