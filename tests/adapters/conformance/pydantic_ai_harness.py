"""pydantic-ai: an agent with the capability; run whole, or with its events streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_ai import Agent, StructuredDict, Tool
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import ToolDefinition

from asyncfc.adapters.pydantic_ai import AsyncFC
from asyncfc.testing.models import Model, Rejected
from asyncfc.testing.models.script import Json
from tests.adapters.conformance.harness import Capability, Stage

Way = Literal["run", "stream"]

ABSENT: Mapping[Capability, str] = {
    "resubmit": "pydantic-ai makes each call once; no step of a run runs again",
    "program": "what a program of the model calls is the business of the tool that runs the program",
}


def body_of(messages: Sequence[ModelMessage], info: AgentInfo) -> Json:
    """A request in the form of Chat Completions."""
    items: list[Json] = []
    if info.instructions:
        items.append({"role": "system", "content": info.instructions})
    for message in messages:
        items += _answers(message) if isinstance(message, ModelRequest) else [_said(message)]
    tools = [_declared(tool) for tool in (*info.function_tools, *info.output_tools)]
    return {"model": "m", "messages": items, **({"tools": tools} if tools else {})}


def _answers(request: ModelRequest) -> list[Json]:
    items: list[Json] = []
    for part in request.parts:
        match part:
            case ToolReturnPart():
                items.append(
                    {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.model_response_str()}
                )
            case UserPromptPart():
                items.append({"role": "user", "content": str(part.content)})
            case _:
                items.append({"role": "user", "content": str(getattr(part, "content", part))})
    return items


def _said(response: ModelResponse) -> Json:
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = [
        {
            "id": part.tool_call_id,
            "type": "function",
            "function": {"name": part.tool_name, "arguments": part.args_as_json_str()},
        }
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    return {"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})}


def _declared(tool: ToolDefinition) -> Json:
    about = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.parameters_json_schema,
    }
    return {"type": "function", "function": about}


async def asked(model: Model, body: Json) -> Json:
    """The model's message; asked for again if the server failed, as clients do."""
    while True:
        try:
            reply = await model(body)
        except Rejected as rejected:
            if rejected.status != 500:
                raise
        else:
            message: Json = reply["choices"][0]["message"]
            return message


def function_model(model: Model) -> FunctionModel:
    """A scripted model as one of pydantic-ai."""

    async def whole(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = await asked(model, body_of(messages, info))
        parts: list[Any] = [TextPart(said["content"])] if said["content"] else []
        for call in said.get("tool_calls", ()):
            function = call["function"]
            parts.append(ToolCallPart(function["name"], function["arguments"], tool_call_id=call["id"]))
        return ModelResponse(parts)

    async def streamed(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        said = await asked(model, body_of(messages, info))
        text = said["content"] or ""
        for start in range(0, len(text), 5):
            yield text[start : start + 5]
        for place, call in enumerate(said.get("tool_calls", ())):
            function = call["function"]
            yield {
                place: DeltaToolCall(
                    name=function["name"], json_args=function["arguments"], tool_call_id=call["id"]
                )
            }

    return FunctionModel(whole, stream_function=streamed)


@dataclass(frozen=True)
class PydanticAIHarness:
    """One turn of the user is one run of the agent, with the messages of the one before."""

    way: Way
    absent: Mapping[Capability, str]

    @property
    def name(self) -> str:
        """See `Harness`."""
        return f"pydantic-ai, {self.way}"

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        capability = AsyncFC(**stage.settings)
        structured = stage.case.structured
        agent: Agent[None, Any] = Agent(
            function_model(stage.model()),
            tools=[Tool(function, docstring_format="google") for function in stage.functions.values()],
            capabilities=[capability],
            output_type=StructuredDict(dict(structured)) if structured else str,
        )
        history: list[ModelMessage] = []
        texts: list[str] = []
        for turn in stage.turns:
            output, messages = await self._turn(agent, turn, history, stage)
            texts.append(json.dumps(output) if structured else output)
            history = [] if stage.case.forgets else messages
        await capability.close()
        return texts

    async def _turn(
        self, agent: Agent[None, Any], turn: str, history: list[ModelMessage], stage: Stage
    ) -> tuple[Any, list[ModelMessage]]:
        shared: dict[str, Any] = {"message_history": history, "conversation_id": "conversation"}
        if self.way == "run":
            result = await agent.run(turn, **shared)
            return result.output, result.all_messages()

        async def watch(_: Any, events: Any) -> None:
            async for event in events:
                part, delta = getattr(event, "part", None), getattr(event, "delta", None)
                if event.event_kind == "part_start" and isinstance(part, TextPart):
                    stage.show(part.content)
                elif event.event_kind == "part_delta" and isinstance(delta, TextPartDelta):
                    stage.show(delta.content_delta)

        result = await agent.run(turn, event_stream_handler=watch, **shared)
        return result.output, result.all_messages()


HARNESSES = [PydanticAIHarness(way, ABSENT) for way in ("run", "stream")]
