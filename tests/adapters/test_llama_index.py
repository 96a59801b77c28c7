"""LlamaIndex: the suite, and what is special."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.objects import ObjectRetriever
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from workflows.errors import WorkflowCancelledByUser

from asyncfc.adapters.llama_index import attach, close
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, Model, View, model_of, play
from asyncfc.testing.models.behaviours import tells
from tests.adapters.conformance import suite
from tests.adapters.conformance.llama_index_harness import HARNESSES
from tests.adapters.llama_index_llm import ScriptedLLM

# LlamaIndex looks at every attribute of an agent, and so at those that pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect")

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)

CATS = ("search", {"text": "cats"})


class Log:
    """Tools that write down what they were called with; `search` ends once it is let go."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.go = asyncio.Event()

    async def search(self, text: str) -> dict[str, Any]:
        """Search."""
        await self.go.wait()
        self.calls.append(("search", text))
        return {"best": f"{text}.org"}

    async def put(self, text: str) -> str:
        """Put."""
        self.calls.append(("put", text))
        return f"put {text}"


def agent_of(model: Model, *tools: Any, **more: Any) -> FunctionAgent:
    made: list[Any] = [
        tool if isinstance(tool, BaseTool) else FunctionTool.from_defaults(tool) for tool in tools
    ]
    return FunctionAgent(tools=made, llm=ScriptedLLM(model), **{"streaming": False, **more})


