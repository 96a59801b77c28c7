"""The table of adapters. Each names its `Play`, which is loaded only when it is measured."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

from benchmarks.adapters.scene import Play

CASES: Mapping[str, str] = {
    "run": "benchmarks.adapters.loop:play",
    "openai": "benchmarks.adapters.clients:openai",
    "anthropic": "benchmarks.adapters.clients:anthropic",
    "google-genai": "benchmarks.adapters.google_genai:play",
    "openai-agents": "benchmarks.adapters.openai_agents:play",
    "pydantic-ai": "benchmarks.adapters.pydantic_ai:play",
    "langchain": "benchmarks.adapters.langchain:play",
    "llama-index": "benchmarks.adapters.llama_index:play",
    "smolagents": "benchmarks.adapters.smolagents:play",
    "litellm": "benchmarks.adapters.litellm:play",
}
"""By name: `module:function`. An adapter adds its line here, and a module of its own beside this one."""

LITELLM = "litellm"
"""Has an environment of its own (`make litellm`), which has none of the other frameworks."""


def load(name: str) -> Play:
    """The play of an adapter; imports its framework."""
    module, _, function = CASES[name].partition(":")
    play: Play = getattr(import_module(module), function)
    return play


def elsewhere(name: str) -> str | None:
    """The command that measures an adapter in the other environment; None: it can be measured in this one."""
    here, there = find_spec(LITELLM) is not None, name == LITELLM
    if here == there:
        return None
    folder = ".venv-litellm" if there else ".venv"
    return f"{folder}/bin/python -m benchmarks.adapters --only {name} --json"
