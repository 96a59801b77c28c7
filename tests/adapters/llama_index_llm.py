"""A scripted model for LlamaIndex: it asks a model of Chat Completions, which judges each request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import BaseTool, ToolSelection
from pydantic import PrivateAttr

from asyncfc.conversation.formats.chat import CHAT
from asyncfc.testing.models import Model
from asyncfc.testing.models.script import Json
from tests.adapters.conformance.run_harness import streamed, whole


class ScriptedLLM(FunctionCallingLLM):
    """Sends a request again if the server failed, as the LLMs of LlamaIndex do."""

    _model: Model = PrivateAttr()

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True, context_window=1_000_000)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = await whole(self._model, _body(messages, kwargs.get("tools") or []))
        return _response(CHAT.reply(reply))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        body = _body(messages, kwargs.get("tools") or [])

        async def responses() -> AsyncIterator[ChatResponse]:
            reader, text = CHAT.reader(), ""
            async for event in streamed(self._model, body):
                reader.feed(event)
                response = _response(reader.reply())
                delta = (response.message.content or "").removeprefix(text)
                text += delta
                response.delta = delta
                yield response

        return responses()  # type: ignore[return-value]  # that is what it is

    def _prepare_chat_with_tools(  # type: ignore[override]  # all by name
        self, tools: Sequence[BaseTool], **kwargs: Any
    ) -> dict[str, Any]:
        messages = kwargs.get("chat_history") or []
        return {"messages": messages, "tools": [tool.metadata.to_openai_tool() for tool in tools]}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return [
            ToolSelection(
                tool_id=block.tool_call_id or "",
                tool_name=block.tool_name,
                tool_kwargs=_arguments(block.tool_kwargs),
            )
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]

    def chat(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    stream_chat = complete = stream_complete = chat

    async def acomplete(self, *args: Any, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    async def astream_complete(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def _arguments(text: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # the message is still being streamed
        return {}


def _response(reply: Any) -> ChatResponse:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=reply.text or None)
    message.blocks += [
        ToolCallBlock(tool_call_id=one.call.id, tool_name=one.call.tool, tool_kwargs=one.call.arguments)
        for one in reply.calls
    ]
    return ChatResponse(message=message)


def _body(messages: Sequence[ChatMessage], tools: list[Json]) -> Json:
    body: Json = {"model": "m", "messages": [_item(message) for message in messages]}
    return {**body, "tools": tools} if tools else body


def _item(message: ChatMessage) -> Json:
    item: Json = {"role": message.role.value, "content": message.content}
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if calls:
        item["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": call.tool_kwargs},
            }
            for call in calls
        ]
    if message.role == MessageRole.TOOL:
        item["tool_call_id"] = message.additional_kwargs["tool_call_id"]
        item["content"] = message.content or ""
    return item