def answers(model: Model, tool: str) -> list[str]:
    """What the calls of a tool were answered with, as the last request has it."""
    messages = model.requests[-1]["messages"]
    named = {
        call["id"]: call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    return [m["content"] for m in messages if m["role"] == "tool" and named[m["tool_call_id"]] == tool]


def run(story: Callable[[], Any]) -> Any:
    """Play a story, and see that it leaves no task behind."""

    async def main() -> Any:
        before = asyncio.all_tasks()
        result = await story()
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        return result

    return asyncio.run(asyncio.wait_for(main(), 8))


# --- what cannot be attached --------------------------------------------------------------------------


def test_an_agent_that_calls_no_functions_is_refused() -> None:
    agent = ReActAgent(tools=[], llm=ScriptedLLM(model_of(play())))
    with pytest.raises(DeclarationError, match="ReActAgent cannot be attached; expected a FunctionAgent"):
        attach(agent)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"final": "never"}, "final is 'never'"),
        ({"effects": {"fetch": "pure"}}, "matches no tool"),
        ({"inline": ["fetch"]}, "inline has"),
    ],
)
def test_a_wrong_setting_is_told_at_once(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        attach(agent_of(model_of(play()), Log().put), **settings)


def test_an_agent_is_attached_once() -> None:
    agent = attach(agent_of(model_of(play()), Log().put))
    with pytest.raises(DeclarationError, match="Agent is attached already"):
        attach(AgentWorkflow([agent]))


def test_without_the_framework_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_index.core.agent.workflow", None)
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.llama_index")
    with pytest.raises(ImportError, match=r"^[^\n]*pip install 'asyncfc\[llama-index\]'$"):
        importlib.import_module("asyncfc.adapters.llama_index")


def test_the_agent_that_was_given_stays_as_it_is() -> None:
    plain = agent_of(model_of(play()), Log().put)
    attached = attach(plain)
    assert type(plain) is FunctionAgent
    assert isinstance(attached, FunctionAgent)
    assert type(attached).__qualname__ == "FunctionAgent"


# --- runs that go wrong -------------------------------------------------------------------------------


def test_a_run_that_fails_ends_the_calls_that_it_has_begun() -> None:
    async def story() -> list[Any]:
        log = Log()
        agent = attach(
            agent_of(model_of(play(Emit(calls=[CATS]))), log.search), grace=0, effects={"*": "pure"}
        )
        with pytest.raises(LookupError, match="the model is asked once more"):
            await agent.run(user_msg="Go.")
        log.go.set()
        return log.calls

    assert run(story) == []


@pytest.mark.filterwarnings("ignore:WorkflowHandler.cancel:DeprecationWarning")  # it still is a way
@pytest.mark.parametrize("hard", [False, True])
def test_a_run_that_is_cancelled_ends_the_calls_that_it_has_begun(hard: bool) -> None:
    async def story() -> list[Any]:
        log, awaiting = Log(), asyncio.Event()

        def awaits(view: View) -> Emit:
            awaiting.set()
            return Emit(calls=[("await_future", {})])

        agent = attach(agent_of(model_of(play(Emit(calls=[CATS]), awaits)), log.search), grace=0)
        handler = agent.run(user_msg="Go.")
        await awaiting.wait()
        if hard:
            handler.cancel()
        else:
            await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        log.go.set()
        return log.calls

    assert run(story) == []


def test_calls_that_the_agent_never_makes_are_given_up() -> None:
    async def story() -> tuple[str, list[Any]]:
        log = Log()
        calls = Emit(calls=[("put", {"text": "x"}), ("nowhere", {})])
        model = model_of(lambda view: calls if view.tools else Emit("Stopped."))
        agent = agent_of(model, log.put, early_stopping_method="generate")
        output = await attach(agent, grace=0).run(user_msg="Go.", max_iterations=1)
        return str(output), log.calls

    assert run(story) == ("Stopped.", [])


def test_a_tool_that_says_that_it_failed_fails_what_depends_on_it() -> None:
    outputs: list[ToolOutput] = []

    async def look(text: str) -> ToolOutput:
        """Look."""
        outputs.append(
            ToolOutput(tool_name="look", content="no luck", raw_input={}, raw_output=None, is_error=True)
        )
        return outputs[0]

    class Looking(FunctionTool):
        async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
            return await look(**kwargs)

    async def story() -> Model:
        log = Log()
        model = model_of(
            play(Emit(calls=[("look", {"text": "x"}), ("put", {"text": "$this_1"})]), after=tells)
        )
        tool = Looking(async_fn=look, metadata=FunctionTool.from_defaults(look).metadata)
        agent = attach(agent_of(model, tool, log.put), grace=60)
        handler = agent.run(user_msg="Go.")
        results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
        await handler
        assert [one.tool_output.is_error for one in results] == [True, True]
        assert log.calls == []
        return model

    model = run(story)
    assert answers(model, "look") == ["no luck"]
    assert "UpstreamFailed" in answers(model, "put")[0]


# --- tools of the framework's own kinds ---------------------------------------------------------------


def test_a_tool_with_the_context_works_in_its_step_and_may_wait_for_a_person() -> None:
    async def ask(ctx: Context[Any], question: str) -> str:
        """Ask."""
        asked.append(question)
        event = await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_id="w",
            waiter_event=InputRequiredEvent(prefix=question),  # type: ignore[call-arg]
        )
        return f"{question}: {event.response}"

    asked: list[str] = []
    ask.__annotations__.update(ctx=Context, question=str)  # LlamaIndex does not read those that are strings

    async def story() -> str:
        log = Log()
        log.go.set()
        model = model_of(play(Emit(calls=[CATS, ("ask", {"question": "$this_1.best"})]), tells))
        agent = attach(agent_of(model, log.search, ask))
        handler = agent.run(user_msg="Go.")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))  # type: ignore[call-arg]
        output = await handler
        assert answers(model, "ask")[0].startswith("cats.org: yes")
        await close(agent)
        return str(output)

    assert "cats.org: yes" in run(story)
    assert asked == ["cats.org", "cats.org"]  # LlamaIndex takes the step again once the person has answered


def test_a_tool_that_returns_directly_gets_values_and_ends_the_run_after_all_calls() -> None:
    async def story() -> tuple[str, list[Any]]:
        log = Log()

        async def say(text: str) -> str:
            """Say."""
            asyncio.get_running_loop().call_soon(log.go.set)
            return f"said {text}"

        model = model_of(
            play(Emit(calls=[CATS]), Emit(calls=[("put", {"text": "x"}), ("say", {"text": "y"})]))
        )
        direct = FunctionTool.from_defaults(say, return_direct=True)
        agent = attach(agent_of(model, log.search, log.put, direct), grace=0, effects={"say": "pure"})
        output = await agent.run(user_msg="Go.")
        return str(output), log.calls

    assert run(story) == ("said y", [("search", "cats"), ("put", "x")])


