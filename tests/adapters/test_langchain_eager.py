"""Calls that start while the model's message is streamed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.types import interrupt

from asyncfc.adapters.langchain import AsyncFCMiddleware, wrap_tools
from asyncfc.errors import DeclarationError

PATIENCE = 5.0
"""Seconds until a test that waits for what never comes fails."""


class Streaming(BaseChatModel):
    """Streams what its steps yield: pieces of a message, and functions to wait for between these."""

    steps: list[Callable[[], Iterator[Any]]]
    emitted: int = 0
    ended: bool = False

    @property
    def _llm_type(self) -> str:
        return "streaming"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind()

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        self.ended = False
        for part in self.steps.pop(0)():
            if callable(part):
                await part()
            else:
                self.emitted += 1
                yield ChatGenerationChunk(message=part.model_copy())  # LangChain writes its id into it
        self.ended = True

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.ended = False
        for part in self.steps.pop(0)():
            if callable(part):
                part()
            else:
                self.emitted += 1
                yield ChatGenerationChunk(message=part.model_copy())  # LangChain writes its id into it
        self.ended = True

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        whole = AIMessageChunk(content="")
        for part in self.steps.pop(0)():
            if not callable(part):
                whole += part
        self.ended = True
        said = AIMessage(whole.content, tool_calls=whole.tool_calls)
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return asyncio.run(self._agenerate())


def says(*parts: Any) -> Callable[[], Iterator[Any]]:
    return lambda: iter(parts)


def piece(
    index: int | None, args: str, name: str | None = None, call_id: str | None = None
) -> AIMessageChunk:
    made = tool_call_chunk(name=name, args=args, id=call_id, index=index)
    return AIMessageChunk(content="", tool_call_chunks=[made])


def call(index: int, name: str, args: str = '{"x": 1}') -> list[AIMessageChunk]:
    """A call in three pieces."""
    half = len(args) // 2
    return [piece(index, "", name, f"{name}{index}"), piece(index, args[:half]), piece(index, args[half:])]


TEXT = AIMessageChunk(content="Done.")
DONE = says(TEXT)


class Bench:
    """A model, tools, and what these were called with, and how far the stream was then."""

    def __init__(self, *steps: Callable[[], Iterator[Any]]) -> None:
        self.model = Streaming(steps=[*steps, *[DONE] * 4])
        self.log: list[tuple[str, Any]] = []
        self.early: list[str] = []
        self.started = asyncio.Event()
        self.state: dict[str, Any] = {}

    def tool(self, name: str, effects: Any = "read", **options: Any) -> BaseTool:
        async def run(x: Any = None) -> dict[str, Any]:
            """Give it back."""
            self.note(name, x)
            self.started.set()
            return {"x": x}

        metadata = {} if effects is None else {"asyncfc": effects}
        return StructuredTool.from_function(coroutine=run, name=name, metadata=metadata, **options)

    def note(self, name: str, x: Any) -> None:
        self.log.append((name, x))
        if not self.model.ended:
            self.early.append(name)

    async def has_started(self) -> None:
        await asyncio.wait_for(self.started.wait(), PATIENCE)

    async def run(
        self,
        tools: list[BaseTool],
        middleware: Any = (),
        eager: Any = "all",
        config: Any = None,
        before: Any = (),
        kept: bool = False,
        **settings: Any,
    ) -> None:
        """Stream it; `kept`: in a thread with a checkpointer."""
        self.asyncfc = AsyncFCMiddleware(eager=eager, grace=PATIENCE, **settings)
        given: Any = [*before, self.asyncfc, *middleware]
        saver = InMemorySaver() if kept else None
        agent: Any = create_agent(self.model, tools, middleware=given, checkpointer=saver)
        config = {"configurable": {"thread_id": "1"}} if kept else config
        given = {"messages": [("user", "Go.")]}
        async for mode, part in agent.astream(given, config, stream_mode=["messages", "values"]):
            if mode == "values":
                self.state = part

    @property
    def answers(self) -> list[str]:
        found = [one for one in self.state["messages"] if isinstance(one, ToolMessage)]
        return [str(one.text) for one in found]


async def turns() -> None:
    """Let everything run that could run."""
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_declared_read_starts_before_the_stream_ends() -> None:
    async def main() -> None:
        bench = Bench()
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "look", '{"x": 2}'), bench.has_started)]
        await bench.run([bench.tool("look")])
        assert bench.log == [("look", 1), ("look", 2)]
        assert bench.early == ["look"]
        assert bench.answers == ['{"x": 1}', '{"x": 2}']
        assert bench.state["messages"][-1].text == "Done."

    asyncio.run(main())


@pytest.mark.parametrize(
    ("effects", "eager"),
    [
        pytest.param({"writes": ["a"]}, "all", id="a write"),
        pytest.param(None, "all", id="undeclared"),
        pytest.param("read", (), id="nothing is eager"),
        pytest.param("read", ("other", "no*"), id="not named"),
    ],
)
def test_no_other_call_starts_before_the_message_is_complete(effects: Any, eager: Any) -> None:
    async def main() -> None:
        bench = Bench(says(*call(0, "look"), *call(1, "look", '{"x": 2}'), turns))
        await bench.run([bench.tool("look", effects), bench.tool("other")], eager=eager)
        assert sorted(bench.log) == [("look", 1), ("look", 2)]
        assert bench.early == []
        assert bench.answers[0] == '{"x": 1}'

    asyncio.run(main())


def test_a_read_behind_a_write_that_it_conflicts_with_waits_for_it() -> None:
    async def main() -> None:
        calls = [*call(0, "put"), *call(1, "look"), *call(2, "look", '{"x": 2}')]
        bench = Bench(says(*calls, turns))
        await bench.run([bench.tool("put", {"writes": ["a"]}), bench.tool("look", {"reads": ["a"]})])
        assert bench.log[0] == ("put", 1)
        assert len(bench.log) == 3
        assert bench.early == []

    asyncio.run(main())


def test_a_tool_that_needs_what_is_injected_waits_for_its_hook() -> None:
    async def main() -> None:
        bench = Bench(says(*call(0, "look", "{}"), *call(1, "look", "{}"), turns))

        async def look(state: Annotated[Any, InjectedState]) -> str:
            """Look."""
            bench.note("look", len(state["messages"]))
            return "seen"

        tool = StructuredTool.from_function(coroutine=look, metadata={"asyncfc": "read"})
        await bench.run([tool])
        assert bench.log == [("look", 2), ("look", 2)]
        assert bench.early == []

    asyncio.run(main())


def test_a_stream_that_breaks_withdraws_it_and_a_repeat_runs_it_again() -> None:
    def breaks() -> None:
        raise ConnectionError("gone")

    async def main(inside: bool) -> None:
        bench = Bench()

        async def gone() -> None:
            await bench.has_started()
            bench.started.clear()
            breaks()

        calls = [*call(0, "look"), *call(1, "look", '{"x": 2}')]
        bench.model.steps[:0] = [says(*calls, gone), says(*calls, bench.has_started)]
        again = [ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)]
        tools = [bench.tool("look")]
        await bench.run(tools, middleware=again if inside else (), before=() if inside else again)
        assert bench.log == [("look", 1), ("look", 1), ("look", 2)]
        assert bench.answers == ['{"x": 1}', '{"x": 2}']

    asyncio.run(main(inside=True))
    asyncio.run(main(inside=False))


class Endless:
    """A read that never ends of itself."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.stopped = asyncio.Event()

    def tool(self) -> BaseTool:
        async def look(x: int) -> None:
            """Look."""
            self.bench.started.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()

        return StructuredTool.from_function(coroutine=look, metadata={"asyncfc": "read"})

    async def has_stopped(self) -> None:
        await asyncio.wait_for(self.stopped.wait(), PATIENCE)


