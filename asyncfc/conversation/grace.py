"""Grace: how long the answers of a message are held, so that values go out in place of handles (DESIGN D2).

A handle costs one more message of the model if the model then only waits for the value. So holding pays
as long as it is shorter than a message; what is expected to take longer is not waited for at all.
Numbers in, decisions out; whoever answers does the waiting.
"""

from __future__ import annotations

from collections import deque

SHARE = 0.75
"""Of the cost of a message that answers are held at most; less than 1, since an estimate may be wrong."""
REMEMBERED = 8
"""Messages that tell what one costs."""
TOLERANCE = 1e-6
"""Seconds; differences of times that are equal come out a little off, and so short a wait is none."""


class MessageCost:
    """What one message of the model takes, in seconds: typical of the last few."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past: deque[float] = deque(maxlen=REMEMBERED)

    def learn(self, seconds: float) -> None:
        """A request to the model has succeeded."""
        self._past.append(seconds)

    @property
    def typical(self) -> float:
        """The median; 0 while nothing is known."""
        past = sorted(self._past)
        middle = len(past) // 2
        if len(past) % 2:
            return past[middle]
        return (past[middle - 1] + past[middle]) / 2 if past else 0.0


def budget(cost: float) -> float:
    """Seconds for which the answers of one message may be held in all, from what a message costs."""
    return SHARE * cost


def hold_for(left: float, remaining: float, next_end: float, put_off: float) -> float:
    """How long to go on holding before looking again; 0: answer now.

    Args:
        left: seconds of the budget that are left.
        remaining: until all calls of the message are expected to have settled.
        next_end: until the next of the calls that run is expected to end.
        put_off: what of `remaining` does not get less, since a call before it is overdue.
    """
    if left <= TOLERANCE or remaining > left + TOLERANCE or left - put_off <= TOLERANCE:
        return 0.0
    return min(left, max(next_end, TOLERANCE), left - put_off)