def test_what_a_callback_hides_is_neither_told_nor_passed_on() -> None:
    async def secret(name: str) -> dict[str, str]:
        """Tell a secret."""
        return {"name": name, "key": "hunter2"}

    async def story() -> tuple[Model, list[Any]]:
        log = Log()
        tool = FunctionTool.from_defaults(secret, callback=lambda result: f"{result['name']}: ***")
        model = model_of(
            play(Emit(calls=[("secret", {"name": "a"}), ("put", {"text": "$this_1"})]), after=tells)
        )
        agent = attach(agent_of(model, tool, log.put), grace=0)
        await agent.run(user_msg="Go.")
        return model, log.calls

    model, calls = run(story)
    assert calls == [("put", "a: ***")]
    assert "hunter2" not in json.dumps(model.requests)


def test_synchronous_tools_work_in_threads_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=5)

    def meet(number: int) -> int:
        """Meet."""
        both.wait()
        return number

    async def story() -> str:
        model = model_of(play(Emit(calls=[("meet", {"number": 7}), ("meet", {"number": 8})]), tells))
        return str(await attach(agent_of(model, meet), grace=60).run(user_msg="Go."))

    text = run(story)
    assert "7" in text
    assert "8" in text


def test_tools_that_a_retriever_brings_later_are_attached_too() -> None:
    class Retriever(ObjectRetriever):  # type: ignore[type-arg]
        def __init__(self, *rounds: Sequence[BaseTool]) -> None:
            self.rounds = rounds
            self.asked = 0

        async def aretrieve(self, _: Any) -> list[BaseTool]:
            self.asked += 1
            return [tool for tools in self.rounds[: self.asked] for tool in tools]

    async def story() -> list[Any]:
        log = Log()
        first, late = FunctionTool.from_defaults(log.search), FunctionTool.from_defaults(log.put)
        model = model_of(
            play(
                Emit(calls=[CATS]),
                lambda view: Emit(calls=[("put", {"text": f"{view.passed_on('search')}.best"})]),
                after=tells,
            )
        )
        agent = agent_of(model, tool_retriever=Retriever([first], [late]))
        log.go.set()
        await attach(agent, grace=0, effects={"search": "pure"}).run(user_msg="Go.")
        return log.calls

    assert run(story) == [("search", "cats"), ("put", "cats.org")]


# --- agents that hand over ----------------------------------------------------------------------------


def test_what_one_agent_has_asked_for_the_next_one_gets() -> None:
    log_of: list[Log] = []

    def script(view: View) -> Emit:
        if "I look." in view.system:
            to = ("handoff", {"to_agent": "writer", "reason": "it is found"})
            return Emit(calls=[CATS, to])
        if not view.calls("put"):
            log_of[0].go.set()
            return Emit(calls=[("put", {"text": f"{view.passed_on('search')}.best"})])
        return tells(view)

    async def story() -> str:
        log = Log()
        log_of.append(log)
        model = model_of(script)
        looker = agent_of(model, log.search, name="looker", description="Looks.", system_prompt="I look.")
        writer = agent_of(model, log.put, name="writer", description="Writes.", system_prompt="I write.")
        team = attach(
            AgentWorkflow([looker, writer], root_agent="looker"), grace=0, effects={"search": "pure"}
        )
        text = str(await team.run(user_msg="Go."))
        assert log.calls == [("search", "cats"), ("put", "cats.org")]
        return text

    assert "put cats.org" in run(story)


# --- conversations ------------------------------------------------------------------------------------


def test_runs_at_the_same_time_are_conversations_of_their_own() -> None:
    async def story() -> list[str]:
        log = Log()
        log.go.set()
        says = lambda view: Emit(f"It is {view.passed_on('search')}.")  # noqa: E731 - a line of the script
        calls = lambda view: Emit(calls=[("search", {"text": view.messages[0].text})])  # noqa: E731 - as above
        agent = attach(agent_of(model_of(play(calls, says, after=says)), log.search), grace=0)
        outputs = await asyncio.gather(*(agent.run(user_msg=text) for text in ("a", "b")))
        return [str(output) for output in outputs]

    first, second = run(story)
    assert "a.org" in first
    assert "b.org" in second


def puts_what_was_found(view: View) -> Emit:
    """In the second turn, the model passes on a handle of the first."""
    if not view.calls():
        return Emit(calls=[CATS])
    asked = [message.text for message in view.messages if message.role == "user"]
    if "Put it." in asked and not view.calls("put"):
        return Emit(calls=[("put", {"text": view.handles()[0]})])
    return tells(view)


