"""Events: what happened, in order, as frozen data. All kinds are listed here and nowhere else.

No event object is created when nobody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "sealed",  # a call was registered: tool, and the older calls that it waits for: data, effects
    "committed",  # its message is complete; it has a handle
    "withdrawn",  # its message never completed
    "bound",  # its claim narrowed to its final labels
    "queued",  # nothing orders it any more, but limits or rates do not let it start yet
    "started",  # its work began
    "progress",  # its tool, a generator, has yielded: item, its JSON form, or text if it has none
    "settled",  # its outcome is known
    "ended late",  # its work ended after it had settled; the outcome that nobody gets
    "released",  # its claims are given up
    "held",  # its message's answers were held, or not (grace="auto"): decision, budget, expected, held_s
    "answered",  # the caller has an answer: a value or a handle
    "delivered",  # its outcome was put into a request to the model
    "seen",  # that request succeeded
    "cancel",  # somebody asked to cancel it: accepted or not
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one call. `t` is the running loop's clock, in seconds."""

    t: float
    kind: Kind
    call: int
    """The call's place in the order of registration (`Future.order`)."""
    data: Mapping[str, Any]


Listener: TypeAlias = Callable[[Event], object]
