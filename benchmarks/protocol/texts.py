"""What the protocol's texts cost: the characters that asyncfc adds to requests, and about how many tokens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from asyncfc import Call, Session, Tool
from asyncfc.conversation.formats.base import ToolSchema
from asyncfc.dialogue import Dialogue
from asyncfc.testing.loop import run_virtual

CHARS_PER_TOKEN = 4
"""A rule of thumb for English and JSON; no tokenizer was used."""

ARGUMENTS = '{"query": "weather in Zurich", "limit": 5}'
_VALUE = "sunny"


async def search(query: str, limit: int) -> str:
    """Find something."""
    await asyncio.sleep(1)
    return _VALUE


def none() -> None:
    """A tool of no parameter."""


def one(first: int) -> None:
    """A tool of one parameter that takes no string."""


def two(first: int, second: int) -> None:
    """A tool of two."""


def characters() -> dict[str, int]:
    """Characters of each text as it stands in a request to Chat Completions, the values themselves left out.

    `delivery` and `block` go around the value of a call that was answered with a handle; the block stands
    once around all that come with one request.
    """
    return run_virtual(_characters)


async def _characters() -> dict[str, int]:
    async with Session([search, none, one, two], id="texts") as session:
        dialogue = Dialogue(session)
        note, controls = dialogue.note or "", sum(_size(_sent(tool)) for tool in dialogue.controls)
        added = [_relaxed(dialogue, session.tools[tool.__name__]) for tool in (none, one, two)]
        (answer,) = await session.submit([Call("call_1", "search", ARGUMENTS)])
        await answer.future.wait()
        with session.sampling() as deliveries:
            told = deliveries[0].text
        block = session.wording.block.format(results="")
    return {
        "system_note": len(note),
        "control_tools": controls,
        "relaxation_first_of_a_tool": added[1] - added[0],
        "relaxation_per_further_parameter": added[2] - added[1],
        "placeholder": len(answer.text),
        "delivery": len(told) - len(_VALUE),
        "block": len(block) + len("\n\n"),
    }


def sums(sizes: dict[str, int]) -> dict[str, float]:
    """Tokens that stand once in a conversation, and those of each call that is answered with a handle.

    The latter at their dearest: each result in a block of its own.
    """
    once = sizes["system_note"] + sizes["control_tools"]
    per_call = sizes["placeholder"] + sizes["delivery"] + sizes["block"]
    return {"tokens_once": once / CHARS_PER_TOKEN, "tokens_per_call": per_call / CHARS_PER_TOKEN}


def _relaxed(dialogue: Dialogue, tool: Tool) -> int:
    """How much longer the schema of a tool gets."""
    schema = ToolSchema(tool.name, tool.description, tool.schema, strict=False)
    return _size(dialogue.adapt(schema).parameters) - _size(schema.parameters)


def _sent(tool: ToolSchema) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
