"""Wrapped clients of Google's SDK: hand-written loops, and chats where the SDK calls the functions itself."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google import genai
from google.genai import types

from asyncfc import Tool
from asyncfc.adapters.google_genai import wrap
from asyncfc.testing.models import ModelServer
from tests.adapters.conformance.clients import ABSENT, IN_THREADS, Forgiving
from tests.adapters.conformance.harness import Capability, Stage

NO_PROGRAMS: Mapping[Capability, str] = {"program": "Gemini has no programs that call client tools"}
BY_SDK: Mapping[Capability, str] = {
    "unknown": "Google's SDK itself ends with an error where the model calls a function that is not there"
}


SSL = ssl.create_default_context()
"""One for all clients: each would make several of its own, which takes most of a test's time."""


def new_client(server: ModelServer) -> genai.Client:
    """A client of a scripted server, which sends a failed request once more."""
    again = types.HttpRetryOptions(attempts=2, initial_delay=0.0, max_delay=0.0, jitter=0.0)
    options = types.HttpOptions(
        base_url=server.url,
        retry_options=again,
        client_args={"verify": SSL},
        async_client_args={"verify": SSL, "ssl": SSL},
    )
    return genai.Client(api_key="k", http_options=options)


def config_of(stage: Stage, tools: Sequence[Any], *, itself: bool) -> types.GenerateContentConfig:
    """What a request says of tools and of the form of the last message."""
    config = types.GenerateContentConfig(
        tools=list(tools), automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=not itself)
    )
    if stage.case.structured is not None:
        config.response_mime_type = "application/json"
        config.response_json_schema = stage.case.structured
    return config


def declarations(tools: Sequence[Tool]) -> list[types.Tool]:
    """The tools as a program declares them by hand."""
    functions = [
        types.FunctionDeclaration(
            name=tool.name, description=tool.description, parameters_json_schema=tool.schema
        )
        for tool in tools
    ]
    return [types.Tool(function_declarations=functions)]


@dataclass(frozen=True)
class GoogleHarness:
    """A client, in a loop written by hand or the SDK's own (`itself`)."""

    name: str
    asynchronous: bool
    streamed: bool
    itself: bool
    absent: Mapping[Capability, str]

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        with stage.server() as server:
            if self.asynchronous:
                texts = await self._asynchronous(stage, server)
                for _ in range(10):  # clients of the SDK close themselves again, in a task, when collected
                    await asyncio.sleep(0)
                return texts
            return await asyncio.to_thread(self._synchronous, stage, server)

    async def _asynchronous(self, stage: Stage, server: ModelServer) -> list[str]:
        made = wrap(new_client(server).aio, stage.functions, **stage.settings)
        async with made.client:
            return await self._turns(stage, made.client, made.tools)

    def _synchronous(self, stage: Stage, server: ModelServer) -> list[str]:
        made = wrap(new_client(server), stage.blocking, **stage.settings)
        with made.client:
            texts: list[str] = _now(self._turns(stage, made.client, made.tools))
            return texts

    async def _turns(self, stage: Stage, client: Any, tools: Mapping[str, Any]) -> list[str]:
        history, texts = list[Any](), list[str]()
        for turn in stage.turns:
            history = [] if stage.case.forgets else history
            go_through = self._by_sdk if self.itself else self._by_hand
            text, history = await go_through(stage, client, tools, history, turn)
            texts.append(text)
        return texts

    async def _by_sdk(
        self, stage: Stage, client: Any, tools: Mapping[str, Any], history: list[Any], turn: str
    ) -> tuple[str, list[Any]]:
        config = config_of(stage, list(tools.values()), itself=True)
        chat = client.chats.create(model="m", config=config, history=history)
        if not self.streamed:
            reply = await _got(chat.send_message(turn))
            return reply.text or "", chat.get_history()
        text = ""
        async for chunk in _each(await _got(chat.send_message_stream(turn))):
            piece = _text(chunk)
            stage.show(piece)
            called = any(part.function_call for part in _parts(chunk))
            text = "" if called else text + piece
        return text, chat.get_history()

    async def _by_hand(
        self, stage: Stage, client: Any, tools: Mapping[str, Any], history: list[Any], turn: str
    ) -> tuple[str, list[Any]]:
        functions = Forgiving(tools)
        declared = declarations([Tool(tool.function) for tool in stage.case.tools])
        body = {"model": "m", "config": config_of(stage, declared, itself=False)}
        history = [*history, types.UserContent(turn)]
        while True:
            parts = await self._asked(stage, client, contents=history, **body)
            if parts:
                history.append(types.ModelContent(parts))
            calls = [part.function_call for part in parts if part.function_call]
            if not calls:
                return "".join(part.text or "" for part in parts), history
            answers = []
            for call in calls:
                given = await _got(functions[call.name or ""](**(call.args or {})))
                response = types.FunctionResponse(id=call.id, name=call.name, response={"output": given})
                answers.append(types.Part(function_response=response))
            history.append(types.UserContent(answers))

    async def _asked(self, stage: Stage, client: Any, **body: Any) -> list[types.Part]:
        if not self.streamed:
            return _parts(await _got(client.models.generate_content(**body)))
        parts: list[types.Part] = []
        async for chunk in _each(await _got(client.models.generate_content_stream(**body))):
            stage.show(_text(chunk))
            parts += _parts(chunk)
        return parts


def _parts(reply: Any) -> list[types.Part]:
    candidate = reply.candidates[0] if reply.candidates else None
    return list(candidate.content.parts or ()) if candidate and candidate.content else []


def _text(reply: Any) -> str:
    return "".join(part.text or "" for part in _parts(reply))


async def _got(result: Any) -> Any:
    """A result, awaited if it has to be."""
    return await result if inspect.isawaitable(result) else result


async def _each(results: Any) -> Any:
    """What an iterator gives, asynchronous or not."""
    if hasattr(results, "__aiter__"):
        async for result in results:
            yield result
    else:
        for result in results:
            yield result


def _now(coroutine: Any) -> Any:
    """Run a coroutine that never waits, as all that a synchronous client gives is there at once."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a synchronous client was awaited")


HARNESSES = [
    GoogleHarness("gemini", False, False, False, {**ABSENT, **IN_THREADS, **NO_PROGRAMS}),
    GoogleHarness("gemini, async, streamed", True, True, False, {**ABSENT, **NO_PROGRAMS}),
    GoogleHarness(
        "gemini by its SDK, streamed", False, True, True, {**ABSENT, **IN_THREADS, **NO_PROGRAMS, **BY_SDK}
    ),
    GoogleHarness("gemini by its SDK, async", True, False, True, {**ABSENT, **NO_PROGRAMS, **BY_SDK}),
]
