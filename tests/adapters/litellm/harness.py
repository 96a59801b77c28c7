"""LiteLLM's functions, wrapped, in a loop as users write it.

Shares nothing with the harnesses of the SDKs: LiteLLM has an environment of its own, without these.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import litellm
import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from asyncfc import Tool
from asyncfc.adapters.litellm import wrap
from tests.adapters.conformance.harness import Capability, Stage

MARKS = [
    pytest.mark.litellm,
    # LiteLLM keeps sessions and loops for the next request, and leaves them to be collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ABSENT: Mapping[Capability, str] = {
    "together": "A hand-written loop makes its calls one by one, so undeclared ones run in their order",
    "resubmit": "A hand-written loop makes each call of a message once",
    "program": "Chat Completions have no programs of the model",
}
IN_THREADS: Mapping[Capability, str] = {"cancel": "What runs in a thread cannot be stopped"}


def schemas(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The tools as a request declares them."""
    functions = [
        {"name": tool.name, "description": tool.description, "parameters": tool.schema} for tool in tools
    ]
    return [{"type": "function", "function": function} for function in functions]


async def answer(tools: Mapping[str, Any], call: Any) -> dict[str, Any]:
    """What a loop makes of a call; it tells the model of errors and goes on."""
    name = call.function.name
    try:
        result = tools[name](**json.loads(call.function.arguments))
        result = await result if inspect.isawaitable(result) else result
    except KeyError:
        result = f"Error: there is no tool {name}"
    except Exception as error:
        result = f"Error: {error}"
    text = result if isinstance(result, str) else json.dumps(result)
    return {"role": "tool", "tool_call_id": call.id, "content": text}


@dataclass(frozen=True)
class LitellmHarness:
    """`completion` or `acompletion`."""

    name: str
    asynchronous: bool
    streamed: bool
    absent: Mapping[Capability, str]
    pools: ClassVar[Sequence[str]] = ("litellm-logging",)
    """Threads that LiteLLM keeps."""

    async def run(self, stage: Stage) -> Sequence[str]:
        """See `Harness`."""
        with stage.server() as server:
            about = {"model": "openai/m", "api_base": f"{server.url}/v1", "api_key": "k", "max_retries": 1}
            if self.asynchronous:
                wrapped = wrap(litellm.acompletion, stage.functions, **stage.settings)
                try:
                    return await self._turns(stage, wrapped.client, wrapped.tools, about)
                finally:
                    await wrapped.aclose()
                    await _litellm_ends()
            return await asyncio.to_thread(self._synchronous, stage, about)

    def _synchronous(self, stage: Stage, about: dict[str, Any]) -> list[str]:
        wrapped = wrap(litellm.completion, stage.blocking, **stage.settings)
        try:
            texts: list[str] = _now(self._turns(stage, wrapped.client, wrapped.tools, about))
            return texts
        finally:
            wrapped.close()

    async def _turns(
        self, stage: Stage, completion: Any, tools: Mapping[str, Any], about: dict[str, Any]
    ) -> list[str]:
        declared = schemas([Tool(tool.function) for tool in stage.case.tools])
        if stage.case.structured is not None:
            form = {"name": "form", "schema": stage.case.structured, "strict": True}
            about = {**about, "response_format": {"type": "json_schema", "json_schema": form}}
        messages, texts = list[Any](), list[str]()
        for turn in stage.turns:
            messages = [*([] if stage.case.forgets else messages), {"role": "user", "content": turn}]
            while True:
                message = await self._asked(stage, completion, messages=messages, tools=declared, **about)
                messages.append(message)
                if not message.tool_calls:
                    break
                messages += [await answer(tools, call) for call in message.tool_calls]
            texts.append(message.content or "")
        return texts

    async def _asked(self, stage: Stage, completion: Any, **arguments: Any) -> Any:
        reply = completion(**arguments, stream=self.streamed)
        reply = await reply if inspect.isawaitable(reply) else reply
        if not self.streamed:
            return reply.choices[0].message
        chunks = [chunk async for chunk in reply] if self.asynchronous else list(reply)
        for chunk in chunks:
            stage.show(chunk.choices[0].delta.content or "" if chunk.choices else "")
        return litellm.stream_chunk_builder(chunks).choices[0].message


async def _litellm_ends() -> None:
    """End what LiteLLM keeps for the next request: a task that logs, and the iterator of its transport."""
    await GLOBAL_LOGGING_WORKER.flush()
    await GLOBAL_LOGGING_WORKER.stop()
    await asyncio.get_running_loop().shutdown_asyncgens()


def _now(coroutine: Any) -> Any:
    """Run a coroutine that never waits, as all that a synchronous function gives is there at once."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a synchronous function was awaited")


HARNESSES = [
    LitellmHarness("litellm", False, False, {**ABSENT, **IN_THREADS}),
    LitellmHarness("litellm, streamed", False, True, {**ABSENT, **IN_THREADS}),
    LitellmHarness("litellm, async", True, False, ABSENT),
    LitellmHarness("litellm, async, streamed", True, True, ABSENT),
]
