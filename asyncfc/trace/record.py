"""Record: what the events of a session say about each of its calls, and about the messages of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asyncfc.trace.events import NO_CALL, Event

Span = tuple[float, float]
"""From when until when, in seconds of the loop's clock."""


class Ordered(NamedTuple):
    """After which older call a call is ordered by effect, and why."""

    call: int
    kind: str
    """RAW, WAR or WAW."""
    label: str
    """The newer call's."""
    dropped: float | None = None
    """When it turned out that they touch different things, in seconds of the loop's clock."""


@dataclass(slots=True)
class CallRecord:
    """One call. Times are seconds of the loop's clock; None: it has not happened."""

    order: int
    tool: str = "?"
    level: str = ""
    """Read, write or irreversible."""
    call_id: str = ""
    handle: str | None = None
    message: int | None = None
    """The number of its message; None if it was made inside another call, or its message never completed."""
    parent: int | None = None
    """The call that made it, if one did."""
    written: Mapping[str, Any] | None = None
    """Its arguments as the model wrote them."""
    arguments: Mapping[str, Any] | None = None
    """As its tool got them, once it has started."""
    needs: tuple[int, ...] = ()
    """The calls whose values it uses."""
    gates: tuple[int, ...] = ()
    """The calls without whose success it must not run."""
    data: tuple[int, ...] = ()
    """Those of both that had not settled when it was registered."""
    effects: tuple[Ordered, ...] = ()
    """The older calls that it is, or at first was, ordered after."""
    keys: tuple[str, ...] = ()
    """The limits or rates that it has waited for."""
    held: float = 0.0
    """Seconds for which its answer was held (grace)."""
    outcome: Mapping[str, Any] | None = None
    """`kind` (value, failure, cancelled, withheld) and `text`."""
    sealed: float | None = None
    committed: float | None = None
    withdrawn: float | None = None
    queued: float | None = None
    started: float | None = None
    begun: float | None = None
    """When a thread or a process took its work; None if it needs neither."""
    tries: int = 1
    """How often its work was begun; the pauses before the later ones are among `pauses`."""
    failed: float | None = None
    """When its last try failed, while it waits for the next."""
    settled: float | None = None
    ended: float | None = None
    """When its work truly ended, where that was later than `settled`."""
    pauses: list[Span] = field(default_factory=list)
    """When its work waited for calls of its own, or to be done once more."""
    released: float | None = None
    answered: float | None = None
    delivered: float | None = None
    seen: float | None = None

    @property
    def after(self) -> list[Ordered]:
        """The older calls that it is ordered after by effect."""
        return [one for one in self.effects if one.dropped is None]

    @property
    def work(self) -> Span | None:
        """From the beginning of its work to its end; None if it never ran, or still does."""
        start = self.started if self.begun is None else self.begun
        end = self.settled if self.ended is None else self.ended
        return None if start is None or end is None else (start, max(start, end))

    @property
    def spans(self) -> list[Span]:
        """When its own work went on: without the times at which it waited for calls of its own."""
        return [] if self.work is None else without(self.work, self.pauses)

    @property
    def seconds(self) -> float:
        """How long its own work went on; 0 if it never ran, or still does."""
        return length(self.spans)


@dataclass(slots=True)
class MessageRecord:
    """One message of the model."""

    number: int
    """From 1."""
    start: float | None = None
    """When the request for it began; None if nobody said so (`Session.sampling`)."""
    stop: float | None = None
    ok: bool = True
    """Whether the request succeeded."""
    extra: bool = False
    """Whether the model was asked only because outcomes were unseen."""
    pauses: list[Span] = field(default_factory=list)
    """When, in the middle of it, the model waited for an outcome and wrote nothing."""
    calls: list[int] = field(default_factory=list)

    @property
    def decoding(self) -> list[Span]:
        """When the model wrote it, as far as the runtime can tell: the time of the request."""
        if self.start is None or self.stop is None:
            return []
        return without((self.start, self.stop), self.pauses)


@dataclass(slots=True)
class Record:
    """All of it."""

    calls: dict[int, CallRecord] = field(default_factory=dict)
    """By their order."""
    messages: list[MessageRecord] = field(default_factory=list)
    waits: list[tuple[Span, tuple[int, ...]]] = field(default_factory=list)
    """When the model, or the program, waited for outcomes, and for which calls'."""
    span: Span = (0.0, 0.0)
    """Of all that happened."""


def record_of(events: Iterable[Event]) -> Record:
    """Return what events say, as a trace keeps them (see `plain`)."""
    reader = Reader()
    for event in events:
        reader.read(event)
    return reader.record


