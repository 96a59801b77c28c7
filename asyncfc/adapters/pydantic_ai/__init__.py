"""pydantic-ai: a capability.

from asyncfc.adapters.pydantic_ai import AsyncFC

agent = Agent(model, tools=[...], capabilities=[AsyncFC()])

All ways to run the agent work as before. The tools run through the whole of pydantic-ai's own way
(validation, hooks of other capabilities, retries, usage), only later, in their place in the order, with final
arguments.
"""

from __future__ import annotations

try:
    import pydantic_ai  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.pydantic_ai needs pydantic-ai: pip install 'asyncfc[pydantic-ai]'"
    ) from error

from asyncfc.adapters.pydantic_ai.capability import AsyncFC

__all__ = ["AsyncFC"]
