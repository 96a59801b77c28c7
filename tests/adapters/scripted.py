"""A scripted model that says one step after the other, whatever it is told; and a story in a clean loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from asyncfc.testing.models import Emit, Model, View, model_of
from asyncfc.testing.models.model import FormatName
from asyncfc.testing.models.script import Script


class _Count:
    """How often the models of all stories have been asked, and who waits for that."""

    times = 0
    waiting: ClassVar[list[tuple[int, asyncio.Event]]] = []


def count() -> None:
    """A model is asked."""
    _Count.times += 1
    for until, event in _Count.waiting:
        if until <= _Count.times:
            event.set()


async def asked_again(times: int = 1) -> None:
    """Wait until the models of the story are asked once more, or so often."""
    event = asyncio.Event()
    waiter = (_Count.times + times, event)
    _Count.waiting.append(waiter)
    try:
        if times:
            await event.wait()
    finally:
        _Count.waiting.remove(waiter)


@dataclass
class Scripted:
    """Its steps are said in order; `views` are the requests that it has read."""

    steps: Sequence[Emit | Script]
    views: list[View] = field(default_factory=list)

    def model(self, format: FormatName = "chat") -> Model:
        """The model, in this process."""
        return model_of(self._say, format)

    def _say(self, view: View) -> Emit:
        count()
        self.views.append(view)
        if len(self.views) > len(self.steps):
            raise LookupError(
                f"the model is asked once more than {len(self.steps)} times: {view.last_texts()}"
            )
        step = self.steps[len(self.views) - 1]
        return step if isinstance(step, Emit) else step(view)


async def fast(story: Callable[[], Awaitable[None]]) -> None:
    """Play a story; it leaves no task behind."""
    before = asyncio.all_tasks()
    await story()
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    assert not left, left
