"""Estimates: how long calls take, learned from those that have ended, and how long some will take yet.

Nothing is decided here. A forecast looks at a call and at what it waits for, directly or over others, so
that two short calls in a row count as what they take together.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from asyncfc.execution.task import Task
from asyncfc.futures.future import Future

REMEMBERED = 32
"""Calls of each tool."""
HALF_LIFE = 8
"""Calls of a tool after which one counts half: tools get slower and faster."""
QUANTILE = 0.75
"""Of these that end within what is expected: a late answer costs more than one held a little too long, and
where durations have a heavy tail, this is near their mean, which the length of a chain is made of."""
UNKNOWN_S = 1.0
"""Seconds that a call counts as where nothing at all is known: then all are alike."""
TOLERANCE = 1e-6
"""Seconds; what should have ended but for so little is overdue."""
LONGEST_CHAIN = 128
"""Calls that a forecast looks at beside those it is for; what waits for more is not short anyway."""


class Estimates:
    """What calls of each tool take, in seconds of the loop's clock, from the start of their work on."""

    __slots__ = ("_expected", "_past", "_typical")

    def __init__(self) -> None:
        self._past: dict[str, deque[float]] = {}
        self._expected: dict[str, float] = {}  # what has been asked since something was learned
        self._typical: float | None = None

    def learn(self, tool: str, seconds: float) -> None:
        """A call has ended by itself, with a value or an error."""
        past = self._past.get(tool)
        if past is None:
            past = self._past[tool] = deque(maxlen=REMEMBERED)
        past.append(seconds)
        self._expected.pop(tool, None)
        self._typical = None

    def expected(self, tool: str) -> float | None:
        """What a call of this tool takes with some certainty; None: none has ended yet."""
        found = self._expected.get(tool)
        if found is None and tool in self._past:
            found = self._expected[tool] = decayed_quantile(self._past[tool])
        return found

    def guess(self, tool: str) -> float:
        """What a call of this tool may take: if none has ended yet, as much as the tools that are known."""
        found = self.expected(tool)
        if found is not None:
            return found
        if self._typical is None:
            known = self.known().values()
            self._typical = sum(known) / len(known) if known else UNKNOWN_S
        return self._typical

    def known(self) -> dict[str, float]:
        """What is expected, by tool."""
        return {tool: self.expected(tool) or 0.0 for tool in self._past}


def decayed_quantile(past: Sequence[float]) -> float:
    """The duration within which calls end with some certainty, where what is long ago counts less.

    Args:
        past: durations, the newest last.
    """
    newest = len(past) - 1
    weighted = sorted((seconds, 0.5 ** ((newest - place) / HALF_LIFE)) for place, seconds in enumerate(past))
    missing = QUANTILE * math.fsum(weight for _, weight in weighted)
    for seconds, weight in weighted:
        missing -= weight
        if missing <= TOLERANCE:
            return seconds
    return weighted[-1][0]


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the last of some calls is expected to settle. All times are seconds from now."""

    remaining: float
    """Infinite if one of them waits for something of which nobody knows when it ends."""
    next_end: float = math.inf
    """When the first of the calls that run is expected to end, of those that are not overdue."""
    put_off: float = 0.0
    """What of `remaining` does not get less: it begins when a call has ended that is overdue, or of whose
    tool nothing is known, and that counts as ending now."""


UNKNOWN = Forecast(math.inf)


class Waits(Protocol):
    """What the order of calls knows."""

    def live(self, future: Future) -> Task | None:
        """The live call that works for a future."""

    def waits_for(self, task: Task) -> list[Task]:
        """The live calls that keep one that has not started from starting, or from releasing."""


def forecast(
    order: Waits, estimates: Estimates, futures: Iterable[Future], now: float, *, soon: bool = False
) -> Forecast:
    """When the last of these unsettled calls is expected to settle.

    With `soon`, calls that wait for the program to ask for them count as being asked for now.
    """
    asked = [order.live(future) for future in futures]
    behind = _behind(order, asked)
    if behind is None:
        return UNKNOWN
    ends: dict[int, tuple[float, bool]] = {}  # of each, and whether that is put off by one that is overdue
    next_end = math.inf
    for task, before in sorted(behind, key=lambda pair: pair[0].order):  # all edges lead to newer calls
        if task.running is None:
            start = 0.0 if soon and task.waits else math.inf
            last, is_put_off = max((ends[older.order] for older in before), default=(start, False))
            ends[task.order] = _end_of_waiting(task, last, estimates), is_put_off
        else:
            end = _end_of_running(task, estimates, now)
            ends[task.order] = end, end == 0
            next_end = min(next_end, end or math.inf)
    asked_ends = [ends[task.order] for task in asked if task is not None]
    remaining = max((end for end, _ in asked_ends), default=0.0)
    return Forecast(
        remaining, next_end, max((end for end, is_put_off in asked_ends if is_put_off), default=0.0)
    )


def _behind(order: Waits, asked: list[Task | None]) -> list[tuple[Task, list[Task]]] | None:
    """These calls and all that they wait for, each with what it waits for; None: it cannot be told."""
    found: dict[int, tuple[Task, list[Task]]] = {}
    todo = list(asked)
    while todo:
        task = todo.pop()
        if task is None or len(found) > len(asked) + LONGEST_CHAIN:
            return None
        if task.order not in found:
            before = order.waits_for(task) if task.running is None else []
            found[task.order] = task, before
            todo += before
    return list(found.values())


def _end_of_running(task: Task, estimates: Estimates, now: float) -> float:
    if task.future.settled or not task.committed:  # it was given up, or is of a message that broke off
        return math.inf
    since = 0.0 if task.started is None else now - task.started
    rest = (estimates.expected(task.tool.name) or 0.0) - since
    return rest if rest > TOLERANCE else 0.0


def _end_of_waiting(task: Task, last: float, estimates: Estimates) -> float:
    """One that waits until the last of those before it has ended; if there is none, for limits or rates."""
    if task.future.settled:  # it never runs, and passes its place on
        return last
    if not task.committed:
        return math.inf
    return last + (estimates.expected(task.tool.name) or 0.0)