@pytest.mark.parametrize("kept", [False, True])
def test_a_message_that_breaks_for_good_stops_what_it_has_started(kept: bool) -> None:
    async def main() -> None:
        bench = Bench()
        endless = Endless(bench)

        async def breaks() -> None:
            await bench.has_started()
            raise ConnectionError("gone")

        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "look"), breaks)]
        with pytest.raises(ConnectionError):
            await bench.run([endless.tool()], kept=kept)
        await endless.has_stopped()
        await bench.asyncfc.aclose()

    asyncio.run(main())


def test_a_message_that_is_repeated_stops_what_the_broken_one_has_started() -> None:
    async def main() -> None:
        bench = Bench()
        endless = Endless(bench)

        async def breaks() -> None:
            await bench.has_started()
            raise ConnectionError("gone")

        bench.model.steps[:0] = [
            says(*call(0, "look"), *call(1, "look"), breaks),
            says(endless.has_stopped, TEXT),
        ]
        again = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
        await bench.run([endless.tool()], middleware=[again])
        assert bench.state["messages"][-1].text == "Done."

    asyncio.run(main())


def test_where_the_final_message_has_no_calls_what_has_started_is_stopped() -> None:
    class Strips(AgentMiddleware[Any, Any, Any]):
        async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            response = await handler(request)
            response.result = [AIMessage("Done.", id="stripped")]
            return response

    async def main() -> None:
        bench = Bench()
        endless = Endless(bench)
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "look"), bench.has_started)]
        await bench.run([endless.tool()], middleware=[Strips()], kept=True, final="open")
        await endless.has_stopped()
        await bench.asyncfc.aclose()

    asyncio.run(main())