@pytest.mark.parametrize("over", [False, True])
def test_handles_stay_valid_as_long_as_the_conversation_of_a_memory(over: bool) -> None:
    async def story() -> tuple[list[Any], str]:
        log = Log()
        log.go.set()
        model = model_of(puts_what_was_found)
        agent = attach(agent_of(model, log.search, log.put), grace=0)
        memory = ChatMemoryBuffer.from_defaults(llm=agent.llm)
        await agent.run(user_msg="Go.", memory=memory)
        if over:
            await close(agent)
        await agent.run(user_msg="Put it.", memory=memory)
        await close(agent)
        return log.calls[1:], answers(model, "put")[0]

    calls, answer = run(story)
    assert calls == ([] if over else [("put", '{"best":"cats.org"}')])
    assert ("UnknownHandle" in answer) == over


def test_ids_that_begin_again_with_each_message_are_no_matter() -> None:
    async def story() -> list[Any]:
        log = Log()
        log.go.set()
        script = play(Emit(calls=[CATS]), Emit(calls=[("search", {"text": "dogs"})]), after=tells)
        await attach(agent_of(model_of(script, repeat_ids=True), log.search), grace=0).run(user_msg="Go.")
        return log.calls

    assert run(story) == [("search", "cats"), ("search", "dogs")]


def test_calls_of_one_message_that_have_one_id_are_kept_apart() -> None:
    class OneId(ScriptedLLM):
        def get_tool_calls_from_response(self, *args: Any, **kwargs: Any) -> list[Any]:
            found = super().get_tool_calls_from_response(*args, **kwargs)
            return [one.model_copy(update={"tool_id": one.tool_name}) for one in found]

    async def story() -> list[str]:
        log = Log()
        calls = Emit(calls=[("put", {"text": "a"}), ("put", {"text": "b"}), ("put", {"text": "b"})])
        agent = agent_of(model_of(play(calls)), log.put)
        llm: Any = OneId
        agent.llm = llm(model_of(play(calls)))
        handler = attach(agent, grace=60).run(user_msg="Go.")
        results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
        with pytest.raises(Exception, match="tool_call_id"):
            await handler  # the scripted provider does not do so
        assert log.calls == [("put", "a"), ("put", "b"), ("put", "b")]
        return [result.tool_output.content for result in results]

    assert sorted(run(story)) == ["put a", "put b", "put b"]


# --- what people get ----------------------------------------------------------------------------------


def test_structured_output_is_made_once_all_is_known_and_holds_no_handle() -> None:
    async def form(messages: Sequence[Any]) -> dict[str, Any]:
        return {"seen": [message.content for message in messages if message.role == "tool"]}

    async def story() -> AgentOutput:
        log = Log()
        log.go.set()
        model = model_of(play(Emit(calls=[CATS]), Emit("Done."), Emit("Done.")))
        agent = agent_of(model, log.search, structured_output_fn=form)
        output: AgentOutput = await attach(agent, grace=0, final="substitute").run(user_msg="Go.")
        return output

    assert run(story).structured_response["seen"][0].startswith("{'best': 'cats.org'} is running")


def test_a_first_tool_that_is_asked_for_is_asked_for_once() -> None:
    async def story() -> list[Any]:
        log = Log()
        log.go.set()
        model = model_of(play(Emit(calls=[CATS]), Emit("provisional"), after=tells))
        agent = agent_of(model, log.search, initial_tool_choice="search")
        chosen: list[Any] = []
        own = agent.llm.achat_with_tools  # type: ignore[attr-defined]

        async def asked(**settings: Any) -> Any:
            chosen.append(settings.get("tool_choice"))
            return await own(**{**settings, "tool_choice": None})

        object.__setattr__(agent.llm, "achat_with_tools", asked)
        await attach(agent, grace=0).run(user_msg="Go.")
        return chosen

    assert run(story)[0] == "search"
    assert set(run(story)[1:]) == {None}


def test_text_streams_as_it_comes_while_nothing_can_supersede_it() -> None:
    async def story() -> list[str]:
        log = Log()
        log.go.set()
        model = model_of(play(Emit("Let me see.", calls=[CATS]), Emit("This is it.")))
        agent = attach(agent_of(model, log.search, streaming=True), grace=60)
        handler = agent.run(user_msg="Go.")
        shown = [event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
        await handler
        await close(agent)
        return [delta for delta in shown if delta]

    shown = run(story)
    assert "".join(shown) == "Let me see.This is it."
    assert len(shown) > 2
