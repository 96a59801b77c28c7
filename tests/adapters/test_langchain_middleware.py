"""What is special to agents of `create_agent`."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import pytest
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, ToolMessage, convert_to_openai_messages
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from asyncfc.adapters.langchain import AsyncFCMiddleware
from asyncfc.adapters.langchain.tools import effects_of, is_inline
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, View
from tests.adapters.langchain_agents import Played

THREAD = {"configurable": {"thread_id": "1"}}
PROVISIONAL = Emit("This is provisional.")


class Slow:
    """Tools that wait until they are let go, and what they were called with."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.calls: list[Any] = []

    def tool(self, name: str = "slow", **options: Any) -> BaseTool:
        async def slow(x: Any) -> Any:
            """Wait, and give it back."""
            self.calls.append(x)
            await self.gate.wait()
            return x

        return StructuredTool.from_function(
            coroutine=slow, name=name, metadata={"asyncfc": "pure"}, **options
        )


def passes(gate: asyncio.Event, said: Emit | Callable[[View], Emit]) -> Callable[[View], Emit]:
    """A step that lets the tools go."""

    def step(view: View) -> Emit:
        gate.set()
        return said if isinstance(said, Emit) else said(view)

    return step


def told(view: View) -> Emit:
    return Emit("Told: " + "; ".join(answer.text for answer in view.answers()))


# --- order ------------------------------------------------------------------------------------------


