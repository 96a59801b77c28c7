"""One conversation of a smolagents agent: what its model is told, and what becomes of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from smolagents.agent_types import AgentAudio, AgentImage, AgentType  # type: ignore[import-untyped]
from smolagents.memory import ActionStep, MemoryStep  # type: ignore[import-untyped]
from smolagents.models import ChatMessage, ChatMessageToolCall, MessageRole  # type: ignore[import-untyped]
from smolagents.utils import AgentParsingError  # type: ignore[import-untyped]

from asyncfc.adapters.hints import declarations_for
from asyncfc.attached import Attached, attached_tool
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.base import Json, ReplyCall, ToolSchema
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import CallError
from asyncfc.futures.call import Call
from asyncfc.futures.plain import map_strings
from asyncfc.futures.rendered import Rendered
from asyncfc.session import Session
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool

FINAL = "final_answer"
"""The tool by which a model says its last word."""
_CONTROLS = (AWAIT_FUTURE, CANCEL_FUTURE)
_JSON_TYPES = frozenset({"string", "boolean", "integer", "number", "array", "object", "null"})


class Arguments(dict[str, Any]):
    """The arguments of a call, which say which call it is: the agent makes it by its tool's name alone."""

    call_id = ""

    def __bool__(self) -> bool:
        """Where there are none, the agent would put others in their place."""
        return True


@dataclass(frozen=True, slots=True)
class Declared:
    """A tool as the model is told of it; smolagents reads these attributes."""

    name: str
    description: str
    inputs: Json
    output_type: str = "any"


