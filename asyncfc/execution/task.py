"""Task: one scheduled execution of a call, and what it can tell from its own inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextvars import Context, copy_context
from typing import Any, Protocol

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.depgraph.effects import Claim
from asyncfc.errors import CallError, DeclarationError
from asyncfc.execution.line import Share, Ticket
from asyncfc.execution.work import Result, Running
from asyncfc.futures.call import short_name
from asyncfc.futures.future import Caller, Future
from asyncfc.futures.outcome import Failure, Outcome, Value, Withheld
from asyncfc.futures.reference import Site, futures_of, substitute
from asyncfc.futures.upstream import upstream_failed
from asyncfc.tools import Tool

NO_GATES: frozenset[int] = frozenset()


class Tenant:
    """One session's live calls in a scheduler, which several sessions may share.

    Args:
        emit: tells of what happens; None: nobody listens.
        share: of the slots.
        id: of the session.
    """

    __slots__ = ("__weakref__", "_idle", "emit", "finished", "id", "share", "tasks")

    def __init__(self, emit: Callable[..., object] | None, share: Share, id: str) -> None:
        self.emit = emit
        self.share = share
        self.id = id
        self.finished = 0
        self.tasks: dict[int, Task] = {}
        self._idle: list[asyncio.Future[None]] = []

    async def idle(self) -> None:
        """Wait until no call of this session is live."""
        while self.tasks:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def leave(self, task: Task) -> None:
        """A call is no longer live."""
        del self.tasks[task.order]
        self.finished += 1
        if not self.tasks:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


class Task:
    """State of one call between registration and release. Only the scheduler changes it.

    - `inputs`: the futures that it needs, oldest first; `certain` of them are known to have settled with
      a value. `doomed` once any of them has no value.
    - `gates`: the orders of those inputs whose success it needs, but not their value (irreversible).
    - `claim`: as registered, then as narrowed; `late`: the inputs that its labels still wait for;
      `escape`: why its final labels are not allowed. `committed`: its message is complete. `waits`: it runs
      only when the program asks for it.
    - `ticket`: the slots that it needs, once nothing orders it any more; `paused` while it has given them
      back to wait for a child.
    - `gate`: waits for its turn under rate limits, then starts it.
    - `running`: its work, once started; `started`: when, by the loop's clock, if somebody learns from that;
      `working`: what its context knows of it; `timer`: until its timeout; `patience`: from when it was asked
      to stop until it counts as abandoned.
    - `parent`: the task that submitted it from inside its work; `children`: how many of its own are live,
      ordered among themselves by its `index`; `stopped`: its own work has ended, its children's may not
      have.
    - `stop_reason`: why it was asked to stop. `tries`: how often its work was begun; `failed`: what it came
      to the last time, while it is to be tried again. `misuse`: why it cannot begin, if the program is wrong.
    - `keep_own`: somebody wants the tool's own object; `own`: that object, once there.
    """

    __slots__ = (
        "arguments", "certain", "children", "claim", "committed", "context", "doomed", "escape", "failed",
        "future", "gate", "gates", "grouped", "inputs", "keep_own", "late", "misuse", "own", "own_index",
        "parent", "patience", "paused", "running", "sites", "started", "stop_reason", "stopped", "tenant",
        "ticket", "timer", "tool", "tries", "waits", "working",
    )  # fmt: skip

    def __init__(
        self,
        future: Future,
        tool: Tool,
        arguments: dict[str, Any],
        sites: tuple[Site, ...],
        tenant: Tenant,
        before: Sequence[Future] = (),
    ) -> None:
        self.future = future
        self.tool = tool
        self.arguments = arguments
        self.sites = sites
        self.tenant = tenant
        self.inputs: Sequence[Future] = ()
        self.gates = NO_GATES
        if sites or before:
            self._find_inputs(before)
        self.certain = 0
        self.doomed = False
        self.claim: Claim | None = None
        self.late: set[int] | None = None
        self.escape: CallError | None = None
        self.ticket: Ticket | None = None
        self.paused: asyncio.Future[None] | None = None
        self.gate: asyncio.Task[None] | None = None
        self.running: Running | None = None
        self.started: float | None = None
        self.working: Working | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.patience: asyncio.TimerHandle | None = None
        self.parent: Task | None = None
        self.own_index: ClaimIndex | None = None
        self.children = 0
        self.stopped = False
        self.stop_reason: str | None = None
        self.tries = 0
        self.failed: Result | None = None
        self.misuse: DeclarationError | None = None
        self.committed = False
        self.grouped = False
        self.waits = False
        self.keep_own = False
        self.own: Any = None
        self.context: Context = copy_context()

    @property
    def order(self) -> int:
        """Place in the order of registration."""
        return self.future.order

    @property
    def index(self) -> ClaimIndex:
        """Of the claims of its children; it has had one."""
        assert self.own_index is not None
        return self.own_index

    @property
    def name(self) -> str:
        """The call, for messages."""
        return f"{self.tool.name} ({short_name(self.future.call_id)})"

    def raise_misuse(self) -> None:
        """Raise why the call could not begin, if that concerns the program as a whole.

        Raises:
            DeclarationError: the executor says that the program is set up wrongly.
        """
        if self.misuse is not None:
            raise self.misuse

    def final_arguments(self, left: Collection[Site] = ()) -> dict[str, Any]:
        """The arguments with every reference replaced by its value, but for those that are to be left.

        Raises:
            CallError: a path does not exist, or a value does not fit where the reference stands.
        """
        if not self.sites:
            return self.arguments
        sites = [site for site in self.sites if site not in left] if left else self.sites
        return substitute(self.arguments, sites, self.tool.schema)

    def bound_claim(self) -> tuple[Claim, set[int] | None]:
        """The claim as far as it can be told now, and the unsettled inputs that its labels wait for."""
        spec = self.tool.spec
        if not spec.parameters and not spec.needs_all:
            return spec.bind({}), None
        known = dict(self.arguments)
        unresolved: set[str] = set()
        late: set[int] = set()
        for name in spec.needs({str(site.location[0]) for site in self.sites}):
            sites = tuple(site for site in self.sites if site.location[0] == name)
            missing = [f for f in futures_of(sites) if not isinstance(f.outcome, Value)]
            late |= {f.leader.order for f in missing if f.outcome is None}
            if missing or not self._replace(known, name, sites):
                unresolved.add(name)
        arguments, untold = self.tool.label_arguments(
            {name: value for name, value in known.items() if name not in unresolved}
        )
        return spec.bind(arguments, unresolved, untold), late or None

    def obstacle(self) -> Outcome | None:
        """Why this call will never run, once that is certain (DESIGN F1, E4).

        The earliest-emitted input without a value decides; it is certain when all inputs emitted before
        it have settled. Each input is looked at once, however often this is asked.
        """
        while self.certain < len(self.inputs):
            first = self.inputs[self.certain]
            if first.outcome is None:
                return None
            if not isinstance(first.outcome, Value):
                return (
                    self._withheld(first)
                    if first.order in self.gates
                    else Failure(upstream_failed(first, self.name))
                )
            self.certain += 1
        return None

    def _find_inputs(self, before: Sequence[Future]) -> None:
        needed = futures_of(self.sites)
        self.inputs = sorted({*needed, *before}, key=_by_order)
        self.gates = frozenset(f.order for f in before) - {f.order for f in needed}

    def _withheld(self, failed: Future) -> Withheld:
        return Withheld(
            f"an earlier call of the same message, {failed.tool} ({failed.handle or failed.call_id}), "
            f"did not succeed"
        )

    def _replace(self, known: dict[str, Any], name: str, sites: tuple[Site, ...]) -> bool:
        try:
            known[name] = substitute({name: known[name]}, sites, self.tool.schema)[name]
        except CallError:  # the call will fail with this when it is its turn; until then it stays wide
            return False
        return True


class Desk(Protocol):
    """Who is told of the work of a call: the scheduler."""

    def on_outcome(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The outcome is known."""

    def on_ended(self, task: Task, done: asyncio.Future[Result]) -> None:
        """The work has truly stopped."""

    def pause(self, task: Task, pending: Collection[Future]) -> None:
        """The work is about to wait for these."""

    async def resume(self, task: Task) -> None:
        """The work goes on, as soon as it may."""

    def retake(self, task: Task) -> None:
        """A wait was interrupted; the work goes on at once."""


