"""What is special about the OpenAI Agents SDK; what adapters have in common is the conformance suite's."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from agents import (
    Agent,
    FunctionTool,
    GuardrailFunctionOutput,
    ModelSettings,
    RunConfig,
    Runner,
    RunState,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolOutputGuardrailData,
    function_tool,
    handoff,
    input_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)
from agents.items import ModelResponse
from agents.testing import ScriptedModel, assistant_message, function_call

from asyncfc.adapters.hints import annotated
from asyncfc.adapters.openai_agents import AsyncFCRunner
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, View
from asyncfc.testing.models.script import Script
from tests.adapters.conformance.openai_agents_harness import ScriptModel
from tests.adapters.scripted import Scripted, asked_again, count, fast

Steps = list[Emit | Script]
QUIET = RunConfig(tracing_disabled=True)


def agent_of(steps: Steps, *tools: Any, **about: Any) -> Agent[Any]:
    model = ScriptModel(Scripted(steps).model("responses"))
    return Agent(name=about.pop("name", "agent"), model=model, tools=list(tools), **about)


def answers(view: View) -> Emit:
    return Emit("; ".join(answer.text for answer in view.answers()))


def text_of(view: View) -> str:
    return "\n".join(view.last_texts())


@function_tool(strict_mode=False)
async def slow(text: str) -> str:
    """End once the model has been asked again."""
    await asked_again()
    return f"slow {text}"


@function_tool(strict_mode=False)
async def quick(text: str) -> str:
    """Take no time."""
    return f"quick {text}"


class Counted(ScriptedModel):
    """The SDK's own scripted model."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        count()
        return await super().get_response(*args, **kwargs)


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(fast(story), 5))


SLOW_THEN_TELL: Steps = [Emit(calls=[("slow", {"text": "a"})]), Emit("Wait."), answers]


def test_without_the_sdk_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents", None)
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.openai_agents")
    with pytest.raises(ImportError, match=r"pip install 'asyncfc\[openai-agents\]'"):
        __import__("asyncfc.adapters.openai_agents")


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(DeclarationError, match="final"):
        AsyncFCRunner(final="never")


def test_the_program_sees_its_own_agent_and_that_stays_as_it_was() -> None:
    async def story() -> None:
        agent = agent_of(SLOW_THEN_TELL, slow)
        result = await AsyncFCRunner(grace=0).run(agent, "Go.", run_config=QUIET)
        assert "slow a" in result.final_output
        assert result.last_agent is agent
        assert agent.tools == [slow]

    play(story)


def test_run_sync_is_the_same() -> None:
    found: list[Any] = []

    def main() -> None:  # a thread of its own, so that its default loop is closed with it
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        runner = AsyncFCRunner(grace=0)
        found.append(runner.run_sync(agent_of(SLOW_THEN_TELL, slow), "Go.", run_config=QUIET).final_output)
        loop.run_until_complete(runner.close())
        loop.close()

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    assert "slow a" in found[0]


def test_without_a_run_config_the_provider_of_the_run_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    async def aclose(self: Any) -> None:
        closed.append(True)

    async def story() -> None:
        monkeypatch.setattr("agents.MultiProvider.aclose", aclose)
        config = {"tracing_disabled": True}
        await AsyncFCRunner(grace=0).run(agent_of([Emit("Hi.")]), "Go.", run_config=config)
        assert closed == [True]

    play(story)


@pytest.mark.parametrize("grace", [0, 1])
def test_what_the_sdk_hides_of_an_error_stays_hidden(grace: float) -> None:
    @function_tool
    async def broken() -> str:
        """Fail."""
        await asked_again(int(grace == 0))
        raise ValueError("the password is 1234")

    async def story() -> None:
        steps: Steps = [Emit(calls=[("broken", {})]), *([Emit("Wait.")] if grace == 0 else []), answers]
        result = await AsyncFCRunner(grace=grace).run(agent_of(steps, broken), "Go.", run_config=QUIET)
        assert "An error occurred while running the tool" in result.final_output
        assert "1234" not in result.final_output

    play(story)


def test_an_error_that_ends_the_run_does_so_only_if_the_call_is_inline() -> None:
    @function_tool(failure_error_function=None)
    async def broken() -> str:
        """Fail."""
        raise ValueError("no such thing")

    async def story() -> None:
        steps: Steps = [Emit(calls=[("broken", {})]), answers]
        with pytest.raises(Exception, match="no such thing"):
            await AsyncFCRunner(inline=["broken"]).run(agent_of(steps, broken), "Go.", run_config=QUIET)
        result = await AsyncFCRunner(grace=1).run(agent_of(steps, broken), "Go.", run_config=QUIET)
        assert result.final_output == "Error: ValueError: no such thing"

    play(story)