@dataclass
class NoteStep(MemoryStep):  # type: ignore[misc]
    """What the model is told in the place of the user, behind what a person has said."""

    text: str

    def to_messages(self, summary_mode: bool = False) -> list[ChatMessage]:  # noqa: ARG002 - one form
        """The text."""
        return [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": self.text}])]


class Talk:
    """The conversation of one agent; `begin` makes it.

    Args:
        settings: of the `Dialogue` and of the `Session`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._of_dialogue, of_session = split_settings(settings)
        self._of_session = {"same_message": "concurrent", **of_session}
        self._blocking: BlockingSession | None = None
        self._attached: Attached | None = None
        self._leave: Callable[[BaseException | None], None] | None = None
        self.note: str | None = None
        """What stands behind the system prompt."""
        self.is_provisional = False
        """The last word that the model has just said does not count."""

    def check(self, tools: Iterable[Any]) -> None:
        """Raise what is wrong with the settings."""
        session = Session([_session_tool(tool) for tool in tools if tool.name != FINAL], **self._of_session)
        self.note = Dialogue(session, **self._of_dialogue).note

    def begin(self, tools: Iterable[Any], *, afresh: bool) -> None:
        """A run begins.

        Args:
            tools: of the agent.
            afresh: the conversation before is over.
        """
        if afresh:
            self.close()
        if self._blocking is None:
            made = [_session_tool(tool) for tool in tools if tool.name != FINAL]
            self._blocking = BlockingSession(made, **self._of_session)
            dialogue = Dialogue(self._blocking.inner, **self._of_dialogue)
            self._attached = Attached(dialogue, together=True)

    def ended(self) -> None:
        """A run has ended well: so do its calls, unless they belong to the next."""
        if self._blocking is not None and not self._is_open:
            self._blocking.finish()
            self.close()

    def close(self) -> None:
        """End it, and what still runs."""
        blocking, self._blocking, self._attached = self._blocking, None, None
        if blocking is not None:
            blocking.close()

    # --- the model is asked -----------------------------------------------------------------------------

    @property
    def may_be_provisional(self) -> bool:
        """Whether what the model says now may have to be superseded."""
        return self._attached is not None and self._attached.dialogue.may_be_provisional

    def escape(self, text: str) -> str:
        """What reads as a handle in a text of the user is inert (DESIGN H2)."""
        return self._running.handles.escape(text)

    def told(self, tools: Sequence[Any]) -> list[Any]:
        """The tools as the model is told of them; outside of a run, as they are."""
        if self._attached is None:
            return list(tools)
        dialogue = self._attached.dialogue
        for tool in tools:
            if tool.name != FINAL and tool.name not in self._running.inner.tools:
                late = toolbox(
                    [_session_tool(tool)], declarations_for(tool.name, self._of_session.get("effects"))
                )
                self._attached.offer(late[tool.name])
        names = {tool.name for tool in tools}
        controls = [_control(one) for one in dialogue.controls if one.name not in names]
        return [*(_told(tool, dialogue) for tool in tools), *controls]

    @contextmanager
    def asking(self, steps: list[Any]) -> Iterator[None]:
        """Around a step of the agent: deliveries go into its memory before the model is asked.

        They have been seen once the model's message is there, which `heard` says.
        """
        attached = self._talking
        block = attached.sampling()
        deliveries = self._on_loop(block.__enter__)
        undo = self._put(steps, [delivery.text for delivery in deliveries])

        def leave(error: BaseException | None) -> None:
            self._leave = None
            if error is not None:
                undo()
            given = (None, None, None) if error is None else (type(error), error, error.__traceback__)
            self._on_loop(block.__exit__, *given)

        self._leave = leave
        self.is_provisional = False
        try:
            yield
        except BaseException as error:
            if self._leave is not None:  # the model's message that cannot be read has come, all the same
                self._leave(None if isinstance(error, AgentParsingError) else error)
            raise
        if self._leave is not None:
            self._leave(None)

    @contextmanager
    def asking_for_the_last(self, steps: list[Any]) -> Iterator[Callable[[str], str]]:
        """The same where no calls can follow; gives what puts values in place of handles."""
        running = self._running
        if not self._is_open:
            running.wait_for(running.owed)
        with self.asking(steps):
            yield running.handles.fill

    def heard(self, message: ChatMessage) -> list[ChatMessageToolCall]:
        """The model's message is there: register its calls, unless it is provisional.

        Returns:
            its calls, whose arguments say which call they are of.
        """
        attached = self._talking
        if self._leave is not None:
            self._leave(None)
        calls = message.tool_calls or []
        if [call.function.name for call in calls] == [FINAL]:
            text = json.dumps(calls[0].function.arguments, ensure_ascii=False, default=str)
            self.is_provisional = self._running.run(attached.dialogue.must_go_on, text)
            if self.is_provisional:
                return calls
        made = [self._marked(call) for call in calls]
        sealed = [
            ReplyCall(
                Call(call.id, call.function.name, json.dumps(_named(call, attached), ensure_ascii=False)),
                kind="model" if self.answers(call.function.name) else "foreign",
            )
            for call in calls
        ]
        self._on_loop(attached.received, sealed)
        return made

    # --- a call is made ---------------------------------------------------------------------------------

    def answers(self, tool: str) -> bool:
        """Whether calls of a tool are answered here."""
        return tool in self._running.inner.tools or tool in _CONTROLS

    def make(self, call_id: str, work: Callable[[dict[str, Any]], Any], state: dict[str, Any]) -> Any:
        """Make a call of the model, and give what the agent is to observe.

        Errors are observed, too: were they raised, the other results of the message would be lost.

        Args:
            call_id: of the call.
            work: does it, with final arguments.
            state: of the agent, where it keeps images and sounds.
        """

        def rendered(arguments: dict[str, Any]) -> Rendered:
            result = work(arguments)
            value = result.to_raw() if isinstance(result, AgentType) else result
            return Rendered(value, _observation(result, state), result)

        reply = self._running.run(self._talking.answer, call_id, rendered)
        own = None if reply.answer is None else reply.answer.value
        if not isinstance(own, Rendered):
            return reply.text
        return own.own if reply.text == own.text else reply.text

    def final_arguments(self, arguments: Any) -> Any:
        """Those of the model's last word, with values in place of handles."""
        if self._attached is None or not isinstance(arguments, Arguments):
            return arguments
        try:
            given: dict[str, Any] = self._running.run(self._running.handles.resolve, dict(arguments))
        except CallError:  # in prose it is taken as it is meant most likely
            given = map_strings(dict(arguments), self._running.handles.fill)
        return given

    # --- inside -----------------------------------------------------------------------------------------

    @property
    def _is_open(self) -> bool:
        return self._of_dialogue.get("final") == "open"

    @property
    def _running(self) -> BlockingSession:
        assert self._blocking is not None
        return self._blocking

    @property
    def _talking(self) -> Attached:
        assert self._attached is not None
        return self._attached

    def _on_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function where the session lives."""

        async def run() -> Any:
            return function(*args)

        return self._running.run(run)

    def _put(self, steps: list[Any], texts: Sequence[str]) -> Callable[[], object]:
        """Put deliveries behind the newest observation, else into the place of the user; returns the undo."""
        if not texts:
            return lambda: None
        block = self._running.inner.wording.block.format(results="\n\n".join(texts))
        last = steps[-1] if steps else None
        if not isinstance(last, ActionStep):
            steps.append(NoteStep(block))
            return steps.pop
        before = last.observations
        last.observations = f"{before}\n\n{block}" if before else block
        return lambda: setattr(last, "observations", before)

    def _marked(self, call: ChatMessageToolCall) -> ChatMessageToolCall:
        arguments = Arguments(_named(call, self._talking) or {})
        arguments.call_id = call.id
        return replace(call, function=replace(call.function, arguments=arguments))


def _named(call: ChatMessageToolCall, attached: Attached) -> Any:
    """The arguments by name; a bare value is that of the only parameter."""
    given = call.function.arguments
    if isinstance(given, dict) or not given:
        return given or {}
    tool = attached.session.tools.get(call.function.name)
    names = ["answer"] if call.function.name == FINAL else list(tool.parameters if tool is not None else ())
    return {names[0]: given} if len(names) == 1 else given


def _observation(result: Any, state: dict[str, Any]) -> str:
    """What the model reads of a result, as the agent would put it."""
    for kind, name in ((AgentImage, "image.png"), (AgentAudio, "audio.mp3")):
        if type(result) is kind:
            state[name] = result
            return f"Stored '{name}' in memory."
    return str(result).strip()


def _session_tool(tool: Any) -> Tool:
    output = getattr(tool, "output_schema", None)
    if output is None and tool.output_type in _JSON_TYPES:
        output = {"type": tool.output_type}
    return attached_tool(
        tool.name, tool.description, _schema(tool.inputs), returns=output, asynchronous=False
    )


def _schema(inputs: Mapping[str, Any]) -> Json:
    properties = {}
    for name, given in inputs.items():
        types = set(_types(given))
        about = {key: value for key, value in given.items() if key not in ("type", "nullable")}
        if types <= _JSON_TYPES:
            about["type"] = given["type"]
        properties[name] = about
    required = [name for name, given in inputs.items() if not given.get("nullable")]
    return {"type": "object", "properties": properties, "required": required}


def _told(tool: Any, dialogue: Dialogue) -> Any:
    if tool.name == FINAL:
        return tool
    adapted = dialogue.adapt(ToolSchema(tool.name, tool.description, _schema(tool.inputs), strict=False))
    properties = _inlined(adapted.parameters["properties"], adapted.parameters.get("$defs", {}))
    inputs = {name: _input(given, properties[name]) for name, given in tool.inputs.items()}
    return Declared(tool.name, adapted.description, inputs, tool.output_type)


def _input(given: Json, relaxed: Json) -> Json:
    """An input that admits handles: smolagents knows alternatives as a list of types only."""
    branches = relaxed.get("anyOf", [relaxed])
    whole = {**given, **{key: value for key, value in branches[0].items() if key != "type"}}
    if len(branches) == 1 or "enum" in given or "anyOf" in given:
        return whole
    return {**whole, "type": list(dict.fromkeys([*_types(given), "string"]))}


def _inlined(schema: Any, defs: Mapping[str, Any]) -> Any:
    """The schema with definitions in place of references to them: an input has nowhere to keep them."""
    if isinstance(schema, list):
        return [_inlined(one, defs) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = defs.get(str(schema.get("$ref")).rpartition("/")[2])
    return found if found is not None else {key: _inlined(value, defs) for key, value in schema.items()}


def _types(given: Json) -> list[str]:
    kind = given["type"]
    return [kind] if isinstance(kind, str) else list(kind)


def _control(schema: ToolSchema) -> Declared:
    required = schema.parameters.get("required", [])
    properties = schema.parameters["properties"]
    inputs = {
        name: {**about, **({} if name in required else {"nullable": True})}
        for name, about in properties.items()
    }
    return Declared(schema.name, schema.description, inputs)