class Working(Caller):
    """The call whose work runs in a context. It gives its slots back while it waits for others."""

    __slots__ = ("_waits", "scheduler", "task")

    def __init__(self, scheduler: Desk, task: Task) -> None:
        self.scheduler = scheduler
        self.task: Task | None = task
        """None when the work has stopped."""
        self._waits = 0

    def on_outcome(self, done: asyncio.Future[Result]) -> None:
        """Tell the scheduler."""
        if self.task is not None:
            self.scheduler.on_outcome(self.task, done)

    def on_ended(self, done: asyncio.Future[Result]) -> None:
        """Tell the scheduler."""
        assert self.task is not None
        self.scheduler.on_ended(self.task, done)

    def stop(self) -> None:
        """The work has stopped. The context refers to this object: no cycle is left behind."""
        self.task = None

    def pause(self, pending: Collection[Future]) -> None:
        """Give the slots back, at the first of several waits at a time."""
        if self._waits == 0 and self.task is not None:
            self.scheduler.pause(self.task, pending)
        self._waits += 1

    async def resume(self) -> None:
        """Take the slots again, after the last of several waits at a time."""
        self._waits -= 1
        if self._waits == 0 and self.task is not None:
            try:
                await self.scheduler.resume(self.task)
            except BaseException:
                self._retake()
                raise

    def break_off(self) -> None:
        """Go on at once, with slots taken beyond the limit if need be."""
        self._waits -= 1
        self._retake()

    def _retake(self) -> None:
        if self._waits == 0 and self.task is not None:
            self.scheduler.retake(self.task)


def _by_order(future: Future) -> int:
    return future.order
