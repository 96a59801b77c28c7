"""Tools whose parameters a JSON schema says, not a signature."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncfc.errors import BadArguments, DeclarationError
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool

SCHEMA = {
    "type": "object",
    "properties": {"user-id": {"type": "string"}, "limit": {"type": "integer", "default": 3}},
    "required": ["user-id"],
    "additionalProperties": False,
}


async def echo(**arguments: Any) -> dict[str, Any]:
    return arguments


def test_the_schema_says_what_is_missing_and_unknown() -> None:
    tool = Tool(echo, schema=SCHEMA)
    with pytest.raises(BadArguments, match=r"missing \['user-id'\] and unknown \['x'\]"):
        tool.check({"x": 1}, "c")
    tool.check({"user-id": 1}, "c")
    Tool(echo, schema={**SCHEMA, "additionalProperties": True}).check({"user-id": 1, "x": 1}, "c")


def test_a_name_that_python_does_not_take_reaches_the_function() -> None:
    async def main() -> None:
        async with Session([Tool(echo, schema=SCHEMA, effects="pure")]) as session:
            (answer,) = await session.submit([Call("c", "echo", {"user-id": "x"})])
            assert await answer.future == {"user-id": "x"}

    run_virtual(main)


def test_a_handle_where_only_strings_fit_gives_its_text() -> None:
    async def main() -> None:
        async with Session([Tool(echo, schema=SCHEMA, effects="pure"), number]) as session:
            (first,) = await session.submit([Call("c", "number", {})])
            (second,) = await session.submit([Call("d", "echo", {"user-id": str(first.future)})])
            assert await second.future == {"user-id": "5"}

    async def number() -> int:
        await asyncio.sleep(1)
        return 5

    run_virtual(main)


def test_labels_are_filled_from_what_the_schema_names() -> None:
    tool = Tool(echo, schema=SCHEMA, effects={"reads": "users.{user-id}"})
    with_default = Tool(echo, schema=SCHEMA, effects={"reads": "pages.{limit}"})
    assert tool.label_arguments({"user-id": "a"}) == ({"user-id": "a"}, set())
    assert with_default.label_arguments({"user-id": "a"}) == ({"limit": 3}, set())
    with pytest.raises(DeclarationError, match="uid"):
        Tool(echo, schema=SCHEMA, effects={"reads": "users.{uid}"})


def test_schema_and_returns_are_kept_by_copies() -> None:
    tool = Tool(echo, schema=SCHEMA, returns={"type": "integer"}).with_name("other").with_effects("pure")
    assert (tool.schema, tool.returns) == (SCHEMA, {"type": "integer"})


def test_the_return_annotation_says_what_a_call_gives() -> None:
    async def items() -> Any:
        yield 1

    def words(n: int) -> list[str]:
        return ["x"] * n

    assert Tool(words).returns == {"items": {"type": "string"}, "type": "array"}
    assert Tool(items).returns is None
    assert Tool(lambda: 1, name="f").returns is None
