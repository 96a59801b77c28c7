"""LlamaIndex, with an agent attached and not."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import BaseTool, FunctionTool, ToolSelection
from pydantic import PrivateAttr

from asyncfc.adapters.llama_index import attach
from asyncfc.testing.models.script import Json
from benchmarks.adapters.scene import ANSWER, QUESTION, Canned, Scene


class CannedLLM(FunctionCallingLLM):
    """The model of a scene as one of LlamaIndex; nothing is streamed, and nothing asked synchronously."""

    _canned: Canned = PrivateAttr()

    def __init__(self, canned: Canned) -> None:
        super().__init__()
        self._canned = canned

    @property
    def metadata(self) -> LLMMetadata:
        """See `LLM.metadata`."""
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True, context_window=1_000_000)

    async def achat(self, messages: Sequence[ChatMessage], **_: Any) -> ChatResponse:  # noqa: ARG002
        """See `LLM.achat`."""
        return _response(await self._canned({}))

    def get_tool_calls_from_response(self, response: ChatResponse, *_: Any, **__: Any) -> list[ToolSelection]:
        """See `FunctionCallingLLM.get_tool_calls_from_response`."""
        return [
            ToolSelection(
                tool_id=block.tool_call_id or "",
                tool_name=block.tool_name,
                tool_kwargs=json.loads(str(block.tool_kwargs)),
            )
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]

    def _prepare_chat_with_tools(  # type: ignore[override]  # all by name
        self, tools: Sequence[BaseTool], **more: Any
    ) -> Json:
        """With their schemas, as models make them for each request."""
        schemas = [tool.metadata.to_openai_tool() for tool in tools]
        return {"messages": more.get("chat_history") or [], "tools": schemas}

    def chat(self, *_: Any, **__: Any) -> Any:
        """Not asked."""
        raise NotImplementedError

    stream_chat = complete = stream_complete = chat

    async def acomplete(self, *_: Any, **__: Any) -> Any:
        """Not asked."""
        raise NotImplementedError

    astream_chat = astream_complete = acomplete


async def play(scene: Scene, with_asyncfc: bool) -> float:
    """See `Play`: a `FunctionAgent`."""
    tools: list[Any] = [FunctionTool.from_defaults(async_fn=one) for one in scene.functions.values()]
    agent = FunctionAgent(tools=tools, llm=CannedLLM(scene.model()), streaming=False)
    if with_asyncfc:
        agent = attach(agent, **scene.asyncfc)
    start = time.perf_counter()
    result = await agent.run(user_msg=QUESTION, max_iterations=10_000)
    seconds = time.perf_counter() - start
    assert str(result) == ANSWER
    return seconds


def _response(reply: Json) -> ChatResponse:
    said = reply["choices"][0]["message"]
    message = ChatMessage(role=MessageRole.ASSISTANT, content=said["content"])
    for call in said.get("tool_calls") or ():
        about = call["function"]
        message.blocks.append(
            ToolCallBlock(tool_call_id=call["id"], tool_name=about["name"], tool_kwargs=about["arguments"])
        )
    return ChatResponse(message=message)
