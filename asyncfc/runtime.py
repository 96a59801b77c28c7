"""Runtime: what several sessions share."""

from __future__ import annotations

from collections.abc import Mapping

from asyncfc.execution.executors import Executor, LocalExecutor
from asyncfc.execution.limits import Limits
from asyncfc.execution.scheduler import Scheduler
from asyncfc.futures.store import MemoryStore


class Runtime:
    """One order of effects, one set of limits and one executor for several sessions (DESIGN O1).

    Each session is one linear conversation. Where parallel conversations touch the same resources, a
    common runtime puts their calls into one order, that of registration. All its sessions belong to one
    event loop. Close it after them.

    Args:
        limits: how many calls of all sessions may work at the same time; see `Limits`.
        rates: how many of them may start within a time: `"5/s"`, `"100/min"`, `"2/10s"`, by the same keys.
        executor: where work runs; default: the loop and threads of this process.
    """

    def __init__(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        rates: Mapping[str, str] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._executor = executor or LocalExecutor(MemoryStore())
        self.scheduler = Scheduler(self._executor, Limits(limits), rates)

    def close(self) -> None:
        """Give up threads and processes as soon as they are idle."""
        self._executor.close()
