"""A scripted model for smolagents: it asks a model of Chat Completions, which judges each request.

smolagents writes calls and results as text. Here they become messages again, so that the judge can say
whether every call was answered once.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

from smolagents import Tool, ToolCallingAgent, ToolOutput  # type: ignore[import-untyped]
from smolagents.models import (  # type: ignore[import-untyped]
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    ChatMessageToolCallStreamDelta,
    MessageRole,
    Model,
    get_tool_json_schema,
)
from smolagents.monitoring import LogLevel  # type: ignore[import-untyped]

from asyncfc.testing.models import Model as Judge
from asyncfc.testing.models.script import Json
from tests.adapters.conformance.run_harness import whole

CALLS = "Calling tools:\n"
OBSERVED = "Observation:\n"


class ScriptedModel(Model):  # type: ignore[misc]
    """Its text without calls is a final answer, as smolagents wants it."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(model_id="scripted")
        self._judge = judge
        self._answers = 0
        self.outputs: dict[str, str] = {}

    def generate(
        self, messages: list[ChatMessage], tools_to_call_from: Sequence[Any] = (), **more: Any
    ) -> ChatMessage:
        tools = [get_tool_json_schema(tool) for tool in tools_to_call_from if tool.name != "final_answer"]
        body: Json = {"model": "m", "messages": list(self._items(messages))}
        if tools:
            body["tools"] = tools
        message = asyncio.run(whole(self._judge, body))["choices"][0]["message"]
        calls = [
            _call(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        ]
        if calls:
            return ChatMessage(MessageRole.ASSISTANT, message["content"], calls)
        if not tools:
            return ChatMessage(MessageRole.ASSISTANT, message["content"])
        self._answers += 1
        final = json.dumps({"answer": message["content"]})
        return ChatMessage(
            MessageRole.ASSISTANT, None, [_call(f"final_{self._answers}", "final_answer", final)]
        )

    def generate_stream(self, *args: Any, **more: Any) -> Iterator[ChatMessageStreamDelta]:
        message = self.generate(*args, **more)
        yield ChatMessageStreamDelta(content=message.content)
        for index, call in enumerate(message.tool_calls or ()):
            delta = ChatMessageToolCallStreamDelta(index, call.id, call.type, call.function)
            yield ChatMessageStreamDelta(tool_calls=[delta])

    def _items(self, messages: Sequence[ChatMessage]) -> Iterator[Json]:
        said: str | None = None
        calls: list[Json] = []
        for message in messages:
            text = message.content[0]["text"] if isinstance(message.content, list) else message.content
            if message.role == MessageRole.ASSISTANT:
                said = text
            elif message.role == MessageRole.TOOL_CALL:
                calls = ast.literal_eval(text.removeprefix(CALLS))
                yield _assistant(said, calls)
                said = None
            elif message.role == MessageRole.TOOL_RESPONSE and text.startswith(OBSERVED):
                if said is not None:
                    yield {"role": "assistant", "content": said}
                yield from self._observed(text.removeprefix(OBSERVED), calls)
                said, calls = None, []
            else:
                if said is not None:
                    yield {"role": "assistant", "content": said}
                    said = None
                yield {"role": message.role.value.replace("tool-response", "user"), "content": text}

    def _observed(self, text: str, calls: Sequence[Json]) -> Iterator[Json]:
        ids = [call["id"] for call in calls]
        observed = "\n".join(self.outputs[one] for one in sorted(ids) if one in self.outputs).rstrip("\n")
        assert text.startswith(observed)
        told = text.removeprefix(observed)
        if not calls or _is_final(calls):
            if told:
                yield {"role": "user", "content": told}
            return
        for one in ids:
            more = told if one == ids[-1] else ""
            yield {"role": "tool", "tool_call_id": one, "content": self.outputs[one] + more}


class RecordingAgent(ToolCallingAgent):  # type: ignore[misc]
    """Tells the model which result is of which call."""

    def process_tool_calls(self, chat_message: Any, memory_step: Any) -> Iterator[Any]:
        for event in super().process_tool_calls(chat_message, memory_step):
            if isinstance(event, ToolOutput):
                self.model.outputs[event.id] = event.observation
            yield event


class FunctionTool(Tool):  # type: ignore[misc]
    """A tool from a function and its schema."""

    skip_forward_signature_validation = True

    def __init__(
        self, function: Any, name: str, description: str, schema: Json, output_type: str = "any"
    ) -> None:
        self.name, self.description, self.output_type = name, description, output_type
        self.inputs = {key: {"description": key, **about} for key, about in schema["properties"].items()}
        self.forward = function
        super().__init__()


def agent_of(judge: Judge, tools: Sequence[Any], **more: Any) -> RecordingAgent:
    """An agent that says nothing on the console."""
    return RecordingAgent(list(tools), ScriptedModel(judge), verbosity_level=LogLevel.OFF, **more)


def _call(call_id: str, name: str, arguments: Any) -> ChatMessageToolCall:
    return ChatMessageToolCall(ChatMessageToolCallFunction(arguments, name), call_id, "function")


def _is_final(calls: Sequence[Json]) -> bool:
    return [call["function"]["name"] for call in calls] == ["final_answer"]


def _assistant(said: str | None, calls: Sequence[Json]) -> Json:
    if _is_final(calls):
        return {"role": "assistant", "content": calls[0]["function"]["arguments"]["answer"]}
    made = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in calls
    ]
    return {"role": "assistant", "content": said, "tool_calls": made}
