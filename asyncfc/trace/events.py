"""Events: what happened, in order, as frozen data. All kinds are listed here and nowhere else.

No event object is created when nobody listens.
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

_log = logging.getLogger("asyncfc")

Kind: TypeAlias = Literal[
    "sampling",  # a request to the model began: request, its number
    "sampled",  # it ended: request, ok
    "paused",  # of a request: the model writes nothing, because it waits for an outcome (in the engine); of a
    # call: its work waits for calls of its own, and has given its slots back
    "resumed",  # it goes on
    "extra",  # the model is asked once more only because outcomes were unseen
    "waiting",  # the model, the program, or the work of a call waits for outcomes: wait, its number; futures,
    # the orders of the first of them; count
    "waited",  # it waits no longer: wait
    "sealed",  # a call was registered: tool, call_id, level, arguments as written, parent; the calls whose
    # values it needs, those whose success it needs (gates), and those of both, and by effect, that it
    # waits for: data, effects
    "committed",  # its message is complete: tool, call_id, handle, message: its number, None inside a call
    "withdrawn",  # its message never completed
    "bound",  # its claim narrowed to its final labels: reads, writes
    "unordered",  # it turned out to touch something else than an older call that it was ordered after: older
    "queued",  # nothing orders it any more, but limits or rates do not let it start yet
    "started",  # its work began, or was handed to threads or processes: arguments
    "begun",  # a thread or a process has taken its work
    "progress",  # its tool, a generator, has yielded: item, its JSON form, or text if it has none
    "retry",  # its work has failed and is done once more after a pause: outcome; tries, how often it was done
    # so far; pause_s
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


Parts: TypeAlias = tuple[float, Kind, int, Mapping[str, Any]]
"""What an `Event` is made of: to make one costs more than to keep its parts."""
OF_TOOLS: frozenset[Kind] = frozenset({"sealed", "started", "progress", "retry", "settled", "ended late"})
"""Kinds of events whose data may hold objects of others: arguments, values."""


class Recorder(Protocol):
    """Keeps events."""

    kept: list[Parts]
    lighten: Callable[[Kind, Mapping[str, Any]], Mapping[str, Any]]
    """Gives what to keep of the data of an event of `OF_TOOLS`."""


def emitter(listeners: Iterable[Listener], recorder: Recorder | None = None) -> Callable[..., None]:
    """Return what tells of all that happens; a listener that raises is logged and dropped, the others go on.

    It is a function, and does by itself what a recorder could: half a dozen times per call, that is felt.

    Args:
        listeners: called with each event, in this order, in the loop's thread.
        recorder: gets them all.
    """
    hearing = list(listeners)
    if recorder is None:

        def emit(kind: Kind, order: int = NO_CALL, /, **data: Any) -> None:
            if hearing:
                _tell(hearing, Event(get_running_loop().time(), kind, order, data))

        return emit

    keep, lighten = recorder.kept.append, recorder.lighten
    clock: Callable[[], float] | None = None

    def record(kind: Kind, order: int = NO_CALL, /, **data: Any) -> None:
        nonlocal clock
        if clock is None:  # a session belongs to one loop
            clock = get_running_loop().time
        t = clock()
        if kind in OF_TOOLS:
            try:
                keep((t, kind, order, lighten(kind, data)))
            except Exception:  # a run must not end because it is recorded
                _log.exception("an event could not be recorded: %s of call %d", kind, order)
        else:
            keep((t, kind, order, data))
        if hearing:
            _tell(hearing, Event(t, kind, order, data))

    return record


def _tell(hearing: list[Listener], event: Event) -> None:
    for listener in tuple(hearing):
        try:
            listener(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            _log.exception("the event listener raised and was dropped: %r", listener)
            hearing.remove(listener)
