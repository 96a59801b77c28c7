"""Work and who runs it: what the scheduler hands out, and how it hears of the end.

The scheduler hangs two events on a `Running`: `outcome` (the call settles) and `ended` (the work has
truly stopped, so that its claims may be released). For local work they are one and the same moment;
a remote executor may know the outcome before the worker is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from asyncfc.execution import streams
from asyncfc.futures.outcome import Cancelled, Failure, Outcome
from asyncfc.futures.reference import Site
from asyncfc.tools import Tool


@dataclass(frozen=True, slots=True)
class Work:
    """One call ready to run: the tool, its final arguments, the submitter's context variables."""

    tool: Tool
    arguments: dict[str, Any]
    context: Context
    begun: Callable[[], object] | None = None
    """Called on the loop when the work truly begins; not set if nobody needs to know."""
    concurrent: bool = False
    """It may run beside other undeclared calls, so not in their one worker thread (DESIGN E1b)."""
    progress: streams.Take | None = None
    """Called on the loop with the JSON form of each item that the tool yields; None: nobody listens."""
    sites: tuple[Site, ...] = ()
    """References still in the arguments: their values lie elsewhere. Only for executors with `fills_in`."""


class Result(NamedTuple):
    """How work ended: the outcome, and the tool's own object where there is one in this process."""

    outcome: Outcome
    own: Any = None

    def __repr__(self) -> str:  # asyncio asks its tasks for theirs; what a tool returned is not to be asked
        return f"Result({self.outcome!r})"


class Running(Protocol):
    """Work that has been started."""

    @property
    def outcome(self) -> asyncio.Future[Result]:
        """Done, always with a result, as soon as the outcome is known."""

    @property
    def ended(self) -> asyncio.Future[Result]:
        """Done when the work has truly stopped; may be the same object as `outcome`."""

    def cancel(self) -> bool:
        """Ask the work to stop. False: it cannot; otherwise it will end, as it sees fit."""


class Executor(Protocol):
    """Starts work on the running loop's behalf. `start` must not block.

    What it raises fails that call; `DeclarationError`, which says that the program is set up wrongly, goes
    to whoever submits it, too, or holds its answer. One whose values lie elsewhere may have
    `fills_in = True`: it then replaces the references to such values itself, see `Work.sites`.
    """

    def start(self, work: Work) -> Running:
        """Start the work. Whatever the tool raises becomes a `Failure` in the result."""

    def close(self) -> None:
        """Take no more work; give up threads and processes as soon as they are idle."""


def collect(done: asyncio.Future[Result]) -> Result:
    """The result of work that is done, however it was brought to its end."""
    if done.cancelled():
        return Result(Cancelled("cancelled before it began"))
    error = done.exception()  # KeyboardInterrupt and SystemExit: asyncio raises them out of the loop, too
    return done.result() if error is None else Result(Failure(error))
