"""The ideal timing of a program: what "as parallel as data flow and declared effects allow" means.

With free slots a call starts at the latest of: its message's commit (a declared read: its seal), the
settling of its data inputs (if it is irreversible, also of the earlier calls of its message), the binding
of its labels, and the moment at which each older conflicting call stops blocking it (DESIGN §6). Each
time depends on older calls only, so one pass gives them all.
It knows labels and conflicts (`asyncfc.depgraph.effects`), and nothing of the scheduler.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asyncfc.depgraph.effects import Claim, conflict
from asyncfc.errors import ToolTimeout
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.testing.oracle import Ref, Step, first_failed, refs, resolve
from asyncfc.testing.programs import Program
from asyncfc.tools import Tool


@dataclass(frozen=True, slots=True)
class Ideal:
    """Of one call, in virtual seconds: when it starts (None: it never runs), settles and releases."""

    start: float | None
    settle: float
    release: float


@dataclass(frozen=True, slots=True)
class _Claims:
    """The claim of a call over time: `wide` from its seal, `narrow` from `bound_at` (inf: never)."""

    wide: Claim
    narrow: Claim
    bound_at: float


def ideal_times(
    program: Program,
    outcomes: Sequence[Outcome],
    tools: Mapping[str, Tool],
    *,
    concurrent: bool = False,
    pending: Mapping[int, Collection[int]] | None = None,
) -> list[Ideal]:
    """When each call of the program starts, settles and releases with free slots.

    Args:
        program: its calls say how long they take (`delay`, none if `fail` is "start").
        outcomes: of a sequential run: they say who fails, and which labels late paths lead to.
        tools: for the declared effects.
        concurrent: undeclared calls of one message are not ordered among themselves.
        pending: by call, which inputs had not settled when it was sealed; it decides where an input settles
            in the very moment of the seal, since nothing else can.
    """
    times: list[Ideal] = []
    claims: list[_Claims] = []
    firsts, gates = program.firsts, program.gates

    def fellows(u: int, n: int) -> bool:
        undeclared = not any(tools[program.steps[i].tool].spec.declared for i in (u, n))
        return concurrent and undeclared and firsts[u] == firsts[n]

    for n, step in enumerate(program.steps):
        spec = tools[step.tool].spec
        unsettled = (pending or {}).get(n, ())
        claims.append(_claims(n, program, outcomes, times, tools[step.tool], unsettled))
        older = (u for u in range(n) if not fellows(u, n))
        free = max((_free_of(claims[u], claims[n], times[u]) for u in older), default=0.0)
        ready = program.sealed_at[n] if spec.level == "read" else program.committed_at[n]
        inputs = {*gates.get(n, ()), *(ref.call for ref in refs(step.arguments))}
        blame = first_failed(step.arguments, outcomes, gates.get(n, ()))
        if blame is not None:
            settle = max(program.sealed_at[n], *(times[i].settle for i in inputs if i <= blame))
            times.append(Ideal(None, settle, max(settle, free)))
        else:
            start = max(ready, free, *(times[i].settle for i in inputs), 0.0)
            settles, ends = _durations(step, outcomes, tools[step.tool])
            runs = _runs(outcomes[n])
            times.append(Ideal(start if runs else None, start + settles, start + ends))
    return times


def _claims(
    n: int,
    program: Program,
    outcomes: Sequence[Outcome],
    times: Sequence[Ideal],
    tool: Tool,
    unsettled: Collection[int],
) -> _Claims:
    step, sealed = program.steps[n], program.sealed_at[n]

    def is_late(ref: Ref) -> bool:
        settled = times[ref.call].settle
        return settled > sealed or (settled == sealed and ref.call in unsettled)

    needed = {name: refs([step.arguments.get(name)]) for name in tool.spec.parameters}
    late = {name for name, found in needed.items() if any(map(is_late, found))}
    lost = {name for name in needed if first_failed([step.arguments.get(name)], outcomes) is not None}
    known = {name: value for name, value in step.arguments.items() if name in needed.keys() - late - lost}
    wide = tool.spec.bind(resolve(known, outcomes), late | lost)
    if lost:
        return _Claims(wide, wide, math.inf)
    narrow = tool.spec.bind(resolve({name: step.arguments.get(name) for name in needed}, outcomes))
    bound_at = max((times[ref.call].settle for found in needed.values() for ref in found), default=0.0)
    return _Claims(wide, narrow, max(bound_at, sealed))


def _free_of(older: _Claims, newer: _Claims, of_older: Ideal) -> float:
    """When the older call stops blocking the newer: at its release, or once they no longer conflict."""
    free = of_older.release
    for one, one_at in ((older.wide, 0.0), (older.narrow, older.bound_at)):
        for other, other_at in ((newer.wide, 0.0), (newer.narrow, newer.bound_at)):
            if conflict(one, other) is None:
                free = min(free, max(one_at, other_at))
    return free


def _runs(outcome: Outcome) -> bool:
    """Whether the tool itself ran (it did if it raised); a bad path into a value stops a call before."""
    from asyncfc.testing.world import Broke

    return isinstance(outcome, Value) or (
        isinstance(outcome, Failure) and isinstance(outcome.error, Broke | ToolTimeout)
    )


def _durations(step: Step, outcomes: Sequence[Outcome], tool: Tool) -> tuple[float, float]:
    """Seconds from the start until the call settles, and until its work has ended."""
    if not _runs(outcomes[step.arguments["n"]]) or step.arguments.get("fail") == "start":
        return 0.0, 0.0
    work = float(step.arguments["delay"])
    if tool.timeout is None or tool.timeout > work:
        return work, work
    return tool.timeout, work if step.tool.endswith("_deaf") else tool.timeout
