"""A scene that counts, and what both sides of a case must do alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from asyncfc.testing.models.model import FormatName
from benchmarks.adapters.scene import TOOL, Canned, Play, Scene


class Counted(Scene):
    """It counts its tool's runs and the messages of its model."""

    __slots__ = ()

    runs: list[int] = []  # noqa: RUF012 - cleared by each test
    models: list[Canned] = []  # noqa: RUF012 - see above

    @property
    def functions(self) -> dict[str, Callable[..., Awaitable[str]]]:
        async def step(number: int) -> str:
            """Do a step."""
            return self._ran(number)

        return {TOOL: step}

    @property
    def blocking(self) -> dict[str, Callable[..., str]]:
        def step(number: int) -> str:
            """Do a step."""
            return self._ran(number)

        return {TOOL: step}

    def _ran(self, number: int) -> str:
        self.runs.append(number)
        return "done"

    def model(self, format: FormatName = "chat") -> Canned:
        made = super().model(format)
        self.models.append(made)
        return made


def assert_alike(play: Play, with_asyncfc: bool, pool: str | None = None) -> None:
    """Both sides make the same calls, ask the model equally often, and leave no thread.

    Args:
        play: of the case.
        with_asyncfc: the side.
        pool: what the names of threads begin with that the framework keeps.
    """
    Counted.runs.clear()
    Counted.models.clear()
    before = set(threading.enumerate())
    assert asyncio.run(play(Counted(2, 3, 0.0, 0.0, {"grace": 10.0}), with_asyncfc)) > 0
    assert sorted(Counted.runs) == [0, 0, 0, 1, 1, 1]
    assert [model.asked for model in Counted.models] == [3]
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if pool is None or not name.startswith(pool)] == []