class Shuffled(AgentMiddleware):
    """Lets the hooks of eight calls arrive in a given order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order
        self.arrived: list[int] = []
        self.turns = [asyncio.Event() for _ in order]
        self.turns[order[0]].set()

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        number = request.tool_call["args"]["x"]
        await self.turns[number].wait()
        self.arrived.append(number)
        if len(self.arrived) < len(self.order):
            self.turns[self.order[len(self.arrived)]].set()
        return await handler(request)


@pytest.mark.slow
def test_eight_calls_run_in_message_order_in_100_of_100_runs_with_shuffled_hooks() -> None:
    async def once(seed: int) -> None:
        order = list(range(8))
        random.Random(seed).shuffle(order)
        ran: list[int] = []

        @tool
        async def write(x: int) -> int:
            """Write."""
            ran.append(x)
            await asyncio.sleep(0)
            return x

        shuffled = Shuffled(order)
        played = Played(
            [write],
            Emit(calls=[("write", {"x": n}) for n in range(8)]),
            PROVISIONAL,
            Emit("Done."),
            middleware=lambda asyncfc: [shuffled, asyncfc],
            settings={"grace": 0, "same_message": "ordered"},
        )
        await played.run()
        assert shuffled.arrived == order
        assert ran == list(range(8))
        answers = [one for one in played.state["messages"] if isinstance(one, ToolMessage)][:8]
        numbers = [str(one.text).partition(" is running")[0].rpartition("_")[2] for one in answers]
        assert numbers == [str(n + 1) for n in range(8)]

    for seed in range(100):
        asyncio.run(once(seed))


@pytest.mark.slow
def test_eight_calls_of_a_synchronous_agent_run_in_message_order_in_100_of_100_runs() -> None:
    def once() -> list[int]:
        arrived: list[int] = []
        ran: list[int] = []

        class Arrivals(AgentMiddleware):
            def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
                arrived.append(request.tool_call["args"]["x"])
                return handler(request)

        @tool
        def write(x: int) -> int:
            """Write."""
            ran.append(x)
            return x

        steps = (Emit(calls=[("write", {"x": n}) for n in range(8)]), Emit("Done."), Emit("Done."))
        settings = {"grace": 0, "same_message": "ordered"}
        Played(
            [write], *steps, middleware=lambda asyncfc: [Arrivals(), asyncfc], settings=settings
        ).run_sync()
        assert ran == list(range(8))
        assert sorted(arrived) == ran
        return arrived

    arrivals = [once() for _ in range(100)]
    assert any(arrived != sorted(arrived) for arrived in arrivals)  # else nothing was shown


def test_undeclared_calls_of_one_message_run_together_as_without_asyncfc() -> None:
    async def main() -> None:
        begun: list[int] = []
        both = asyncio.Event()

        @tool
        async def meet(x: int) -> int:
            """Wait for the other."""
            begun.append(x)
            if len(begun) == 2:
                both.set()
            await both.wait()
            return x

        played = Played([meet], Emit(calls=[("meet", {"x": 1}), ("meet", {"x": 2})]), Emit("Done."))
        await asyncio.wait_for(played.run(), 5)
        assert sorted(begun) == [1, 2]

    asyncio.run(main())


# --- what the model is sent, and what stands in the state -------------------------------------------


def test_the_state_has_exactly_what_was_sent() -> None:
    async def main() -> None:
        slow, slower = Slow(), Slow()
        played = Played(
            [slow.tool(), slower.tool("other")],
            Emit(calls=[("slow", {"x": 1})]),
            passes(slow.gate, Emit(calls=[("other", {"x": 2})])),
            passes(slower.gate, PROVISIONAL),
            told,
            settings={"grace": 0},
        )
        state = await played.run()
        sent = played.model.requests[-1]["messages"][1:]
        stands = convert_to_openai_messages(state["messages"][:-1])
        assert [one["content"] or None for one in stands] == [one["content"] for one in sent]
        assert "[Results of earlier calls" in str(played.answers["other"].text)
        assert "asyncfc_conversation" not in state
        provisional = [
            one for one in state["messages"] if one.response_metadata.get("asyncfc") == "provisional"
        ]
        assert [one.text for one in provisional] == ["This is provisional."]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("provider", "inserted"),
    [
        ("openai-chat", ["ai", "tool"]),
        ("anthropic-chat", ["ai", "tool"]),
        ("chat-google-generative-ai", ["human"]),
        ("mistralai-chat", ["ai", "tool"]),
    ],
)
def test_what_is_delivered_behind_a_message_has_a_form_that_the_provider_takes(
    provider: str, inserted: list[str]
) -> None:
    async def main() -> None:
        slow = Slow()
        steps: list[Any] = [Emit(calls=[("slow", {"x": 1})]), passes(slow.gate, PROVISIONAL), Emit("Done.")]
        played = Played([slow.tool()], *steps, settings={"grace": 0}, provider=provider)
        await played.run()
        delivered = [
            one for one in played.state["messages"] if one.response_metadata.get("asyncfc") == "delivery"
        ]
        assert [one.type for one in delivered] == inserted
        assert "has ended:\n1" in delivered[-1].text
        if "tool" in inserted:
            assert len(delivered[-1].tool_call_id) == 9

    asyncio.run(main())


class Bad(Exception):
    status_code = 400


def test_schemas_that_the_provider_refuses_are_sent_as_they_were() -> None:
    tools: list[Any] = []

    class Refuses(AgentMiddleware):
        async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            tools.append(request.tools[0].args)
            if len(tools) == 1:
                raise Bad("invalid schema for function 'f'")
            return await handler(request)

    played = Played([plain()], Emit("Done."), middleware=lambda asyncfc: [asyncfc, Refuses()])
    asyncio.run(played.run())
    assert "anyOf" in tools[0]["x"]
    assert "anyOf" not in tools[1]["x"]


def test_a_handle_in_the_final_text_is_replaced_in_the_state() -> None:
    async def main() -> None:
        slow = Slow()
        played = Played(
            [slow.tool()],
            Emit(calls=[("slow", {"x": "value"})]),
            passes(slow.gate, PROVISIONAL),
            lambda view: Emit(f"It is {view.handles()[0]}."),
            settings={"grace": 0},
        )
        await played.run()
        assert played.text == "It is value."

    asyncio.run(main())


def test_what_a_person_writes_like_a_handle_is_inert() -> None:
    async def main() -> None:
        played = Played([Slow().tool()], Emit("Done."))
        await played.run("What is $this_1?")
        assert played.model.requests[0]["messages"][-1]["content"] == "What is $$this_1?"
        assert played.state["messages"][0].text == "What is $this_1?"

    asyncio.run(main())


def test_a_result_that_reads_like_a_handle_is_inert_within_grace() -> None:
    async def main() -> None:
        @tool
        async def echo() -> str:
            """Give it."""
            return "$this_1"

        played = Played([echo], Emit(calls=[("echo", {})]), Emit("Done."), settings={"grace": 5})
        await played.run()
        assert played.answers["echo"].text == "$$this_1"

    asyncio.run(main())


# --- inline -------------------------------------------------------------------------------------------


def test_a_tool_with_state_and_command_gets_values_and_changes_the_state() -> None:
    async def main() -> None:
        slow = Slow()
        slow.gate.set()

        @tool
        async def note(
            text: str,
            state: Annotated[dict[str, Any], InjectedState],
            store: Annotated[Any, InjectedStore()],
            call_id: Annotated[str, InjectedToolCallId],
            runtime: ToolRuntime,
        ) -> Command[Any]:
            """Note it."""
            assert runtime.tool_call_id == call_id
            store.put(("notes",), "1", {"text": text})
            seen = f"{text} after {len(state['messages'])}"
            return Command(update={"messages": [ToolMessage(seen, tool_call_id=call_id)]})

        store = InMemoryStore()
        calls = Emit(calls=[("slow", {"x": "cats"}), ("note", {"text": "$this_1"})])
        played = Played([slow.tool(), note], calls, told, settings={"grace": 0}, store=store)
        await played.run()
        assert str(played.answers["note"].text).startswith("cats after 2\n\n[Results of earlier calls")
        found = store.get(("notes",), "1")
        assert found is not None
        assert found.value == {"text": "cats"}

    asyncio.run(main())


def test_a_tool_that_returns_directly_ends_the_run_with_its_value() -> None:
    async def main() -> None:
        @tool(return_direct=True)
        async def last(x: int) -> int:
            """The last word."""
            await asyncio.sleep(0)
            return x

        played = Played([last], Emit(calls=[("last", {"x": 7})]), settings={"grace": 0})
        await played.run()
        assert played.text == "7"
        assert len(played.model.requests) == 1

    asyncio.run(main())


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_command_of_a_tool_that_is_not_inline_counts_only_within_grace(handed_over: bool) -> None:
    async def main() -> None:
        slow = Slow()

        async def move(x: int) -> Any:
            """Move."""
            await slow.gate.wait()
            return Command(update={"messages": [ToolMessage("moved", tool_call_id="call_1")]})

        made = StructuredTool.from_function(coroutine=move)
        if not handed_over:
            slow.gate.set()
        steps: list[Any] = [
            Emit(calls=[("move", {"x": 1})]),
            *[passes(slow.gate, PROVISIONAL)] * handed_over,
            told,
        ]
        played = Played([made], *steps, settings={"grace": 0 if handed_over else 5})
        await played.run()
        assert ("pass inline={'move'}" if handed_over else "moved") in played.text

    asyncio.run(main())


# --- people -------------------------------------------------------------------------------------------


def approvals(order: str) -> Callable[[Any], list[Any]]:
    human = HumanInTheLoopMiddleware(interrupt_on={"pay": True})
    return lambda asyncfc: [human, asyncfc] if order == "before" else [asyncfc, human]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize(
    ("decision", "paid", "answer"),
    [
        ({"type": "approve"}, ["7"], "paid 7"),
        ({"type": "reject", "message": "No."}, [], "No."),
        ({"type": "edit", "edited_action": {"name": "pay", "args": {"amount": "8"}}}, ["8"], "paid 8"),
    ],
)
def test_a_person_approves_rejects_or_edits(order: str, decision: Any, paid: list[str], answer: str) -> None:
    async def main() -> None:
        done: list[str] = []

        @tool
        async def pay(amount: str) -> str:
            """Pay."""
            done.append(amount)
            return f"paid {amount}"

        played = Played(
            [pay],
            Emit(calls=[("pay", {"amount": "7"})]),
            told,
            middleware=approvals(order),
            settings={"grace": 5},
            checkpointer=InMemorySaver(),
        )
        await played.run(config=THREAD)
        assert done == []
        await played.run(Command(resume={"decisions": [decision]}), THREAD)
        assert done == paid
        assert answer in played.text
        await played.asyncfc.aclose()

    asyncio.run(main())


def test_handles_in_an_edited_call_are_replaced() -> None:
    async def main() -> None:
        slow = Slow()
        done: list[Any] = []

        @tool
        async def pay(amount: int, to: str) -> str:
            """Pay."""
            done.append((amount, to))
            return "paid"

        def edited(view: View) -> Emit:
            return Emit(calls=[("pay", {"amount": view.handles()[0], "to": "Ada"})])

        played = Played(
            [slow.tool(), pay],
            Emit(calls=[("slow", {"x": 7})]),
            passes(slow.gate, edited),
            told,
            middleware=approvals("before"),
            settings={"grace": 0, "inline": {"pay"}},
            checkpointer=InMemorySaver(),
        )
        state = await played.run(config=THREAD)
        [asked] = state["__interrupt__"][0].value["action_requests"]
        action = {"name": "pay", "args": {**asked["args"], "to": "Bob"}}
        await played.run(Command(resume={"decisions": [{"type": "edit", "edited_action": action}]}), THREAD)
        assert done == [(7, "Bob")]
        await played.asyncfc.aclose()

    asyncio.run(main())


def test_after_an_interrupt_only_the_tool_that_asked_runs_again() -> None:
    async def main() -> None:
        runs: list[str] = []

        @tool
        async def ask(question: str) -> str:
            """Ask a person."""
            runs.append("ask")
            return f"{question}: {interrupt(question)}"

        @tool
        async def other() -> str:
            """Do something else."""
            runs.append("other")
            return "other"

        calls = Emit(calls=[("ask", {"question": "Who?"}), ("other", {})])
        played = Played(
            [ask, other],
            calls,
            told,
            settings={"grace": 5, "inline": {"ask"}},
            checkpointer=InMemorySaver(),
        )
        state = await played.run(config=THREAD)
        assert state["__interrupt__"][0].value == "Who?"
        await played.run(Command(resume="Ada"), THREAD)
        assert played.text == "Told: Who?: Ada; other"
        assert sorted(runs) == ["ask", "ask", "other"]

    asyncio.run(main())


def test_an_interrupt_that_comes_after_the_handle_says_what_to_do() -> None:
    async def main() -> None:
        slow = Slow()

        @tool
        async def ask() -> str:
            """Ask a person."""
            await slow.gate.wait()
            return str(interrupt("Who?"))

        steps: list[Any] = [Emit(calls=[("ask", {})]), passes(slow.gate, PROVISIONAL), told]
        played = Played([ask], *steps, settings={"grace": 0}, checkpointer=InMemorySaver())
        await played.run(config=THREAD)
        assert "pass inline={'ask'}" in played.text

    asyncio.run(main())


# --- resuming -----------------------------------------------------------------------------------------


def test_another_process_makes_only_what_is_left_and_says_that_old_handles_are_dead() -> None:
    saver = InMemorySaver()
    runs: list[Any] = []

    async def play(*steps: Any, given: Any) -> Played:
        slow = Slow()
        slow.gate.set()

        @tool
        async def ask(x: str) -> str:
            """Ask a person."""
            runs.append(x)
            return f"{x} {interrupt('Who?')}"

        settings = {"grace": 0, "inline": {"ask"}, "final": "open"}
        played = Played([slow.tool(), ask], *steps, settings=settings, checkpointer=saver)
        played.model._mind._issued.update(f"call_{n}" for n in range(1, 9))
        await played.run(given, THREAD)
        return played

    first = [
        Emit(calls=[("slow", {"x": "cats"})]),
        lambda v: Emit(calls=[("ask", {"x": "a"}), ("slow", {"x": 1})]),
    ]
    asyncio.run(play(*first, given="Go."))
    dead = lambda view: Emit(calls=[("slow", {"x": view.handles()[0]})])  # noqa: E731
    done = asyncio.run(play(*first, dead, told, given=Command(resume="Ada")))
    assert runs == ["a", "a"]
    assert "a Ada" in done.text
    assert "UnknownHandle" in done.text


def test_an_open_conversation_goes_on_with_the_thread() -> None:
    async def main() -> None:
        slow = Slow()
        played = Played(
            [slow.tool()],
            Emit(calls=[("slow", {"x": "cats"})]),
            Emit("It is being looked for."),
            told,
            settings={"grace": 0, "final": "open"},
            checkpointer=InMemorySaver(),
        )
        await played.run(config=THREAD)
        assert played.text == "It is being looked for."
        slow.gate.set()
        await asyncio.sleep(0)
        await played.run("And now?", THREAD)
        assert 'slow({"x": "cats"}) has ended:\ncats' in played.text
        await played.asyncfc.aclose()

    asyncio.run(main())


# --- what wraps the tool --------------------------------------------------------------------------------


class Redacts(AgentMiddleware):
    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        answer = await handler(request)
        return answer.model_copy(update={"content": answer.content.replace("secret", "***")})


@pytest.mark.parametrize("grace", [0, 5])
def test_what_inner_middleware_makes_of_a_result_is_what_is_told(grace: float) -> None:
    async def main() -> None:
        slow = Slow()
        if grace:
            slow.gate.set()
        steps: list[Any] = [
            Emit(calls=[("slow", {"x": "a secret"})]),
            *[passes(slow.gate, PROVISIONAL)] * (not grace),
            told,
        ]
        played = Played(
            [slow.tool()],
            *steps,
            middleware=lambda asyncfc: [asyncfc, Redacts()],
            settings={"grace": grace},
        )
        await played.run()
        assert "a ***" in played.text
        assert slow.calls == ["a secret"]

    asyncio.run(main())


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.starts: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **about: Any) -> None:
        self.starts.append((serialized["name"], about["inputs"], about["tags"], about["metadata"]["who"]))


def test_callbacks_tags_and_config_reach_the_tool_with_final_arguments() -> None:
    async def main() -> None:
        slow = Slow()
        slow.gate.set()
        seen = Seen()
        calls = Emit(calls=[("slow", {"x": "a"}), ("other", {"x": "$this_1"})])
        played = Played(
            [slow.tool(), slow.tool("other", tags=["mine"])], calls, PROVISIONAL, told, settings={"grace": 0}
        )
        await played.run(config={"callbacks": [seen], "metadata": {"who": "Ada"}})
        name, inputs, tags, who = seen.starts[1]
        assert (name, inputs, who) == ("other", {"x": "a"}, "Ada")
        assert "mine" in tags

    asyncio.run(main())


@pytest.mark.parametrize(("grace", "artifact"), [(5, [1, 2]), (0, None)])
def test_an_artifact_is_the_tools_own_or_the_handle(grace: float, artifact: Any) -> None:
    async def main() -> None:
        @tool(response_format="content_and_artifact")
        async def both() -> tuple[str, Any]:
            """Give two."""
            await asyncio.sleep(0)
            return "text", [1, 2]

        played = Played(
            [both], Emit(calls=[("both", {})]), *[PROVISIONAL] * (not grace), told, settings={"grace": grace}
        )
        await played.run()
        answer = played.answers["both"]
        if artifact is None:
            assert set(answer.artifact) == {"asyncfc"}
            assert answer.artifact["asyncfc"] in answer.text
        else:
            assert answer.artifact == artifact

    asyncio.run(main())


def test_nothing_goes_on_with_an_error_that_a_tool_has_handled() -> None:
    async def main() -> None:
        async def fails(x: int) -> str:
            """Fail."""
            raise ToolException("no such thing")

        slow = Slow()
        broken = StructuredTool.from_function(coroutine=fails, handle_tool_error=True)
        calls = Emit(calls=[("fails", {"x": 1}), ("slow", {"x": "$this_1"})])
        played = Played([broken, slow.tool()], calls, told, settings={"grace": 5})
        await played.run()
        assert played.answers["fails"].text == "no such thing"
        assert played.answers["fails"].status == "error"
        assert "UpstreamFailed" in played.answers["slow"].text
        assert slow.calls == []

    asyncio.run(main())


def test_arguments_that_the_tool_refuses_are_told_as_without_asyncfc() -> None:
    async def main() -> None:
        @tool
        async def double(n: int) -> int:
            """Double it."""
            return 2 * n

        played = Played([double], Emit(calls=[("double", {"n": "x"})]), told, settings={"grace": 5})
        await played.run()
        assert "Error invoking tool 'double' with kwargs {'n': 'x'}" in played.text

    asyncio.run(main())


def test_a_tool_that_only_another_middleware_knows_gets_values() -> None:
    async def main() -> None:
        slow = Slow()
        got: list[Any] = []

        @tool
        async def later(x: str) -> str:
            """Come later."""
            got.append(x)
            return x

        class Adds(AgentMiddleware):
            async def awrap_model_call(self, request: Any, handler: Any) -> Any:
                return await handler(request.override(tools=[*request.tools, later]))

            async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
                is_ours = request.tool_call["name"] == "later"
                return await handler(request.override(tool=later) if is_ours else request)

        played = Played(
            [slow.tool()],
            Emit(calls=[("slow", {"x": "cats"})]),
            passes(slow.gate, lambda view: Emit(calls=[("later", {"x": view.handles()[0]})])),
            told,
            middleware=lambda asyncfc: [asyncfc, Adds()],
            settings={"grace": 0},
        )
        await played.run()
        assert got == ["cats"]

    asyncio.run(main())


# --- structured output ----------------------------------------------------------------------------------


class Report(BaseModel):
    """A report."""

    text: str


@pytest.mark.parametrize("strategy", ["provider", "tool"])
def test_structured_output_has_values(strategy: str) -> None:
    async def main() -> None:
        slow = Slow()

        def report(view: View) -> Emit:
            said = {"text": f"It is {view.handles()[0]}."}
            if strategy == "tool":
                return Emit(calls=[("Report", said)])
            return Emit(Report(**said).model_dump_json())

        form: Any = ToolStrategy(Report) if strategy == "tool" else ProviderStrategy(Report)
        steps: list[Any] = [Emit(calls=[("slow", {"x": "cats"})]), passes(slow.gate, report), report]
        played = Played([slow.tool()], *steps, settings={"grace": 0}, response_format=form)
        await played.run()
        assert played.state["structured_response"] == Report(text="It is cats.")
        assert len(played.model.requests) == 3

    asyncio.run(main())


def test_calls_beside_the_structured_output_are_answered_with_values() -> None:
    async def main() -> None:
        slow = Slow()
        asyncio.get_running_loop().call_soon(slow.gate.set)
        calls = Emit(calls=[("slow", {"x": "cats"}), ("Report", {"text": "It is $this_1."})])
        played = Played([slow.tool()], calls, settings={"grace": 0}, response_format=ToolStrategy(Report))
        await played.run()
        assert played.answers["slow"].text == "cats"
        assert len(played.model.requests) == 1

    asyncio.run(main())


# --- several agents ---------------------------------------------------------------------------------------


def test_a_sub_agent_in_a_tool_is_a_conversation_of_its_own() -> None:
    async def main() -> None:
        slow = Slow()
        grace: Any = {"grace": 0}
        calls = Emit(calls=[("slow", {"x": "deep"})])
        inner = Played([slow.tool()], calls, passes(slow.gate, PROVISIONAL), told, settings=grace)

        @tool
        async def expert(question: str) -> str:
            """Ask an expert."""
            state = await inner.run(question)
            return str(state["messages"][-1].text)

        asked = Emit(calls=[("expert", {"question": "?"})])
        outer = Played([expert], asked, PROVISIONAL, told, settings=grace)
        await outer.run()
        assert "deep" in inner.text
        assert "deep" in outer.text

    asyncio.run(main())


def test_a_hand_over_to_another_agent_has_values_and_the_next_agent_can_go_on() -> None:
    async def main() -> None:
        slow = Slow()
        slow.gate.set()

        @tool
        async def hand_over(about: str, call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Hand over."""
            message = ToolMessage(f"handed over: {about}", tool_call_id=call_id)
            state = {"messages": [message]}
            return Command(graph=Command.PARENT, goto="second", update=state)

        calls = Emit(calls=[("slow", {"x": "cats"}), ("hand_over", {"about": "$this_1"})])
        first = Played([slow.tool(), hand_over], calls, settings={"grace": 0})
        received: list[Any] = []
        builder = StateGraph(MessagesState)
        builder.add_node("first", first.agent, destinations=("second",))
        builder.add_node("second", lambda state: received.extend(state["messages"]))
        builder.add_edge(START, "first")
        graph: Any = builder.compile()
        await graph.ainvoke({"messages": [("user", "Go.")]})
        assert received[-1].text == "handed over: cats"
        assert not first.asyncfc._conversations._live

    asyncio.run(main())


