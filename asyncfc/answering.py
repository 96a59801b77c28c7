"""Answering: what goes back for the calls of a complete message."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Literal

from asyncfc.core import Answer, Core
from asyncfc.errors import TranscriptError
from asyncfc.execution.task import Task
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.outcome import Failure, Value
from asyncfc.holding import hold_answers


class Answering:
    """The side of a message on which answers leave, all at once or call by call.

    - `_calls`, `_futures`: one per call, in order; `_tasks`: of those calls that entered the order;
      `_inline`: the futures of those that are answered with their outcome only.
    - `_inside`: a tool makes these calls, from inside its work, or the program; the model is not told.
    - `_blind`: the outcomes that the model had not seen when it emitted this message; `_withheld`: the
      orders of the calls that were withheld because of these.
    - `_holding`: holds the answers of all calls, where these are asked for one by one but together;
      `_held`: seconds for which answers were held, where they are asked for one after the other.
    """

    def __init__(self, core: Core, *, inside: bool) -> None:
        self._core = core
        self._inside = inside
        self._calls: list[Call] = []
        self._futures: list[Future] = []
        self._tasks: list[Task] = []
        self._inline: set[Future] = set()
        self._blind: list[Future] = []
        self._withheld: set[int] = set()
        self._holding: asyncio.Task[float] | None = None
        self._held = 0.0
        self._state: Literal["open", "committed", "answered", "withdrawn", "retried"] = "open"

    async def answers(self, hold: bool = True, *, patience: float | None = None) -> list[Answer]:
        """One answer per call, in order, after holding them for at most the session's grace.

        With `hold=False` they are not held. Where a call was withheld because outcomes had not been seen,
        the answers wait for these, and the answer of that call carries them (DESIGN E4).

        Args:
            hold: for the grace.
            patience: seconds to wait for unseen outcomes; what still runs then is named. None: any time.

        Raises:
            TranscriptError: the message is not committed, or has been answered.
        """
        self._require("committed", "answer")
        self._state = "answered"
        try:
            held = await self._hold() if hold and self._core.grace != 0 else 0.0
            if self._withheld:
                await wait_settled(self._blind, timeout=patience)
        except BaseException:  # the caller was cancelled: it may ask again; else the outcomes are delivered
            self._state = "committed"
            self._leave_for_later(self._futures)
            raise
        own = {task.order: task.own for task in self._tasks if task.keep_own}
        self._tasks = [task for task in self._tasks if task.waits or task.future in self._inline]
        return [
            self._answer(call, future, own.get(future.leader.order), held)
            for call, future in zip(self._calls, self._futures, strict=True)
        ]

    async def answer(self, future: Future, *, together: bool) -> Answer:
        """Let one call of this message run, and answer it alone, after holding it as `answers` would.

        Args:
            future: of the call.
            together: the program asks for all calls of the message at the same time, so that they are
                held together; else one after the other, and the grace is for all of them in all.
        """
        self.ask_for(future)
        try:
            held = await self._hold_one(future, together=together) if self._core.grace != 0 else 0.0
            if future.order in self._withheld:
                await wait_settled(self._blind)
        except BaseException:  # as in `answers`
            self._leave_for_later([future])
            raise
        return self._answer_alone(future, held)

    def ask_for(self, future: Future) -> None:
        """Let a call of this message run that waits for that; once is enough.

        Raises:
            TranscriptError: the message is not complete.
        """
        self._require_complete("ask for a call of")
        task = self._task_of(future)
        if task is not None and task.waits and not future.settled:
            task.waits = False
            self._core.scheduler.ask_for(task)

    async def outcome(self, future: Future) -> Answer:
        """Let a call of this message run, wait until it has settled, and answer it."""
        self.ask_for(future)
        try:
            await future.wait()
        except BaseException:  # as in `answers`
            self._leave_for_later([future])
            raise
        return self._answer_alone(future, 0.0)

    def give_up(self, future: Future, reason: str, *, started: bool = False) -> None:
        """The program will not ask for a call of this message; it tells the model so itself.

        Args:
            future: of the call.
            reason: why, for what depends on it.
            started: take it back also if it has started; else only if it waits to be asked for.
        """
        task = self._task_of(future)
        if task is not None and (task.waits or started):
            self._core.scheduler.withdraw(task, reason)
        if future.settled:
            self._core.outbox.answer(future)

    def owe(self, futures: Collection[Future]) -> None:
        """The program does not ask for the answers of these calls, or not any more: they are delivered later.

        Raises:
            TranscriptError: the message is not complete.
        """
        self._require_complete("leave the answers of")
        for call, future in zip(self._calls, self._futures, strict=True):
            if future in futures:
                self._owe(call, future)

    async def again(self, calls: Sequence[Call]) -> list[Answer]:
        """Answer the same calls once more: the framework runs its step again (DESIGN O4).

        Raises:
            TranscriptError: these are not the calls of this message.
        """
        if list(calls) != self._calls:
            raise TranscriptError(
                "a message that was submitted before comes again with other calls: "
                f"{_first_difference(self._calls, list(calls))}"
            )
        if self._withheld:
            await wait_settled(self._blind)
        return [
            self._answer(call, future, None, 0.0)
            for call, future in zip(self._calls, self._futures, strict=True)
        ]

    def _answer(self, call: Call, future: Future, own: Any, held: float) -> Answer:
        outbox = self._core.outbox
        outcome = future.outcome
        if outcome is None and future in self._inline:
            text = ""
        elif outcome is None:
            text = self._owe(call, future)
        elif future.order in self._withheld:
            text = outbox.answer_withheld(future, self._blind)
        else:
            text = outbox.answer(future)
        if self._core.emit is not None:
            self._core.emit("answered", future.order, text=text, held_s=held)
        future.shown = True
        value = own if isinstance(outcome, Value) else None
        error = outcome.error if isinstance(outcome, Failure) else None
        return Answer(call.id, text, value, error, future, held)

    def _leave_for_later(self, futures: Sequence[Future]) -> None:
        """Nobody gets these answers now; what was answered or delivered before is not delivered again."""
        self.owe([future for future in futures if not future.shown])

    def _owe(self, call: Call, future: Future) -> str:
        future.shown = True
        outbox = self._core.outbox
        return outbox.point_to(future) if self._inside else outbox.owe(call, future)

    def _answer_alone(self, future: Future, held: float) -> Answer:
        task = self._task_of(future.leader)
        call = self._calls[self._futures.index(future)]
        return self._answer(call, future, None if task is None else task.own, held)

    async def _hold(self) -> float:
        return 0.0 if self._inside else await hold_answers(self._core, self._futures, self._tasks)

    async def _hold_one(self, future: Future, *, together: bool) -> float:
        if together and self._core.grace == "auto":
            if self._holding is None:
                holding = hold_answers(self._core, self._futures, self._tasks, soon=True)
                self._holding = asyncio.ensure_future(holding)
            return await asyncio.shield(self._holding)
        tasks = [task for task in self._tasks if task.future is future.leader]
        held = await hold_answers(self._core, [future], tasks, spent=self._held)
        self._held += held
        return held

    def _task_of(self, future: Future) -> Task | None:
        return next((task for task in self._tasks if task.future is future), None)

    def _require_complete(self, action: str) -> None:
        if self._state not in {"committed", "answered"}:
            raise TranscriptError(f"cannot {action} a message that is {self._state}")

    def _require(self, state: str, action: str) -> None:
        if self._state != state:
            raise TranscriptError(f"cannot {action} a message that is {self._state}")


def _first_difference(before: list[Call], now: list[Call]) -> str:
    for one, other in zip(before, now, strict=False):
        if one != other:
            return f"{one} before, {other} now"
    return f"{len(before)} calls before, {len(now)} now"
