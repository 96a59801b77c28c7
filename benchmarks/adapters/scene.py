"""Scene: what is played in every framework, with asyncfc and without."""

from __future__ import annotations

import asyncio
import copy
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from asyncfc.testing.models import Emit
from asyncfc.testing.models.api import Utterance
from asyncfc.testing.models.model import APIS, FormatName
from asyncfc.testing.models.script import Json, MadeCall

TOOL = "step"
QUESTION = "Do it."
ANSWER = "Done."

Play: TypeAlias = Callable[["Scene", bool], Coroutine[Any, Any, float]]
"""Plays a scene in a framework, with asyncfc or without, and gives the seconds from the question to the
answer. What is made before (clients, agents, schemas) does not count."""


def step(number: int) -> str:
    """Do a step."""
    return f"step {number} is done"


@dataclass(frozen=True, slots=True)
class Scene:
    """Messages of the model with calls, and then its answer.

    Args:
        messages: of the model, before the answer.
        calls: in each of them.
        tool_s: what a tool takes, in seconds.
        model_s: what a message of the model takes.
        settings: of asyncfc.
    """

    messages: int
    calls: int
    tool_s: float
    model_s: float
    settings: dict[str, Any]

    @property
    def functions(self) -> dict[str, Callable[..., Awaitable[str]]]:
        """The tool, asynchronous."""

        @functools.wraps(step)
        async def asynchronous(number: int) -> str:
            if self.tool_s:
                await asyncio.sleep(self.tool_s)
            return step(number)

        return {TOOL: asynchronous}

    @property
    def blocking(self) -> dict[str, Callable[..., str]]:
        """The tool, synchronous, for frameworks that have no others."""

        @functools.wraps(step)
        def synchronous(number: int) -> str:
            if self.tool_s:
                time.sleep(self.tool_s)
            return step(number)

        return {TOOL: synchronous}

    @property
    def asyncfc(self) -> dict[str, Any]:
        """The settings of the adapter."""
        return {"effects": {TOOL: "pure"}, **self.settings}

    def model(self, format: FormatName = "chat") -> Canned:
        """The model."""
        numbers = iter(range(self.messages * self.calls))
        said = [Emit(calls=[(TOOL, {"number": next(numbers)})] * self.calls) for _ in range(self.messages)]
        return Canned([*said, Emit(ANSWER)], self.model_s, format)


class Canned:
    """A model that says one thing after the other, whatever it is told; the last again and again.

    `await model(body)` gives a reply in the format of a provider.
    """

    def __init__(self, said: Sequence[Emit], seconds: float, format: FormatName) -> None:
        api, self._seconds, self.asked = APIS[format](), seconds, 0
        body: Json = {"model": "m", "messages": [], "input": [], "max_tokens": 1}
        self._replies = [
            api.reply(body, _uttered(number, emit, api.call_prefix)) for number, emit in enumerate(said, 1)
        ]

    def next(self) -> Json:
        """What it says now."""
        self.asked += 1
        return copy.deepcopy(self._replies[min(self.asked, len(self._replies)) - 1])

    async def __call__(self, body: Json) -> Json:  # noqa: ARG002 - whatever it is told
        """Ask for a message."""
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return self.next()

    def wait(self, body: Json) -> Json:  # noqa: ARG002 - see above
        """The same for synchronous programs."""
        if self._seconds:
            time.sleep(self._seconds)
        return self.next()


def _uttered(number: int, emit: Emit, prefix: str) -> Utterance:
    calls = [MadeCall(f"{prefix}{number}_{n}", ask.name, ask.text) for n, ask in enumerate(emit.asks())]
    return Utterance(number, emit.text, tuple(calls), None, None, 0)