def test_one_middleware_serves_many_runs_at_once() -> None:
    async def main() -> None:
        slow = Slow()
        runs: list[View] = []

        def last_opens(view: View) -> Emit:
            runs.append(view)
            if len(runs) == 5:
                slow.gate.set()
            return PROVISIONAL

        played = Played(
            [slow.tool()],
            lambda view: Emit(calls=[("slow", {"x": view.messages[0].text})]),
            last_opens,
            told,
            settings={"grace": 0},
        )
        asked = [{"messages": [("user", f"word{n}")]} for n in range(5)]
        states = await asyncio.gather(*(played.agent.ainvoke(one) for one in asked))
        for n, state in enumerate(states):
            assert [f"word{m}" in state["messages"][-1].text for m in range(5)] == [m == n for m in range(5)]

    asyncio.run(main())


# --- when it goes wrong -----------------------------------------------------------------------------------


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'grace'"):
        AsyncFCMiddleware(grac=0)
    before = threading.active_count()
    with pytest.raises(DeclarationError, match="inline has \\['nothing'\\], which are no tools"):
        Played([plain()], Emit("Done."), settings={"inline": {"nothing"}}).run_sync()
    assert threading.active_count() <= before


@pytest.mark.parametrize("synchronous", [False, True])
def test_a_run_that_fails_leaves_nothing_behind(synchronous: bool) -> None:
    before = threading.active_count()

    def boom(view: View) -> Emit:
        raise RuntimeError("no more")

    @tool
    def quick() -> str:
        """Be quick."""
        return "quick"

    async def main() -> None:
        played = Played([quick], Emit(calls=[("quick", {})]), boom, settings={"grace": 0})
        with pytest.raises(RuntimeError, match="no more"):
            await asyncio.to_thread(played.run_sync) if synchronous else await played.run()

    asyncio.run(main())
    assert threading.active_count() <= before


