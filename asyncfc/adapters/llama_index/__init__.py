"""LlamaIndex: `FunctionAgent`, alone or in an `AgentWorkflow`.

from asyncfc.adapters.llama_index import attach

agent = attach(FunctionAgent(tools=tools, llm=llm))

A memory is one conversation, over all runs that it is passed to; so is a context of the workflow.
"""

from __future__ import annotations

try:
    import llama_index.core.agent.workflow  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.llama_index needs LlamaIndex: pip install 'asyncfc[llama-index]'"
    ) from error

from asyncfc.adapters.llama_index.agents import attach, close

__all__ = ["attach", "close"]
