"""smolagents, with an agent attached and not. It is synchronous: it runs, with its tool, in threads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from smolagents import Model, Tool, ToolCallingAgent  # type: ignore[import-untyped]
from smolagents.models import (  # type: ignore[import-untyped]
    ChatMessage,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    get_tool_json_schema,
)
from smolagents.monitoring import LogLevel  # type: ignore[import-untyped]

from asyncfc.adapters.smolagents import attach
from benchmarks.adapters.scene import ANSWER, QUESTION, TOOL, Canned, Scene


class CannedModel(Model):  # type: ignore[misc]
    """The model of a scene as one of smolagents: what it says without calls goes to `final_answer`."""

    def __init__(self, canned: Canned) -> None:
        super().__init__(model_id="canned")
        self._canned = canned

    def generate(self, messages: Any, tools_to_call_from: Any = (), **_: Any) -> ChatMessage:  # noqa: ARG002
        """See `Model.generate`; with schemas, as models make them for each request."""
        for tool in tools_to_call_from:
            get_tool_json_schema(tool)
        said = self._canned.wait({})["choices"][0]["message"]
        calls = [
            _call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said.get("tool_calls") or ()
        ]
        answer = [_call("final", "final_answer", {"answer": said["content"]})]
        return ChatMessage(MessageRole.ASSISTANT, None, calls or answer)


class StepTool(Tool):  # type: ignore[misc]
    """The tool of a scene as one of smolagents."""

    name = TOOL
    description = "Do a step."
    inputs = {"number": {"type": "integer", "description": "Of the step."}}  # noqa: RUF012 - as they declare it
    output_type = "string"

    def __init__(self, function: Callable[..., str]) -> None:
        self._function = function
        super().__init__()

    def forward(self, number: int) -> str:
        """Do a step."""
        return self._function(number)


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: a `ToolCallingAgent`."""
    return await asyncio.to_thread(_play, scene, with_asyncfc)


def _play(scene: Scene, with_asyncfc: bool) -> float:
    tools = [StepTool(function) for function in scene.blocking.values()]
    agent = ToolCallingAgent(
        tools, CannedModel(scene.model()), verbosity_level=LogLevel.OFF, max_steps=10_000
    )
    if with_asyncfc:
        agent = attach(agent, **scene.asyncfc)
    start = time.perf_counter()
    answer = agent.run(QUESTION)
    seconds = time.perf_counter() - start
    assert answer == ANSWER
    return seconds


def _call(call_id: str, name: str, arguments: Any) -> ChatMessageToolCall:
    return ChatMessageToolCall(ChatMessageToolCallFunction(arguments, name), call_id, "function")
