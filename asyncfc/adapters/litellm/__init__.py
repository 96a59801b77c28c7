"""LiteLLM: `completion` and `acompletion`, streamed or not, of any provider; of a `Router` too.

from asyncfc.adapters.litellm import wrap

completion, tools = wrap(litellm.completion, tools)      # or wrap(litellm.acompletion, tools)

That is all that changes in a hand-written loop: it goes on calling `tools[name](**arguments)`. LiteLLM's own
loop asks by itself; `completion.run_tool_loop(...)` is the same over the wrapped function.
"""

from __future__ import annotations

try:
    import litellm  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError("asyncfc.adapters.litellm needs LiteLLM: pip install 'asyncfc[litellm]'") from error

from asyncfc.adapters.litellm.completions import wrap

__all__ = ["wrap"]
