"""Planted bugs: each breaks one rule of the runtime while its context lasts, and must be caught.

A test bench that has never caught anything proves nothing. Each fault replaces one function of the real
classes by a version that is wrong in the way in which such runtimes are wrong.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

from asyncfc.conversation.delivery import Delivery, Outbox
from asyncfc.depgraph import effects
from asyncfc.depgraph.claims import ClaimIndex, Group, _Node, _Trie
from asyncfc.depgraph.effects import EVERYTHING, Claim, Conflict
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.depgraph.resource import Label
from asyncfc.execution import scheduler
from asyncfc.execution.executors import LocalExecutor, Result, Work
from asyncfc.execution.limits import Limits, Ticket
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.reference import scan, substitute
from asyncfc.futures.store import MemoryStore
from asyncfc.message import Message


@contextmanager
def planted(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace `owner.name` by `make(original)` for a while.

    Raises:
        AttributeError: there is no such name, so that the fault would be none.
    """
    original = owner.__dict__[name] if name in owner.__dict__ else getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def drop_edges(kind: Literal["RAW", "WAR", "WAW"]) -> Any:
    """One kind of conflict is not seen."""

    def make(original: Any) -> Any:
        def conflicts(self: ClaimIndex, claim: Claim) -> Iterator[tuple[int, Conflict]]:
            return (found for found in original(self, claim) if found[1].kind != kind)

        return conflicts

    return planted(ClaimIndex, "_conflicts", make)


@contextmanager
def exact_labels() -> Iterator[None]:
    """Labels conflict only if they are equal: ancestors and descendants are not seen."""

    def only_here(_: Any) -> Any:
        def overlapping(self: _Trie, label: Label) -> Iterator[int]:
            node: _Node | None = self._root
            for component in label:
                node = node.children.get(component) if node is not None else None
            yield from node.entries if node is not None else ()

        return overlapping

    with ExitStack() as stack:
        stack.enter_context(planted(_Trie, "overlapping", only_here))
        stack.enter_context(planted(effects, "overlaps", lambda _: lambda one, other: one == other))
        yield


def settling_releases() -> Any:
    """A call that has settled gives up its place at once, although older calls still work (S1)."""

    def make(original: Any) -> Any:
        def end(self: DependencyGraph, order: int) -> Any:
            self._counters[order].unreleased = 0
            return original(self, order)

        return end

    return planted(DependencyGraph, "end", make)


@contextmanager
def unbound_covers() -> Iterator[None]:
    """A claim that may still narrow replaces older entries of the index (S2)."""

    def covering(original: Any) -> Any:
        def add(self: ClaimIndex, order: int, claim: Claim, **options: Any) -> dict[int, Conflict]:
            late = options.pop("late", False)
            found: dict[int, Conflict] = original(self, order, claim, **options)
            if late:
                self._unbound.add(order)
            return found

        return add

    def from_tries(original: Any) -> Any:
        def narrow(self: ClaimIndex, order: int, claim: Claim) -> None:
            self._readers.discard(order)
            self._writers.discard(order)
            original(self, order, claim)

        return narrow

    with ExitStack() as stack:
        stack.enter_context(planted(ClaimIndex, "add", covering))
        stack.enter_context(planted(ClaimIndex, "narrow", from_tries))
        yield


def first_of_group_hides() -> Any:
    """The second call of a concurrent group does not see what its first one is ordered after (S37)."""

    def make(original: Any) -> Any:
        def join(self: ClaimIndex, group: Group, order: int, found: dict[int, Conflict]) -> None:
            group.before.clear()
            original(self, group, order, found)

        return join

    return planted(ClaimIndex, "_join", make)


def stale_share() -> Any:
    """A call shares the outcome of an equal one in flight, although a write lies in between (S9)."""
    return planted(Scheduler, "newest_conflict", lambda _: lambda _self, _task: -1)


class Lazy(Value):
    """Takes its snapshot anew each time that somebody looks at it."""

    is_artifact = False

    def __init__(self, live: Any) -> None:
        self._live = live

    @property
    def _now(self) -> Value:
        return MemoryStore().put(self._live)

    @property
    def size(self) -> int:
        """See `Value.size`."""
        return self._now.size

    def get(self) -> Any:
        """See `Value.get`."""
        return self._now.get()

    def at(self, path: Any) -> Any:
        """See `Value.at`."""
        return self._now.at(path)

    def text(self) -> str:
        """See `Value.text`."""
        return self._now.text()

    def preview(self, max_chars: int) -> str:
        """See `Value.preview`."""
        return self._now.preview(max_chars)


def late_snapshot() -> Any:
    """A result is projected when somebody looks at it, not when its call ended."""
    return planted(LocalExecutor, "_result", lambda _: lambda _, value: Result(Lazy(value), value))


def lost_exception() -> Any:
    """What a tool raises becomes the value None."""

    def make(original: Any) -> Any:
        async def finish(self: LocalExecutor, *args: Any, **options: Any) -> Result:
            result: Result = await original(self, *args, **options)
            swallowed = isinstance(result.outcome, Failure)
            return Result(MemoryStore().put(None)) if swallowed else result

        return finish

    return planted(LocalExecutor, "finish", make)


