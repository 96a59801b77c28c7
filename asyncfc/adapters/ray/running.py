"""One call on Ray, as the scheduler sees it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, TaskCancelledError, WorkerCrashedError

from asyncfc.adapters.ray.bell import Ears, Listener
from asyncfc.adapters.ray.connection import Connection, connection
from asyncfc.adapters.ray.destinations import AsTask, Destination
from asyncfc.adapters.ray.job import Raised, Report, Request, pickled, why_not_pickled
from asyncfc.adapters.ray.values import NOTHING_LEFT, Left, RemoteValue
from asyncfc.errors import NotTransferable, WorkerLost
from asyncfc.execution.serving import revive
from asyncfc.execution.work import Result, Work
from asyncfc.futures.outcome import Cancelled, Failure, Value

_log = logging.getLogger("asyncfc")
_NUMBERS = itertools.count()


class RayRunning:
    """A call that was sent to a worker. Its outcome is known when its work has ended.

    Args:
        to: where the calls of its tool go.
        work: the call.
        ears: hear when it begins, and what it yields; None: nobody has to know.
        connected: the cluster that it goes to.
    """

    def __init__(self, to: Destination, work: Work, ears: Ears | None, connected: Connection | None) -> None:
        self._to = to
        self._work = work
        self._ears = ears
        self._left, self._values = Left.of(work.sites) if work.sites else (NOTHING_LEFT, [])
        self._refs: list[Any] = []
        self._value: Any = None
        self._listener: Listener | None = None
        self._begun = False
        self._asked = False
        self._forced = False
        self._connection = connected
        self._disconnected = False
        self.report: Any = None
        """The reference of it, once the call is sent."""
        self._turn = None if to.turns is None else to.turns.take()
        self.outcome = self.ended = asyncio.get_running_loop().create_task(self._follow())
        self.outcome.add_done_callback(self._on_done)

    def cancel(self) -> bool:
        """See `Running.cancel`."""
        if self.outcome.done():
            return False
        if self.report is not None:
            if self._is_cut_off():
                return True
            if not self._to.stops and (self._begun or self._to.at_once):
                return False
            self._to.stop(self._request, self.report)
        elif self._turn is not None:
            self._turn.cancel()
        self._asked = True
        return True

    def end(self) -> None:
        """Nobody needs the call any more: it is stopped, whatever that leaves half done."""
        self._asked = self._forced = True
        if self.report is None:
            if self._turn is not None:
                self._turn.cancel()
        elif not self._is_cut_off() and isinstance(self._to, AsTask):  # an actor is ended itself
            ray.cancel(self.report, force=True)

    def give_up(self) -> None:
        """It was ended, and Ray's word on that is not waited for: the loop may have no more turns."""
        self.outcome.cancel()

    def _is_cut_off(self) -> bool:
        """Whether Ray was shut down since. The call is then never heard of again, so it ends here."""
        if not self._disconnected and connection() != self._connection:
            self._disconnected = True
            self.outcome.cancel()
        return self._disconnected

    def _send(self) -> None:
        number = next(_NUMBERS)
        listener = None if self._ears is None else self._ears.listen(number, self._on_begun, self._on_item)
        ring = None if listener is None else listener.ring
        self._request = Request(self._work.arguments, self._left, ring, number)
        self._listener = listener
        self.report, self._value = self._to.send(self._request, self._refs)

    async def _follow(self) -> Result:
        if self._turn is not None:
            await asyncio.wait([self._turn])
        if self._asked:
            return Result(Cancelled("cancelled before it began"))
        try:
            self._refs = [v.ref if isinstance(v, RemoteValue) else ray.put(v.get()) for v in self._values]
            self._send()
        except (TypeError, pickle.PicklingError) as error:
            return Result(Failure(self._not_sent(error)))
        try:
            return await self._result()
        except asyncio.CancelledError:
            if self._disconnected:
                return Result(Failure(self._cut_off()))
            if self._forced:
                return Result(Cancelled("cancelled while it ran"))
            raise

    def _on_done(self, _: object) -> None:
        """It is over, perhaps with its loop. What keeps large values, or who was told, is let go."""
        self._stop_listening()
        if self._to.turns is not None:
            self._to.turns.leave(self._turn)
        self._values, self._refs, self._value, self._listener = [], [], None, None
        self._work = replace(self._work, begun=None, progress=None, sites=())

    async def _result(self) -> Result:
        """Wait for the end, and try again what may run twice and was lost (DESIGN F3)."""
        tries = self._to.tries
        while True:
            try:
                report: Report = await self.report
            except RayError as error:
                await self._let_go()
                tries -= 1
                if self._asked or not tries or not self._to.may_try_again(error):
                    return self._lost(error)
                _log.warning("%s was lost on Ray and is tried again: %s", self._work.tool.name, error)
                self._send()
            else:
                if self._listener is not None and self._is_heard:
                    await self._listener.wait(report.rings)
                return self._read(report)

    def _read(self, report: Report) -> Result:
        tool = self._work.tool.name
        if report.stopped is not None:
            return Result(Cancelled(f"cancelled {report.stopped}"))
        if report.failure is not None:
            return Result(Failure(_revived(report.failure)))
        if report.about is not None:
            return Result(RemoteValue(self._value, report.about, tool))
        assert isinstance(report.value, Value)
        return Result(report.value, _own(report, report.value))

    async def _let_go(self) -> None:
        """After a loss. Both references hold the error, and Ray complains of one that nobody looks at."""
        with suppress(RayError):
            await self._value
        self._stop_listening()

    @property
    def _is_heard(self) -> bool:
        """Whether somebody else is told when it begins or yields."""
        return self._work.begun is not None or self._work.progress is not None

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()

    def _lost(self, error: RayError) -> Result:
        taken_back = isinstance(error, TaskCancelledError) and not self._begun
        if self._forced or taken_back or (self._asked and self._to.stops):
            waited = self._listener is not None and not self._begun
            return Result(Cancelled("cancelled before it began" if waited else "cancelled while it ran"))
        if isinstance(error, TaskCancelledError):  # so Ray says if a worker dies that heeds no request
            error = WorkerCrashedError()
        return Result(Failure(self._to.failure(self._request, error)))

    def _not_sent(self, error: Exception) -> NotTransferable:
        name, why = self._work.tool.name, why_not_pickled(error)
        if "serialize the function" in str(error):
            why = why_not_pickled(error, self._work.tool.function)
            return NotTransferable(
                f"{name} did not run: its function refers to what cannot be pickled, so it cannot go to a "
                f"Ray worker ({why}); make that inside the function, put the tool into a module that workers "
                "can import, or keep it here"
            )
        names = [name for name, value in self._work.arguments.items() if pickled(value) is None]
        which = f"its argument {names[0]!r}" if names else "an argument"
        return NotTransferable(
            f"{name} did not run: {which} cannot be pickled, so it cannot go to a Ray worker ({why}); pass "
            "plain data, or keep the tool here"
        )

    def _cut_off(self) -> WorkerLost:
        return WorkerLost(
            f"{self._work.tool.name} may or may not have taken effect: Ray was shut down in this program "
            "while it ran; close sessions before ray.shutdown()"
        )

    def _on_begun(self) -> None:
        self._begun = True
        if self._work.begun is not None:
            self._work.begun()

    def _on_item(self, item: Any) -> None:
        if self._work.progress is not None:
            self._work.progress(item)


def _own(report: Report, value: Value) -> Any:
    """What the tool returned, as far as it can be read here."""
    if report.own is not None:
        with suppress(Exception):
            return pickle.loads(report.own)  # noqa: S301
    return value.get()


def _revived(failure: Raised) -> BaseException:
    """What the tool raised; if this process has not the class of that, an error that says what it was."""
    try:
        return revive(failure.itself)
    except Exception:
        return revive(failure.as_text)
