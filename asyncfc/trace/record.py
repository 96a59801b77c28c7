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
    grace: Mapping[str, Any] | None = None
    """What `grace="auto"` decided for its message, in the message's first call."""
    outcome: Mapping[str, Any] | None = None
    """`kind` (value, failure, cancelled, withheld) and `text`."""
    sealed: float | None = None
    committed: float | None = None
    withdrawn: float | None = None
    queued: float | None = None
    started: float | None = None
    settled: float | None = None
    ended: float | None = None
    """When its work truly ended, where that was later than `settled`."""
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
        """When its tool ran; None if it never did, or still does."""
        end = self.settled if self.ended is None else self.ended
        return None if self.started is None or end is None else (self.started, end)

    @property
    def seconds(self) -> float:
        """How long its tool ran; 0 if it never did, or still does."""
        return 0.0 if self.work is None else self.work[1] - self.work[0]


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
        borders = [self.start, *(moment for pause in self.pauses for moment in pause), self.stop]
        return list(zip(borders[::2], borders[1::2], strict=True))


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
        self._numbers: dict[int, MessageRecord] = {}
        self._extra = False
        self._paused: float | None = None
        self._waiting: list[tuple[float, tuple[int, ...]]] = []
        self._first: float | None = None

    def read(self, event: Event) -> None:
        """Take the next event."""
        self._first = event.t if self._first is None else self._first
        self.record.span = (self._first, event.t)
        if event.call == NO_CALL:
            self._of_conversation(event)
            return
        call = self.record.calls.get(event.call)
        if call is None:
            call = self.record.calls[event.call] = CallRecord(event.call)
        _note(call, event)
        if event.kind == "committed" and event.data["message"] is not None:
            self._message(event.data["message"]).calls.append(event.call)
        if event.kind == "bound":
            for older, newer in event.data["dropped"]:
                call = self.record.calls[newer]
                call.effects = tuple(
                    one._replace(dropped=event.t) if one.call == older else one for one in call.effects
                )

    def _of_conversation(self, event: Event) -> None:
        messages = self.record.messages
        match event.kind:
            case "sampling":
                messages.append(MessageRecord(len(messages) + 1, event.t, extra=self._extra))
                self._extra = False
            case "sampled" if messages:
                messages[-1].stop, messages[-1].ok = event.t, event.data["ok"]
            case "paused" if messages and messages[-1].stop is None:
                self._paused = event.t
            case "resumed" if messages and self._paused is not None:
                messages[-1].pauses.append((self._paused, event.t))
                self._paused = None
            case "extra":
                self._extra = True
            case "waiting":
                self._waiting.append((event.t, tuple(event.data["futures"])))
            case "waited" if self._waiting:
                start, orders = self._waiting.pop(0)
                self.record.waits.append(((start, event.t), orders))

    def _message(self, number: int) -> MessageRecord:
        """The message of this number: that of the newest request, if that has none yet."""
        found = self._numbers.get(number)
        if found is None:
            messages = self.record.messages
            if not messages or messages[-1].start is None or messages[-1] in self._numbers.values():
                messages.append(MessageRecord(len(messages) + 1))
            found = self._numbers[number] = messages[-1]
        return found


def _note(call: CallRecord, event: Event) -> None:
    t, data = event.t, event.data
    match event.kind:
        case "sealed":
            call.sealed, call.tool, call.level, call.parent = t, data["tool"], data["level"], data["parent"]
            call.written = data["arguments"]
            call.needs, call.gates, call.data = (tuple(data[name]) for name in ("needs", "gates", "data"))
            call.effects = tuple(Ordered(*one) for one in data["effects"])
        case "committed":
            call.committed, call.tool, call.message = t, data["tool"], data["message"]
            call.handle, call.call_id = data["handle"], data["call_id"]
        case "queued":
            call.queued = t if call.queued is None else call.queued
            call.keys = (*call.keys, *data.get("limits", ()), *data.get("rates", ()))
        case "started":
            call.started, call.arguments = t, data["arguments"]
        case "settled":
            call.settled, call.outcome = t, data["outcome"]
        case "ended late":
            call.ended = t
        case "held":
            call.grace = data
        case "withdrawn" | "released" | "answered" | "delivered" | "seen":
            setattr(call, event.kind, t)
        case _:
            pass  # it says nothing about what came when


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
