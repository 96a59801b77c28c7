"""The stateful API classes of the installed `bfcl-eval` package, as they are.

Two replays in one process must start alike, but some state of these modules belongs to no instance:
tables that instances share, mutable defaults of parameters, mpmath's global precision. It is kept here
as it was on import, and put back before each replay.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

_SOURCES = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
_MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "TwitterAPI": "posting_api",
    "VehicleControlAPI": "vehicle_control",
}
CLASSES = tuple(_MODULES)
_MPMATH_DIGITS = 15


@cache
def api_class(name: str) -> type[Any]:
    """The API class of this name.

    Raises:
        KeyError: BFCL's multi-turn cases use no such class.
        ModuleNotFoundError: `bfcl-eval` is not installed.
    """
    loaded = getattr(importlib.import_module(f"{_SOURCES}.{_MODULES[name]}"), name)
    assert isinstance(loaded, type)
    return loaded


@cache
def methods(class_name: str) -> tuple[str, ...]:
    """The public methods of a class: its tools."""
    members = inspect.getmembers(api_class(class_name), inspect.isfunction)
    return tuple(name for name, _ in members if not name.startswith("_"))


@cache
def owners() -> Mapping[str, str]:
    """The class of each tool; no tool name occurs in two classes."""
    return {method: name for name in CLASSES for method in methods(name)}


def instantiate(classes: Iterable[str], config: Mapping[str, Any], *, long_context: bool) -> dict[str, Any]:
    """Make one fresh instance per class, in the state that the case prescribes."""
    instances = {}
    for name in classes:
        instance = instances[name] = api_class(name)()
        if hasattr(instance, "_load_scenario"):  # MathAPI has no state of its own
            instance._load_scenario(deepcopy(config.get(name, {})), long_context=long_context)
    return instances


@cache
def _shared() -> tuple[tuple[str, Any, Any], ...]:
    """Mutable objects that belong to no instance: name, the object, and a copy of it as imported."""
    extensions = vars(importlib.import_module(f"{_SOURCES}.long_context"))
    found = [
        (f"long_context.{name}", value) for name, value in extensions.items() if not name.startswith("_")
    ]
    for tool, owner in owners().items():
        for index, value in enumerate(getattr(api_class(owner), tool).__defaults__ or ()):
            found.append((f"{owner}.{tool} default {index}", value))
    return tuple((name, value, deepcopy(value)) for name, value in found if isinstance(value, dict | list))


def reset_shared_state() -> None:
    """Put the state that belongs to no instance back to what it was on import."""
    importlib.import_module("mpmath").mp.dps = _MPMATH_DIGITS
    for _, value, pristine in _shared():
        if value == pristine:
            continue
        value.clear()
        if isinstance(value, dict):
            value.update(deepcopy(pristine))
        else:
            value.extend(deepcopy(pristine))


def shared_state() -> dict[str, Any]:
    """What of that state is not as it was on import; empty if all is."""
    changed = {name: value for name, value, pristine in _shared() if value != pristine}
    digits = importlib.import_module("mpmath").mp.dps
    return changed if digits == _MPMATH_DIGITS else {**changed, "mpmath.mp.dps": digits}
