"""What is special about pydantic-ai; what all adapters have in common is the conformance suite's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    ModelRetry,
    RunContext,
    Tool,
    ToolReturn,
    capture_run_messages,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelResponse, TextPart, ToolReturnPart
from pydantic_ai.tools import DeferredToolResults, ToolDefinition

from asyncfc.adapters.pydantic_ai import AsyncFC
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, View
from asyncfc.testing.models.script import Script
from tests.adapters.conformance.pydantic_ai_harness import function_model
from tests.adapters.scripted import Scripted, asked_again, fast

Steps = list[Emit | Script]


def agent_of(steps: Steps, tools: list[Any], *more: Any, grace: Any = 0, **settings: Any) -> Agent[None, Any]:
    output_type = settings.pop("output_type", str)
    return Agent(
        function_model(Scripted(steps).model()),
        tools=tools,
        output_type=output_type,
        capabilities=[AsyncFC(grace=grace, **settings), *more],
    )


def answers(view: View) -> Emit:
    return Emit("; ".join(answer.text for answer in view.answers()))


class Point(BaseModel):
    """An argument of a tool."""

    x: int


async def slow(text: str) -> str:
    """End once the model has been asked again."""
    await asked_again()
    return f"slow {text}"


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(fast(story), 5))


def test_without_pydantic_ai_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.pydantic_ai")
    with pytest.raises(ImportError, match=r"pip install 'asyncfc\[pydantic-ai\]'"):
        __import__("asyncfc.adapters.pydantic_ai")


def test_within_grace_the_history_has_the_tools_own_object() -> None:
    async def story() -> None:
        async def count() -> dict[str, int]:
            return {"n": 1}

        result = await agent_of([Emit(calls=[("count", {})]), Emit("Done.")], [count], grace=1).run("Go.")
        (part,) = result.all_messages()[2].parts
        assert isinstance(part, ToolReturnPart)
        assert part.content == {"n": 1}

    play(story)


def test_arguments_with_handles_are_validated_once_the_values_are_there() -> None:
    async def story() -> None:
        seen: list[Any] = []

        async def make() -> dict[str, str]:
            return {"x": "7"}

        async def use(point: Point, n: int) -> str:
            seen.append((point, n))
            return "used"

        steps: Steps = [
            Emit(calls=[("make", {}), ("use", {"point": "$this_1", "n": "$this_1.x"})]),
            Emit("Wait."),
            answers,
        ]
        await agent_of(steps, [make, use]).run("Go.")
        assert seen == [(Point(x=7), 7)]

    play(story)


@pytest.mark.parametrize("grace", [0, 1])
def test_a_tool_may_ask_for_a_retry_early_or_late(grace: float) -> None:
    async def story() -> None:
        async def picky(n: int) -> str:
            await asked_again(int(grace == 0))
            if n == 1:
                raise ModelRetry("not 1")
            return f"fine {n}"

        steps: Steps = [Emit(calls=[("picky", {"n": 1})])]
        steps += [Emit("Wait.")] if grace == 0 else []
        steps += [lambda view: Emit(calls=[("picky", {"n": 2})] if "not 1" in text_of(view) else [])]
        steps += [Emit("Wait."), answers] if grace == 0 else [answers]
        result = await agent_of(steps, [picky], grace=grace).run("Go.")
        assert "fine 2" in result.output

    play(story)


def test_an_error_that_ends_the_run_does_so_only_if_the_call_is_inline() -> None:
    async def story() -> None:
        async def broken() -> str:
            raise ValueError("no such thing")

        steps: Steps = [Emit(calls=[("broken", {})]), answers]
        with pytest.raises(ValueError, match="no such thing"):
            await agent_of(steps, [broken], inline=["broken"]).run("Go.")
        result = await agent_of(steps, [broken], grace=1).run("Go.")
        assert result.output == "Error: ValueError: no such thing"

    play(story)


def text_of(view: View) -> str:
    return "\n".join(view.last_texts())


def test_what_other_capabilities_make_of_a_result_is_what_is_delivered() -> None:
    class Redacts(AbstractCapability[Any]):
        async def after_tool_execute(self, ctx: Any, *, result: Any, **about: Any) -> Any:
            return str(result).replace("secret", "***")

    async def story() -> None:
        async def look() -> str:
            await asked_again()
            return "a secret"

        agent = agent_of([Emit(calls=[("look", {})]), Emit("Wait."), answers], [look], Redacts())
        result = await agent.run("Go.")
        assert "a ***" in result.output
        assert "secret" not in result.output

    play(story)


def test_a_stream_shows_the_last_words_only() -> None:
    async def story() -> None:
        agent = agent_of([Emit(calls=[("slow", {"text": "a"})]), Emit("Early."), Emit("It is done.")], [slow])
        async with agent.run_stream("Go.") as streamed:
            shown = [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]
        assert "".join(shown) == "It is done."

    play(story)


def test_an_output_tool_that_comes_too_early_is_asked_for_again() -> None:
    class Answer(BaseModel):
        text: str

    async def story() -> None:
        steps: Steps = [
            Emit(calls=[("slow", {"text": "a"})]),
            lambda view: Emit(calls=[("final_result", {"text": view.handles()[0]})]),
            lambda view: Emit(calls=[("final_result", {"text": text_of(view).splitlines()[-1]})]),
        ]
        result = await agent_of(steps, [slow], output_type=Answer).run("Go.")
        assert result.output == Answer(text="slow a")

    play(story)


def test_calls_beside_an_output_tool_end_before_it() -> None:
    class Answer(BaseModel):
        text: str

    async def story() -> None:
        ended: list[str] = []

        async def note(text: str) -> str:
            await asyncio.sleep(0.01)
            ended.append(text)
            return "noted"

        steps: Steps = [Emit(calls=[("note", {"text": "a"}), ("final_result", {"text": "b"})])]
        result = await agent_of(steps, [note], output_type=Answer).run("Go.")
        assert result.output == Answer(text="b")
        assert ended == ["a"]
        (part, _) = result.all_messages()[2].parts
        assert isinstance(part, ToolReturnPart)
        assert part.content == "noted"

    play(story)


def test_a_person_approves_of_values_and_the_call_runs_once() -> None:
    async def story() -> None:
        paid: list[str] = []

        async def pay(what: str) -> str:
            paid.append(what)
            return f"paid {what}"

        steps: Steps = [
            Emit(calls=[("slow", {"text": "a"})]),
            lambda view: Emit(calls=[("pay", {"what": view.handles()[0]})]),
            answers,
        ]
        agent = agent_of(
            steps, [slow, Tool(pay, requires_approval=True)], output_type=[str, DeferredToolRequests]
        )
        first = await agent.run("Go.")
        assert isinstance(first.output, DeferredToolRequests)
        (asked,) = first.output.approvals
        assert asked.args_as_dict() == {"what": "slow a"}
        assert paid == []
        approved = DeferredToolResults(approvals={asked.tool_call_id: True})
        second = await agent.run(message_history=first.all_messages(), deferred_tool_results=approved)
        assert paid == ["slow a"]
        assert "paid slow a" in second.output

    play(story)


def test_a_request_that_fails_leaves_no_trace_in_the_history() -> None:
    async def story() -> None:
        class Fails(AbstractCapability[Any]):
            async def before_model_request(self, ctx: RunContext[Any], request_context: Any) -> Any:
                if len(ctx.messages) > 4:
                    raise RuntimeError("no connection")
                return request_context

        async def wait() -> None:
            await asyncio.sleep(0.02)  # for the other call, which nobody waits for

        steps: Steps = [Emit(calls=[("slow", {"text": "a"})]), Emit(calls=[("wait", {})])]
        agent = agent_of(steps, [slow, wait], Fails(), inline=["wait"])
        with capture_run_messages() as messages, pytest.raises(RuntimeError, match="no connection"):
            await agent.run("Go.")
        texts = [
            part.content for message in messages for part in message.parts if isinstance(part, ToolReturnPart)
        ]
        assert not any("has ended" in str(text) for text in texts)

    play(story)


def test_what_a_tool_returns_beside_its_value_comes_with_it() -> None:
    async def story() -> None:
        async def look() -> ToolReturn[str]:
            await asked_again()
            return ToolReturn(return_value="seen", content="Look closely.")

        steps: Steps = [
            Emit(calls=[("look", {})]),
            Emit("Wait."),
            lambda view: Emit(" | ".join(view.last_texts())),
        ]
        result = await agent_of(steps, [look]).run("Go.")
        assert result.output.endswith("seen | Look closely.")

    play(story)


def test_a_tool_that_runs_alone_does_so_in_its_own_message_too() -> None:
    async def story() -> None:
        log: list[str] = []

        async def work(name: str) -> str:
            log.append(f"{name} begins")
            await asyncio.sleep(0.01)
            log.append(f"{name} ends")
            return name

        alone = Tool(work, name="alone", sequential=True)
        steps: Steps = [
            Emit(calls=[("work", {"name": "a"}), ("alone", {"name": "b"}), ("work", {"name": "c"})]),
            Emit("Wait."),
            answers,
        ]
        await agent_of(steps, [work, alone]).run("Go.")
        assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]

    play(story)


def test_effects_come_from_the_tools_metadata_and_from_trusted_hints() -> None:
    async def story() -> None:
        capability = AsyncFC(trust=["r*"])
        hints = {"annotations": {"readOnlyHint": True}}
        tools = [
            ToolDefinition(name="own", metadata={"asyncfc": {"reads": ["db"]}}),
            ToolDefinition(name="remote", metadata=hints),
            ToolDefinition(name="other", metadata=hints),
        ]
        made = capability.begin("c", tools).session.tools
        assert made["own"].spec.declared
        assert made["remote"].spec.level == "read"
        assert not made["other"].spec.declared

    play(story)


def test_a_tool_that_comes_later_is_asynchronous_too() -> None:
    async def story() -> None:
        async def later(ctx: RunContext[Any], definition: ToolDefinition) -> ToolDefinition | None:
            return definition if ctx.run_step > 1 else None

        steps: Steps = [
            Emit(calls=[("slow", {"text": "a"})]),
            lambda view: Emit(calls=[("again", {"text": view.handles()[0]})]),
            Emit("Wait."),
            answers,
        ]
        agent = agent_of(steps, [slow, Tool(slow, name="again", prepare=later)])
        result = await agent.run("Go.")
        assert "slow slow a" in result.output

    play(story)


def test_effects_for_no_tool_are_refused() -> None:
    async def story() -> None:
        with pytest.raises(DeclarationError, match="serch"):
            await agent_of([], [slow], effects={"serch": "pure"}).run("Go.")

    play(story)


def test_without_control_tools_what_is_unseen_comes_as_a_note() -> None:
    async def story() -> None:
        steps: Steps = [Emit(calls=[("slow", {"text": "a"})]), Emit("Early."), lambda v: Emit(text_of(v))]
        result = await agent_of(steps, [slow], control=False).run("Go.")
        assert "slow a" in result.output
        responses = [message for message in result.all_messages() if isinstance(message, ModelResponse)]
        assert [type(part) for part in responses[1].parts] == [TextPart]

    play(story)


def test_an_agent_without_tools_is_left_alone() -> None:
    async def story() -> None:
        result = await agent_of([lambda view: Emit(f"{view.system}|{list(view.tools)}")], []).run("Go.")
        assert result.output == "|[]"

    play(story)


def test_a_run_that_is_cancelled_leaves_nothing_running() -> None:
    async def story() -> None:
        async def forever() -> None:
            await asyncio.sleep(1000)

        steps: Steps = [Emit(calls=[("forever", {})]), Emit("Wait.")]
        run = asyncio.ensure_future(agent_of(steps, [forever]).run("Go."))
        await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    play(story)


def test_handles_of_a_conversation_stay_valid_in_its_next_run() -> None:
    async def story() -> None:
        steps: Steps = [
            Emit(calls=[("slow", {"text": "a"})]),
            Emit("Wait."),
            Emit("Done."),
            lambda view: Emit(calls=[("slow", {"text": view.handles()[0]})]),
            Emit("Wait."),
            answers,
        ]
        agent = agent_of(steps, [slow])
        first = await agent.run("Go.")
        second = await agent.run("Go on.", message_history=first.all_messages())
        assert "slow slow a" in second.output

    play(story)
