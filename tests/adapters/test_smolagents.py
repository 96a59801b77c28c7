"""smolagents: the suite, and what is special."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from smolagents import CodeAgent, ToolCallingAgent  # type: ignore[import-untyped]
from smolagents.memory import ActionStep, FinalAnswerStep  # type: ignore[import-untyped]
from smolagents.models import ChatMessage, ChatMessageStreamDelta  # type: ignore[import-untyped]
from smolagents.monitoring import LogLevel  # type: ignore[import-untyped]
from smolagents.utils import AgentGenerationError  # type: ignore[import-untyped]

from asyncfc.adapters.smolagents import attach, close
from asyncfc.errors import DeclarationError
from asyncfc.testing.models import Emit, Model, Script, View, model_of, play
from asyncfc.testing.models.behaviours import tells
from tests.adapters.conformance import suite
from tests.adapters.conformance.smolagents_harness import HARNESSES
from tests.adapters.smolagents_model import FunctionTool, ScriptedModel, agent_of

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)

CATS = ("search", {"text": "cats"})


class Log:
    """Tools that write down what they were called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def search(self, text: str) -> dict[str, str]:
        self.calls.append(("search", text))
        return {"best": f"{text}.org"}

    def put(self, text: str) -> str:
        self.calls.append(("put", text))
        return f"put {text}"


def tool(
    function: Callable[..., Any], *parameters: str, output_type: str = "any", **types: str
) -> FunctionTool:
    """A tool whose parameters are strings, but for those that have a type."""
    properties = {name: {"type": "string"} for name in parameters}
    properties |= {name: {"type": kind} for name, kind in types.items()}
    return FunctionTool(function, function.__name__, "A tool.", {"properties": properties}, output_type)


def played(script: Script, *tools: FunctionTool, **settings: Any) -> tuple[Any, Model]:
    """A run of an agent: its last word, and its model."""
    judge = model_of(script)
    agent = attach(agent_of(judge, tools), **{"grace": 0, **settings})
    return agent.run("Go."), judge


def assert_no_thread_since(before: list[threading.Thread]) -> None:
    """Threads of a pool end soon after they were told to."""
    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        thread.join(1)
    assert not any(thread.is_alive() for thread in new)


def answers(model: Model) -> list[str]:
    return [one["content"] for one in model.requests[-1]["messages"] if one["role"] == "tool"]


# --- what cannot be attached --------------------------------------------------------------------------


def test_an_agent_that_writes_code_is_refused_as_its_code_needs_values() -> None:
    agent = CodeAgent([], ScriptedModel(model_of(play())), verbosity_level=LogLevel.OFF)
    with pytest.raises(DeclarationError, match="CodeAgent cannot be attached, expected a ToolCallingAgent"):
        attach(agent)


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
        attach(agent_of(model_of(play()), [tool(Log().put, "text")]), **settings)


def test_an_agent_is_attached_once() -> None:
    agent = attach(agent_of(model_of(play()), []))
    with pytest.raises(DeclarationError, match="attached already"):
        attach(agent)


def test_without_the_framework_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smolagents.agents", None)
    monkeypatch.delitem(sys.modules, "asyncfc.adapters.smolagents")
    with pytest.raises(ImportError, match=r"^[^\n]*pip install 'asyncfc\[smolagents\]'$"):
        importlib.import_module("asyncfc.adapters.smolagents")


def test_the_agent_that_was_given_stays_as_it_is() -> None:
    plain = agent_of(model_of(play(Emit("Done."))), [tool(Log().put, "text")])
    prompt = plain.system_prompt
    attached = attach(plain)
    attached.run("Go.")
    assert isinstance(attached, ToolCallingAgent)
    assert type(plain) is not type(attached)
    assert plain.memory.steps == []
    assert plain.system_prompt == prompt
    assert attached.system_prompt.startswith(prompt)


# --- runs that go wrong -------------------------------------------------------------------------------