def test_the_timeout_of_a_tool_is_for_its_work() -> None:
    @function_tool(timeout=0.01)
    async def endless() -> str:
        """Take too long."""
        await asyncio.sleep(100)
        return "never"

    async def story() -> None:
        steps: Steps = [Emit(calls=[("endless", {})]), Emit("Wait."), answers]
        result = await AsyncFCRunner(grace=0).run(agent_of(steps, endless), "Go.", run_config=QUIET)
        assert "timed out after 0.01 seconds" in result.final_output

    play(story)


def paying() -> tuple[list[str], FunctionTool]:
    paid: list[str] = []

    @function_tool(strict_mode=False, needs_approval=True)
    async def pay(what: str) -> str:
        """Pay."""
        paid.append(what)
        return f"paid {what}"

    return paid, pay


PAY: Steps = [
    Emit(calls=[("slow", {"text": "a"})]),
    lambda view: Emit(calls=[("pay", {"what": view.handles()[0]})]),
    answers,
]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_person_approves_of_values_and_the_call_runs_once(streamed: bool) -> None:
    paid, pay = paying()

    async def story() -> None:
        runner = AsyncFCRunner(grace=0)
        agent = agent_of(PAY, slow, pay)
        if streamed:
            result: Any = runner.run_streamed(agent, "Go.", run_config=QUIET)
            async for _ in result.stream_events():
                pass
        else:
            result = await runner.run(agent, "Go.", run_config=QUIET)
        (asked,) = result.interruptions
        assert json.loads(asked.raw_item.arguments) == {"what": "slow a"}
        state = result.to_state()
        state.approve(asked)
        after = await runner.run(agent, state, run_config=QUIET)
        assert paid == ["slow a"]
        assert "paid slow a" in after.final_output
        await runner.close()

    play(story)


def test_a_run_may_be_approved_in_another_process() -> None:
    paid, pay = paying()

    async def story() -> None:
        agent = agent_of(PAY, slow, pay)
        result = await AsyncFCRunner(grace=0).run(agent, "Go.", run_config=QUIET)
        written = json.loads(json.dumps(result.to_state().to_json()))
        state: RunState[Any, Any] = await RunState.from_json(agent, written)
        state.approve(state.get_interruptions()[0])
        after = await AsyncFCRunner(grace=0).run(agent, state, run_config=QUIET)
        assert paid == ["slow a"]
        assert "paid slow a" in after.final_output

    play(story)


def test_a_handoff_takes_the_handles_along() -> None:
    @function_tool(strict_mode=False)
    async def sign(text: str) -> str:
        """Sign a text."""
        await asked_again()
        return f"signed {text}"

    async def story() -> None:
        first = agent_of(
            [
                Emit(calls=[("slow", {"text": "a"})]),
                Emit(calls=[("transfer_to_second", {})]),
                lambda view: Emit(calls=[("sign", {"text": view.handles()[0]})]),
                Emit("Wait."),
                answers,
            ],
            slow,
        )
        second = Agent(name="second", model=first.model, tools=[sign])
        first.handoffs = [handoff(second)]
        result = await AsyncFCRunner(grace=0).run(first, "Go.", run_config=QUIET)
        assert "signed slow a" in result.final_output
        assert result.last_agent is second

    play(story)