def test_models_that_middleware_asks_on_its_own_start_nothing_here() -> None:
    async def main() -> None:
        bench = Bench()
        inner = Bench(says(*call(0, "look"), *call(1, "look", '{"x": 2}'), turns))
        agent: Any = create_agent(inner.model, [inner.tool("look")])

        class Consults(AgentMiddleware[Any, Any, Any]):
            async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
                await agent.ainvoke({"messages": [("user", "Look.")]})
                return await handler(request)

        await bench.run([bench.tool("look")], middleware=[Consults()])
        assert bench.log == []
        assert sorted(inner.log) == [("look", 1), ("look", 2)]
        assert inner.model.emitted > 0

    asyncio.run(main())


class Rewrites(AgentMiddleware[Any, Any, Any]):
    """Changes the arguments of all calls once the message is complete."""

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        response = await handler(request)
        for message in response.result:
            message.tool_calls = [{**made, "args": {"x": "changed"}} for made in message.tool_calls]
        return response


def test_where_the_final_message_has_other_arguments_these_run_once() -> None:
    async def main() -> None:
        bench = Bench()
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "put"), bench.has_started)]
        tools = [bench.tool("look"), bench.tool("put", {"writes": ["a"]})]
        await bench.run(tools, middleware=[Rewrites()])
        assert sorted(bench.log, key=str) == [("look", "changed"), ("look", 1), ("put", "changed")]
        assert bench.answers[0] == '{"x": "changed"}'

    asyncio.run(main())


def test_where_others_answer_a_call_its_work_is_stopped_and_never_delivered() -> None:
    class Answers(AgentMiddleware[Any, Any, Any]):
        async def aafter_model(self, state: Any, runtime: Any) -> Any:
            made = state["messages"][-1].tool_calls
            return (
                None
                if not made
                else {"messages": [ToolMessage("no", tool_call_id=made[0]["id"], name="look")]}
            )

    async def main() -> None:
        bench = Bench()
        endless = Endless(bench)

        async def see(x: int) -> str:
            """See."""
            await endless.has_stopped()
            return "seen"

        second = StructuredTool.from_function(coroutine=see, metadata={"asyncfc": "read"})
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "see"), bench.has_started)]
        await bench.run([endless.tool(), second], before=[Answers()])
        assert bench.answers == ["no", "seen"]

    asyncio.run(main())


