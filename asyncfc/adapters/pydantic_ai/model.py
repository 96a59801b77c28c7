"""The model of a run, listened to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from pydantic_ai import RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from asyncfc.adapters.pydantic_ai.talk import CONTROLS


class Hears(Protocol):
    """What is told of a model's messages."""

    @property
    def may_hold(self) -> bool:
        """Whether a text that the model says now may not be meant for people, or not in these words."""

    async def heard(self, response: ModelResponse, parameters: ModelRequestParameters) -> ModelResponse:
        """A message of the model as the agent gets it."""


class Listening(WrapperModel):
    """The model of a run. A text that may not be meant for people is not streamed before that is known."""

    def __init__(self, wrapped: Model, run: Hears) -> None:
        super().__init__(wrapped)
        self._run = run

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """See `Model.request`."""
        response = await super().request(messages, model_settings, model_request_parameters)
        return await self._run.heard(response, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """See `Model.request_stream`."""
        async with super().request_stream(
            messages, model_settings, model_request_parameters, run_context
        ) as stream:
            if not self._run.may_hold:
                yield stream
                return
            async for _ in stream:
                pass
            response = await self._run.heard(stream.get(), model_request_parameters)
            yield _Told(response, model_request_parameters=model_request_parameters, replay_events=True)


class _Told(CompletedStreamedResponse):
    """A message as people see it: not what has turned out to be provisional."""

    async def _get_event_iterator(self) -> AsyncGenerator[Any]:
        told = self.response
        waits = any(isinstance(part, ToolCallPart) and part.tool_name in CONTROLS for part in told.parts)
        hidden = [part for part in told.parts if waits and isinstance(part, TextPart)]
        self.response = replace(told, parts=[part for part in told.parts if part not in hidden])
        try:
            async for event in super()._get_event_iterator():
                yield event
        finally:
            self.response = told
