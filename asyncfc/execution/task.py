"""Task: one scheduled execution of a call, and what it can tell from its own inputs."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Any

from asyncfc.depgraph.effects import Claim
from asyncfc.errors import CallError, RootCause, UpstreamFailed
from asyncfc.execution.executors import Running
from asyncfc.execution.limits import Ticket
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.reference import Site, futures_of, substitute
from asyncfc.tool import Tool


class Task:
    """State of one call between registration and release. Only the scheduler changes it.

    - `inputs`: the futures whose values the call needs, oldest first; `certain` of them are known to
      have settled with a value. `doomed` once any of them has no value.
    - `claim`: as registered, then as narrowed; `late`: the inputs that its labels still wait for.
    - `ticket`: the slots that it needs, once nothing orders it any more.
    - `running`: its work, once started; `timer`: its timeout.
    - `keep_own`: somebody wants the tool's own object; `own`: that object, once there.
    """

    __slots__ = (
        "arguments", "certain", "claim", "context", "doomed", "future", "inputs", "keep_own", "late", "own",
        "running", "sites", "ticket", "timer", "tool",
    )  # fmt: skip

    def __init__(
        self, future: Future, tool: Tool, arguments: dict[str, Any], sites: tuple[Site, ...]
    ) -> None:
        self.future = future
        self.tool = tool
        self.arguments = arguments
        self.sites = sites
        self.inputs = sorted(futures_of(sites), key=lambda f: f.order) if sites else ()
        self.certain = 0
        self.doomed = False
        self.claim: Claim | None = None
        self.late: set[int] = set()
        self.ticket: Ticket | None = None
        self.running: Running | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.keep_own = False
        self.own: Any = None
        self.context: Context = copy_context()

    @property
    def order(self) -> int:
        """Place in the order of registration."""
        return self.future.order

    def final_arguments(self) -> dict[str, Any]:
        """The arguments with every reference replaced by its value.

        Raises:
            CallError: a path does not exist, or a value does not fit where the reference stands.
        """
        if not self.sites:
            return self.arguments
        return substitute(self.arguments, self.sites, self.tool.schema)

    def bound_claim(self) -> tuple[Claim, set[int]]:
        """The claim as far as it can be told now, and the unsettled inputs that its labels wait for."""
        spec = self.tool.spec
        if not spec.parameters:
            return spec.bind({}), set()
        known = dict(self.arguments)
        unresolved: set[str] = set()
        late: set[int] = set()
        for name in {str(site.location[0]) for site in self.sites} & spec.parameters:
            sites = tuple(site for site in self.sites if site.location[0] == name)
            missing = [f for f in futures_of(sites) if not isinstance(f.outcome, Value)]
            late |= {f.order for f in missing if f.outcome is None}
            if missing or not self._replace(known, name, sites):
                unresolved.add(name)
        arguments, untold = self.tool.label_arguments(
            {name: value for name, value in known.items() if name not in unresolved}
        )
        return spec.bind(arguments, unresolved, untold), late

    def upstream_failure(self) -> Failure | None:
        """The failure that an input without a value causes, once its root is certain (DESIGN F1).

        The root is the earliest-emitted input without a value; it is certain when all inputs emitted
        before it have settled. Each input is looked at once, however often this is asked.
        """
        while self.certain < len(self.inputs):
            outcome = self.inputs[self.certain].outcome
            if outcome is None:
                return None
            if not isinstance(outcome, Value):
                return Failure(_blame(self.future, self.inputs[self.certain]))
            self.certain += 1
        return None

    def _replace(self, known: dict[str, Any], name: str, sites: tuple[Site, ...]) -> bool:
        try:
            known[name] = substitute({name: known[name]}, sites, self.tool.schema)[name]
        except CallError:  # the call will fail with this when it is its turn; until then it stays wide
            return False
        return True


def _blame(dependant: Future, failed: Future) -> UpstreamFailed:
    outcome = failed.outcome
    error = outcome.error if isinstance(outcome, Failure) else None
    if isinstance(error, UpstreamFailed):
        root = error.root
    else:
        root = RootCause(failed.call_id, failed.tool, failed.handle, error)
    reason = f"{type(root.error).__name__}" if root.error is not None else type(outcome).__name__.lower()
    return UpstreamFailed(
        f"{dependant.tool} ({dependant.call_id}) did not run: it needs the result of "
        f"{root.tool} ({root.handle or root.call_id}), which has none ({reason})",
        root,
    )
