"""LangChain's own standard tests pass on wrapped tools, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from asyncfc.adapters.langchain import WrappedTools, wrap_tools


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


async def add_later(a: int, b: int = 2) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return a + b


def both(a: int) -> tuple[str, list[int]]:
    """Give a text, and what it stands for."""
    return f"{a}", [a]


MADE = {
    "sync": StructuredTool.from_function(add),
    "async": StructuredTool.from_function(add, add_later),
    "artifact": StructuredTool.from_function(both, response_format="content_and_artifact"),
}


class Unit(ToolsUnitTests):
    kind = "sync"

    @property
    def tool_constructor(self) -> BaseTool:
        return wrap_tools([MADE[self.kind]])[0]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"a": 1}


class TestSyncUnit(Unit):
    kind = "sync"


class TestAsyncUnit(Unit):
    kind = "async"


class TestArtifactUnit(Unit):
    kind = "artifact"


class Integration(ToolsIntegrationTests):
    kind = "sync"

    @pytest.fixture(autouse=True)
    def closed(self) -> Iterator[None]:
        self.wrapped: WrappedTools = wrap_tools([MADE[self.kind]])
        yield
        self.wrapped.close()

    @property
    def tool_constructor(self) -> BaseTool:
        return self.wrapped[0]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"a": 1}


class TestSync(Integration):
    kind = "sync"


class TestAsync(Integration):
    kind = "async"


class TestArtifact(Integration):
    kind = "artifact"
