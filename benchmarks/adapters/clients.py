"""Wrapped clients of the SDKs, in a loop as users write it; nothing goes over a network."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

import httpx2

from asyncfc import Tool
from asyncfc.testing.models.script import Json
from benchmarks.adapters.scene import ANSWER, QUESTION, TOOL, Canned, Scene, step

_TOOL = Tool(step, name=TOOL)


async def openai(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: Chat Completions, asynchronous."""
    from openai import AsyncOpenAI

    from asyncfc.adapters.openai import wrap

    client, functions = AsyncOpenAI(api_key="k", http_client=_http(scene.model("chat"))), scene.functions
    if with_asyncfc:
        client, functions = wrap(client, functions, **scene.asyncfc)
    async with client:
        return await _timed(_chat, client, functions)


async def anthropic(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: Messages, asynchronous."""
    from anthropic import AsyncAnthropic

    from asyncfc.adapters.anthropic import wrap

    client, functions = (
        AsyncAnthropic(api_key="k", http_client=_http(scene.model("messages"))),
        scene.functions,
    )
    if with_asyncfc:
        client, functions = wrap(client, functions, **scene.asyncfc)
    async with client:
        return await _timed(_messages, client, functions)


def _http(model: Canned) -> httpx2.AsyncClient:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=await model(json.loads(request.content)))

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


async def _timed(
    loop: Callable[[Any, Mapping[str, Any]], Awaitable[str | None]], client: Any, functions: Mapping[str, Any]
) -> float:
    start = perf_counter()
    text = await loop(client, functions)
    seconds = perf_counter() - start
    assert text == ANSWER
    return seconds


async def _chat(client: Any, functions: Mapping[str, Any]) -> str | None:
    function = {"name": TOOL, "description": _TOOL.description, "parameters": _TOOL.schema}
    tools, messages = [{"type": "function", "function": function}], [_question()]
    while True:
        reply = await client.chat.completions.create(model="m", messages=messages, tools=tools)
        said = reply.choices[0].message
        messages.append(said)
        if not said.tool_calls:
            text: str | None = said.content
            return text
        for call in said.tool_calls:
            result = await functions[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def _messages(client: Any, functions: Mapping[str, Any]) -> str:
    tools = [{"name": TOOL, "description": _TOOL.description, "input_schema": _TOOL.schema}]
    messages = [_question()]
    while True:
        reply = await client.messages.create(model="m", max_tokens=99, messages=messages, tools=tools)
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
