"""Perfetto: a trace in Chrome's JSON format, for ui.perfetto.dev and chrome://tracing.

Times there are microseconds. Format: "Trace Event Format", complete (X), metadata (M) and flow (s, f) events.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from asyncfc.trace.record import CallRecord
from asyncfc.trace.report import Report

_PID = 1
_MODEL = 1
_FIRST_LANE = 2


def perfetto(report: Report, session: str = "") -> dict[str, Any]:
    """Return a trace as JSON: a thread for the model, and as many for the calls as ran at the same time."""
    zero = report.record.span[0]
    lanes = _lanes(report)
    names = {_MODEL: "model"} | {lane: f"calls {lane - _FIRST_LANE + 1}" for lane in set(lanes.values())}
    title = {"name": f"asyncfc {session}".strip()}
    events: list[dict[str, Any]] = [{"ph": "M", "pid": _PID, "name": "process_name", "args": title}]
    events += [
        {"ph": "M", "pid": _PID, "tid": lane, "name": "thread_name", "args": {"name": name}}
        for lane, name in sorted(names.items())
    ]
    events += _messages(report, zero)
    events += (_call(report, report.calls[order], lane, zero) for order, lane in lanes.items())
    events += _flows(report, lanes, zero)
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _lanes(report: Report) -> dict[int, int]:
    """A thread for each call that has run: the first that is free."""
    found: dict[int, int] = {}
    ends: list[float] = []
    worked = [(call.work, order) for order, call in report.calls.items() if call.work is not None]
    for (start, stop), order in sorted(worked):
        lane = next((lane for lane, end in enumerate(ends) if end <= start), len(ends))
        ends[lane : lane + 1] = [stop]
        found[order] = lane + _FIRST_LANE
    return found


def _messages(report: Report, zero: float) -> Iterator[dict[str, Any]]:
    for message in report.record.messages:
        for start, stop in message.decoding:
            name = f"message {message.number}" + (" (extra)" if message.extra else "")
            yield _complete(name, "model", _MODEL, start - zero, stop - start, {"calls": message.calls})


def _call(report: Report, call: CallRecord, lane: int, zero: float) -> dict[str, Any]:
    assert call.work is not None
    arguments = {
        "handle": call.handle,
        "call_id": call.call_id,
        "arguments": call.arguments,
        "outcome": call.outcome,
        "why": report.why(call.order),
    }
    start, stop = call.work
    return _complete(call.tool, "call", lane, start - zero, stop - start, arguments)


def _complete(
    name: str, category: str, lane: int, start: float, seconds: float, args: dict[str, Any]
) -> dict[str, Any]:
    at = {"ts": start * 1e6, "dur": seconds * 1e6}
    return {"ph": "X", "name": name, "cat": category, "pid": _PID, "tid": lane, **at, "args": args}


def _flows(report: Report, lanes: dict[int, int], zero: float) -> Iterator[dict[str, Any]]:
    """An arrow from the end of each call to the start of those that needed it or were ordered after it."""
    ids = count(1)
    for order, lane in lanes.items():
        call = report.calls[order]
        older = [(one, "data") for one in (*call.needs, *call.gates)]
        older += [(one.call, "effect") for one in call.after]
        for other, kind in older:
            before, after = report.calls[other].work if other in lanes else None, call.work
            if before is None or after is None:
                continue
            base = {"name": kind, "cat": kind, "pid": _PID, "id": next(ids)}
            yield {**base, "ph": "s", "tid": lanes[other], "ts": (before[1] - zero) * 1e6}
            yield {**base, "ph": "f", "bp": "e", "tid": lane, "ts": (after[0] - zero) * 1e6}
