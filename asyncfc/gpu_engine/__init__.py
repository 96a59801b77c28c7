"""gpu_engine: a decode engine that injects handles, substitutes values and traps (torch, transformers)."""

from __future__ import annotations

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
