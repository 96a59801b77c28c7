"""Bell: where calls on workers tell the program that they have begun, and what they yield.

Ray has no word of its own for the moment in which a task begins. Its streaming results would do, but a
stream that was asked to stop ends for the program while its work goes on, and so would lose the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import uuid4

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from asyncfc.adapters.ray.connection import Connection, connection
from asyncfc.adapters.ray.job import Ring, pickled

PATIENCE_S = 5.0
"""For what a call has told while its end is known already: it may be lost with its worker."""

Rung: TypeAlias = tuple[int, int, Any]
"""The number of the call, the place of this among what it tells, and what it tells."""


class Bell:
    """The actor. One for all executors of a program, on its machine; each has a rope of its own."""

    def __init__(self) -> None:
        self._ropes: dict[str, Rope] = {}
        self._untied: set[str] = set()

    async def ring(self, rope: str, call: int, place: int, what: Any) -> None:
        """A call tells something."""
        if rope not in self._untied:
            self._rope(rope).ring((call, place, what))

    async def heard(self, rope: str, count: int) -> list[Rung]:
        """So many things were heard: forget them, and tell the others as soon as there are any."""
        return [] if rope in self._untied else await self._rope(rope).heard(count)

    async def untie(self, rope: str) -> None:
        """Nobody listens to this one any more."""
        self._untied.add(rope)
        if rope in self._ropes:
            self._ropes.pop(rope).let_go()

    def _rope(self, name: str) -> Rope:
        return self._ropes.setdefault(name, Rope())


class Rope:
    """In the actor: what the calls of one executor have told."""

    def __init__(self) -> None:
        self._rung: list[Rung] = []
        self._first = 0  # of `_rung`, in the count of all
        self._news = asyncio.Event()
        self._untied = False

    def ring(self, rung: Rung) -> None:
        """Keep something."""
        self._rung.append(rung)
        self._news.set()

    async def heard(self, count: int) -> list[Rung]:
        """See `Bell.heard`."""
        del self._rung[: count - self._first]
        self._first = max(self._first, count)
        while not self._rung and not self._untied:
            self._news.clear()
            await self._news.wait()
        return self._rung

    def let_go(self) -> None:
        """Whoever waits, waits no more."""
        self._untied = True
        self._news.set()


_BELLS: dict[Connection | None, Any] = {}
"""The bell of this program. Kept, since an actor ends with its last handle, and executors come and go."""


def _bell() -> Any:
    """The bell of this program. To start one takes as long as to start a worker."""
    here = connection()
    if here not in _BELLS:
        _BELLS.clear()  # that of an earlier connection
        context: Any = ray.get_runtime_context()
        near = NodeAffinitySchedulingStrategy(context.get_node_id(), soft=True)
        made = ray.remote(Bell).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=near)
        _BELLS[here] = made.remote()
    return _BELLS[here]


class Ears:
    """Hears the bell for all calls of an executor, as long as there are any."""

    def __init__(self) -> None:
        self._bell: Any = None
        self._pickled = b""
        self._rope = ""
        self._listeners: dict[int, Listener] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def listen(self, number: int, begun: Callable[[], object], item: Callable[[Any], object]) -> Listener:
        """Listen to a new call, or a new try, of this number."""
        if self._bell is None:
            self._bell, self._rope = _bell(), uuid4().hex
            self._pickled = pickled(self._bell) or b""
        listener = Listener(Ring(self._pickled, self._rope, number), begun, item, self._forget)
        self._listeners[number] = listener
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:  # of another run
            self._task = loop.create_task(self._hear())
        return listener

    def close(self) -> None:
        """Listen no more."""
        bell, self._bell, self._count = self._bell, None, 0
        if bell is not None:
            bell.untie.remote(self._rope)

    async def _hear(self) -> None:
        while self._listeners and self._bell is not None:
            bell, rope = self._bell, self._rope
            try:
                rung: list[Rung] = await bell.heard.remote(rope, self._count)
            except RayError:  # it is gone; the ends of the calls will be known all the same
                rung = []
                if _BELLS.get(connection()) is bell:
                    _BELLS.clear()
                if self._rope == rope:
                    self._bell, self._count = None, 0
            if self._rope != rope or self._bell is None:
                self._give_up(rope)
            else:
                self._count += len(rung)
                for call, place, what in rung:
                    if call in self._listeners:
                        self._listeners[call].hear(place, what)

    def _give_up(self, rope: str) -> None:
        for listener in self._listeners.values():
            if listener.ring.rope == rope:
                listener.give_up()

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
