"""Rate limits: how many calls may start within a time, in all, per tool and per resource.

asyncio-throttle keeps the window; it stands behind a gate that lets one call at a time ask it. To whom it
opens says `Line`: sessions take turns, and of one session the oldest call is first. The call at the head of
its gates first waits for its slots (`limits`), then for the rates, and starts at once: so a rate bounds
starts, strictly, and waiting calls hold no slots but for the first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from asyncio_throttle.throttler import Throttler

from asyncfc.errors import DeclarationError
from asyncfc.execution.line import Line, Share, Ticket

_RATE = re.compile(r"(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|min|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class RateLimiter(Protocol):
    """Says when the next call may start."""

    async def acquire(self) -> None:
        """Wait until a call may start. Asked by one call at a time."""

    def started(self) -> None:
        """The call that asked last starts now."""


class WindowLimiter(Throttler):
    """At most `rate_limit` starts within any `period` seconds, by the running loop's clock."""

    def flush(self) -> None:
        """Forget the starts that have left the window; if it is full, sleep until one will have."""
        now = asyncio.get_running_loop().time()
        while self._task_logs and now - self._task_logs[0] >= self.period:
            self._task_logs.popleft()
        if self._task_logs:
            # The library polls at this interval; the exact time makes one poll do. The least is there
            # because now + (due - now) may fall short of due.
            self.retry_interval = max(self._task_logs[0] + self.period - now, 1e-6)

    async def acquire(self) -> None:
        """Wait until a call may start. It may yet be cancelled, so that only `started` counts it."""
        await super().acquire()  # type: ignore[no-untyped-call]
        self._task_logs.pop()

    def started(self) -> None:
        """Count the start, from now."""
        self._task_logs.append(asyncio.get_running_loop().time())


def parse_rate(key: str, rate: Any) -> WindowLimiter:
    """A limiter from `"5/s"`, `"100/min"`, `"2/10s"`.

    Raises:
        DeclarationError: naming the key, if the rate is not of this form or is 0.
    """
    match = _RATE.fullmatch(rate.strip()) if isinstance(rate, str) else None
    starts = int(match[1]) if match else 0
    period = float(match[2] or 1) * _SECONDS[match[3]] if match else 0.0
    if not starts or not period:
        raise DeclarationError(f"rate {key!r}: {rate!r} is not of the form '5/s', '100/min' or '2/10s'")
    return WindowLimiter(rate_limit=starts, period=period)


class _Gate:
    """Lets one call at a time in; the others wait in a line.

    State: `_inside` is the ticket of the one whose turn it is, which may not have noticed yet; the `task` of
    a ticket in the line is what its call waits for.
    """

    def __init__(self) -> None:
        self._line = Line()
        self._inside: Ticket | None = None

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[None]:
        """Wait for the turn of a call; the block is its turn."""
        if self._inside is None:
            self._inside = ticket
            self._line.take(ticket)
        else:
            await self._wait(ticket)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, ticket: Ticket) -> None:
        ticket.task = asyncio.get_running_loop().create_future()
        self._line.add(ticket)
        try:
            await ticket.task
        except asyncio.CancelledError:
            if self._inside is ticket:  # let in, and cancelled, at the same time
                self._leave()
            else:
                self._line.drop(ticket)
            raise

    def _leave(self) -> None:
        self._inside = heir = self._line.pop()
        if heir is not None and not heir.task.done():
            heir.task.set_result(None)


class Rates:
    """The gates of all rate limits.

    Args:
        rates: by the keys that `Limits` has, too.
    """

    def __init__(self, rates: Mapping[str, str]) -> None:
        self._limiters: dict[str, RateLimiter] = {key: parse_rate(key, rate) for key, rate in rates.items()}
        self._gates = {key: _Gate() for key in rates}

    async def start(
        self,
        order: int,
        share: Share,
        keys: tuple[str, ...],
        slots: Callable[[], Awaitable[None]],
        start: Callable[[], None],
    ) -> None:
        """Wait for the turn, for the slots, and for the rates; then start.

        Args:
            order: of the call.
            share: of its session.
            keys: the rates that count for the call, in the order that all calls share.
            slots: waits until the call has its slots.
            start: starts the call.
        """
        async with AsyncExitStack() as gates:
            for key in keys:
                await gates.enter_async_context(self._gates[key].turn(Ticket(order, (key,), share=share)))
            await slots()
            for key in keys:
                await self._limiters[key].acquire()
            for key in keys:
                self._limiters[key].started()
            start()
