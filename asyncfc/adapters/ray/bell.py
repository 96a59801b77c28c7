"""Bell: where calls on workers tell the program that they have begun, and what they yield.

Ray has no word of its own for the moment in which a task begins. Its streaming results would do, but a
stream that was asked to stop ends for the program while its work goes on, and so would lose the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from asyncfc.adapters.ray.job import Ring, pickled

PATIENCE_S = 5.0
"""For what a call has told while its end is known already: it may be lost with its worker."""

Rung: TypeAlias = tuple[int, int, Any]
"""The number of the call, the place of this among what it tells, and what it tells."""


class Bell:
    """The actor. One for all calls of an executor, on the machine of the program."""

    def __init__(self) -> None:
        self._rung: list[Rung] = []
        self._first = 0  # of `_rung`, in the count of all
        self._news = asyncio.Event()

    async def ring(self, call: int, place: int, what: Any) -> None:
        """A call tells something."""
        self._rung.append((call, place, what))
        self._news.set()

    async def heard(self, count: int) -> list[Rung]:
        """So many things were heard: forget them, and tell the others as soon as there are any."""
        del self._rung[: count - self._first]
        self._first = max(self._first, count)
        while not self._rung:
            self._news.clear()
            await self._news.wait()
        return self._rung


def _start_bell() -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Bell)
    return actor.options(num_cpus=0, max_concurrency=1000, scheduling_strategy=here).remote()


class Ears:
    """Hears the bell for all calls of an executor, as long as there are any."""

    def __init__(self) -> None:
        self._bell: Any = None
        self._pickled = b""
        self._listeners: dict[int, Listener] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def listen(self, number: int, begun: Callable[[], object], item: Callable[[Any], object]) -> Listener:
        """Listen to a new call, or a new try, of this number."""
        if self._bell is None:
            self._bell = _start_bell()
            self._pickled = pickled(self._bell) or b""
        listener = Listener(Ring(self._pickled, number), begun, item, self._forget)
        self._listeners[number] = listener
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:  # of another run
            self._task = loop.create_task(self._hear())
        return listener

    def close(self) -> None:
        """End the bell."""
        bell, self._bell, self._count = self._bell, None, 0
        if bell is not None:
            ray.kill(bell)

    async def _hear(self) -> None:
        while self._listeners and self._bell is not None:
            bell, name = self._bell, self._pickled
            try:
                rung: list[Rung] = await bell.heard.remote(self._count)
            except RayError:  # it is gone; the ends of the calls will be known all the same
                rung = []
                for listener in self._listeners.values():
                    if listener.ring.bell == name:
                        listener.give_up()
                if self._bell is bell:
                    self._bell, self._count = None, 0
            if self._bell is bell:
                self._count += len(rung)
                for call, place, what in rung:
                    if call in self._listeners:
                        self._listeners[call].hear(place, what)

    def _forget(self, number: int) -> None:
        self._listeners.pop(number, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None  # who listens next, perhaps at once, does so with a task that lives


class Listener:
    """Hears one call, in order, though Ray may bring a later thing earlier: first that it has begun."""

    def __init__(
        self,
        ring: Ring,
        begun: Callable[[], object],
        item: Callable[[Any], object],
        forget: Callable[[int], object],
    ) -> None:
        self.ring = ring
        self._begun = begun
        self._item = item
        self._forget = forget
        self._count = 0
        self._early: dict[int, Any] = {}
        self._news = asyncio.Event()
        self._in_vain = False

    def hear(self, place: int, what: Any) -> None:
        """The call has told something."""
        self._early[place] = what
        while self._count in self._early:
            told = self._early.pop(self._count)
            self._begun() if self._count == 0 else self._item(told)
            self._count += 1
        self._news.set()

    async def wait(self, rings: int) -> None:
        """The call has ended: hear what is still under way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while self._count < rings and not self._in_vain:
                    self._news.clear()
                    await self._news.wait()

    def give_up(self) -> None:
        """Nothing more can be heard."""
        self._in_vain = True
        self._news.set()

    def close(self) -> None:
        """Nobody listens to the call any more."""
        self._forget(self.ring.call)
