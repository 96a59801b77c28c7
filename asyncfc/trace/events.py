"""Events: what happened, in order, as frozen data. All kinds are listed here and nowhere else.

No event object is created when nobody listens.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

_log = logging.getLogger("asyncfc")

Kind: TypeAlias = Literal[
    "sampling",  # a request to the model began
    "sampled",  # it ended: ok
    "paused",  # meanwhile the model writes nothing, because it waits for an outcome (in the engine)
    "resumed",  # it goes on
    "extra",  # the model is asked once more only because outcomes were unseen
    "waiting",  # the model, or the program, waits for outcomes: futures, as orders
    "waited",  # it waits no longer
    "sealed",  # a call was registered: tool, level, arguments as written, parent; the calls whose values it
    # needs, those whose success it needs (gates), and those of both, and by effect, that it waits for:
    # data, effects
    "committed",  # its message is complete: tool, call_id, handle, message: its number, None inside a call
    "withdrawn",  # its message never completed
    "bound",  # its claim narrowed to its final labels: reads, writes; dropped: pairs of an older and a newer
    # call that are not in an order any more
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


class Event(NamedTuple):
    """One thing that happened, to one call or to the conversation."""

    t: float
    """By the running loop's clock, in seconds."""
    kind: Kind
    call: int
    """The call's place in the order of registration (`Future.order`); NO_CALL if it is of no single call."""
    data: Mapping[str, Any]


NO_CALL = -1
Listener: TypeAlias = Callable[[Event], object]


class Emitter:
    """Makes events and hands them to listeners; one that raises is logged and dropped, the others go on.

    Args:
        listeners: called in this order, in the loop's thread.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def __call__(self, kind: Kind, order: int = NO_CALL, **data: Any) -> None:
        """Something happened, now."""
        if not self._listeners:
            return
        event = Event(asyncio.get_running_loop().time(), kind, order, data)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _log.exception("the event listener raised and was dropped: %r", listener)
                self._listeners = tuple(one for one in self._listeners if one is not listener)
