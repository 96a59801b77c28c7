"""LangChain, with the middleware and without."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from asyncfc.adapters.langchain import AsyncFCMiddleware
from asyncfc.testing.models.script import Json
from benchmarks.adapters.scene import ANSWER, QUESTION, Scene


class CannedChatModel(BaseChatModel):
    """The model of a scene as one of LangChain."""

    canned: Any
    """A `Canned`."""

    @property
    def _llm_type(self) -> str:
        return "canned"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        """With their schemas, as models make them for each request."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ARG002
        return _result(self.canned.wait({}))

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:  # noqa: ARG002
        return _result(await self.canned({}))


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: an agent of `create_agent`, asynchronous."""
    agent: Any = create_agent(
        CannedChatModel(canned=scene.model()),
        [StructuredTool.from_function(coroutine=function) for function in scene.functions.values()],
        middleware=[AsyncFCMiddleware(**scene.asyncfc)] if with_asyncfc else [],
    )
    start = time.perf_counter()
    state = await agent.ainvoke({"messages": [("user", QUESTION)]}, {"recursion_limit": 10_000})
    seconds = time.perf_counter() - start
    assert state["messages"][-1].text == ANSWER
    return seconds


def _result(reply: Json) -> ChatResult:
    said = reply["choices"][0]["message"]
    calls: list[Any] = [
        {
            "name": call["function"]["name"],
            "args": json.loads(call["function"]["arguments"]),
            "id": call["id"],
            "type": "tool_call",
        }
        for call in said.get("tool_calls") or ()
    ]
    message = AIMessage(said["content"] or "", tool_calls=calls)
    return ChatResult(generations=[ChatGeneration(message=message)])
