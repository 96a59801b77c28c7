"""Wrapped clients of an SDK, in a loop as users write it, against a scripted server."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncfc import Tool
from asyncfc.testing.models import ModelServer
from tests.adapters import loops
from tests.adapters.conformance.harness import Capability, Stage

ABSENT: Mapping[Capability, str] = {
    "together": "A hand-written loop makes its calls one by one, so undeclared ones run in their order",
    "resubmit": "A hand-written loop makes each call of a message once",
}
IN_THREADS: Mapping[Capability, str] = {"cancel": "What runs in a thread cannot be stopped"}
NO_PROGRAMS: Mapping[Capability, str] = {"program": "Chat Completions have no programs of the model"}


@dataclass(frozen=True)
class ClientHarness:
    """A client of `api`: "chat", "responses" or "messages"."""

    name: str
    api: str
    asynchronous: bool
    streamed: bool
    absent: Mapping[Capability, str]

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        with stage.server() as server:
            if self.asynchronous:
                return await self._asynchronous(stage, server)
            return await asyncio.to_thread(self._synchronous, stage, server)

    async def _asynchronous(self, stage: Stage, server: ModelServer) -> list[str]:
        plain = loops.new_client(server, self.api, asynchronous=True, max_retries=1)
        made = loops.wrap(plain, stage.functions, **stage.settings)
        texts, messages = list[str](), list[Any]()
        async with made.client as client:
            for turn in stage.turns:
                messages = self._begun(stage, messages, turn)
                arguments = (client, self.api, Forgiving(made.tools), messages, _schemas(stage))
                said = await loops.loop_async(*arguments, stream=self.streamed, **self._form(stage))
                texts.append(_heard(stage, said))
        return texts

    def _synchronous(self, stage: Stage, server: ModelServer) -> list[str]:
        plain = loops.new_client(server, self.api, max_retries=1)
        made = loops.wrap(plain, stage.blocking, **stage.settings)
        texts, messages = list[str](), list[Any]()
        with made.client as client:
            for turn in stage.turns:
                messages = self._begun(stage, messages, turn)
                arguments = (client, self.api, Forgiving(made.tools), messages, _schemas(stage))
                said = loops.loop(*arguments, stream=self.streamed, **self._form(stage))
                texts.append(_heard(stage, said))
        return texts

    def _begun(self, stage: Stage, messages: list[Any], turn: str) -> list[Any]:
        return [*([] if stage.case.forgets else messages), {"role": "user", "content": turn}]

    def _form(self, stage: Stage) -> dict[str, Any]:
        """What a request says of the form of the last message."""
        if stage.case.structured is None:
            return {}
        form = {"type": "json_schema", "schema": stage.case.structured}
        named = {"name": "form", "schema": stage.case.structured, "strict": True}
        match self.api:
            case "chat":
                return {"response_format": {"type": "json_schema", "json_schema": named}}
            case "responses":
                return {"text": {"format": {"type": "json_schema", **named}}}
        return {"output_config": {"format": form}}


class Forgiving(dict[str, Callable[..., Any]]):
    """The functions of a loop that tells the model of errors and goes on."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__({name: _caught(function) for name, function in functions.items()})

    def __missing__(self, name: str) -> Callable[..., Any]:
        return lambda **_: f"Error: there is no tool {name}"


def _caught(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        try:
            result = function(**arguments)
        except Exception as error:
            return f"Error: {error}"
        return caught(result) if inspect.isawaitable(result) else result

    async def caught(result: Any) -> Any:
        try:
            return await result
        except Exception as error:
            return f"Error: {error}"

    return call


def _schemas(stage: Stage) -> list[Tool]:
    return [Tool(tool.function) for tool in stage.case.tools]


def _heard(stage: Stage, said: loops.Said) -> str:
    for piece in said.shown:
        stage.show(piece)
    return said.text
