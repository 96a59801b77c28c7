"""Requests: the requests to the model, and the waits for outcomes: timed, numbered, told to listeners."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.core import Core
from asyncfc.futures.future import Future, wait_settled
from asyncfc.trace.events import NO_CALL

MOST_NAMED = 20
"""Calls that an event names as waited for, at most: a wait for any one of many comes again and again."""


class Requests:
    """Those of one session.

    - `_open`: the numbers of the requests that are under way, oldest first; `_paused_s`: for how long the
      model has waited in the middle of requests, in all.

    Args:
        core: of the session.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._numbers = itertools.count(1)
        self._open: list[int] = []
        self._paused_s = 0.0

    @contextmanager
    def sampling(self) -> Iterator[list[Delivery | Note]]:
        """See `Session.sampling`."""
        clock, emit, number = asyncio.get_running_loop().time, self._core.emit, next(self._numbers)
        start, paused, complete = clock(), self._paused_s, False
        if emit is not None:
            emit("sampling", request=number)
        self._open.append(number)
        room = self._core.scheduler.room
        room.begin(self._core.tenant)
        try:
            with self._core.outbox.sampling() as deliveries:
                yield deliveries
            complete = True
        finally:
            room.end(self._core.tenant)
            self._open.remove(number)
            if emit is not None:
                emit("sampled", request=number, ok=complete)
        self._core.cost.learn(clock() - start - (self._paused_s - paused))

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """See `Session.pausing`."""
        clock, emit = asyncio.get_running_loop().time, self._core.emit
        start, request = clock(), self._open[-1] if self._open else None
        if emit is not None:
            emit("paused", request=request)
        try:
            yield
        finally:
            self._paused_s += clock() - start
            if emit is not None:
                emit("resumed", request=request)

    async def wait(
        self, futures: Collection[Future], *, any_one: bool, timeout: float | None, bell: Future
    ) -> None:
        """Wait until futures have settled, as `wait_settled` does; of very many the first ones are named."""
        emit, caller = self._core.emit, self._core.caller()
        pending = [] if emit is None else [future.order for future in futures if not future.settled]
        if emit is None or not pending:
            await wait_settled(futures, any_one=any_one, timeout=timeout, bell=bell)
            return
        who, number = NO_CALL if caller is None else caller.order, next(self._numbers)
        emit("waiting", who, wait=number, futures=pending[:MOST_NAMED], count=len(pending))
        try:
            await wait_settled(futures, any_one=any_one, timeout=timeout, bell=bell)
        finally:
            emit("waited", who, wait=number)