def test_without_a_stream_it_is_as_without_eager() -> None:
    async def main() -> None:
        bench = Bench(says(*call(0, "look"), *call(1, "look", '{"x": 2}')))
        agent: Any = create_agent(
            bench.model, [bench.tool("look")], middleware=[AsyncFCMiddleware(eager="all", grace=PATIENCE)]
        )
        bench.state = await agent.ainvoke({"messages": [("user", "Go.")]})
        assert bench.log == [("look", 1), ("look", 2)]
        assert bench.early == []
        assert bench.model.emitted == 0
        assert bench.answers == ['{"x": 1}', '{"x": 2}']

    asyncio.run(main())


def test_a_call_takes_the_value_of_one_before_it_while_the_message_is_streamed() -> None:
    async def main() -> None:
        bench = Bench()
        calls = [
            *call(0, "look"),
            *call(1, "see", '{"x": "$this_1.x"}'),
            *call(2, "put", '{"x": "$this_2.x"}'),
        ]
        seen = asyncio.Event()

        async def see(x: Any) -> dict[str, Any]:
            """See."""
            bench.note("see", x)
            seen.set()
            return {"x": x + 1}

        async def has_seen() -> None:
            await asyncio.wait_for(seen.wait(), PATIENCE)

        bench.model.steps[:0] = [says(*calls, has_seen)]
        second = StructuredTool.from_function(coroutine=see, metadata={"asyncfc": "read"})
        await bench.run([bench.tool("look"), second, bench.tool("put", None)])
        assert bench.log == [("look", 1), ("see", 1), ("put", 2)]
        assert bench.early == ["look", "see"]

    asyncio.run(main())


