"""View: a trace as the plain data that the timeline page draws. Times are seconds since the first event."""

from __future__ import annotations

import json
from typing import Any

from asyncfc.trace.record import CallRecord, length, union
from asyncfc.trace.report import Report

_TIMES = (
    "sealed", "committed", "withdrawn", "queued", "started", "begun", "settled", "ended", "released",
    "answered", "delivered", "seen",
)  # fmt: skip


def view(report: Report, session: str) -> dict[str, Any]:
    """Return all that a page shows of a report."""
    record = report.record
    zero = record.span[0]
    critical = set(report.critical_path)
    return {
        "session": session,
        "end": record.span[1] - zero,
        "report": numbers(report),
        "one_by_one": [[kind, which, start, stop] for kind, which, start, stop in one_by_one(report)],
        "messages": [
            {
                "number": message.number,
                "start": None if message.start is None else message.start - zero,
                "stop": None if message.stop is None else message.stop - zero,
                "ok": message.ok,
                "extra": message.extra,
                "pauses": [[start - zero, stop - zero] for start, stop in message.pauses],
                "calls": message.calls,
            }
            for message in record.messages
        ],
        "pauses": [[start - zero, stop - zero, list(orders)] for (start, stop), orders in record.waits],
        "calls": [_call(report, call, zero, critical) for _, call in sorted(record.calls.items())],
    }


def numbers(report: Report) -> dict[str, Any]:
    """Return the figures of a report as JSON."""
    names = (
        "messages", "extra_messages", "t_llm", "t_tool", "t_cp", "bound", "saving", "wall", "waited",
    )  # fmt: skip
    return {
        "calls": len(report.calls),
        "held": report.held,
        "retries": report.retries,
        "outcomes": dict(report.outcomes),
        **{name: getattr(report, name) for name in names},
        "critical_path": list(report.critical_path),
    }


def one_by_one(report: Report) -> list[tuple[str, int, float, float]]:
    """Return the same messages and calls as they would have come one after the other.

    Each as ("message" or "call", its number or order, start, stop). It is made of the durations that were
    measured, without the messages that were only there because outcomes were unseen: an estimate of a
    synchronous run, not a measurement of one.
    """
    record, works = report.record, report.works
    rows: list[tuple[str, int, float, float]] = []
    now = 0.0

    def add(kind: str, which: int, seconds: float) -> None:
        nonlocal now
        rows.append((kind, which, now, now + seconds))
        now += seconds

    placed: set[int] = set()
    for message in record.messages:
        if message.decoding and not message.extra:
            add("message", message.number, length(message.decoding))
        for order in message.calls:
            placed.add(order)
            add("call", order, union(works.get(order, ())))
    for order, spans in works.items():
        if order not in placed and spans:
            add("call", order, union(spans))
    return rows


def _call(report: Report, call: CallRecord, zero: float, critical: set[int]) -> dict[str, Any]:
    times = {name: getattr(call, name) for name in _TIMES}
    return {
        "order": call.order,
        "tool": call.tool,
        "level": call.level,
        "id": call.call_id,
        "handle": call.handle,
        "message": call.message,
        "parent": call.parent,
        "written": _text(call.written),
        "arguments": _text(call.arguments),
        "outcome": call.outcome,
        "critical": call.order in critical,
        "needs": list(call.needs),
        "gates": list(call.gates),
        "effects": [[one.call, one.kind, one.label] for one in call.after],
        "waits": [
            [wait.cause, wait.start - zero, wait.stop - zero, wait.of, wait.why]
            for wait in report.waits[call.order]
        ],
        "why": report.why(call.order),
        "times": {name: t - zero for name, t in times.items() if t is not None},
    }


def _text(arguments: Any) -> str | None:
    return None if arguments is None else json.dumps(arguments, ensure_ascii=False)
