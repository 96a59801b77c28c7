"""Report: what a run took, what overlapped, and why each call waited, in numbers.

The measures are those of AsyncFC (arXiv 2605.15077, section 5) and AsyncLM (arXiv 2412.07017). All times
are in seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from asyncfc.trace.record import CallRecord, Record, length, union
from asyncfc.trace.why import Wait, waits_of

LEAST = 0.001
"""Seconds; a shorter wait is not worth a word."""


@dataclass(frozen=True)
class Report:
    """What a record comes to.

    - `t_llm`: S(M), what the requests to the model took in all; 0 if nobody said so (`Session.sampling`).
    - `t_tool`: S(E), what the work of all calls took.
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
        return sum(call.seconds for call in self.calls.values() if call.parent is None)

    @property
    def t_cp(self) -> float:
        """See the class."""
        return sum(self.calls[order].seconds for order in self.critical_path)

    @cached_property
    def critical_path(self) -> tuple[int, ...]:
        """See the class."""
        longest: dict[int, float] = {}
        before: dict[int, int | None] = {}
        for order, call in sorted(self.calls.items()):
            older = [*call.needs, *call.gates, *(one.call for one in call.after)]
            known = [one for one in older if one in longest]
            best = max(known, key=longest.__getitem__, default=None)
            before[order] = best
            longest[order] = (longest[best] if best is not None else 0.0) + call.seconds
        at = max(longest, key=longest.__getitem__, default=None)
        path: list[int] = []
        while at is not None:
            path.append(at)
            at = before[at]
        return tuple(reversed(path))

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
    def _working(self) -> list[tuple[float, float]]:
        return [call.work for call in self.calls.values() if call.work is not None and call.parent is None]

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
        return f"{call.tool} ({name}) waited {', then '.join(parts) or 'for nothing'}"

    def cause(self, wait: Wait) -> str:
        """Say what a wait was for, to stand behind "waited 2 s"."""
        other = self.calls.get(wait.of) if wait.of is not None else None
        name = "" if other is None else f"{other.tool} ({other.handle or other.call_id or other.order})"
        return {
            "message": "for its message to be complete",
            "data": f"for the value of {name}",
            "gate": f"for {name} to succeed",
            "effect": f"for {name} to end ({wait.why})",
            "limit": f"for a slot ({wait.why})",
            "start": "until somebody asked for it",
        }[wait.cause]

    def __str__(self) -> str:
        """A few lines for people."""
        ended = ", ".join(f"{count} {kind}" for kind, count in sorted(self.outcomes.items()))
        bound = "" if self.bound is None else f"; bound {self.bound:.2f}"
        waited = ", ".join(f"{cause} {seconds:.3g} s" for cause, seconds in sorted(self.waited.items()))
        return "\n".join(
            (
                f"calls     {len(self.calls)} ({ended or 'none'})",
                f"messages  {self.messages}, {self.extra_messages} of them extra",
                f"time      {self.wall:.3g} s: model {self.t_llm:.3g} s, tools {self.t_tool:.3g} s",
                f"overlap   {self.saving:.3g} s; critical path {self.t_cp:.3g} s{bound}",
                f"waited    {waited or 'for nothing'}",
            )
        )
