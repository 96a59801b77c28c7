"""Own: the object that a tool has returned, as its caller may get it within grace (DESIGN D6)."""

from __future__ import annotations

import copy
from typing import Any

from asyncfc.execution.order import Order
from asyncfc.execution.task import Task
from asyncfc.execution.work import Result
from asyncfc.futures.outcome import Value


def own_object(task: Task, result: Result, order: Order) -> Any:
    """The object itself, or a copy if a later call may change it.

    That may be one that is live already, that may come while the message streams, or from another session.
    """
    assert task.claim is not None
    if not (task.claim.reads or task.claim.writes):
        return result.own
    others = not task.committed or not order.is_alone(task)
    return _copied(result) if others or order.is_ordering(task) else result.own


def _copied(result: Result) -> Any:
    try:
        return copy.deepcopy(result.own)
    except KeyboardInterrupt:
        raise
    except BaseException:  # cannot be copied: the snapshot is the next best
        return result.outcome.get() if isinstance(result.outcome, Value) else None
