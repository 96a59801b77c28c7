"""Plain: events as bounded JSON: a trace keeps no value of a tool alive, and can be written to a file.

A call has half a dozen events. So what need not be done when they happen is done when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any

from asyncfc.depgraph.resource import show_label
from asyncfc.futures.outcome import Cancelled, Outcome, Value, Withheld, kind_of
from asyncfc.futures.plain import safe_text
from asyncfc.futures.store import JsonValue
from asyncfc.trace.events import Event, Kind

MAX_CHARS = 2_000
"""Of each text that a trace keeps."""
MAX_TOTAL = 20_000
"""Characters, about, of the arguments of one call that a trace keeps."""
MAX_NAME = 200
"""Characters of a label, and of the names and ids that a model writes."""
MAX_ITEMS = 100
"""Of each container of the arguments that a trace keeps."""
MAX_DEPTH = 10
_HUGE = 10**100


def plain_now(kind: Kind, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of an event without large values of tools, and without objects that are theirs."""
    if kind in {"sealed", "started"}:
        arguments = data["arguments"]
        is_small = type(arguments) is dict and _is_flat(arguments)
        return data if is_small else {**data, "arguments": brief(arguments)}
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


def brief(value: Any) -> Any:
    """Return a value as bounded JSON; what is left out is marked by `…`. Never raises.

    It is the very same value if that is short and flat.
    """
    if type(value) is dict and _is_flat(value):
        return value
    return _Brief().of(value, MAX_DEPTH)


class _Brief:
    """One walk over a value, which ends when it has given so many characters."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 8  # whatever it is, it takes some room
        if _is_short(value):
            self._left -= len(value) if type(value) is str else 0
            return value
        if depth and self._left > 0:
            try:
                if isinstance(value, Mapping):
                    return self._mapping(value, depth - 1)
                if isinstance(value, list | tuple):
                    return self._items(value, depth - 1)
            except Exception:  # it is not ours
                return _text(value, MAX_CHARS)
        return _text(value, max(0, min(MAX_CHARS, self._left)))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown = {_text(key, MAX_NAME): self.of(value[key], depth) for key in self._some(value)}
        return shown if len(shown) == len(value) else {**shown, "…": f"{len(value) - len(shown):,} more"}

    def _items(self, value: Sequence[Any], depth: int) -> list[Any]:
        shown = [self.of(item, depth) for item in self._some(value)]
        return shown if len(shown) == len(value) else [*shown, f"… {len(value) - len(shown):,} more"]

    def _some(self, value: Iterable[Any]) -> Iterator[Any]:
        for item in islice(value, MAX_ITEMS):
            if self._left <= 0:
                return
            yield item


def _is_flat(value: dict[Any, Any]) -> bool:
    if len(value) > MAX_ITEMS // 10:
        return False
    for key, item in value.items():
        if type(key) is not str or len(key) > MAX_NAME:
            return False
        if type(item) is str:  # as nearly all are
            if len(item) > MAX_CHARS:
                return False
        elif not _is_short(item):
            return False
    return True


def _is_short(value: Any) -> bool:
    """Whether it is JSON, as it stands, and short."""
    match value:
        case None | True | False:
            return True
        case str():
            return type(value) is str and len(value) <= MAX_CHARS
        case int():
            return type(value) is int and -_HUGE < value < _HUGE
        case float():
            return type(value) is float and -inf < value < inf
    return False


def _text(value: Any, max_chars: int) -> str:
    """The start of its text, and how long it is, if it is longer."""
    if type(value) is str and len(value) > max_chars:
        return f"{value[:max_chars]}… ({len(value):,} characters)"
    if type(value) is int and not -_HUGE < value < _HUGE:
        return f"… ({value.bit_length():,} bits)"
    return safe_text(value, max(1, max_chars))


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
    return {
        **data,
        "tool": _name(data["tool"]),
        "call_id": _name(data["call_id"]),
        "data": list(data["data"]),
        "effects": [
            [order, why.kind, _name(show_label(why.label))] for order, why in data["effects"].items()
        ],
    }


def _bound(data: Mapping[str, Any]) -> Mapping[str, Any]:
    labels = {
        name: [_name(show_label(label)) for label in data[name][:MAX_ITEMS]] for name in ("reads", "writes")
    }
    return {**data, **labels}


def _committed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**data, "tool": _name(data["tool"]), "call_id": _name(data["call_id"])}


def _name(text: str) -> str:
    return text if len(text) <= MAX_NAME else _text(text, MAX_NAME)


def _settled(data: Mapping[str, Any]) -> Mapping[str, Any]:
    outcome = data["outcome"]
    return data if type(outcome) is dict else {"outcome": said(outcome)}


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The data with one part of it made brief; the very same if it is already."""
    shown = brief(data[name])
    return data if shown is data[name] else {**data, name: shown}


_CHANGES: Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "sealed": _sealed,
    "bound": _bound,
    "committed": _committed,
    "queued": lambda data: {name: [_name(str(key)) for key in keys] for name, keys in data.items()},
    "retry": lambda data: {**data, "outcome": _settled(data)["outcome"]},
    "settled": _settled,
    "ended late": _settled,
    "answered": lambda data: _part(data, "text"),
    "delivered": lambda data: _part(data, "text"),
}
