"""The ways in which a task is run, and which model runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.tiny import Which
from examples.tiny_llm.language import Mode

SYNCHRONOUS = 1e9
"""Seconds of grace: every answer is a value."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to run a task."""

    name: str
    model: Which
    mode: Mode = "sync"
    grace: float = 0
    """Seconds for which answers are held; with no end, the run is synchronous."""
    chat: dict[str, Any] = field(default_factory=dict)
    """Settings of the conversation."""
    baseline: str = "sync"
    """The condition that it is compared with, task by task."""
    objects: bool | None = None


CONDITIONS = (
    Condition("sync", "first", grace=SYNCHRONOUS),
    Condition("append", "first"),
    Condition("in_place", "first", chat={"in_place": True, "final": "substitute"}),
    Condition("substitute", "first", chat={"final": "substitute"}),
    Condition("sync_second", "second", grace=SYNCHRONOUS, baseline="sync_second"),
    Condition("pipelining", "second", mode="pipeline", chat={"final": "substitute"}, baseline="sync_second"),
    Condition("cml", "second", mode="cml", chat={"protocol": "cml"}, baseline="sync_second"),
)
