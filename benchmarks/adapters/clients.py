"""Wrapped clients of the SDKs, in a loop as users write it; nothing goes over a network."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import httpx2

from asyncfc import Tool
from asyncfc.testing.models.script import Json
from benchmarks.adapters.scene import ANSWER, QUESTION, TOOL, Canned, Scene, step

DECLARED = Tool(step, name=TOOL)
"""The tool, as requests declare it."""


async def openai(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: Chat Completions, asynchronous."""
    from openai import AsyncOpenAI

    from asyncfc.adapters.openai import wrap

    client, functions = AsyncOpenAI(api_key="k", http_client=http(scene.model("chat"))), scene.functions
    if with_asyncfc:
        client, functions = wrap(client, functions, **scene.asyncfc)
    async with client:
        return await timed(chat, partial(client.chat.completions.create, model="m"), functions)


async def anthropic(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: Messages, asynchronous."""
    from anthropic import AsyncAnthropic

    from asyncfc.adapters.anthropic import wrap

    client, functions = (
        AsyncAnthropic(api_key="k", http_client=http(scene.model("messages"))),
        scene.functions,
    )
    if with_asyncfc:
        client, functions = wrap(client, functions, **scene.asyncfc)
    async with client:
        return await timed(_messages, partial(client.messages.create, model="m", max_tokens=99), functions)


def http(model: Canned) -> httpx2.AsyncClient:
    """An HTTP client behind which the model sits."""

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=await model(json.loads(request.content)))

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


async def timed(
    loop: Callable[[Any, Mapping[str, Any]], Awaitable[str | None]], ask: Any, functions: Mapping[str, Any]
) -> float:
    """The seconds that a loop takes, given what asks the model and what calls tools."""
    start = perf_counter()
    text = await loop(ask, functions)
    seconds = perf_counter() - start
    assert text == ANSWER
    return seconds


async def chat(ask: Any, functions: Mapping[str, Any]) -> str | None:
    """A loop over Chat Completions."""
    function = {"name": TOOL, "description": DECLARED.description, "parameters": DECLARED.schema}
    tools, messages = [{"type": "function", "function": function}], [_question()]
    while True:
        reply = await ask(messages=messages, tools=tools)
        said = reply.choices[0].message
        messages.append(said)
        if not said.tool_calls:
            text: str | None = said.content
            return text
        for call in said.tool_calls:
            result = await functions[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def _messages(ask: Any, functions: Mapping[str, Any]) -> str:
    tools = [{"name": TOOL, "description": DECLARED.description, "input_schema": DECLARED.schema}]
    messages = [_question()]
    while True:
        reply = await ask(messages=messages, tools=tools)
        messages.append({"role": "assistant", "content": reply.content})
        calls = [block for block in reply.content if block.type == "tool_use"]
        if not calls:
            return str(reply.content[0].text)
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": await functions[call.name](**call.input),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


def _question() -> Json:
    return {"role": "user", "content": QUESTION}