def test_a_run_whose_model_fails_ends_its_conversation() -> None:
    before = threading.enumerate()
    with pytest.raises(AgentGenerationError, match="the model is asked once more"):
        played(play(Emit(calls=[CATS])), tool(Log().search, "text"))
    assert_no_thread_since(before)


def test_a_run_that_nobody_reads_to_its_end_ends_its_conversation() -> None:
    before = threading.enumerate()
    agent = attach(agent_of(model_of(play(Emit(calls=[CATS]), after=tells)), [tool(Log().search, "text")]))
    events = agent.run("Go.", stream=True)
    next(event for event in events if isinstance(event, ActionStep))
    events.close()
    assert_no_thread_since(before)


def test_a_failure_does_not_cost_the_other_results_of_its_message() -> None:
    def broken(text: str) -> str:
        raise ValueError(f"no {text}")

    calls = Emit(calls=[("broken", {"text": "x"}), ("put", {"text": "y"}), ("nowhere", {})])
    _, model = played(play(calls, tells), tool(broken, "text"), tool(Log().put, "text"), grace=60)
    failed, fine, unknown = answers(model)
    assert "ValueError: no x" in failed
    assert fine == "put y"
    assert "Unknown tool nowhere" in unknown


def test_a_message_without_any_call_is_told_so_and_loses_nothing() -> None:
    """smolagents wants a call in every message; what was due has been told by then."""

    class Talking(ScriptedModel):
        def generate(self, *args: Any, **more: Any) -> ChatMessage:
            message = super().generate(*args, **more)
            if self._answers == 1:
                self._answers += 1
                return ChatMessage(message.role, "No call.")
            return message

    log = Log()
    judge = model_of(play(Emit(calls=[CATS]), Emit("x"), after=tells))
    plain = agent_of(judge, [tool(log.search, "text")])
    plain.model = Talking(judge)
    agent = attach(plain, grace=0)
    agent.run("Go.")
    told = json.dumps(judge.requests[-1])
    assert told.count("has ended") == 1
    assert "Error while parsing tool call" in told


def test_the_last_word_that_is_asked_for_when_the_steps_are_used_up_knows_all() -> None:
    judge = model_of(
        play(Emit(calls=[CATS]), lambda view: Emit(f"{view.handles()[0]}.best: {tells(view).text}"))
    )
    agent = attach(agent_of(judge, [tool(Log().search, "text")], max_steps=1), grace=0)
    text = agent.run("Go.")
    assert "cats.org: Done:" in text
    assert json.dumps(judge.requests[-1]).count("has ended") == 1


# --- results ------------------------------------------------------------------------------------------


def test_a_value_keeps_its_type_where_its_handle_is_passed_on() -> None:
    def count(text: str) -> int:
        return len(text)

    def twice(number: int) -> int:
        got.append(number)
        return 2 * number

    got: list[int] = []
    calls = Emit(calls=[("count", {"text": "abc"}), ("twice", {"number": "$this_1"})])
    text, model = played(play(calls, after=tells), tool(count, "text"), tool(twice, number="integer"))
    assert got == [3]
    assert "6" in text
    offered = {one["function"]["name"]: one["function"] for one in model.requests[0]["tools"]}
    assert offered["twice"]["parameters"]["properties"]["number"]["type"] == ["integer", "string"]


def test_the_last_word_may_be_a_value_itself() -> None:
    answer, _ = played(
        play(Emit(calls=[CATS]), after=lambda view: Emit(view.handles()[0])), tool(Log().search, "text")
    )
    assert answer == {"best": "cats.org"}


def test_an_image_is_kept_by_the_agent_and_passed_on_as_it_is() -> None:
    def draw(text: str) -> Image.Image:
        return Image.new("RGB", (len(text), 1))

    def width(image: Image.Image) -> int:
        return image.width

    tools = [tool(draw, "text", output_type="image"), tool(width, image="any", output_type="integer")]
    calls = Emit(calls=[("draw", {"text": "abc"}), ("width", {"image": "$this_1"})])
    text, model = played(play(calls, after=tells), *tools)
    assert "Stored 'image.png' in memory." in json.dumps(model.requests[-1])
    assert " 3" in text or "\n3" in text


