"""Retries: which calls are tried again, and after which pause; and when a tool is left alone for a while.

Only what reads, or is idempotent, is ever tried again (DESIGN F3): its declaration says how often. tenacity
computes the pauses; between them a call is as one that waits, and has no slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from asyncfc.errors import CallError, ToolFailed, ToolTimeout, ToolUnavailable, WorkerLost
from asyncfc.execution.task import Task
from asyncfc.futures.outcome import Failure, Outcome, Value

if TYPE_CHECKING:
    from tenacity import Retrying

FIRST_S = 0.5
"""Seconds before a call is tried for the second time, plus up to as much again; then twice that, ..."""
LONGEST_S = 30.0
"""No pause is longer, in seconds."""


@dataclass(slots=True)
class _Streak:
    """Failures of a tool, one after the other. If there were enough, no call of it begins until a time."""

    failures: int = 0
    until: float = 0.0


class Retries:
    """What failures of tools lead to.

    State: `_streaks` has the tools with a breaker whose last work has failed.
    """

    __slots__ = ("_streaks",)

    def __init__(self) -> None:
        self._streaks: dict[str, _Streak] = {}

    def pause(self, task: Task, outcome: Outcome) -> float | None:
        """Seconds until a call whose work has come to this is tried again; None: it is not."""
        if not task.tool.retries or task.stop_reason is not None or not _is_the_tools(outcome):
            return None
        return _pause(task.tool.retries, task.tries)

    def note(self, task: Task, outcome: Outcome, now: float) -> None:
        """The work of a call has come to this, whether or not it is tried again."""
        name, breaker = task.tool.name, task.tool.breaker
        if breaker is None:
            return
        if isinstance(outcome, Value):
            self._streaks.pop(name, None)
        if not _is_the_tools(outcome) and not isinstance(_error(outcome), ToolTimeout):
            return
        streak = self._streaks.setdefault(name, _Streak())
        streak.failures += 1
        if streak.failures >= breaker.failures:
            streak.until = now + breaker.rest

    def refusal(self, task: Task, now: float) -> ToolUnavailable | None:
        """Why this call is not to begin now. One that may is the trial, for as long as a rest takes."""
        breaker = task.tool.breaker
        streak = None if breaker is None else self._streaks.get(task.tool.name)
        if breaker is None or streak is None or streak.failures < breaker.failures:
            return None
        if now >= streak.until:
            streak.until = now + breaker.rest
            return None
        return ToolUnavailable(
            f"{task.name} did not run: {task.tool.name!r} has failed {streak.failures} times in a row; it is "
            f"not called for another {streak.until - now:.3g} s"
        )


@cache
def _policy(retries: int) -> Retrying:
    from tenacity import Retrying, stop_after_attempt, wait_exponential_jitter  # only where it is needed

    wait = wait_exponential_jitter(initial=FIRST_S, max=LONGEST_S, jitter=FIRST_S)
    return Retrying(stop=stop_after_attempt(retries + 1), wait=wait)


def _pause(retries: int, tries: int) -> float | None:
    from tenacity import RetryCallState

    policy = _policy(retries)
    state = RetryCallState(policy, None, (), {})
    state.attempt_number = tries
    return None if policy.stop(state) else float(policy.wait(state))


def _is_the_tools(outcome: Outcome) -> bool:
    """Whether the tool, or the process that it ran in, has failed; not asyncfc, nor what the model wrote."""
    error = _error(outcome)
    if isinstance(error, CallError):
        return isinstance(error, ToolFailed | WorkerLost)
    return isinstance(error, Exception)


def _error(outcome: Outcome) -> BaseException | None:
    return outcome.error if isinstance(outcome, Failure) else None
