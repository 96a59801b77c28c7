"""Bugs in running calls: slots, rates, timeouts, quarantine, calls from inside others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.execution import family, line, order, rates
from asyncfc.execution.admission import Admission
from asyncfc.execution.executors import LocalExecutor, Result, Work
from asyncfc.execution.limits import Limits
from asyncfc.execution.line import Line, Share, Ticket
from asyncfc.execution.order import Order
from asyncfc.execution.quarantine import Quarantine
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task
from asyncfc.testing.faults.plant import planted, replaced


def leaked_task() -> Any:
    """Each start leaves a task behind that nobody awaits."""

    def make(original: Any) -> Any:
        def start(self: LocalExecutor, work: Work) -> Any:
            self.__dict__["stray"] = asyncio.ensure_future(asyncio.sleep(10_000))
            return original(self, work)

        return start

    return planted(LocalExecutor, "start", make)


def run_twice() -> Any:
    """The work of a call is done two times."""

    def make(original: Any) -> Any:
        async def finish(self: LocalExecutor, *args: Any, **options: Any) -> Result:
            await original(self, *args, **options)
            result: Result = await original(self, *args, **options)
            return result

        return finish

    return planted(LocalExecutor, "finish", make)


def limit_off_by_one() -> Any:
    """Every limit admits one call too many."""

    def make(original: Any) -> Any:
        def init(self: Limits, limits: Mapping[str, int] | None = None, *others: Any) -> None:
            original(self, {key: size + 1 for key, size in (limits or {}).items()}, *others)

        return init

    return planted(Limits, "__init__", make)


def newest_first() -> Any:
    """Of the calls that wait for a slot the newest gets it."""

    def make(original: Any) -> Any:
        def add(self: Line, ticket: Ticket) -> None:
            ticket.order = -ticket.order
            original(self, ticket)

        return add

    return planted(Line, "add", make)


def rank_forgotten() -> Any:
    """Who waits for a slot is not told what was submitted after it (P15)."""
    return replaced(Admission, "_rerank", lambda *_: None)


def share_forgotten() -> Any:
    """Of the sessions that wait for slots, the one that has waited the longest gets all of them."""

    def following(self: Line) -> Share:
        return next(iter(self._waiting))

    return replaced(Line, "_next", following)


def cap_forgotten() -> Any:
    """A session runs as many calls as there are slots, whatever its cap."""

    def make(original: Any) -> Any:
        def share(self: Limits, *args: Any, **options: Any) -> Share:
            made: Share = original(self, *args, **options)
            made.caps.clear()
            return made

        return share

    return planted(Limits, "share", make)


def never_the_longest_waiting() -> Any:
    """Whatever else waits, the call with the longest way to go has the turn."""
    return replaced(line, "EVERY", 10**9)


def retry_without_a_slot() -> Any:
    """A call that is tried again begins at once, without asking for a slot."""

    def next_try(self: Scheduler, task: Task) -> None:
        task.timer = None
        self._launch(self._start(task))

    return replaced(Scheduler, "_next_try", next_try)


def slot_given_back_twice() -> Any:
    """Who gives a slot back gives back two."""

    def make(original: Any) -> Any:
        def leave(self: Limits, ticket: Ticket) -> list[Ticket]:
            held = ticket.held
            served: list[Ticket] = original(self, ticket)
            ticket.held = held
            served += original(self, ticket)
            return served

        return leave

    return planted(Limits, "leave", make)


def slot_kept_while_waiting() -> Any:
    """A call that waits for a call from inside it keeps the slot which that one needs (O5)."""
    return replaced(Scheduler, "pause", lambda *_: None)


def slot_not_taken_again() -> Any:
    """A call that has waited for a call from inside it goes on without a slot."""

    async def resume(_: Scheduler, __: Task) -> None:
        pass

    return replaced(Scheduler, "resume", resume)


def rate_off_by_one() -> Any:
    """Every rate admits one start too many."""

    def make(original: Any) -> Any:
        def parse_rate(key: str, rate: Any) -> Any:
            limiter = original(key, rate)
            limiter.rate_limit += 1
            return limiter

        return parse_rate

    return planted(rates, "parse_rate", make)


def timeout_releases() -> Any:
    """A call that takes too long gives up its claims although its work goes on (P9)."""

    def make(original: Any) -> Any:
        def on_timeout(self: Scheduler, task: Task, timeout: float) -> None:
            original(self, task, timeout)
            self._launch(self._order.leave(task))

        return on_timeout

    return planted(Scheduler, "_on_timeout", make)


def quarantine_forgotten() -> Any:
    """Work that was given up releases what it claims although it goes on (F2)."""
    return replaced(Quarantine, "add", lambda *_: None)


def quarantine_unchecked_at_start() -> Any:
    """A call that learns late what it touches is not asked then whether somebody holds it (F2)."""

    def make(original: Any) -> Any:
        def start(self: Scheduler, task: Task) -> Any:
            kept, self._order.quarantine = self._order.quarantine, Quarantine()
            try:
                return original(self, task)
            finally:
                self._order.quarantine = kept

        return start

    return planted(Scheduler, "_start", make)


def quarantine_for_ever() -> Any:
    """What was given up is held even when its work has ended at last (F2)."""
    return replaced(Quarantine, "lift", lambda *_: False)


def siblings_unordered() -> Any:
    """Calls from inside one call are not ordered among themselves (O5)."""

    def index_of(self: Order, task: Task) -> ClaimIndex:
        return self._index if task.parent is None else ClaimIndex()

    return replaced(Order, "_index_of", index_of)


def parent_releases_first() -> Any:
    """A call releases when its own work has ended, although calls from inside it go on (O2)."""

    def make(original: Any) -> Any:
        def end(self: Scheduler, task: Task, *args: Any) -> Any:
            children, task.children = task.children, 0
            try:
                return original(self, task, *args)
            finally:
                task.children = children

        return end

    return planted(Scheduler, "_end", make)


@contextmanager
def child_outside_its_parent() -> Iterator[None]:
    """A call from inside another may touch what that one has not declared (O5)."""
    with ExitStack() as stack:
        for module in (family, order):
            stack.enter_context(replaced(module, "outside_parent", lambda *_: None))
        yield
