"""Planted faults: what the comparison must catch. Each breaks one rule of the runtime while it is planted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from asyncfc.depgraph.graph import DependencyGraph
from asyncfc.execution.task import Task
from asyncfc.futures.outcome import Value
from asyncfc.futures.reference import Site, futures_of, substitute
from asyncfc.testing.faults import FAULTS
from asyncfc.testing.faults.plant import replaced
from benchmarks.bfcl.plan import Fault


def planted(fault: Fault | None) -> AbstractContextManager[object]:
    """Break the runtime in the named way for the length of a `with` block; None breaks nothing."""
    if fault is None:
        return nullcontext()
    return _hasty() if fault == "data" else FAULTS[_NAMES[fault]]()


_NAMES = {"raw": "drop RAW", "war": "drop WAR", "waw": "drop WAW", "late-snapshot": "late snapshot"}


@contextmanager
def _hasty() -> Iterator[None]:
    """No call waits for its inputs; a reference whose value is not there reaches the tool as text."""
    add: Callable[..., bool] = DependencyGraph.add

    def add_without_data(self: Any, order: int, _data: Any = (), effects: Any = None, holds: int = 0) -> bool:
        return add(self, order, (), effects, holds)

    def final_arguments(self: Task, _left: Collection[Site] = ()) -> dict[str, Any]:
        sites = [s for s in self.sites if all(isinstance(f.outcome, Value) for f in futures_of((s,)))]
        return substitute(self.arguments, tuple(sites), self.tool.schema)

    with (
        replaced(DependencyGraph, "add", add_without_data),
        replaced(Task, "final_arguments", final_arguments),
    ):
        yield
