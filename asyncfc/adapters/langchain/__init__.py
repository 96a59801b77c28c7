"""LangChain and LangGraph: agents of `create_agent`, graphs of one's own, and loops of one's own.

from asyncfc.adapters.langchain import AsyncFCMiddleware

agent = create_agent(model, tools, middleware=[AsyncFCMiddleware()])

That is all that changes in an agent. Where the loop is one's own, `wrap_tools` gives the tools to use
instead, `ask` and `aask` to ask the model, and `wrap_tool_call` and `awrap_tool_call` for a `ToolNode`.
"""

from __future__ import annotations

try:
    import langchain
    import langgraph
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.langchain needs LangChain and LangGraph: pip install 'asyncfc[langchain]'"
    ) from error

from asyncfc.adapters.langchain.middleware import AsyncFCMiddleware
from asyncfc.adapters.langchain.wrapped import WrappedTools, wrap_tools

__all__ = ["AsyncFCMiddleware", "WrappedTools", "wrap_tools"]

del langchain, langgraph
