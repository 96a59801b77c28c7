"""smolagents: agents whose calls work in the background."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from smolagents.agents import (  # type: ignore[import-untyped]
    ActionOutput,
    AgentError,
    ToolCallingAgent,
    ToolOutput,
)
from smolagents.memory import (  # type: ignore[import-untyped]
    ActionStep,
    AgentMemory,
    FinalAnswerStep,
    ToolCall,
)
from smolagents.models import ChatMessage, ChatMessageStreamDelta  # type: ignore[import-untyped]

from asyncfc.adapters.smolagents.talk import FINAL, Arguments, Talk
from asyncfc.errors import DeclarationError
from asyncfc.futures.plain import map_strings

AgentT = TypeVar("AgentT", bound=ToolCallingAgent)


def attach(agent: AgentT, **settings: Any) -> AgentT:
    """Make the tool calls of an agent asynchronous.

    Args:
        agent: it stays as it is. A managed agent is attached before it is given to the one that manages it.
        settings: of the conversation (see `Dialogue`) and of its session (see `Session`). `grace` is
            `"auto"` and `same_message` is `"concurrent"` if nothing is said.

    Returns:
        an agent of the same kind, with a memory of its own, to be used instead.

    Raises:
        DeclarationError: another kind of agent, or a setting written wrongly.
    """
    if not isinstance(agent, ToolCallingAgent):
        raise DeclarationError(
            f"{type(agent).__name__} cannot be attached, expected a ToolCallingAgent: code that a model "
            "writes computes with the results of tools, so that it needs values, not handles"
        )
    if "_asyncfc" in vars(agent):
        raise DeclarationError("the agent is attached already; attach the one that it was made of")
    talk = Talk(settings)
    talk.check(agent.tools_and_managed_agents)
    kind: Any = type(agent)
    attached: AgentT = object.__new__(_attached_class(kind))
    vars(attached).update(vars(agent), _asyncfc=talk)
    attached.memory = AgentMemory(attached.system_prompt)
    return attached


def close(agent: ToolCallingAgent) -> None:
    """End the conversation of an attached agent, and what still runs in it."""
    vars(agent)["_asyncfc"].close()


@functools.cache
def _attached_class(kind: Any) -> Any:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind)(kind.__name__, (_Attached, kind), names)


class _Attached:
    """What is changed of an agent: what its model is told, and how calls are made."""

    _asyncfc: Talk

    def initialize_system_prompt(self) -> str:
        """With the note on handles."""
        prompt: str = super().initialize_system_prompt()  # type: ignore[misc]  # see _attached_class
        note = self._asyncfc.note
        return prompt if note is None else f"{prompt}\n\n{note}"

    @property
    def tools_and_managed_agents(self) -> list[Any]:
        """As the model is told of them."""
        return self._asyncfc.told(super().tools_and_managed_agents)  # type: ignore[misc]

    def run(self, task: str, stream: bool = False, reset: bool = True, **more: Any) -> Any:
        """Run, in a conversation of its own if the agent is reset or the one before is over."""
        talk = self._asyncfc
        talk.begin(super().tools_and_managed_agents, afresh=reset)  # type: ignore[misc]
        return super().run(talk.escape(task), stream, reset, **more)  # type: ignore[misc]

    def _run_stream(self, *args: Any, **more: Any) -> Iterator[Any]:
        talk = self._asyncfc
        try:
            for event in super()._run_stream(*args, **more):  # type: ignore[misc]
                if isinstance(event, FinalAnswerStep):
                    talk.ended()
                yield event
        except BaseException:
            talk.close()
            raise

    def _step_stream(self, memory_step: ActionStep) -> Iterator[Any]:
        talk = self._asyncfc
        agent: Any = self
        waiting: list[ChatMessageStreamDelta] = []
        with talk.asking(agent.memory.steps):
            for event in super()._step_stream(memory_step):  # type: ignore[misc]
                if isinstance(event, ChatMessageStreamDelta) and talk.may_be_provisional:
                    waiting.append(event)
                    continue
                if not (isinstance(event, ActionOutput) and talk.is_provisional):
                    yield from waiting
                waiting.clear()
                yield event

    def process_tool_calls(
        self, chat_message: ChatMessage, memory_step: ActionStep
    ) -> Iterator[ToolCall | ToolOutput]:
        """The model's message is there: register its calls, and make them."""
        talk = self._asyncfc
        calls = talk.heard(chat_message)
        if talk.is_provisional:  # what it did not know yet comes with the next request
            memory_step.tool_calls = [
                ToolCall(one.function.name, one.function.arguments, one.id) for one in calls
            ]
            memory_step.observations = ""
            return
        message = replace(chat_message, tool_calls=calls)
        yield from super().process_tool_calls(message, memory_step)  # type: ignore[misc]

    def provide_final_answer(self, task: str) -> ChatMessage:
        """The steps are used up: the model is asked for its last word, and told all that is known."""
        agent: Any = self
        with self._asyncfc.asking_for_the_last(agent.memory.steps) as fill:
            message = super().provide_final_answer(task)  # type: ignore[misc]
        return replace(message, content=map_strings(message.content, fill))

    def execute_tool_call(self, tool_name: str, arguments: Any) -> Any:
        """Make a call: in its turn if the model asks for it, at once if a program does."""
        talk = self._asyncfc
        make = super().execute_tool_call  # type: ignore[misc]
        if tool_name == FINAL:
            return make(tool_name, talk.final_arguments(arguments))
        if not isinstance(arguments, Arguments):
            return make(tool_name, arguments)
        if not talk.answers(tool_name):
            try:
                return make(tool_name, arguments)
            except AgentError as error:  # raised, it would cost the other results of the message
                return str(error)
        return talk.make(arguments.call_id, functools.partial(make, tool_name), vars(self)["state"])
