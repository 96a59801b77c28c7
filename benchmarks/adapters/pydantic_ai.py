"""pydantic-ai, with the capability and without."""

from __future__ import annotations

import time

from pydantic_ai import Agent, Tool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from asyncfc.adapters.pydantic_ai import AsyncFC
from benchmarks.adapters.scene import ANSWER, QUESTION, Scene


async def play(scene: Scene, wrapped: bool) -> float:
    """See `Play`."""
    model = scene.model()

    async def ask(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        said = (await model({}))["choices"][0]["message"]
        if not said.get("tool_calls"):
            return ModelResponse([TextPart(said["content"])])
        calls = [(call["id"], call["function"]) for call in said["tool_calls"]]
        return ModelResponse(
            [ToolCallPart(about["name"], about["arguments"], tool_call_id=name) for name, about in calls]
        )

    agent: Agent[None, str] = Agent(
        FunctionModel(ask),
        tools=[Tool(function) for function in scene.functions.values()],
        capabilities=[AsyncFC(**scene.asyncfc)] if wrapped else [],
    )
    start = time.perf_counter()
    result = await agent.run(QUESTION, usage_limits=None)
    assert result.output == ANSWER
    return time.perf_counter() - start
