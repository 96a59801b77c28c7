"""The loops that are compared: two plain ones that know nothing of asyncfc, and `asyncfc.run`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

from asyncfc import Tool
from asyncfc.agent import run
from asyncfc.runtime import Runtime
from asyncfc.testing.models import Model
from benchmarks.protocol.measured import Heard, Measured
from benchmarks.protocol.strategies import Strategy
from benchmarks.protocol.turns import TOOL, Json, Turn, make_step

_PARAMETERS = {"number": {"type": "integer"}, "before": {"type": "string"}}
_DECLARED = {
    "name": TOOL,
    "description": "Do a step.",
    "parameters": {"type": "object", "properties": _PARAMETERS, "required": ["number"]},
}
_BEGIN: list[Json] = [{"role": "user", "content": "Do it."}]


async def plain_turn(turn: Turn, q: float) -> Measured:
    """A hand-written loop: ask, run the calls of the message at the same time, append, ask again.

    Where the model makes one call per message, this is the synchronous loop; else that with parallel calls.
    """
    model, step, clock = turn.model(), make_step(q, turn.kind), asyncio.get_running_loop().time
    heard, messages = Heard(clock()), list(_BEGIN)
    body = {"model": "scripted", "tools": [{"type": "function", "function": _DECLARED}], "stream": True}
    while True:
        async for chunk in model.stream({**body, "messages": messages}):
            heard.note(chunk["choices"][0]["delta"].get("content") or "", clock())
        said: Json = model.replies[-1]["choices"][0]["message"]
        messages.append(said)
        calls = said.get("tool_calls") or []
        if not calls:
            return heard.measured(turn.answer, len(model.replies), clock())
        results = await asyncio.gather(*(_made(step, call) for call in calls))
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": text}
            for call, text in zip(calls, results, strict=True)
        ]


async def _made(step: Callable[..., Awaitable[str]], call: Json) -> str:
    return await step(**json.loads(call["function"]["arguments"]))


async def asyncfc_turn(turn: Turn, q: float, strategy: Strategy, runtime: Runtime | None) -> Measured:
    """The same through `asyncfc.run`, streamed; what a common runtime learns holds for the next turn."""
    model, clock = turn.model(), asyncio.get_running_loop().time
    heard = Heard(clock())
    done = await run(
        _spoken(model),
        _BEGIN,
        [Tool(make_step(q, turn.kind), name=TOOL, effects=strategy.effects)],
        on_text=lambda text: heard.note(text, clock()),
        runtime=runtime,
        grace=strategy.grace,
        same_message="concurrent" if strategy.together else "ordered",
        id=f"{strategy.name} {turn.calls}",
    )
    if (done.text, done.model_messages) != (turn.answer, len(model.replies)):
        raise AssertionError(f"the run says {done.text!r} after {done.model_messages} messages: {turn}")
    return heard.measured(turn.answer, done.model_messages, clock())


def _spoken(model: Model) -> Callable[[list[Json], list[Json]], Awaitable[AsyncGenerator[Json, None]]]:
    async def speak(messages: list[Json], tools: list[Json]) -> AsyncGenerator[Json, None]:
        return model.stream({"model": "scripted", "messages": messages, "tools": tools, "stream": True})

    return speak
