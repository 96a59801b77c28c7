"""Planted faults: what the comparison must catch. Each breaks one rule of the runtime while it is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

from asyncfc.depgraph.claims import ClaimIndex
from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.execution.executors import LocalExecutor, Result
from asyncfc.execution.task import Task
from asyncfc.futures.outcome import Value
from asyncfc.futures.reference import futures_of, substitute
from asyncfc.testing.faults import Lazy
from benchmarks.bfcl.plan import Fault


def planted(fault: Fault | None) -> AbstractContextManager[object]:
    """Break the runtime in the named way for the length of a `with` block; None breaks nothing."""
    if fault is None:
        return nullcontext()
    plant = {"data": _hasty, "late-snapshot": _late_snapshot}.get(fault)
    return plant() if plant else _unordered(fault.upper())


def _unordered(kind: str) -> AbstractContextManager[object]:
    """Conflicts of one kind order nothing."""
    conflicts = ClaimIndex._conflicts

    def without(self: ClaimIndex, claim: Any) -> Iterator[Any]:
        return (pair for pair in conflicts(self, claim) if pair[1].kind != kind)

    return patch.object(ClaimIndex, "_conflicts", without)


@contextmanager
def _hasty() -> Iterator[None]:
    """No call waits for its inputs; a reference whose value is not there reaches the tool as text."""
    add: Callable[..., bool] = DependencyGraph.add

    def add_without_data(self: Any, order: int, _data: Any = (), effects: Any = None, holds: int = 0) -> bool:
        return add(self, order, (), effects, holds)

    def final_arguments(self: Task) -> dict[str, Any]:
        sites = [s for s in self.sites if all(isinstance(f.outcome, Value) for f in futures_of((s,)))]
        return substitute(self.arguments, tuple(sites), self.tool.schema)

    with (
        patch.object(DependencyGraph, "add", add_without_data),
        patch.object(Task, "final_arguments", final_arguments),
    ):
        yield


def _late_snapshot() -> AbstractContextManager[object]:
    """A result is projected whenever somebody asks for it, not when the call ended."""
    return patch.object(LocalExecutor, "_result", lambda _, value: Result(Lazy(value), value))
