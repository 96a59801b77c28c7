"""Wrapped tools: in graphs and loops of one's own."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition

from asyncfc.adapters.langchain import wrap_tools
from asyncfc.adapters.langchain.messages import value_of
from asyncfc.errors import TranscriptError
from asyncfc.testing.models import Emit, model_of, play
from tests.adapters.conformance.langchain_models import ScriptedChatModel


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


def both(a: int) -> tuple[str, list[int]]:
    """Give a text, and what it stands for."""
    return f"{a}", [a]


# --- what a tool is without a model ----------------------------------------------------------------------


def test_a_programs_own_call_gives_the_tools_own_result() -> None:
    with wrap_tools(
        [add, StructuredTool.from_function(both, response_format="content_and_artifact")]
    ) as tools:
        assert tools[0].invoke({"a": 1}) == 3
        assert tools[1].invoke({"a": 1}) == "1"
        made = {"type": "tool_call", "id": "1", "name": "both", "args": {"a": 1}}
        assert tools[1].invoke(made).artifact == [1]


def test_a_programs_own_call_raises_what_the_tool_raises() -> None:
    def fails() -> None:
        """Fail."""
        raise KeyError("gone")

    with wrap_tools([fails]) as tools, pytest.raises(KeyError, match="gone"):
        tools[0].invoke({})


def test_await_future_is_not_for_programs() -> None:
    with wrap_tools([add]) as tools, pytest.raises(TranscriptError, match="await_future is for the model"):
        tools[1].invoke({})
    assert [one.name for one in wrap_tools([add], control=False)] == ["add"]


# --- a graph of one's own ---


def test_a_tool_node_fills_what_it_fills_without_asyncfc() -> None:
    @tool
    async def count(
        x: int, state: Annotated[dict[str, Any], InjectedState], call_id: Annotated[str, InjectedToolCallId]
    ) -> str:
        """Count."""
        return f"{x} {len(state['messages'])} {call_id}"

    async def main() -> None:
        model = ScriptedChatModel(scripted=model_of(play(Emit(calls=[("count", {"x": 1})]))))
        async with wrap_tools([count], grace=0) as tools:
            messages: Any = [HumanMessage("Go.")]
            messages += await tools.aask(model, messages)
            state = await _in_graph(ToolNode(tools), messages)
            assert state["messages"][-1].text == "1 2 call_1"

    asyncio.run(main())


async def _in_graph(node: Any, messages: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("tools", node)
    builder.add_edge(START, "tools")
    graph: Any = builder.compile()
    return await graph.ainvoke({"messages": messages})


def test_a_synchronous_tool_node_may_have_the_tools_as_they_are() -> None:
    steps = play(Emit(calls=[("add", {"a": 1}), ("add", {"a": "$this_1"})]), Emit("Done."), Emit("Done."))
    model = ScriptedChatModel(scripted=model_of(steps))
    with wrap_tools([add], grace=0) as tools:
        builder = StateGraph(MessagesState)
        builder.add_node("model", lambda state: {"messages": tools.ask(model, state["messages"])})
        builder.add_node("tools", ToolNode(tools.inner, wrap_tool_call=tools.wrap_tool_call))
        builder.add_edge(START, "model")
        builder.add_conditional_edges("model", tools_condition)
        builder.add_edge("tools", "model")
        graph: Any = builder.compile()
        messages = graph.invoke({"messages": [("user", "Go.")]})["messages"]
    told = "\n".join(one.text for one in messages if isinstance(one, ToolMessage))
    assert 'add({"a": "$this_1"}) has ended:\n5' in told


def test_messages_that_a_delivery_has_changed_stand_in_front_of_what_is_new() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def slow(x: int) -> int:
            """Be slow."""
            await gate.wait()
            return x

        steps = play(Emit(calls=[("slow", {"x": 1})]), Emit(calls=[("add", {"a": 1})]), Emit("Done."))
        model = ScriptedChatModel(scripted=model_of(steps))
        async with wrap_tools([slow, add], grace=0, effects={"*": "pure"}) as tools:
            messages: Any = [HumanMessage("Go.", id="0")]
            for name in ("slow", "add"):
                new: Any = await tools.aask(model, messages)
                messages = add_messages(messages, new)
                by_name = {one.name: one for one in tools}
                answer = await by_name[name].ainvoke(messages[-1].tool_calls[0])
                messages = add_messages(messages, [answer])
            gate.set()
            await tools.conversation(blocking=False).settle()
            new = await tools.aask(model, messages)
            assert [type(one) for one in new] == [ToolMessage, AIMessage]
            assert new[0].id == messages[-1].id
            assert str(new[0].text).startswith(str(messages[-1].text))
            assert "slow(" in str(new[0].text)
            assert new[1].text == "Done."

    asyncio.run(main())


# --- values ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1]}', {"a": [1]}),
        ("[1, 2]", [1, 2]),
        ("7", 7),
        ("1.5", 1.5),
        ("007", "007"),
        ("1.50", "1.50"),
        ('"quoted"', '"quoted"'),
        ("true", True),
        ("NaN", "NaN"),
        ("[NaN]", "[NaN]"),
        ("text", "text"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_what_a_text_holds_is_the_value_if_nothing_of_the_text_is_lost(text: str, value: Any) -> None:
    assert value_of(text) == value
