"""The OpenAI Agents SDK: streamed or not, with the messages of the turn before or an SDK session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agents import Agent, AgentOutputSchemaBase, FunctionTool, RunConfig, SQLiteSession, function_tool
from agents.items import ModelResponse
from agents.models.interface import Model as AgentsModel
from agents.usage import Usage
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from asyncfc.adapters.openai_agents import AsyncFCRunner
from asyncfc.testing.models import Model, Rejected
from asyncfc.testing.models.script import Json
from tests.adapters.conformance.harness import Capability, Stage

ABSENT: Mapping[Capability, str] = {
    "resubmit": "the SDK makes each call once; no step of a run runs again",
    "program": "programs of the model run on OpenAI's side; the SDK hands their calls on as any other",
}
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class ScriptModel(AgentsModel):
    """A scripted model as one of the SDK."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        body = body_of(*args, **kwargs)
        while True:
            try:
                reply = Response.model_validate(await self._model(body))
            except Rejected as rejected:
                if rejected.status != 500:
                    raise
            else:
                return ModelResponse(output=list(reply.output), usage=Usage(requests=1), response_id=reply.id)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        body = {**body_of(*args, **kwargs), "stream": True}
        while True:
            try:
                async for event in self._model.stream(body):
                    yield _EVENT.validate_python(event)
            except Rejected as rejected:
                if rejected.status != 500:
                    raise
            else:
                return


def body_of(
    system_instructions: str | None,
    input: Any,
    model_settings: Any,
    tools: list[Any],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: list[Any],
    tracing: Any,
    **kwargs: Any,
) -> Json:
    """A request in the form of the Responses API."""
    declared = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.params_json_schema,
            "strict": tool.strict_json_schema,
        }
        for tool in tools
        if isinstance(tool, FunctionTool)
    ]
    declared += [
        {
            "type": "function",
            "name": one.tool_name,
            "description": one.tool_description,
            "parameters": one.input_json_schema,
            "strict": one.strict_json_schema,
        }
        for one in handoffs
    ]
    body: Json = {"model": "m", "input": input, "tools": declared}
    if system_instructions:
        body["instructions"] = system_instructions
    if output_schema is not None and not output_schema.is_plain_text():
        schema = {
            "type": "json_schema",
            "name": "final",
            "schema": output_schema.json_schema(),
            "strict": False,
        }
        body["text"] = {"format": schema}
    body.update({name: kwargs[name] for name in ("previous_response_id",) if kwargs.get(name)})
    return body


@dataclass
class AnyJson(AgentOutputSchemaBase):
    """The final message is JSON of this form."""

    schema: dict[str, Any]

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return "final"

    def json_schema(self) -> dict[str, Any]:
        return self.schema

    def is_strict_json_schema(self) -> bool:
        return False

    def validate_json(self, json_str: str) -> Any:
        return json.loads(json_str)


@dataclass(frozen=True)
class AgentsHarness:
    """One turn of the user is one run."""

    streamed: bool
    remembers: bool
    absent: Mapping[Capability, str] = field(default_factory=lambda: ABSENT)
    pools: ClassVar[Sequence[str]] = ("asyncio_",)

    @property
    def name(self) -> str:
        """See `Harness`."""
        ways = [word for word, is_so in (("streamed", self.streamed), ("session", self.remembers)) if is_so]
        return ", ".join(["openai-agents", *ways])

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        runner = AsyncFCRunner(**stage.settings)
        structured = stage.case.structured
        agent = Agent(
            name="agent",
            model=ScriptModel(stage.model("responses")),
            tools=[
                function_tool(
                    one, strict_mode=False, failure_error_function=lambda _, error: f"Failed: {error}"
                )
                for one in stage.functions.values()
            ],
            output_type=AnyJson(dict(structured)) if structured else None,
        )
        session = SQLiteSession("conversation") if self.remembers and not stage.case.forgets else None
        config = RunConfig(
            tracing_disabled=True, group_id="conversation", tool_not_found_behavior="return_error_to_model"
        )
        history: list[Any] = []
        texts: list[str] = []
        for turn in stage.turns:
            given: Any = turn if session else [*history, {"role": "user", "content": turn}]
            if self.streamed:
                result: Any = runner.run_streamed(agent, given, run_config=config, session=session)
                async for event in result.stream_events():
                    if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                        stage.show(event.data.delta)
            else:
                result = await runner.run(agent, given, run_config=config, session=session)
            output = result.final_output
            texts.append(json.dumps(output) if structured else output)
            history = [] if stage.case.forgets else result.to_input_list()
        await runner.close()
        if session is not None:
            session.close()
        return texts


HARNESSES = [AgentsHarness(streamed, remembers) for streamed in (False, True) for remembers in (False, True)]
