"""Why: what a call waited for between its registration and its start, as spans that follow each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from asyncfc.trace.record import CallRecord

Cause: TypeAlias = Literal["message", "data", "gate", "effect", "limit", "thread", "start"]


@dataclass(frozen=True, slots=True)
class Wait:
    """A stretch of time in which one thing kept a call from starting.

    - `message`: its message was not complete, and it is no read (DESIGN E4).
    - `data`: the value of call `of`.
    - `gate`: the success of call `of`, without which an irreversible call does not run (DESIGN E4).
    - `effect`: call `of` had not released, or it was not known yet that they touch different things; `why`
      names the kind of the conflict and the label.
    - `limit`: no slot was free, or a rate was used up; `why` names them.
    - `thread`: no thread or process was free.
    - `start`: nothing that the trace knows of: the program asked for it late, or the loop was busy.
    """

    cause: Cause
    start: float
    stop: float
    of: int | None = None
    why: str = ""

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.stop - self.start


def waits_of(call: CallRecord, calls: Mapping[int, CallRecord], now: float) -> list[Wait]:
    """Return what a call waited for, in order.

    Of several things at a time the one that ended first is named, and then the next for what it added.

    Args:
        call: whose waits.
        calls: all of them, by their order.
        now: until when a call that has not started waits, in seconds of the loop's clock.
    """
    if call.sealed is None:
        return []
    end = next((t for t in (call.begun, call.started, call.settled) if t is not None), now)
    found: list[Wait] = []
    at = call.sealed
    for hold in sorted(_holds(call, calls, end), key=lambda one: one.stop):
        stop = min(hold.stop, end)
        if stop > at:
            found.append(Wait(hold.cause, at, stop, hold.of, hold.why))
            at = stop
    for until, cause, why in _last(call, end):
        if min(until, end) > at:
            found.append(Wait(cause, at, min(until, end), None, why))
            at = min(until, end)
    return found


def _last(call: CallRecord, end: float) -> Iterator[tuple[float, Cause, str]]:
    """What comes when nothing orders it any more: it is asked for, it has slots, a thread takes it."""
    handed = end if call.begun is None or call.started is None else call.started
    if call.queued is not None:
        yield call.queued, "start", ""
        yield handed, "limit", ", ".join(call.keys)
    yield handed, "start", ""
    yield end, "thread", ""


def _holds(call: CallRecord, calls: Mapping[int, CallRecord], end: float) -> Iterator[Wait]:
    """What may have kept it, each from its registration on; what never ended holds it to the end."""
    begin = call.sealed or 0.0

    def until(moment: float | None) -> float:
        return end if moment is None else moment

    if call.level != "read":
        yield Wait("message", begin, until(call.committed))
    for order in call.data:
        cause: Cause = "gate" if order in call.gates else "data"
        yield Wait(cause, begin, until(_known(order, calls).settled), order)
    for order, kind, label, dropped in call.effects:
        stop = until(_known(order, calls).released) if dropped is None else dropped
        yield Wait("effect", begin, stop, order, f"{kind} {label}")


def _known(order: int, calls: Mapping[int, CallRecord]) -> CallRecord:
    """A call. One of another session of the runtime is not known: it held as long as there was a wait."""
    return calls.get(order) or CallRecord(order)
