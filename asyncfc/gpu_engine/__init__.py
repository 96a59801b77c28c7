"""gpu_engine: a decode engine that injects handles, substitutes values and traps (torch, transformers).

Open `engine.py` for its face, `core.py` for what it does step by step. The names below load their modules,
and with them torch, when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncfc.gpu_engine.engine import Engine
    from asyncfc.gpu_engine.events import (
        Called,
        Done,
        Event,
        Injected,
        Resumed,
        Substituted,
        Text,
        Thought,
        Trapped,
    )
    from asyncfc.gpu_engine.keeping import Keeping
    from asyncfc.gpu_engine.sequence import GREEDY, Sampling

__all__ = [
    "GREEDY",
    "Called",
    "Done",
    "Engine",
    "Event",
    "Injected",
    "Keeping",
    "Resumed",
    "Sampling",
    "Substituted",
    "Text",
    "Thought",
    "Trapped",
]

_MODULE_OF = {"Engine": "engine", "Keeping": "keeping", "GREEDY": "sequence", "Sampling": "sequence"}
"""All others are events."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, 'events')}")
    value = globals()[name] = getattr(module, name)
    return value
