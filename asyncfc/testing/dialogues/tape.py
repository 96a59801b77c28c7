"""Tape: what a model said and when, and the same again from the events of a run alone (P20)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from asyncfc.conversation.formats.base import Json
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.testing.dialogues.scene import EFFECTS
from asyncfc.tools import Tool
from asyncfc.trace.events import Event


class Speaks(Protocol):
    """A model in the process."""

    async def __call__(self, body: Json) -> Json:
        """Ask for a message."""

    def stream(self, body: Json) -> AsyncIterator[Json]:
        """Ask for a message, event by event."""


@dataclass(slots=True)
class Take:
    """One message: what came, each with the seconds since it was asked for, and how it ended."""

    came: list[tuple[float, Json]] = field(default_factory=list)
    ended_at: float = 0.0
    error: BaseException | None = None


class Tape:
    """Takes down what a model says. Model and tools are as they are."""

    def __init__(self) -> None:
        self.takes: list[Take] = []

    def model(self, inner: Speaks) -> Speaks:
        """The model, listened to."""
        return _Heard(inner, self.takes)

    def tools(self, tools: dict[str, Tool]) -> dict[str, Tool]:
        """The tools."""
        return tools


class Replay(Tape):
    """Gives again what was taken down: what the model said, and what events say of the tools.

    Args:
        takes: of the model.
        events: of the session.
    """

    def __init__(self, takes: Iterable[Take], events: Iterable[Event]) -> None:
        self.takes = list(takes)
        self._runs = iter(list(_runs(list(events))))

    def model(self, inner: Speaks) -> Speaks:
        """The model that says what was said; `inner` is not asked."""
        del inner
        return _Said(iter(self.takes))

    def tools(self, tools: dict[str, Tool]) -> dict[str, Tool]:
        """Tools of the same declarations that take the time and have the outcomes that they had."""
        return {name: Tool(self._puppet(tool), effects=EFFECTS[name]) for name, tool in tools.items()}

    def _puppet(self, tool: Tool) -> Callable[..., Any]:
        async def puppet(n: int, wait: int, key: str, value: Any = None) -> Any:
            del n, wait, key, value
            name, seconds, outcome = next(self._runs)
            assert name == tool.name, f"{tool.name} starts where {name} did"
            await asyncio.sleep(seconds)
            if isinstance(outcome, Failure):
                raise outcome.error
            assert isinstance(outcome, Value), f"{tool.name} was cancelled, and is not now"
            return outcome.get()

        puppet.__name__, puppet.__doc__ = tool.name, tool.description
        return puppet


class _Heard:
    def __init__(self, inner: Speaks, takes: list[Take]) -> None:
        self._inner = inner
        self._takes = takes

    async def __call__(self, body: Json) -> Json:
        async for reply in self._take(_once(self._inner(body))):
            return reply
        raise AssertionError("no reply and no error")

    def stream(self, body: Json) -> AsyncIterator[Json]:
        return self._take(self._inner.stream(body))

    async def _take(self, coming: AsyncIterator[Json]) -> AsyncIterator[Json]:
        clock = asyncio.get_running_loop().time
        start, take = clock(), Take()
        self._takes.append(take)
        try:
            async for part in coming:
                take.came.append((clock() - start, copy.deepcopy(part)))
                yield part
        except Exception as error:
            take.error = error
            raise
        finally:
            take.ended_at = clock() - start


class _Said:
    def __init__(self, takes: Iterator[Take]) -> None:
        self._takes = takes

    async def __call__(self, body: Json) -> Json:
        async for reply in self.stream(body):
            return reply
        raise AssertionError("no reply and no error")

    async def stream(self, body: Json) -> AsyncIterator[Json]:
        del body
        clock, take = asyncio.get_running_loop().time, next(self._takes)
        start = clock()
        for after, part in take.came:
            await asyncio.sleep(start + after - clock())
            yield copy.deepcopy(part)
        await asyncio.sleep(start + take.ended_at - clock())
        if take.error is not None:
            raise take.error


async def _once(reply: Any) -> AsyncIterator[Json]:
    yield await reply


def _runs(events: list[Event]) -> Iterator[tuple[str, float, Outcome | None]]:
    """Of each start, in order: the tool, how long it took, and what became of it; None: it was stopped."""
    tools = {event.call: event.data["tool"] for event in events if event.kind == "sealed"}
    settled = {event.call: event for event in events if event.kind == "settled"}
    for event in events:
        if event.kind == "started":
            end = settled.get(event.call)
            outcome = None if end is None else end.data["outcome"]
            stopped = not isinstance(outcome, Value | Failure) or end is None
            yield tools[event.call], 1e6 if stopped or end is None else end.t - event.t, outcome