class Reversed(AgentMiddleware[Any, Any, Any]):
    """Lets the hooks of three calls arrive the other way round, and counts which come further."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = [asyncio.Event() for _ in range(4)]
        self.turns[3].set()

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        number = int(request.tool_call["id"][-1])
        await self.turns[number + 1].wait()
        self.turns[number].set()
        return await handler(request)


def test_hooks_in_any_order_get_their_own_answers() -> None:
    async def main() -> None:
        bench = Bench()
        calls = [*call(0, "look"), *call(1, "look", '{"x": 2}'), *call(2, "put", '{"x": 3}')]
        bench.model.steps[:0] = [says(*calls, bench.has_started)]
        await bench.run([bench.tool("look"), bench.tool("put", {"writes": ["a"]})], before=[Reversed()])
        assert sorted(bench.log) == [("look", 1), ("look", 2), ("put", 3)]
        assert bench.early == ["look", "look"]
        assert bench.answers == ['{"x": 1}', '{"x": 2}', '{"x": 3}']

    asyncio.run(main())


def test_what_middleware_does_around_tools_is_not_done_to_eager_calls() -> None:
    hooked: list[str] = []

    class Hooks(AgentMiddleware[Any, Any, Any]):
        async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            hooked.append(request.tool_call["name"])
            return await handler(request)

    async def main() -> None:
        bench = Bench(says(*call(0, "look"), *call(1, "put"), *call(2, "look")))
        bench.model.steps.append(bench.model.steps[-1])  # a call that still waits is not held for
        await bench.run([bench.tool("look"), bench.tool("put", {"writes": ["a"]})], middleware=[Hooks()])
        assert sorted(hooked) == ["look", "put"]  # the last one is complete only with the message

    asyncio.run(main())


def test_callbacks_and_tags_of_the_run_reach_an_eager_tool() -> None:
    class Heard(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tags: list[Any] = []

        def on_tool_start(self, *args: Any, tags: Any = None, **kwargs: Any) -> None:
            self.tags.append(tags)

    async def main() -> None:
        bench, heard = Bench(), Heard()
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "put"), bench.has_started)]
        config = {"callbacks": [heard], "tags": ["mine"]}
        await bench.run([bench.tool("look"), bench.tool("put", None)], config=config, eager=["lo*"])
        assert len(heard.tags) == 2
        assert all("mine" in tags for tags in heard.tags)

    asyncio.run(main())


def test_what_an_eager_tool_raises_is_told_and_wrong_arguments_are_too() -> None:
    async def main() -> None:
        bench = Bench(
            says(*call(0, "look"), *call(1, "ask"), *call(2, "typed", '{"x": "a"}'), *call(3, "look"))
        )

        async def look(x: int) -> None:
            """Look."""
            raise OSError("no disk")

        async def ask(x: int) -> Any:
            """Ask."""
            return interrupt("May I?")

        async def typed(x: int) -> None:
            """Take a number."""

        tools: list[BaseTool] = [
            StructuredTool.from_function(coroutine=function, metadata={"asyncfc": "read"})
            for function in (look, ask, typed)
        ]
        await bench.run(tools)
        assert "no disk" in bench.answers[0]
        assert "take it out of `eager`" in bench.answers[1]
        assert "x" in bench.answers[2]

    asyncio.run(main())


def test_a_call_whose_arguments_cannot_be_read_counts_for_nothing() -> None:
    async def main() -> None:
        calls = [*call(0, "look", "[1]"), *call(1, "look", '{"x": 2}'), *call(2, "see", '{"x": "$this_1.x"}')]
        bench = Bench(says(*calls))
        await bench.run([bench.tool("look"), bench.tool("see", None)])
        assert bench.log == [("look", 2), ("see", 2)]

    asyncio.run(main())


def test_whole_calls_without_an_index_are_calls_of_their_own() -> None:
    async def main() -> None:
        bench = Bench()
        whole = [piece(None, f'{{"x": {n}}}', "look", f"c{n}") for n in (1, 2)]
        bench.model.steps[:0] = [says(*whole, bench.has_started)]
        await bench.run([bench.tool("look")])
        assert bench.log == [("look", 1), ("look", 2)]
        assert bench.early == ["look"]

    asyncio.run(main())


def test_a_graph_of_ones_own_has_it_too() -> None:
    async def main() -> None:
        bench = Bench()
        bench.model.steps[:0] = [says(*call(0, "look"), *call(1, "look", '{"x": 2}'), bench.has_started)]
        tools = wrap_tools([bench.tool("look")], eager="all")

        async def ask(state: Any) -> Any:
            return {"messages": await tools.aask(bench.model, state["messages"])}

        builder: Any = StateGraph(MessagesState)
        builder.add_node("model", ask)
        builder.add_node("tools", ToolNode(list(tools)))
        builder.add_edge(START, "model")
        builder.add_conditional_edges("model", tools_condition)
        builder.add_edge("tools", "model")
        async with tools:
            given = {"messages": [("user", "Go.")]}
            async for _ in builder.compile().astream(given, stream_mode="messages"):
                pass
        assert bench.log == [("look", 1), ("look", 2)]
        assert bench.early == ["look"]

    asyncio.run(main())


@pytest.mark.parametrize("breaks", [False, True])
def test_a_synchronous_agent_has_it_too(breaks: bool) -> None:
    bench = Bench()
    started = threading.Event()

    def look(x: int) -> dict[str, int]:
        """Look."""
        bench.note("look", x)
        started.set()
        return {"x": x}

    def has_started() -> None:
        assert started.wait(PATIENCE)
        started.clear()

    def gone() -> None:
        has_started()
        raise ConnectionError("gone")

    calls = [*call(0, "look"), *call(1, "look", '{"x": 2}')]
    bench.model.steps[:0] = [*([says(*calls, gone)] if breaks else []), says(*calls, has_started)]
    tool = StructuredTool.from_function(look, metadata={"asyncfc": "read"})
    again = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    middleware: list[Any] = [AsyncFCMiddleware(eager=["look"], grace=PATIENCE), again]
    agent: Any = create_agent(bench.model, [tool], middleware=middleware)
    for mode, part in agent.stream({"messages": [("user", "Go.")]}, stream_mode=["messages", "values"]):
        if mode == "values":
            bench.state = part
    assert bench.log == [("look", 1)] * breaks + [("look", 1), ("look", 2)]
    assert bench.early == ["look"] * (1 + breaks)
    assert bench.answers == ['{"x": 1}', '{"x": 2}']


def test_one_name_alone_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"eager is 'look'; expected names or patterns"):
        AsyncFCMiddleware(eager="look")
