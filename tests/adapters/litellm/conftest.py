"""LiteLLM in tests: no look at the network, none of its advertisement, and its own warnings are its own."""

from __future__ import annotations

import os
import warnings

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before it is imported: it fetches a table otherwise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its types, which pydantic builds when they are used first
    import litellm

    litellm.suppress_debug_info = True
    for stream in (False, True):
        reply = litellm.completion("openai/m", [], mock_response="x", tools=[], stream=stream)
        assert list(reply)