def test_a_bare_value_is_that_of_the_only_parameter() -> None:
    log = Log()
    played(play(Emit(calls=[("put", '"x"')]), after=tells), tool(log.put, "text"))
    assert log.calls == [("put", "x")]


def test_a_tool_without_arguments_is_called() -> None:
    log: list[str] = []

    def ping() -> str:
        log.append("ping")
        return "pong"

    text, _ = played(play(Emit(calls=[("ping", {})]), after=tells), tool(ping))
    assert log == ["ping"]
    assert "pong" in text


def test_what_a_program_calls_runs_as_ever() -> None:
    log = Log()
    agent = attach(agent_of(model_of(play()), [tool(log.put, "text")]))
    assert agent.execute_tool_call("put", {"text": "x"}) == "put x"


# --- conversations ------------------------------------------------------------------------------------


def test_a_managed_agent_is_a_tool_like_others() -> None:
    log = Log()
    helper = attach(
        agent_of(
            model_of(play(Emit(calls=[("put", {"text": "x"})]), after=tells)),
            [tool(log.put, "text")],
            name="helper",
            description="Helps.",
        )
    )
    judge = model_of(play(Emit(calls=[("helper", {"task": "Put x."})]), after=tells))
    agent = attach(agent_of(judge, [tool(log.search, "text")], managed_agents=[helper]), grace=0)
    assert "put x" in agent.run("Go.")


def test_a_tool_that_is_added_between_runs_is_attached_too() -> None:
    log = Log()
    judge = model_of(play(Emit("Done."), Emit(calls=[("put", {"text": "x"})]), after=tells))
    agent = attach(agent_of(judge, [tool(log.search, "text")]), grace=0, final="open")
    agent.run("Go.")
    agent.tools["put"] = tool(log.put, "text")
    agent.run("Put x.", reset=False)
    close(agent)
    assert log.calls == [("put", "x")]
    assert "is running" in answers(judge)[0]


def test_handles_stay_valid_in_the_next_run_of_an_open_conversation() -> None:
    log = Log()

    def script(view: View) -> Emit:
        asked = [message.text for message in view.messages if message.role == "user"]
        if not view.calls():
            return Emit(calls=[CATS])
        if any("Put it." in text for text in asked) and not view.calls("put"):
            return Emit(calls=[("put", {"text": view.handles()[0]})])
        return Emit("Done.")

    agent = attach(
        agent_of(model_of(script), [tool(log.search, "text"), tool(log.put, "text")]), grace=0, final="open"
    )
    agent.run("Go.")
    agent.run("Put it.", reset=False)
    agent.run("Start again.")
    close(agent)
    assert log.calls == [("search", "cats"), ("put", '{"best":"cats.org"}'), ("search", "cats")]


def test_a_provisional_last_word_is_not_streamed() -> None:
    done = threading.Event()

    def slow(text: str) -> str:
        done.wait(5)
        return f"slow {text}"

    def provisional(view: View) -> Emit:
        threading.Timer(0.01, done.set).start()
        return Emit("provisional")

    judge = model_of(play(Emit(calls=[("slow", {"text": "x"})]), provisional, Emit("It is slow x.")))
    agent = attach(agent_of(judge, [tool(slow, "text")], stream_outputs=True), grace=0)
    events = list(agent.run("Go.", stream=True))
    deltas = [event for event in events if isinstance(event, ChatMessageStreamDelta)]
    assert "provisional" not in str(deltas)
    assert "It is slow x." in str(deltas)
    assert isinstance(events[-1], FinalAnswerStep)
    assert events[-1].output == "It is slow x."