def test_guardrails_of_a_tool_see_values_only() -> None:
    seen: list[Any] = []

    @tool_input_guardrail
    def looks_in(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        seen.append(json.loads(data.context.tool_arguments))
        return ToolGuardrailFunctionOutput.allow()

    @tool_output_guardrail
    def looks_out(data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        seen.append(data.output)
        return ToolGuardrailFunctionOutput.reject_content("redacted")

    async def story() -> None:
        guarded = function_tool(
            strict_mode=False, tool_input_guardrails=[looks_in], tool_output_guardrails=[looks_out]
        )(lambda text: f"got {text}")
        guarded.name = "guarded"
        steps: Steps = [
            Emit(calls=[("slow", {"text": "a"})]),
            lambda view: Emit(calls=[("guarded", {"text": view.handles()[0]})]),
            answers,
        ]
        result = await AsyncFCRunner(grace=0).run(agent_of(steps, slow, guarded), "Go.", run_config=QUIET)
        assert seen == [{"text": "slow a"}, "got slow a"]
        assert "redacted" in result.final_output
        assert "got slow a" not in result.final_output

    play(story)


def test_where_a_result_ends_the_run_it_is_the_result() -> None:
    async def story() -> None:
        agent = agent_of(
            [Emit(calls=[("quick", {"text": "a"})])], quick, tool_use_behavior="stop_on_first_tool"
        )
        result = await AsyncFCRunner(grace=0).run(agent, "Go.", run_config=QUIET)
        assert result.final_output == "quick a"

    play(story)


def test_an_agent_as_a_tool_is_answered_with_its_result() -> None:
    async def story() -> None:
        inner = agent_of([lambda view: Emit(f"inner: {text_of(view)}")], name="inner")
        tool = inner.as_tool("ask_inner", "Ask.")
        steps: Steps = [Emit(calls=[("ask_inner", {"input": "why"})]), answers]
        result = await AsyncFCRunner(grace=0).run(agent_of(steps, tool), "Go.", run_config=QUIET)
        assert result.final_output == "inner: why"

    play(story)


def test_a_provider_that_keeps_the_history_is_told_by_a_message() -> None:
    async def story() -> None:
        say = assistant_message
        model = Counted(
            [
                ModelResponse([function_call("slow", {"text": "a"}, call_id="c1")], usage_of(), "r1"),
                ModelResponse([say("Early.")], usage_of(), "r2"),
                ModelResponse([say("Done.")], usage_of(), "r3"),
            ]
        )
        agent = Agent(name="agent", model=model, tools=[slow])
        result = await AsyncFCRunner(grace=0).run(
            agent, "Go.", run_config=QUIET, auto_previous_response_id=True
        )
        assert result.final_output == "Done."
        last = model.calls[-1]
        assert last.previous_response_id == "r2"
        (note,) = last.input
        assert note["role"] == "user"
        assert "slow a" in note["content"]
        assert result.context_wrapper.usage.requests == 3

    play(story)


def usage_of() -> Any:
    from agents.usage import Usage

    return Usage(requests=1)


def test_without_control_tools_what_is_unseen_comes_as_a_note() -> None:
    async def story() -> None:
        steps: Steps = [SLOW_THEN_TELL[0], Emit("Early."), lambda view: Emit(text_of(view))]
        for run in (run_whole, run_streamed):
            text = await run(AsyncFCRunner(grace=0, control=False), agent_of(steps, slow))
            assert "slow a" in text
            assert "Early" not in text

    play(story)


async def run_whole(runner: AsyncFCRunner, agent: Agent[Any]) -> str:
    return str((await runner.run(agent, "Go.", run_config=QUIET)).final_output)


async def run_streamed(runner: AsyncFCRunner, agent: Agent[Any]) -> str:
    result = runner.run_streamed(agent, "Go.", run_config=QUIET)
    pieces = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    await runner.close()
    assert "".join(pieces) == result.final_output
    return str(result.final_output)


def test_a_stream_that_breaks_off_is_an_error_and_leaves_nothing() -> None:
    class Breaks(ScriptModel):
        async def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            async for event in super().stream_response(*args, **kwargs):
                if event.type == "response.completed":
                    raise ConnectionResetError("gone")
                yield event

    async def story() -> None:
        runner = AsyncFCRunner(grace=0)
        model = Breaks(Scripted(SLOW_THEN_TELL).model("responses"))
        result = runner.run_streamed(Agent(name="a", model=model, tools=[slow]), "Go.", run_config=QUIET)
        with pytest.raises(ConnectionResetError):
            async for _ in result.stream_events():
                pass
        await runner.close()

    play(story)


def test_a_run_that_a_guardrail_stops_leaves_nothing_running() -> None:
    @input_guardrail
    async def refuses(context: Any, agent: Any, given: Any) -> GuardrailFunctionOutput:
        await asyncio.sleep(0.01)
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    async def story() -> None:
        agent = agent_of(SLOW_THEN_TELL, slow, input_guardrails=[refuses])
        with pytest.raises(Exception, match="tripwire"):
            await AsyncFCRunner(grace=0).run(agent, "Go.", run_config=QUIET)

    play(story)


def test_a_model_of_the_run_stands_for_those_of_the_agents() -> None:
    async def story() -> None:
        model = ScriptModel(Scripted(SLOW_THEN_TELL).model("responses"))
        config = RunConfig(tracing_disabled=True, model=model, model_settings=ModelSettings())
        agent = Agent(name="agent", tools=[slow])
        result = await AsyncFCRunner(grace=0).run(agent, "Go.", run_config=config)
        assert "slow a" in result.final_output

    play(story)


def test_hints_of_mcp_count_where_they_are_trusted() -> None:
    hints = SimpleNamespace(read_only_hint=True)
    assert annotated("list_files", hints, "all") == "read"
    assert annotated("list_files", {"readOnlyHint": True}, ["list_*"]) == "read"
    assert annotated("list_files", hints, ["other"]) is None
    assert annotated("list_files", {"readOnlyHint": False}, "all") is None


def test_the_sdks_runner_stays_as_it_is() -> None:
    async def story() -> None:
        agent = agent_of([Emit(calls=[("quick", {"text": "a"})]), answers], quick)
        await AsyncFCRunner(grace=0).run(agent_of(SLOW_THEN_TELL, slow), "Go.", run_config=QUIET)
        result = await Runner.run(agent, "Go.", run_config=QUIET)
        assert result.final_output == "quick a"

    play(story)
