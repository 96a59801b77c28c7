"""The ways to run a turn that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.protocol.turns import Ending, Kind, Turn

_APART = {"writes": ["steps.{number}"]}
"""Each call touches something of its own: it starts when its message is complete, as in a plain loop."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to run a turn."""

    name: str
    against: tuple[str, ...]
    """The strategies without asyncfc that it is compared with; empty for these."""
    kinds: tuple[Kind, ...] = ("independent", "dependent")
    together: bool = False
    """The model makes all calls in one message."""
    grace: float | Literal["auto"] = "auto"
    effects: Mapping[str, Any] | str | None = None
    """What the tool declares; None: nothing."""
    warm: bool = True
    """What a step takes is known from earlier turns; else each turn is the first ever."""

    @property
    def endings(self) -> tuple[Ending, ...]:
        """Ways to end the calls that differ: a plain loop leaves a model nothing to wait for."""
        return ("stop", "await") if self.against else ("stop",)

    def turn(self, calls: int, kind: Kind, ending: Ending) -> Turn:
        """A turn as the model takes it under this strategy."""
        return Turn(calls, kind, self.together, ending)


_INDEPENDENT: tuple[Kind, ...] = ("independent",)

STRATEGIES = (
    Strategy("sync", ()),
    Strategy("parallel", (), _INDEPENDENT, together=True),
    Strategy("grace_0", ("sync",), grace=0, effects=_APART),
    Strategy("auto", ("sync",), effects=_APART),
    Strategy("auto_cold", ("sync",), effects=_APART, warm=False),
    Strategy("auto_together", ("parallel",), _INDEPENDENT, together=True),
    Strategy("pipelined", ("sync", "parallel"), together=True, effects="pure"),
)
"""`auto_together`: nothing is declared, and calls of one message run concurrently as in the framework that it
is compared with. `pipelined`: dependent calls in one message, and reads that start as they seal."""
