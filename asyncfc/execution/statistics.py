"""Statistics: how a runtime stands, as frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asyncfc.execution.estimates import Estimates
from asyncfc.execution.limits import Limits
from asyncfc.execution.order import Order
from asyncfc.execution.room import Room
from asyncfc.execution.task import Task, Tenant


@dataclass(frozen=True, slots=True)
class LimitStatistics:
    """One limit: how many slots it has, how many are in use, how many calls wait for one."""

    size: int
    used: int
    waiting: int


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """One session that is open, in numbers of calls."""

    id: str
    weight: float
    live: int
    """Registered and not released."""
    running: int
    """Of these: their work goes on."""
    queued: int
    """Of these: only limits or rates keep them from starting."""
    finished: int
    """Released, since the session began."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A runtime at one moment. Numbers of calls are of all sessions, closed ones included."""

    live: int
    running: int
    queued: int
    finished: int
    waiting_messages: int
    """Messages that wait for room before they are registered."""
    limits: Mapping[str, LimitStatistics]
    """By key."""
    expected_s: Mapping[str, float]
    """What a call is expected to take, in seconds, by tool, as far as that is known."""
    sessions: tuple[SessionStatistics, ...]
    """Those that are open, in the order in which they were made."""


def of_session(tenant: Tenant) -> SessionStatistics:
    """How one session stands."""
    live = tenant.tasks.values()
    running, queued = sum(map(_runs, live)), sum(map(_queues, live))
    return SessionStatistics(tenant.id, tenant.share.weight, len(live), running, queued, tenant.finished)


def statistics(
    order: Order, sessions: Iterable[Tenant], limits: Limits, room: Room, estimates: Estimates | None
) -> Statistics:
    """How all of it stands now."""
    of_sessions = tuple(map(of_session, sessions))
    of_limits = {
        key: LimitStatistics(s.size, s.size - s.free, len(s.line)) for key, s in limits.slots.items()
    }
    return Statistics(
        live=len(order),
        running=sum(map(_runs, order)),
        queued=sum(map(_queues, order)),
        finished=order.released,
        waiting_messages=len(room),
        limits=MappingProxyType(of_limits),
        expected_s=MappingProxyType({} if estimates is None else estimates.known()),
        sessions=of_sessions,
    )


def _runs(task: Task) -> bool:
    return task.running is not None and not task.stopped


def _queues(task: Task) -> bool:
    if task.gate is not None and not task.gate.done():
        return True
    return task.ticket is not None and task.ticket.line is not None
