"""`asyncfc.run`, against a loop written by hand."""

from __future__ import annotations

import json
from time import perf_counter

import asyncfc
from asyncfc.testing.models.script import Json
from benchmarks.adapters.scene import ANSWER, QUESTION, TOOL, Canned, Scene

_FUNCTION = {
    "name": TOOL,
    "description": "Do a step.",
    "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
}
_DECLARED = {"type": "function", "function": _FUNCTION}


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`."""
    model, messages = scene.model(), [{"role": "user", "content": QUESTION}]

    async def ask(history: list[Json], tools: list[Json]) -> Json:
        return await model({"messages": history, "tools": tools})

    start = perf_counter()
    if with_asyncfc:
        text = (await asyncfc.run(ask, messages, scene.functions, **scene.asyncfc)).text
    else:
        text = await _plain(scene, model, messages)
    seconds = perf_counter() - start
    assert text == ANSWER
    return seconds


async def _plain(scene: Scene, model: Canned, messages: list[Json]) -> str:
    functions = scene.functions
    while True:
        reply = await model({"messages": messages, "tools": [_DECLARED]})
        said: Json = reply["choices"][0]["message"]
        messages.append(said)
        if not said.get("tool_calls"):
            return str(said["content"])
        for call in said["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            text = await functions[call["function"]["name"]](**arguments)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
