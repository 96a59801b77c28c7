"""Plain: events as bounded JSON: a trace keeps no value of a tool alive, and can be written to a file.

A call has half a dozen events. So what need not be done when they happen is done when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asyncfc.depgraph.resource import show_label
from asyncfc.futures.outcome import Cancelled, Outcome, Value, Withheld, kind_of
from asyncfc.futures.plain import safe_text
from asyncfc.futures.store import JsonValue
from asyncfc.trace.events import Event, Kind

MAX_CHARS = 2000
"""Of each text that a trace keeps."""
MAX_ITEMS = 100
"""Of each container of the arguments that a trace keeps, and of its depth a tenth of that."""

_ATOMS = frozenset((int, float, bool, type(None)))


def plain_now(kind: Kind, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of an event without large values of tools, and without objects that are theirs."""
    if kind == "started":
        return _part(data, "arguments")
    if kind in {"settled", "ended late"}:
        outcome = data["outcome"]
        is_small = type(outcome) is JsonValue and outcome.fits(MAX_CHARS)
        return data if is_small else {"outcome": said(outcome)}
    return _part(data, "item") if kind == "progress" else data


def plain(kind: Kind, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return data that `plain_now` has given as JSON; long texts are cut, and of the cut ones it says so."""
    change = _CHANGES.get(kind)
    return data if change is None else change(data)


def plain_event(event: Event) -> Event:
    """Return an event with JSON in its data, as a trace keeps it."""
    return event._replace(data=plain(event.kind, plain_now(event.kind, event.data)))


def brief(value: Any, depth: int = MAX_ITEMS // 10) -> Any:
    """Return a value as bounded JSON; what is left out is marked by `…`.

    It is the very same value if that is short and flat.
    """
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_CHARS else f"{value[:MAX_CHARS]}… ({len(value):,} characters)"
    if kind in _ATOMS or (kind is dict and _is_flat(value)):
        return value
    if isinstance(value, Mapping) and depth:
        shown = {str(key)[:MAX_CHARS]: brief(value[key], depth - 1) for key in [*value][:MAX_ITEMS]}
        return shown | ({"…": f"{len(value) - MAX_ITEMS:,} more"} if len(value) > MAX_ITEMS else {})
    if isinstance(value, list | tuple) and depth:
        more = [f"… {len(value) - MAX_ITEMS:,} more"] if len(value) > MAX_ITEMS else []
        return [brief(item, depth - 1) for item in value[:MAX_ITEMS]] + more
    return safe_text(value, MAX_CHARS)


def _is_flat(value: dict[Any, Any]) -> bool:
    if len(value) > MAX_ITEMS:
        return False
    for key, item in value.items():
        kind = type(item)
        if type(key) is not str or not (kind in _ATOMS or (kind is str and len(item) <= MAX_CHARS)):
            return False
    return True


def said(outcome: Outcome) -> dict[str, Any]:
    """Return what became of a call: `kind`, and its `text`; of a failure the `error`'s name, too."""
    if isinstance(outcome, Value):
        return {"kind": "value", "text": outcome.preview(MAX_CHARS)}
    kind = kind_of(outcome)
    if isinstance(outcome, Cancelled | Withheld):
        return {"kind": kind, "text": safe_text(outcome.reason, MAX_CHARS)}
    name = type(outcome.error).__name__
    return {"kind": kind, "text": safe_text(outcome.error, MAX_CHARS), "error": name}


def _sealed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    effects = [[order, why.kind, show_label(why.label)] for order, why in data["effects"].items()]
    return {**data, "arguments": brief(data["arguments"]), "data": list(data["data"]), "effects": effects}


def _settled(data: Mapping[str, Any]) -> Mapping[str, Any]:
    outcome = data["outcome"]
    return data if type(outcome) is dict else {"outcome": said(outcome)}


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The data with one part of it made brief; the very same if it is already."""
    shown = brief(data[name])
    return data if shown is data[name] else {**data, name: shown}


def _bound(data: Mapping[str, Any]) -> Mapping[str, Any]:
    labels = {name: [show_label(label) for label in data[name]] for name in ("reads", "writes")}
    return {**labels, "dropped": [list(pair) for pair in data["dropped"]]}


_CHANGES: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "sealed": _sealed,
    "bound": _bound,
    "queued": lambda data: {name: list(map(str, keys)) for name, keys in data.items()},
    "settled": _settled,
    "ended late": _settled,
    "answered": lambda data: _part(data, "text"),
    "delivered": lambda data: _part(data, "text"),
}
