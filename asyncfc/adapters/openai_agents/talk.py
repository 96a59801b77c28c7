"""One conversation of the OpenAI Agents SDK: its session, its agents and their tools."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents import Agent, FunctionTool, Handoff, handoff
from agents._public_agent import set_public_agent
from agents.items import ItemHelpers
from agents.models.interface import Model
from agents.tool import invoke_function_tool, maybe_invoke_function_tool_failure_error_function
from agents.tool_context import ToolContext
from openai.types.responses import ResponseFunctionToolCall

from asyncfc.adapters.hints import Trust, annotated, declarations_for
from asyncfc.attached import Attached, attached_tool, value_of
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.base import ReplyCall, ToolSchema
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.placement import Placement
from asyncfc.conversation.shadow import Shadow
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import CallError
from asyncfc.futures.call import Call, parse_arguments
from asyncfc.futures.outcome import Failure
from asyncfc.futures.rendered import Rendered
from asyncfc.incoming import CallReply
from asyncfc.session import Session
from asyncfc.toolbox import toolbox

CONTROLS = frozenset({AWAIT_FUTURE, CANCEL_FUTURE})


class ToolFailed(Exception):
    """A tool raised; the message is what the SDK has for the model, which may hide what it was.

    The exception itself is its cause.
    """


class Talk:
    """One conversation.

    State: `_agents` and `_tools` have what was made for the SDK, by what it was made of; `inline` the tools
    whose calls are answered with their outcomes only, `_resolved` those of them whose arguments the SDK
    itself looks at before it makes a call.

    Args:
        settings: of the dialogue and the session.
        trust: tools whose MCP annotations are believed.
        listening: makes the model that takes the place of an agent's own.
    """

    def __init__(
        self, settings: Mapping[str, Any], trust: Trust, listening: Callable[[Model, Talk], Model]
    ) -> None:
        self._listening = listening
        of_dialogue, of_session = split_settings({"same_message": "concurrent", **settings})
        self._effects = of_session.pop("effects", None)
        self._always_inline = frozenset(of_dialogue.pop("inline", ()))
        self._trust = trust
        self.session = Session([], **of_session)
        self.dialogue = Dialogue(self.session, **of_dialogue)
        self.attached = Attached(self.dialogue, together=True)
        self.shadow = Shadow(RESPONSES)
        self.placement = Placement(
            self.shadow, RESPONSES, self.session.wording, awaits=bool(self.dialogue.controls)
        )
        self.server_side = False
        """The provider has the history: it knows all calls that the model has made."""
        self._awaits = 0
        self._newest: list[str] = []
        self.inline: set[str] = set()
        self._resolved: set[str] = set()
        self._agents: dict[int, tuple[Agent[Any], Agent[Any]]] = {}
        self._tools: dict[str, tuple[FunctionTool, FunctionTool]] = {}

    # --- agents -----------------------------------------------------------------------------------------

    def attached_agent(self, agent: Agent[Any]) -> Agent[Any]:
        """The agent that the SDK runs in place of this one; always the same."""
        agent = original_of(agent)
        if id(agent) not in self._agents:
            self._agents[id(agent)] = (agent, self._copied(agent))
        made = self._agents[id(agent)][1]
        made.tools = [self._offered(agent, tool) for tool in agent.tools]
        return made

    def _copied(self, agent: Agent[Any]) -> Agent[Any]:
        kind = type(agent)
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        attached = type(kind.__name__, (_Attached, kind), {**names, "_asyncfc": (self, agent)})
        made: Agent[Any] = object.__new__(attached)
        vars(made).update(vars(agent))
        set_public_agent(made, agent)  # to whom a person's approvals belong
        if isinstance(agent.model, Model):
            made.model = self._listening(agent.model, self)
        made.handoffs = [self._handoff(one) for one in agent.handoffs]
        return made

    def _handoff(self, given: Any) -> Handoff[Any, Any]:
        """A handoff to the agent that stands for the one that it leads to."""
        made = copy.copy(given) if isinstance(given, Handoff) else handoff(given)
        lead = made.on_invoke_handoff

        async def invoke(context: Any, text: str) -> Any:
            return self.attached_agent(await lead(context, text))

        made.on_invoke_handoff = invoke
        return made

    # --- tools ------------------------------------------------------------------------------------------

    def offered(self, agent: Agent[Any], tools: Sequence[Any]) -> list[Any]:
        """The tools of an agent as the SDK gets them."""
        made = [self._offered(agent, tool) for tool in tools]
        ours = [tool.name for tool in made if isinstance(tool, FunctionTool)]
        if not set(ours) - self.inline:
            return made
        return [
            *made,
            *(self._control(schema) for schema in self.dialogue.controls if schema.name not in ours),
        ]

    def _offered(self, agent: Agent[Any], tool: Any) -> Any:
        if not isinstance(tool, FunctionTool):
            return tool
        before, made = self._tools.get(tool.name, (None, None))
        if made is tool and before is not None:
            tool = before
        elif made is None or before is not tool:
            made = self._wrapped(tool)
            self._tools[tool.name] = (tool, made)
        self._note_inline(agent, tool)
        schema = ToolSchema(tool.name, tool.description, tool.params_json_schema, tool.strict_json_schema)
        adapted = self.dialogue.adapt(schema)
        made.description, made.params_json_schema = adapted.description, adapted.parameters
        return made

    def _wrapped(self, tool: FunctionTool) -> FunctionTool:
        async def hook(context: ToolContext[Any], text: str) -> Any:
            return await self.made(tool, context, text)

        of_session = attached_tool(
            tool.name,
            tool.description,
            tool.params_json_schema,
            effects=annotated(tool.name, tool.mcp_annotations, self._trust),
            returns=tool.output_json_schema,
        )
        declared = declarations_for(tool.name, self._effects)
        self.attached.offer(toolbox([of_session], declared)[tool.name])
        made = copy.copy(tool)
        made.on_invoke_tool, made.timeout_seconds = hook, None  # the timeout is for the work
        return made

    def _note_inline(self, agent: Agent[Any], tool: FunctionTool) -> None:
        """Whether the SDK itself looks at what goes into a tool, or at what comes out of it (DESIGN D6)."""
        looks_in = tool.needs_approval is not False or tool.tool_input_guardrails
        looks_out = tool.tool_output_guardrails or tool.custom_data_extractor or tool._is_agent_tool  # noqa: SLF001
        names = self._resolved if looks_in else set[str]()
        names.add(tool.name)
        if looks_in or looks_out or tool.name in self._always_inline or _may_end(agent, tool.name):
            self.inline.add(tool.name)

    def _control(self, schema: ToolSchema) -> FunctionTool:
        async def hook(context: ToolContext[Any], text: str) -> Any:
            return await self.made(None, context, text)

        return FunctionTool(
            schema.name, schema.description, schema.parameters, hook, strict_json_schema=schema.strict
        )

    # --- calls ------------------------------------------------------------------------------------------

    def received(self, calls: Sequence[ReplyCall]) -> None:
        """A message of the model is complete."""
        self.attached.received([self._asked(sealed) for sealed in calls])
        self._newest = [sealed.call.id for sealed in calls]

    async def rest(self) -> None:
        """The run is over: calls that it has not made will not be made, and the others end."""
        for call_id in self._newest:
            self.attached.give_up(call_id)
        await self.session.finish()

    def _asked(self, sealed: ReplyCall) -> ReplyCall:
        name, kind = sealed.call.tool, sealed.kind
        if name not in self.session.tools and name not in CONTROLS:
            kind = "foreign"
        elif kind == "model" and name in self.inline:
            kind = "program"
        return ReplyCall(sealed.call, kind)

    def awaiting(self, handles: Sequence[str | None]) -> ResponseFunctionToolCall:
        """A call of `await_future` that the model has not made."""
        self._awaits += 1
        return ResponseFunctionToolCall(
            type="function_call",
            call_id=f"call_await_{self.session.id[:8]}_{self._awaits}",
            name=AWAIT_FUTURE,
            arguments=json.dumps({"handles": handles}),
        )

    def must_be_resolved(self, name: str) -> bool:
        """Whether the SDK looks at the arguments of a call before it is made; so it does with a handoff."""
        return name in self._resolved or not (name in self.session.tools or name in CONTROLS)

    async def resolved(self, call: Call) -> str | None:
        """The arguments of a call with values in place of handles; None if there is nothing to replace."""
        if self.session.grammar.mention.search(str(call.arguments)) is None:
            return None
        try:
            values = await self.session.handles.resolve(parse_arguments(call))
        except CallError:  # the call itself will say so
            return None
        return json.dumps(values, ensure_ascii=False, default=repr)

    async def made(self, tool: FunctionTool | None, context: ToolContext[Any], text: str) -> Any:
        """The SDK makes a call; let it run in its turn, and answer it."""
        call_id = context.tool_call_id
        if not self.attached.knows(call_id):  # of an interrupted run that went on in another process
            call = Call(call_id, context.tool_name, text)
            self.attached.received([ReplyCall(call, "model" if tool is None else "program")])

        async def work(arguments: dict[str, Any]) -> Rendered:
            assert tool is not None
            try:
                result = await _invoked(tool, context, text, arguments)
            except Exception as error:
                said = await maybe_invoke_function_tool_failure_error_function(
                    function_tool=tool, context=context, error=error
                )
                if said is None:
                    raise
                raise ToolFailed(said) from error
            return _rendered(result, context)

        reply = await self.attached.answer(call_id, work)
        if reply.kind == "foreign" and tool is not None:  # in a namespace: its name does not say which it is
            values = await self.resolved(Call(call_id, context.tool_name, text))
            return await tool.on_invoke_tool(context, values or text)
        given = self._given(reply)
        return given if context.tool_name in self.inline else await self._with_due(given)

    def _given(self, reply: CallReply) -> Any:
        """What the SDK gets: the tool's own result or the SDK's text for an exception, else one of asyncfc.

        An exception that would end the run does so only if the call is inline; else it would depend on
        the grace.
        """
        if reply.is_own_text:
            return reply.text
        if isinstance(reply.outcome, Failure):
            error = reply.outcome.error
            if isinstance(error, ToolFailed):
                return self.session.handles.escape(str(error))
            if reply.kind == "inline":
                raise error  # which ends the run
            return reply.text
        rendered = reply.answer.value if reply.answer is not None else None
        if not isinstance(rendered, Rendered) or reply.text != rendered.text:  # escaped, or only the start
            return reply.text
        return rendered.own

    async def _with_due(self, output: Any) -> Any:
        """An answer with what is due behind it: so it stays where the program keeps its messages (D4)."""
        if not isinstance(output, str):
            return output
        due = [future for future in self.session.owed if future.settled and future.handle]
        awaited = await self.session.await_future(due, timeout=0)
        told = [one.text for one in awaited.settled] + [note.text for note in awaited.notes]
        if not told:
            return output
        block = self.session.wording.block.format(results="\n\n".join(told))
        return f"{output}\n\n{block}"


class _Attached:
    """What an attached agent does differently from one of the SDK."""

    _asyncfc: tuple[Talk, Agent[Any]]

    async def get_all_tools(self, run_context: Any) -> list[Any]:
        """See `Agent.get_all_tools`."""
        tools = await super().get_all_tools(run_context)  # type: ignore[misc]  # of the SDK's class
        return self._asyncfc[0].offered(self._asyncfc[1], tools)


def original_of(agent: Agent[Any]) -> Agent[Any]:
    """The agent that an attached one was made of; any other as it is."""
    return agent._asyncfc[1] if isinstance(agent, _Attached) else agent  # noqa: SLF001


def talk_of(agent: Agent[Any]) -> Talk | None:
    """The conversation that an agent is attached to."""
    return agent._asyncfc[0] if isinstance(agent, _Attached) else None  # noqa: SLF001


def _may_end(agent: Agent[Any], tool: str) -> bool:
    """Whether the result of a tool may be the result of the run."""
    behavior = agent.tool_use_behavior
    if isinstance(behavior, Mapping):
        return tool in behavior.get("stop_at_tool_names", ())
    return behavior != "run_llm_again"


async def _invoked(
    tool: FunctionTool, context: ToolContext[Any], text: str, arguments: dict[str, Any]
) -> Any:
    """Run a tool as the SDK does, but for errors: an exception stays one."""
    bare = copy.copy(tool)
    bare._failure_error_function, bare._use_default_failure_error_function = None, False  # noqa: SLF001
    if arguments != json.loads(text or "{}"):
        text = json.dumps(arguments, ensure_ascii=False, default=repr)
        context = copy.copy(context)
        context.tool_arguments = text
    return await invoke_function_tool(function_tool=bare, context=context, arguments=text)


def _rendered(result: Any, context: ToolContext[Any]) -> Rendered:
    """A result with the text that the SDK has for it."""
    call: Any = context.tool_call
    output = ItemHelpers.tool_call_output_item(call, result)["output"]
    if isinstance(output, str):
        return Rendered(result, output, own=result)
    text = "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in output)
    return Rendered(value_of(text), text, own=result)
