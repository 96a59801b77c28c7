"""Quarantine: resources held by work that was given up but has not stopped (DESIGN F2).

A thread cannot be killed. When work goes on long after its call has settled, its claims are moved here:
calls that conflict with them fail at once and name the culprit, and all others go on.
"""

from __future__ import annotations

from asyncfc.depgraph.effects import conflict
from asyncfc.depgraph.resource import show_label
from asyncfc.errors import ResourceQuarantined
from asyncfc.execution.task import Task


class Quarantine:
    """The culprits, by order. Each stays until its work ends or somebody lifts it."""

    def __init__(self) -> None:
        self._culprits: dict[int, Task] = {}

    def __len__(self) -> int:
        return len(self._culprits)

    def __contains__(self, order: int) -> bool:
        return order in self._culprits

    def tasks(self) -> list[Task]:
        """The culprits, in the order in which they came."""
        return list(self._culprits.values())

    def add(self, culprit: Task) -> None:
        """Hold the claims of work that has been given up."""
        self._culprits[culprit.order] = culprit

    def lift(self, order: int) -> bool:
        """Give up the claims of a culprit; return whether it was one."""
        return self._culprits.pop(order, None) is not None

    def refusal(self, task: Task) -> ResourceQuarantined | None:
        """Why this call cannot run now, if a culprit holds what it needs."""
        for culprit in self._culprits.values():
            assert culprit.claim is not None
            assert task.claim is not None
            reason = conflict(culprit.claim, task.claim)
            if reason is not None:
                return ResourceQuarantined(
                    f"{task.name} did not run: {culprit.name} was given up but still works on "
                    f"{show_label(reason.label)!r}; release it if that is safe"
                )
        return None