def leaked_task() -> Any:
    """Each start leaves a task behind that nobody awaits."""

    def make(original: Any) -> Any:
        def start(self: LocalExecutor, work: Work) -> Any:
            self.__dict__["stray"] = asyncio.ensure_future(asyncio.sleep(10_000))
            return original(self, work)

        return start

    return planted(LocalExecutor, "start", make)


def limit_off_by_one() -> Any:
    """Every limit admits one call too many."""

    def make(original: Any) -> Any:
        def init(self: Limits, limits: Mapping[str, int] | None = None) -> None:
            original(self, {key: size + 1 for key, size in (limits or {}).items()})

        return init

    return planted(Limits, "__init__", make)


def newest_first() -> Any:
    """Of the calls that wait for a slot the newest gets it."""

    def make(original: Any) -> Any:
        def first(self: Limits, key: str) -> Ticket | None:
            waiting = self._slots[key].waiting
            waiting[:] = [(-ticket.order, ticket) for _, ticket in waiting]
            heapq.heapify(waiting)
            found: Ticket | None = original(self, key)
            waiting[:] = [(ticket.order, ticket) for _, ticket in waiting]
            heapq.heapify(waiting)
            return found

        return first

    return planted(Limits, "_first", make)


def own_object_late() -> Any:
    """Within grace the caller gets the tool's live object, although a later call may have changed it."""
    return planted(scheduler, "_copied", lambda _: lambda result: result.own)


@contextmanager
def inserted_text_scanned_again() -> Iterator[None]:
    """What was put in place of a reference is searched for references, too (P22)."""
    lookups: dict[int, Any] = {}

    def noting(original: Any) -> Any:
        def register(self: Message, call: Any, future: Future) -> None:
            lookups[future.order] = self._lookup
            original(self, call, future)

        return register

    def again(original: Any) -> Any:
        def final_arguments(self: Task) -> dict[str, Any]:
            inserted = original(self) if self.sites else None
            if inserted is None:
                return self.arguments
            return substitute(*scan(inserted, DEFAULT_GRAMMAR, lookups[self.order]), self.tool.schema)

        return final_arguments

    with ExitStack() as stack:
        stack.enter_context(planted(Message, "_register", noting))
        stack.enter_context(planted(Task, "final_arguments", again))
        yield


def told_twice() -> Any:
    """A delivery stays due after it was made, so that the model is told again with every request."""

    def make(original: Any) -> Any:
        def tell(self: Outbox, future: Future) -> Delivery:
            due = self._due.get(future.order)
            delivery: Delivery = original(self, future)
            if due is not None:
                self._due[future.order] = due
            return delivery

        return tell

    return planted(Outbox, "tell", make)


def first_failure_in_time() -> Any:
    """A dependant blames whichever input failed first, not the earliest emitted one (S10)."""

    def make(original: Any) -> Any:
        def obstacle(self: Task) -> Any:
            failed = [f for f in self.inputs if f.outcome is not None and not isinstance(f.outcome, Value)]
            self.inputs, self.certain = failed[:1], 0
            return original(self)

        return obstacle

    return planted(Task, "obstacle", make)


def run_twice() -> Any:
    """The work of a call is done two times."""

    def make(original: Any) -> Any:
        async def finish(self: LocalExecutor, *args: Any, **options: Any) -> Result:
            await original(self, *args, **options)
            result: Result = await original(self, *args, **options)
            return result

        return finish

    return planted(LocalExecutor, "finish", make)


def one_after_the_other() -> Any:
    """Every call is a barrier: nothing is wrong but the time it takes."""

    def everything(_: Task) -> tuple[Claim, None]:
        return EVERYTHING, None

    return planted(Task, "bound_claim", lambda _: everything)


@contextmanager
def eager_writes() -> Iterator[None]:
    """A provisional call runs although it is no read and its message may never complete (O3)."""

    def unheld(original: Any) -> Any:
        def add(
            self: DependencyGraph, order: int, data: Any = (), effects: Any = None, holds: int = 0
        ) -> bool:
            del holds
            ready: bool = original(self, order, data, effects)
            return ready

        return add

    with ExitStack() as stack:
        stack.enter_context(planted(DependencyGraph, "add", unheld))
        stack.enter_context(planted(Scheduler, "commit", lambda _: lambda _self, _tasks: None))
        yield


FAULTS: dict[str, Callable[[], Any]] = {
    "drop RAW": partial(drop_edges, "RAW"),
    "drop WAR": partial(drop_edges, "WAR"),
    "drop WAW": partial(drop_edges, "WAW"),
    "exact labels": exact_labels,
    "settling releases": settling_releases,
    "unbound covers": unbound_covers,
    "first of group hides": first_of_group_hides,
    "stale share": stale_share,
    "late snapshot": late_snapshot,
    "lost exception": lost_exception,
    "leaked task": leaked_task,
    "limit off by one": limit_off_by_one,
    "newest first": newest_first,
    "own object late": own_object_late,
    "inserted text scanned again": inserted_text_scanned_again,
    "told twice": told_twice,
    "first failure in time": first_failure_in_time,
    "run twice": run_twice,
    "one after the other": one_after_the_other,
    "eager writes": eager_writes,
}
"""Every planted bug by name; `with FAULTS[name]():` plants it."""
