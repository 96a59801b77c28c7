"""LiteLLM, wrapped and not, in a loop as users write it. It has an environment of its own."""

from __future__ import annotations

import json
import os
from contextlib import aclosing
from functools import partial
from typing import Any

import httpx

from benchmarks.adapters.clients import chat, timed
from benchmarks.adapters.scene import Canned, Scene


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: `acompletion`."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before it is imported: it fetches a table otherwise
    import litellm

    from asyncfc.adapters.litellm import wrap

    client = _client(scene.model("chat"))
    if not with_asyncfc:
        async with client:
            return await timed(chat, _asking(litellm.acompletion, client), scene.functions)
    wrapped = wrap(litellm.acompletion, scene.functions, **scene.asyncfc)
    async with client, aclosing(wrapped):
        return await timed(chat, _asking(wrapped.client, client), wrapped.tools)


def _asking(completion: Any, client: Any) -> Any:
    return partial(completion, model="openai/m", api_key="k", client=client)


def _client(model: Canned) -> Any:
    """What LiteLLM sends with; of the release of `openai` that is in its environment."""
    from openai import AsyncOpenAI

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=await model(json.loads(request.content)))

    sender: Any = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return AsyncOpenAI(api_key="k", http_client=sender)
