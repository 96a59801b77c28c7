"""Google Gemini: `google-genai`, synchronous or not, streamed or not, with or without its own loop.

from asyncfc.adapters.google_genai import wrap

client, tools = wrap(genai.Client(), tools)          # or wrap(genai.Client().aio, tools)

That is all that changes. A hand-written loop goes on calling `tools[name](**arguments)`; where the SDK makes
the calls itself (automatic function calling), `config={"tools": tools}` has the wrapped functions in it.
"""

from __future__ import annotations

try:
    import google.genai  # noqa: F401  # one line if it is not there
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.google_genai needs Google's SDK: pip install 'asyncfc[google-genai]'"
    ) from error

from asyncfc.adapters.google_genai.clients import wrap

__all__ = ["wrap"]
