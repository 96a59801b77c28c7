"""OpenAI Agents SDK: a runner in place of the SDK's.

from asyncfc.adapters.openai_agents import AsyncFCRunner

Runner = AsyncFCRunner()
result = await Runner.run(agent, "...")  # also run_sync and run_streamed, with all their arguments

Agents stay as they are: the runner gives the SDK's own runner copies of them, whose tools are answered
with futures. What the SDK does with a tool (arguments, context, timeouts, error texts) happens as before,
only later.
"""

from __future__ import annotations

try:
    import agents  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.openai_agents needs the OpenAI Agents SDK: pip install 'asyncfc[openai-agents]'"
    ) from error

from asyncfc.adapters.openai_agents.runner import AsyncFCRunner

__all__ = ["AsyncFCRunner"]
