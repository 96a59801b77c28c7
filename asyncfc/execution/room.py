"""Room: how many calls may be live. Who would bring more waits outside, first come first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asyncfc.execution.task import Tenant


class Room:
    """Back-pressure: a message is registered only when there is room, and then as a whole.

    Whoever is let in registers its calls, or begins to ask the model for them, before it waits for anything
    else, so that the next one sees them. A message that a model is asked for counts as one call.

    Args:
        most: calls that may be live when one more message comes; None: any number.
        live: how many are.
    """

    def __init__(self, most: int | None, live: Callable[[], int]) -> None:
        self.most = most
        self._live = live
        self._waiting: dict[asyncio.Future[bool], Tenant] = {}  # in the order in which they came
        self._asking: dict[Tenant, int] = {}
        self._asked = 0  # messages, in all
        self._entering = False

    def __len__(self) -> int:
        return sum(not waiter.done() for waiter in self._waiting)

    async def enter(self, tenant: Tenant) -> None:
        """Wait for room for one message of this session; one that is asking the model has been let in."""
        if self.most is None or tenant in self._asking or (not self._waiting and self._has_room()):
            return
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = tenant
        try:
            await waiter
        finally:  # the next one only when this one has registered its calls, or was cancelled just now
            self._waiting.pop(waiter, None)
            if not waiter.cancelled() and waiter.result():
                asyncio.get_running_loop().call_soon(self._entered)

    def begin(self, tenant: Tenant) -> None:
        """The session asks its model for a message."""
        self._asking[tenant] = self._asking.get(tenant, 0) + 1
        self._asked += 1

    def end(self, tenant: Tenant) -> None:
        """The message is there, or will never be."""
        self._asked -= 1
        rest = self._asking.pop(tenant) - 1
        if rest:
            self._asking[tenant] = rest
        self.wake()

    def wake(self) -> None:
        """Calls are live no longer: let in who is next, if there is room now."""
        while self._waiting and self._has_room():
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.done():
                self._entering = True
                waiter.set_result(True)

    def close(self, tenant: Tenant) -> None:
        """The session takes no more calls; whoever waits for it goes on, to be told so."""
        for waiter, whose in self._waiting.items():
            if whose is tenant and not waiter.done():
                waiter.set_result(False)

    def _has_room(self) -> bool:
        if self._entering or self.most is None:
            return False
        return self._live() + self._asked < self.most

    def _entered(self) -> None:
        self._entering = False
        self.wake()
