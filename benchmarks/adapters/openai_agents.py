"""The OpenAI Agents SDK, with the runner and without."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from openai.types.responses import Response

from asyncfc.adapters.openai_agents import AsyncFCRunner
from benchmarks.adapters.scene import ANSWER, QUESTION, Canned, Scene


class CannedModel(Model):
    """The model of a scene as one of the SDK."""

    def __init__(self, canned: Canned) -> None:
        self._canned = canned

    async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
        """See `Model.get_response`."""
        reply = Response.model_validate(await self._canned({}))
        return ModelResponse(list(reply.output), Usage(), reply.id)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Nothing is streamed."""
        raise NotImplementedError


async def play(scene: Scene, wrapped: bool) -> float:
    """See `Play`."""
    tools: list[Any] = [function_tool(function) for function in scene.functions.values()]
    agent = Agent(name="agent", model=CannedModel(scene.model("responses")), tools=tools)
    runner: Any = AsyncFCRunner(**scene.asyncfc) if wrapped else Runner
    config = RunConfig(tracing_disabled=True)
    start = time.perf_counter()
    result = await runner.run(agent, QUESTION, run_config=config, max_turns=10_000)
    assert result.final_output == ANSWER
    return time.perf_counter() - start
