"""Whose rules hold where the requests alone do not say it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncfc.agent import run
from asyncfc.errors import DeclarationError
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Emit, Rejected, model_of, play
from asyncfc.tools import tool


@tool(pure=True)
async def look() -> str:
    """Look around."""

    await asyncio.sleep(5)
    return "trees"


async def ends(provider: str | None) -> str:
    judge = model_of(
        play(Emit(calls=[("look", {})]), Emit("Wait."), lambda view: Emit(view.last_texts()[-1])),
        require=("no user after tool", "own calls"),
        decode=1,
    )

    async def model(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        return await judge({"model": "m", "messages": messages, "tools": tools})

    done = await run(model, [{"role": "user", "content": "Look."}], [look], grace=0, provider=provider)
    return done.text


def test_a_provider_that_takes_only_its_own_calls_gets_a_note() -> None:
    with pytest.raises(Rejected, match="thought_signature"):
        run_virtual(lambda: ends(None))
    assert "trees" in str(run_virtual(lambda: ends("gemini")))


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(DeclarationError, match="there is no provider 'acme'; they are 'openai chat'"):
        run_virtual(lambda: ends("acme"))
