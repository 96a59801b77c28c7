"""A turn of a user: how many calls it takes, what the model says in it, and the tool that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from asyncfc.testing.models import Emit, Model, Script, View, model_of
from asyncfc.testing.models.behaviours import AWAIT

Json: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["independent", "dependent"]
"""Whether each call needs the result of the one before it."""
Ending: TypeAlias = Literal["stop", "await"]
"""What a model does that has made all its calls and lacks results: end its message, or await them."""

BFCL_MIX: Mapping[int, int] = {1: 474, 2: 156, 3: 67, 4: 20, 5: 11, 6: 1, 7: 2}
"""How many turns of BFCL's multi-turn base set have so many calls; those that have none are left out."""
DECODE = 1.0
"""Seconds of a message of the model, whatever it says."""
TOOL = "step"

_OPENING = "Let me see."
_WAITING = "I am waiting for the results."


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as its model takes it."""

    calls: int
    kind: Kind
    together: bool = False
    """All calls in one message; if they are dependent, each names the one before it as `$this_k`."""
    ending: Ending = "stop"

    def model(self) -> Model:
        """A model that takes the turn so, in Chat Completions."""
        return model_of(self.script(), "chat", decode=DECODE)

    def script(self) -> Script:
        """What the model says, given what it has been told."""

        def speak(view: View) -> Emit:
            made = len(view.calls(TOOL))
            opening = "" if made else _OPENING
            if made < self.calls:
                last = self.calls if self.together else made + 1
                numbers = range(made + 1, last + 1)
                return Emit(opening, calls=[(TOOL, self._arguments(n, view)) for n in numbers])
            if self._knows_all(view):
                return Emit(self.answer)
            return Emit(calls=[(AWAIT, {})]) if self.ending == "await" else Emit(_WAITING)

        return speak

    @property
    def answer(self) -> str:
        """What the model says once it knows all results."""
        return f"The results are {', '.join(map(result, range(1, self.calls + 1)))}."

    def _arguments(self, number: int, view: View) -> Json:
        if self.kind == "independent" or number == 1:
            return {"number": number}
        before = f"$this_{number - 1}" if self.together else view.passed_on(TOOL, -1)
        return {"number": number, "before": before}

    def _knows_all(self, view: View) -> bool:
        told = "\n".join([answer.text for answer in view.answers()] + [m.text for m in view.messages])
        return all(result(number) in told for number in range(1, self.calls + 1))


def result(number: int) -> str:
    """What the call of this number returns."""
    return f"<result {number}>"


def make_step(seconds: float, kind: Kind) -> Callable[..., Coroutine[Any, Any, str]]:
    """The tool: it takes so long, and returns the result of its number.

    Raises (the tool):
        ValueError: a dependent call did not get what the one before it returned.
    """

    async def step(number: int, before: str = "") -> str:
        """Do a step."""
        needed = result(number - 1) if kind == "dependent" and number > 1 else ""
        if before != needed:
            raise ValueError(f"step {number} got {before!r}; expected {needed!r}")
        await asyncio.sleep(seconds)
        return result(number)

    return step