@pytest.mark.parametrize("synchronous", [False, True])
def test_what_an_inline_tool_raises_ends_the_run_as_without_asyncfc(synchronous: bool) -> None:
    before = threading.active_count()

    @tool
    def fails() -> str:
        """Fail."""
        raise KeyError("gone")

    async def main() -> None:
        played = Played([fails], Emit(calls=[("fails", {})]), settings={"inline": {"fails"}})
        with pytest.raises(KeyError, match="gone"):
            await asyncio.to_thread(played.run_sync) if synchronous else await played.run()
        assert not played.asyncfc._conversations._live

    asyncio.run(main())
    assert threading.active_count() <= before


def test_a_missing_framework_gives_one_line_with_the_extra() -> None:
    code = "import sys; sys.modules['langgraph'] = None; import asyncfc.adapters.langchain"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: asyncfc.adapters.langchain needs LangChain and LangGraph: "
        "pip install 'asyncfc[langchain]'"
    )


# --- what tools say of themselves -------------------------------------------------------------------------


def plain(**options: Any) -> BaseTool:
    def f(x: int) -> int:
        """Do it."""
        return x

    return StructuredTool.from_function(f, **options)


@pytest.mark.parametrize(
    ("options", "trust", "effects"),
    [
        ({}, (), None),
        ({"metadata": {"asyncfc": {"reads": ["db"]}}}, (), {"reads": ["db"]}),
        ({"tags": ["asyncfc:read-only"]}, (), "read"),
        ({"tags": ["asyncfc:pure"]}, (), "pure"),
        ({"metadata": {"readOnlyHint": True}}, (), None),
        ({"metadata": {"readOnlyHint": True}}, ["f*"], "read"),
        ({"metadata": {"read_only_hint": True}}, "all", "read"),
        ({"metadata": {"readOnlyHint": False}}, "all", None),
    ],
)
def test_effects_come_from_metadata_tags_and_trusted_hints(options: Any, trust: Any, effects: Any) -> None:
    assert effects_of(plain(**options), trust) == effects


def _state(x: int, state: Annotated[dict[str, Any], InjectedState]) -> int:
    """Do it."""
    return x


def _runtime(x: int, runtime: ToolRuntime) -> int:
    """Do it."""
    return x


def _command(x: int) -> Command[Any] | str:
    """Do it."""
    return ""


def _id(x: int, call_id: Annotated[str, InjectedToolCallId]) -> int:
    """Do it."""
    return x


@pytest.mark.parametrize("function", [_state, _runtime, _command, _id])
def test_what_the_framework_fills_or_a_command_makes_a_tool_inline(function: Callable[..., Any]) -> None:
    assert is_inline(StructuredTool.from_function(function))
    assert not is_inline(plain())
    assert is_inline(plain(return_direct=True))


def test_the_messages_of_the_model_are_not_changed() -> None:
    async def main() -> None:
        slow = Slow()
        slow.gate.set()
        played = Played(
            [slow.tool()], Emit(calls=[("slow", {"x": "a"})]), Emit("Done."), settings={"grace": 5}
        )
        await played.run()
        first = next(one for one in played.state["messages"] if isinstance(one, AIMessage))
        assert first.tool_calls[0]["args"] == {"x": "a"}
        assert played.answers["slow"].text == "a"

    asyncio.run(main())
