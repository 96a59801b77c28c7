"""Bell: where calls on workers tell the program that they have begun, and what they yield.

Ray has no word of its own for the moment in which a task begins. Its streaming results would do, but a
stream that was asked to stop ends for the program while its work goes on, and so would lose the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from asyncfc.adapters.ray.job import Ring


PATIENCE_S = 5.0
"""For what a call has told while its end is known already: it may be lost with its worker."""


class Bell:
    """The actor. One for all calls of an executor, on the machine of the program."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}

    async def ring(self, call: int, place: int, what: Any) -> None:
        """A call tells something, as the n-th thing: Ray may bring a later one earlier."""
        line = self._line(call)
        line.early[place] = what
        while len(line.told) in line.early:
            line.told.append(line.early.pop(len(line.told)))
            line.news.set()

    async def heard(self, call: int, after: int) -> list[Any]:
        """What a call has told after so many things; waits until there is something.

        Empty: there will be nothing more.
        """
        line = self._line(call)
        while len(line.told) <= after and not line.closed:
            line.news.clear()
            await line.news.wait()
        if line.closed:
            self._lines.pop(call, None)
        return line.told[after:]

    async def close(self, call: int) -> None:
        """A call will tell nothing more; whoever waits for that, or is about to, is told so."""
        line = self._line(call)
        line.closed = True
        line.news.set()

    async def forget(self, call: int) -> None:
        """A call has told everything, and that was heard."""
        self._lines.pop(call, None)

    def _line(self, call: int) -> _Line:
        return self._lines.setdefault(call, _Line())


class _Line:
    """What one call has told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.early: dict[int, Any] = {}  # what came before something that was told before it
        self.news = asyncio.Event()
        self.closed = False


def start_bell() -> Any:
    """Start the actor; return its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Bell)
    return actor.options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here).remote()


class Listener:
    """Hears one call, in order: first that it has begun, then each item."""

    def __init__(self, ring: Ring, begun: Callable[[], object], item: Callable[[Any], object]) -> None:
        self._ring = ring
        self._begun = begun
        self._item = item
        self._count = 0
        self._rings: int | None = None
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self, rings: int) -> None:
        """The call has ended, and has rung so often: hear what is still under way."""
        bell, call = self._ring
        self._rings = rings
        if self._count >= rings:
            bell.close.remote(call)
        else:
            await asyncio.wait([self._task], timeout=PATIENCE_S)
            bell.forget.remote(call)
        self._task.cancel()

    async def _listen(self) -> None:
        bell, call = self._ring
        with suppress(RayError):  # the bell is gone; the end of the call will be known all the same
            while self._rings is None or self._count < self._rings:
                news = await bell.heard.remote(call, self._count)
                if not news:
                    return
                for what in news:
                    self._begun() if self._count == 0 else self._item(what)
                    self._count += 1
