"""Admission: which of the calls that nothing orders any more may start now, as limits and rates allow.

It starts nothing: whoever is at the top of the step asks `admit`, and starts what that returns. `_freed` and
`_served` are tickets whose slots have become free, or that have got theirs, within the step that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from asyncfc.execution.limits import Keys, Limits
from asyncfc.execution.line import NO_RANK, Rank, Ticket
from asyncfc.execution.order import Order
from asyncfc.execution.rates import Rates
from asyncfc.execution.task import Task


class Admission:
    """The tickets of all calls.

    Args:
        limits: how much may run at once.
        rates: how many calls may start within a time.
        order: knows the ranks of calls.
        start: starts a call whose turn has come under rates.
    """

    def __init__(
        self, limits: Limits, rates: Mapping[str, str], order: Order, start: Callable[[Task], None]
    ) -> None:
        self._limits = limits
        self._rates = Rates(rates)
        self._rate_keys = Keys(rates)
        self._order = order
        self._start = start
        self._unlimited = not limits and not rates
        self._freed: list[Ticket] = []
        self._served: list[Ticket] = []
        self.looking = 0
        """Calls that rates may let start within this turn of the loop."""

    @property
    def is_due(self) -> bool:
        """Whether slots have become free, or been given to calls that wait for them, since `admit`."""
        return bool(self._freed or self._served)

    def admit(self, ready: list[Task]) -> list[Task]:
        """Return the calls that may start, or go on, now, oldest first; the others come when they may.

        They queue for slots before any slot that has become free is given away, so that it goes to the one
        whose turn it is among all that wait then (P15).
        """
        if self._unlimited:
            return sorted((task for task in ready if not task.future.settled), key=_by_order)
        self._rerank()
        waiting = [task for task in sorted(ready, key=_by_order) if not task.future.settled]
        admitted = self._with_slots([task for task in waiting if not self._is_rated(task)])
        for ticket in self._freed:
            self._served += self._limits.leave(ticket)
            ticket.task = None  # they refer to each other: without this they stay until garbage is collected
        admitted += [ticket.task for ticket in self._served if ticket.task is not None]
        self._freed, self._served = [], []
        return sorted(admitted, key=_by_order)

    def free(self, ticket: Ticket) -> None:
        """A call has no use for its slots, or its place in the line, any more."""
        self._freed.append(ticket)

    def give_back(self, task: Task) -> None:
        """The work of a call is about to wait: it gives up its slots, had or waited for."""
        if task.ticket is not None and not task.stopped:
            self._renew(task, task.ticket)
            if task.paused is not None and not task.paused.done():  # after another wait, over by now
                task.paused.set_result(None)

    async def take_again(self, task: Task) -> None:
        """The work of a call goes on as soon as it has its slots again, in turn with others."""
        if task.ticket is not None and not task.stopped:
            task.ticket.rank = self._rank_of(task)
            if not self._limits.enter(task.ticket):
                await self._for_slots(task)

    def take_at_once(self, task: Task) -> bool:
        """The work of a call goes on now, with slots beyond the limit if need be; whether it needs any."""
        if task.ticket is None or task.stopped:
            return False
        self._limits.take(self._renew(task, task.ticket))
        return True

    def _rank_of(self, task: Task) -> Rank:
        """What is still to be done from a call on; for one from inside another, that one's as well.

        That one's counts as it is when the call comes: it does not hear when that rises.
        """
        ranks = self._order.ranks
        if ranks is None:
            return NO_RANK
        rank, parent = ranks.of(task.order), task.parent
        while parent is not None:
            around = ranks.of(parent.order).whole
            rank, parent = Rank(rank.whole + around, rank.behind + around), parent.parent
        return rank

    def _rerank(self) -> None:
        """Let the tickets that wait know what has been submitted since the last time."""
        ranks = self._order.ranks
        if ranks is not None:
            for order in ranks.catch_up():
                task = self._order.find(order)
                ticket = None if task is None else task.ticket
                if task is not None and ticket is not None and ticket.line is not None:
                    ticket.line.rerank(ticket, self._rank_of(task))

    def _is_rated(self, task: Task) -> bool:
        """Whether rates decide when it starts: then it waits at their gates."""
        assert task.claim is not None
        keys = self._rate_keys.of(task.tool.name, task.claim)
        if keys:
            if task.tenant.emit is not None:
                task.tenant.emit("queued", task.order, rates=keys)
            if not task.future.settled:  # who was told just now may have cancelled it
                loop = asyncio.get_running_loop()
                task.gate = loop.create_task(self._in_turn(task, keys))
                self.looking += 1
                loop.call_soon(self._looked)
        return bool(keys)

    def _looked(self) -> None:
        self.looking -= 1

    async def _in_turn(self, task: Task, keys: tuple[str, ...]) -> None:
        """Let a call start as rates allow, and limits.

        For slots of its own session it waits before the gates: there it would keep out all others.
        """
        if self._has_ticket(task) and task.ticket is not None and task.ticket.own:
            await self._slots(task, task.ticket.own)
        slots, start = partial(self._slots, task), partial(self._start, task)
        await self._rates.start(task.order, task.tenant.share, keys, slots, start)

    async def _slots(self, task: Task, goal: int | None = None) -> None:
        """Wait until a call has its slots: all, or so many of the first."""
        ticket = task.ticket
        if ticket is not None:
            ticket.goal = len(ticket.keys) if goal is None else goal
            if not self._limits.enter(ticket):
                missing = ticket.names[ticket.held : ticket.goal]
                await self._for_slots(task, told=partial(_tell_queued, task, missing))

    async def _for_slots(self, task: Task, told: Callable[[], None] | None = None) -> None:
        """Wait until the limits have given a queued call its slots.

        Args:
            task: the call.
            told: tells listeners; what these do may be to give it its slots.
        """
        task.paused = paused = asyncio.get_running_loop().create_future()
        try:
            if told is not None:
                told()
            await paused
        finally:
            if task.paused is paused:
                task.paused = None

    def _with_slots(self, tasks: list[Task]) -> list[Task]:
        """Those of these calls that the limits let start now. The others come back when they have slots."""
        limited = [task for task in tasks if self._has_ticket(task)]
        tickets = [task.ticket for task in limited if task.ticket is not None]
        if len(tickets) == 1:
            self._limits.enter(tickets[0])
        elif tickets:
            self._limits.enter_all(tickets)
        admitted = [task for task in tasks if task.ticket is None or task.ticket.complete]
        for task, ticket in [pair for pair in zip(limited, tickets, strict=True) if not pair[1].complete]:
            _tell_queued(task, ticket.names)  # who is told may set others free: these start by themselves
        return admitted

    def _has_ticket(self, task: Task) -> bool:
        """Make out a ticket for a call; whether it needs one."""
        assert task.claim is not None
        ticket = self._limits.ticket(task.order, task.tool.name, task.claim, task.tenant.share)
        if ticket is not None:
            task.ticket, ticket.task, ticket.rank = ticket, task, self._rank_of(task)
        return ticket is not None

    def _renew(self, task: Task, ticket: Ticket) -> Ticket:
        """Give up the slots of a call; return the ticket that it can enter with again."""
        self._served += self._limits.leave(ticket)
        task.ticket = self._limits.again(ticket)
        ticket.task = None
        return task.ticket


def _tell_queued(task: Task, names: tuple[str, ...]) -> None:
    if task.tenant.emit is not None:
        task.tenant.emit("queued", task.order, limits=names)


def _by_order(task: Task) -> int:
    return task.order
