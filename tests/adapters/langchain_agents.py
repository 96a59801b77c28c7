"""Agents with scripted models, for the tests of the LangChain adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage

from asyncfc.adapters.langchain import AsyncFCMiddleware
from asyncfc.testing.models import Emit, Model, Script, model_of, play
from tests.adapters.conformance.langchain_models import ScriptedChatModel


class Played:
    """An agent whose model says the steps, and what came of it."""

    def __init__(
        self,
        tools: Sequence[Any],
        *steps: Emit | Script,
        middleware: Callable[[AsyncFCMiddleware], Sequence[Any]] = lambda asyncfc: [asyncfc],
        settings: dict[str, Any] | None = None,
        provider: str = "scripted",
        **options: Any,
    ) -> None:
        self.model: Model = model_of(play(*steps))
        self.asyncfc = AsyncFCMiddleware(**(settings or {}))
        chat = ScriptedChatModel(scripted=self.model, provider=provider)
        self.agent: Any = create_agent(chat, tools, middleware=middleware(self.asyncfc), **options)
        self.state: dict[str, Any] = {}

    async def run(self, given: Any = "Go.", config: Any = None) -> dict[str, Any]:
        """Run it, and check that it leaves nothing open."""
        self.state = await self.agent.ainvoke(_input(given), config)
        return self.state

    def run_sync(self, given: Any = "Go.", config: Any = None) -> dict[str, Any]:
        """The same."""
        self.state = self.agent.invoke(_input(given), config)
        return self.state

    @property
    def answers(self) -> dict[str, ToolMessage]:
        """By the name of the tool; the last one of each."""
        found = (message for message in self.state["messages"] if isinstance(message, ToolMessage))
        return {str(message.name): message for message in found}

    @property
    def text(self) -> str:
        """The last message."""
        return str(self.state["messages"][-1].text)


def _input(given: Any) -> Any:
    return {"messages": [("user", given)]} if isinstance(given, str) else given
