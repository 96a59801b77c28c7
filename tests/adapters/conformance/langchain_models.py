"""A chat model of LangChain that asks a scripted one, by way of Chat Completions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    convert_to_openai_messages,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool


class ScriptedChatModel(BaseChatModel):
    """Judged as Chat Completions would judge it: a transcript or a schema that is not valid is refused."""

    scripted: Any
    """Gives a reply for a body: a `Model`."""
    provider: str = "scripted"

    @property
    def _llm_type(self) -> str:
        return self.provider

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """As models do it that speak this protocol."""
        choice = kwargs.pop("tool_choice", None)
        chosen = {"tool_choice": "required" if choice == "any" else choice} if choice else {}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **chosen, **kwargs)

    def _body(self, messages: list[BaseMessage], settings: dict[str, Any]) -> dict[str, Any]:
        written = [
            {**one, "content": one["content"] or None} if one["role"] == "assistant" else one
            for one in convert_to_openai_messages(messages)
        ]
        kept = {key: value for key, value in settings.items() if key in {"tools", "response_format"}}
        return {"model": "m", "messages": written, **kept}

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        reply = asyncio.run(self.scripted(self._body(messages, kwargs)))
        return ChatResult(generations=[ChatGeneration(message=_message(reply))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        reply = await self.scripted(self._body(messages, kwargs))
        return ChatResult(generations=[ChatGeneration(message=_message(reply))])


def _message(reply: dict[str, Any]) -> AIMessage:
    said = reply["choices"][0]["message"]
    calls = [
        {
            "name": call["function"]["name"],
            "args": json.loads(call["function"]["arguments"]),
            "id": call["id"],
            "type": "tool_call",
        }
        for call in said.get("tool_calls") or ()
    ]
    return AIMessage(said["content"] or "", tool_calls=calls)
