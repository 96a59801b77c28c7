"""LangChain and LangGraph in the suite: agents, a graph of one's own, and a loop of one's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.messages import HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import RetryPolicy

from asyncfc.adapters.langchain import AsyncFCMiddleware, wrap_tools
from asyncfc.testing.models import Rejected
from tests.adapters.conformance.harness import Capability, Harness, Stage
from tests.adapters.conformance.langchain_models import ScriptedChatModel

NO_PROGRAMS = "LangChain has no calls that a program of the model makes."
NO_CANCEL = "Work that runs in a thread cannot be stopped."
CONFIG: Any = {"configurable": {"thread_id": "1"}}


def user(text: str, stage: Stage) -> dict[str, Any]:
    """What the user says; where the case forgets, all before is taken out of the state."""
    forgotten = [RemoveMessage(id=REMOVE_ALL_MESSAGES)] if stage.case.forgets else []
    return {"messages": [*forgotten, ("user", text)]}


class Retry(AgentMiddleware):
    """Asks the model again if its server failed."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        while True:
            with suppress(Rejected):
                return handler(request)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        while True:
            with suppress(Rejected):
                return await handler(request)


class Twice(AgentMiddleware):
    """Makes each call a second time, as a step that runs again does."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        handler(request)
        return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        await handler(request)
        return await handler(request)


class Agent:
    """An agent of `create_agent`."""

    name = "langchain-agent"
    absent: Mapping[Capability, str] = {"program": NO_PROGRAMS}

    async def run(self, stage: Stage) -> Sequence[str]:
        tools = [StructuredTool.from_function(coroutine=one) for one in stage.functions.values()]
        middleware = AsyncFCMiddleware(**stage.settings)
        agent = self.agent(stage, tools, middleware)
        try:
            return [text_of(await agent.ainvoke(user(turn, stage), CONFIG)) for turn in stage.turns]
        finally:
            await middleware.aclose()

    def agent(self, stage: Stage, tools: Any, middleware: Any) -> Any:
        form = stage.case.structured
        return create_agent(
            ScriptedChatModel(scripted=stage.model()),
            tools,
            middleware=[Retry(), *[Twice()] * stage.case.resubmits, middleware],
            response_format=None if form is None else ProviderStrategy({"title": "form", **form}),
            checkpointer=InMemorySaver(),
        )


class SyncAgent(Agent):
    """The same, run synchronously, in a thread."""

    name = "langchain-agent-sync"
    absent: Mapping[Capability, str] = {"program": NO_PROGRAMS, "cancel": NO_CANCEL}

    async def run(self, stage: Stage) -> Sequence[str]:
        return await asyncio.to_thread(self._run, stage)

    def _run(self, stage: Stage) -> Sequence[str]:
        tools = [StructuredTool.from_function(one) for one in stage.blocking.values()]
        middleware = AsyncFCMiddleware(**stage.settings)
        agent = self.agent(stage, tools, middleware)
        try:
            return [text_of(agent.invoke(user(turn, stage), CONFIG)) for turn in stage.turns]
        finally:
            middleware.close()


class Graph:
    """A graph of one's own."""

    name = "langgraph"
    absent: Mapping[Capability, str] = {
        "program": NO_PROGRAMS,
        "structured": "A graph of one's own asks for structured output in a step of its own.",
    }

    async def run(self, stage: Stage) -> Sequence[str]:
        tools = wrap_tools(
            [StructuredTool.from_function(coroutine=one) for one in stage.functions.values()],
            **stage.settings,
        )
        model = ScriptedChatModel(scripted=stage.model())

        async def ask(state: MessagesState) -> dict[str, Any]:
            return {"messages": await tools.aask(model, state["messages"])}

        builder = StateGraph(MessagesState)
        retry = RetryPolicy(retry_on=Rejected, initial_interval=0, jitter=False)
        builder.add_node("model", ask, retry_policy=retry)
        node = self.node(tools)

        async def call(state: MessagesState, config: RunnableConfig) -> Any:
            if stage.case.resubmits:
                await node.ainvoke(state, config)
            return await node.ainvoke(state, config)

        builder.add_node("tools", call)
        builder.add_edge(START, "model")
        builder.add_conditional_edges("model", tools_condition)
        builder.add_edge("tools", "model")
        graph: Any = builder.compile(checkpointer=InMemorySaver())
        async with tools:
            return [text_of(await graph.ainvoke(user(turn, stage), CONFIG)) for turn in stage.turns]

    def node(self, tools: Any) -> ToolNode:
        return ToolNode(tools)


class HookedGraph(Graph):
    """A graph whose `ToolNode` has the tools as they are."""

    name = "langgraph-hooks"

    def node(self, tools: Any) -> ToolNode:
        return ToolNode(tools.inner, awrap_tool_call=tools.awrap_tool_call)


class Loop:
    """A loop of one's own, synchronous, in a thread; it makes the calls one after the other."""

    name = "langchain-loop"
    absent: Mapping[Capability, str] = {
        "program": NO_PROGRAMS,
        "cancel": NO_CANCEL,
        "together": "A loop of one's own makes the calls of a message one after the other.",
        "structured": Graph.absent["structured"],
    }

    async def run(self, stage: Stage) -> Sequence[str]:
        return await asyncio.to_thread(self._run, stage)

    def _run(self, stage: Stage) -> Sequence[str]:
        model = ScriptedChatModel(scripted=stage.model())
        tools = wrap_tools(
            [StructuredTool.from_function(one) for one in stage.blocking.values()], **stage.settings
        )
        messages: Any = []
        texts: list[str] = []
        with tools:
            for turn in stage.turns:
                messages = add_messages([] if stage.case.forgets else messages, HumanMessage(turn))
                messages = self._turn(model, tools, messages, stage)
                texts.append(str(messages[-1].text))
        return texts

    def _turn(self, model: Any, tools: Any, messages: Any, stage: Stage) -> Any:
        by_name = {tool.name: tool for tool in tools}
        while True:
            messages = add_messages(messages, self._asked(model, tools, messages))
            if not messages[-1].tool_calls:
                return messages
            for call in messages[-1].tool_calls:
                tool = by_name.get(call["name"])
                if stage.case.resubmits:
                    self._answer(tool, call)
                messages = add_messages(messages, self._answer(tool, call))

    def _answer(self, tool: Any, call: Any) -> ToolMessage:
        if tool is None:
            return ToolMessage(f"There is no tool {call['name']}.", tool_call_id=call["id"])
        answer: ToolMessage = tool.invoke(call)
        return answer

    def _asked(self, model: Any, tools: Any, messages: Any) -> Any:
        while True:
            with suppress(Rejected):
                return tools.ask(model, messages)


def text_of(state: Mapping[str, Any]) -> str:
    """What the user reads in the end."""
    structured = state.get("structured_response")
    return str(state["messages"][-1].text) if structured is None else json.dumps(structured)


HARNESSES: list[Harness] = [Agent(), SyncAgent(), Graph(), HookedGraph(), Loop()]
