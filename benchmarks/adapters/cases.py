"""The table of adapters. Each names its `Play`, which is loaded only when it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from benchmarks.adapters.scene import Play

CASES: Mapping[str, str] = {
    "run": "benchmarks.adapters.loop:play",
    "openai": "benchmarks.adapters.clients:openai",
    "anthropic": "benchmarks.adapters.clients:anthropic",
    "openai-agents": "benchmarks.adapters.openai_agents:play",
    "pydantic-ai": "benchmarks.adapters.pydantic_ai:play",
}
"""By name: `module:function`. An adapter adds its line here, and a module of its own beside this one."""


def load(name: str) -> Play:
    """The play of an adapter; imports its framework."""
    module, _, function = CASES[name].partition(":")
    play: Play = getattr(import_module(module), function)
    return play
