"""Runtime: what several sessions share."""

from __future__ import annotations

from collections.abc import Mapping

from asyncfc.errors import DeclarationError
from asyncfc.execution.executors import Executor, LocalExecutor
from asyncfc.execution.limits import Limits
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.statistics import Statistics
from asyncfc.futures.store import MemoryStore


class Runtime:
    """One order of effects, one set of limits and one executor for several sessions (DESIGN O1).

    Each session is one linear conversation. Where parallel conversations touch the same resources, a
    common runtime puts their calls into one order, that of registration. All its sessions belong to one
    event loop. Close it after them.

    Where limits or rates make calls wait, each session has a fair share of them: the next start is that of
    the session that has started the fewest calls for its weight since it began to wait.

    Args:
        limits: how many calls of all sessions may work at the same time; see `Limits`.
        per_session: how many of each session, by the same keys.
        max_live: as long as so many calls of all sessions are live, or messages with calls asked for, the
            next message waits before it is asked for (`Session.room`) or registered (`Session.submit`). None
            is cut in two, so that there may be some more. None: nobody waits.
        rates: how many of them may start within a time: `"5/s"`, `"100/min"`, `"2/10s"`, by the same keys.
        executor: where work runs; default: the loop and threads of this process.

    Raises:
        DeclarationError: a limit, a rate or `max_live` is written wrongly.
    """

    def __init__(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        per_session: Mapping[str, int] | None = None,
        max_live: int | None = None,
        rates: Mapping[str, str] | None = None,
        executor: Executor | None = None,
    ) -> None:
        if max_live is not None and (type(max_live) is not int or max_live < 1):
            raise DeclarationError(f"max_live={max_live!r}: expected None or a whole number of at least 1")
        self._executor = executor or LocalExecutor(MemoryStore())
        self.scheduler = Scheduler(self._executor, Limits(limits, per_session), rates, max_live)

    def statistics(self) -> Statistics:
        """How many calls run and wait now, of each session and for each limit. Looks at every live call."""
        return self.scheduler.statistics()

    def close(self) -> None:
        """Give up threads and processes as soon as they are idle."""
        self._executor.close()