class Reader:
    """Reads events one by one, as a trace keeps them, into `record`."""

    def __init__(self) -> None:
        self.record = Record()
        self._requests: dict[int, MessageRecord] = {}
        self._of_number: dict[int, MessageRecord] = {}
        self._free: MessageRecord | None = None
        """The newest request, as long as no message is known to be its."""
        self._extra = False
        self._waits: dict[int, tuple[float, tuple[int, ...]]] = {}
        self._paused: dict[tuple[int, int | None], float] = {}
        self._first: float | None = None

    def read(self, event: Event) -> None:
        """Take the next event."""
        self._first = event.t if self._first is None else self._first
        self.record.span = (self._first, event.t)
        if event.kind in {"paused", "resumed"}:
            self._pause(event)
        elif event.call == NO_CALL:
            self._of_conversation(event)
        elif event.kind not in {"waiting", "waited"}:  # a tool's waits are its pauses
            self._of_call(event)

    def _of_call(self, event: Event) -> None:
        call = self.record.calls.get(event.call)
        if call is None:
            call = self.record.calls[event.call] = CallRecord(event.call)
        _note(call, event)
        if event.kind == "committed" and event.data["message"] is not None:
            message = self._message(event.data["message"])
            message.calls.append(event.call)
            call.message = message.number

    def _of_conversation(self, event: Event) -> None:
        messages, data = self.record.messages, event.data
        match event.kind:
            case "sampling":
                self._free = MessageRecord(len(messages) + 1, event.t, extra=self._extra)
                messages.append(self._free)
                self._requests[data["request"]] = self._free
            case "sampled":
                request = self._requests.pop(data["request"], None)
                if request is not None:
                    request.stop, request.ok = event.t, data["ok"]
                    self._extra = self._extra and not request.ok  # what failed is asked for again
            case "extra":
                self._extra = True
            case "waiting":
                self._waits[data["wait"]] = (event.t, tuple(data["futures"]))
            case "waited" if data["wait"] in self._waits:
                start, orders = self._waits.pop(data["wait"])
                self.record.waits.append(((start, event.t), orders))

    def _pause(self, event: Event) -> None:
        request = event.data.get("request")
        whose: CallRecord | MessageRecord | None = (
            self.record.calls.get(event.call) if event.call != NO_CALL else self._requests.get(request or 0)
        )
        if event.kind == "paused":
            self._paused[event.call, request] = event.t
        else:
            start = self._paused.pop((event.call, request), None)
            if whose is not None and start is not None:
                whose.pauses.append((start, event.t))

    def _message(self, number: int) -> MessageRecord:
        """The message of this number among those with calls: that of the newest request, if that has none."""
        found = self._of_number.get(number)
        if found is None:
            if self._free is None:
                self._free = MessageRecord(len(self.record.messages) + 1)
                self.record.messages.append(self._free)
            found, self._free = self._free, None
            self._of_number[number] = found
        return found


def _note(call: CallRecord, event: Event) -> None:
    t, data = event.t, event.data
    match event.kind:
        case "sealed":
            call.sealed, call.tool, call.level, call.parent = t, data["tool"], data["level"], data["parent"]
            call.call_id = data["call_id"]
            call.written = data["arguments"]
            call.needs, call.gates, call.data = (tuple(data[name]) for name in ("needs", "gates", "data"))
            call.effects = tuple(Ordered(*one) for one in data["effects"])
        case "committed":
            call.committed, call.tool = t, data["tool"]
            call.handle, call.call_id = data["handle"], data["call_id"]
        case "queued":
            call.queued = t if call.queued is None else call.queued
            call.keys = (*call.keys, *data.get("limits", ()), *data.get("rates", ()))
        case "started" | "begun" | "retry" | "settled":
            _note_work(call, event)
        case "ended late":
            call.ended = t
        case "answered":
            call.answered, call.held = t, data["held_s"]
        case "unordered":
            older = data["older"]
            call.effects = tuple(o._replace(dropped=t) if o.call == older else o for o in call.effects)
        case "withdrawn" | "released" | "delivered" | "seen":
            setattr(call, event.kind, t)
        case _:
            pass  # it says nothing about what came when


def _note_work(call: CallRecord, event: Event) -> None:
    """Of several tries the first begins the work; between two of them it pauses."""
    t, data = event.t, event.data
    if event.kind == "begun":
        call.begun = t if call.begun is None else call.begun
    elif event.kind == "retry":
        call.tries, call.failed = data["tries"] + 1, t
    elif call.failed is not None:
        call.pauses.append((call.failed, t))
        call.failed = None
    if event.kind == "started":
        call.started = t if call.started is None else call.started
        call.arguments = data["arguments"]
    elif event.kind == "settled":
        call.settled, call.outcome = t, data["outcome"]


def without(span: Span, gaps: Iterable[Span]) -> list[Span]:
    """Return what is left of a span without some gaps."""
    found: list[Span] = []
    at, end = span
    for start, stop in sorted(gaps):
        if start > at:
            found.append((at, min(start, end)))
        at = max(at, stop)
        if at >= end:
            return found
    return [*found, (at, end)]


def union(spans: Iterable[Span]) -> float:
    """Return how long at least one of the spans lasts, in seconds."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def length(spans: Sequence[Span]) -> float:
    """Return the sum of what they last, in seconds."""
    return sum(stop - start for start, stop in spans)
