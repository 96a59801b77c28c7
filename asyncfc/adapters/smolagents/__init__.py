"""smolagents: `ToolCallingAgent`.

from asyncfc.adapters.smolagents import attach

agent = attach(ToolCallingAgent(tools=tools, model=model))

A run is one conversation; with `final="open"` it goes on in the next run that does not reset the agent.
"""

from __future__ import annotations

try:
    import smolagents.agents  # type: ignore[import-untyped]  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.smolagents needs smolagents: pip install 'asyncfc[smolagents]'"
    ) from error

from asyncfc.adapters.smolagents.agents import attach, close

__all__ = ["attach", "close"]
