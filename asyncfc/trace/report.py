"""Report: what a run took, what overlapped, and why each call waited, in numbers.

The measures are those of AsyncFC (arXiv 2605.15077, section 5) and AsyncLM (arXiv 2412.07017). All times
are in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from asyncfc.trace.record import CallRecord, Record, Span, length, union
from asyncfc.trace.why import Wait, waits_of

LEAST = 0.001
"""Seconds; a shorter wait is not worth a word."""


@dataclass(frozen=True)
class Report:
    """What a record comes to.

    - `t_llm`: S(M), what the requests to the model took in all; 0 if nobody said so (`Session.sampling`).
    - `t_tool`: S(E), what the work of all calls took. A call that makes calls is one with them.
    - `t_cp`: the longest chain of calls that need each other, by data or effects, in time of their work;
      `critical_path` are the calls of that chain.
    - `bound`: (t_llm + t_tool) / max(t_llm, t_cp), the speed-up that no order of the same work can exceed.
    - `saving`: S(M) + S(E) - D(M or E), D being how long any of them lasts: the time that overlaps. It counts
      extra messages, too, so that it is not what a synchronous run would have taken longer.
    - `wall`: from the first event to the last.
    """

    record: Record

    @cached_property
    def outcomes(self) -> Mapping[str, int]:
        """How many calls ended in which way; "open" are those without an outcome."""
        kinds = (call.outcome["kind"] if call.outcome else "open" for call in self.calls.values())
        return Counter(kinds)

    @property
    def calls(self) -> Mapping[int, CallRecord]:
        """All calls, by their order."""
        return self.record.calls

    @property
    def retries(self) -> int:
        """How often work that had failed was done once more, in all."""
        return sum(call.tries - 1 for call in self.calls.values())

    @property
    def messages(self) -> int:
        """How many messages the model has written."""
        return len(self.record.messages)

    @property
    def extra_messages(self) -> int:
        """How many of them only because outcomes were unseen."""
        return sum(message.extra for message in self.record.messages)

    @property
    def t_llm(self) -> float:
        """See the class."""
        return length(self._decoding)

    @property
    def t_tool(self) -> float:
        """See the class."""
        return sum(map(union, self.works.values()))

    @cached_property
    def works(self) -> Mapping[int, list[Span]]:
        """When work went on, by call; what a call has made from inside its work is a part of it."""
        found: dict[int, list[Span]] = {}
        for order, call in sorted(self.calls.items()):
            found.setdefault(self._root(order), []).extend(call.spans)
        return found

    def _root(self, order: int) -> int:
        parent = self.calls[order].parent
        return order if parent is None or parent not in self.calls else self._root(parent)

    @property
    def t_cp(self) -> float:
        """See the class."""
        return self._critical[1]

    @property
    def critical_path(self) -> tuple[int, ...]:
        """See the class."""
        return self._critical[0]

    @cached_property
    def _critical(self) -> tuple[tuple[int, ...], float]:
        """The longest chain, and its seconds. Who needs a value does not wait for what comes after it."""
        starts: dict[int, float] = {}
        before: dict[int, int | None] = {}
        for order in self.works:
            call = self.calls[order]
            ends = {
                one.call: starts[one.call] + self._work(one.call) for one in call.after if one.call in starts
            }
            for older in (*call.needs, *call.gates):
                if older in starts:
                    settled = starts[older] + self._work(older, until=self.calls[older].settled)
                    ends[older] = max(settled, ends.get(older, 0.0))
            best = max(ends, key=ends.__getitem__, default=None)
            before[order], starts[order] = best, 0.0 if best is None else ends[best]
        at = max(starts, key=lambda order: starts[order] + self._work(order), default=None)
        seconds = 0.0 if at is None else starts[at] + self._work(at)
        path: list[int] = []
        while at is not None:
            path.append(at)
            at = before[at]
        return tuple(reversed(path)), seconds

    def _work(self, root: int, until: float | None = None) -> float:
        spans = self.works[root]
        return union(
            spans if until is None else [(start, min(stop, until)) for start, stop in spans if start < until]
        )

    @property
    def held(self) -> float:
        """For how long the answers of messages were held, in all (grace)."""
        longest: dict[int | None, float] = {}
        for call in self.calls.values():
            longest[call.message] = max(call.held, longest.get(call.message, 0.0))
        return sum(longest.values())

    @property
    def bound(self) -> float | None:
        """See the class; None if nothing took any time."""
        least = max(self.t_llm, self.t_cp)
        return (self.t_llm + self.t_tool) / least if least > 0 else None

    @property
    def saving(self) -> float:
        """See the class."""
        return self.t_llm + self.t_tool - union([*self._decoding, *self._working])

    @property
    def wall(self) -> float:
        """See the class."""
        return self.record.span[1] - self.record.span[0]

    @cached_property
    def waits(self) -> Mapping[int, list[Wait]]:
        """What each call waited for before it started, in order."""
        now = self.record.span[1]
        return {order: self.waits_until(order, now) for order in self.calls}

    @property
    def waited(self) -> Mapping[str, float]:
        """How long calls waited in all, by cause."""
        sums: Counter[str] = Counter()
        for waits in self.waits.values():
            for wait in waits:
                sums[wait.cause] += wait.seconds  # type: ignore[assignment]  # a Counter of seconds
        return dict(sums)

    @property
    def _decoding(self) -> list[tuple[float, float]]:
        return [span for message in self.record.messages for span in message.decoding]

    @property
    def _working(self) -> list[Span]:
        return [span for spans in self.works.values() for span in spans]

    def waits_until(self, order: int, now: float) -> list[Wait]:
        """Return what a call has waited for; if it still does, until `now`, by the loop's clock.

        Raises:
            KeyError: there is no such call.
        """
        return waits_of(self.calls[order], self.calls, now)

    def why(self, order: int) -> str:
        """Say in a line what a call waited for, down to a millisecond.

        Raises:
            KeyError: there is no such call.
        """
        call = self.calls[order]
        waits = [wait for wait in self.waits[order] if wait.seconds >= LEAST]
        parts = [f"{wait.seconds:.3g} s {self.cause(wait)}" for wait in waits]
        name = call.handle or call.call_id or f"call {order}"
        tried = f"; it was tried {call.tries} times" if call.tries > 1 else ""
        held = f"; its answer was held for {call.held:.3g} s" if call.held >= LEAST else ""
        return f"{call.tool} ({name}) waited {', then '.join(parts) or 'for nothing'}{tried}{held}"

    def cause(self, wait: Wait) -> str:
        """Say what a wait was for, to stand behind "waited 2 s"."""
        other = self.calls.get(wait.of) if wait.of is not None else None
        name = (
            "a call of another session"
            if other is None
            else f"{other.tool} ({other.handle or other.call_id or other.order})"
        )
        return {
            "message": "for its message to be complete",
            "data": f"for the value of {name}",
            "gate": f"for {name} to succeed",
            "effect": f"for {name} to end ({wait.why})",
            "limit": f"for a slot ({wait.why})",
            "thread": "for a thread or a process",
            "start": "until somebody asked for it",
        }[wait.cause]

    def __str__(self) -> str:
        """A few lines for people."""
        ended = ", ".join(f"{count} {kind}" for kind, count in sorted(self.outcomes.items()))
        bound = "" if self.bound is None else f"; bound {self.bound:.2f}"
        waited = ", ".join(f"{cause} {seconds:.3g} s" for cause, seconds in sorted(self.waited.items()))
        return "\n".join(
            (
                f"calls     {len(self.calls)} ({ended or 'none'})"
                + (f"; retries {self.retries}" if self.retries else ""),
                f"messages  {self.messages}, {self.extra_messages} of them extra",
                f"time      {self.wall:.3g} s: model {self.t_llm:.3g} s, tools {self.t_tool:.3g} s",
                f"overlap   {self.saving:.3g} s; critical path {self.t_cp:.3g} s{bound}",
                f"waited    {waited or 'for nothing'}"
                + (f"; answers held {self.held:.3g} s" if self.held else ""),
            )
        )
