"""LlamaIndex: agents whose calls work in the background."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from llama_index.core.agent.workflow import (
    AgentInput,
    AgentOutput,
    AgentWorkflow,
    FunctionAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool, BaseTool, ToolOutput
from llama_index.core.workflow import Context, StopEvent, step
from workflows.errors import WorkflowRuntimeError
from workflows.handler import WorkflowHandler

from asyncfc.adapters.llama_index.talk import CONTROLS, Called, Talk, control_metadata, map_texts
from asyncfc.dialogue import split_settings
from asyncfc.errors import DeclarationError
from asyncfc.futures.plain import map_strings

AgentT = TypeVar("AgentT", FunctionAgent, AgentWorkflow)

STORE_KEY = "asyncfc"
"""Where the state of a context names its conversation."""
MAX_KEPT = 100
"""Conversations that are kept between runs; of more, those that have rested longest are closed."""
MAX_WORKERS = 1000
"""Calls of a run that may be asked for at the same time; the session's limits say how many work."""

_CALL_ID: ContextVar[str] = ContextVar("asyncfc_llama_index_call")


def attach(agent: AgentT, **settings: Any) -> AgentT:
    """Make the tool calls of an agent asynchronous.

    Args:
        agent: a `FunctionAgent`, or an `AgentWorkflow` of such agents; it stays as it is.
        settings: of the conversation (see `Dialogue`) and of its session (see `Session`). `grace` is
            `"auto"` and `same_message` is `"concurrent"` if nothing is said.

    Returns:
        an agent of the same kind, to be used instead.

    Raises:
        DeclarationError: another kind of agent, or a setting written wrongly.
    """
    whole: Any = agent
    members: list[Any] = list(whole.agents.values()) if isinstance(whole, AgentWorkflow) else [whole]
    for member in members:
        if not isinstance(member, FunctionAgent):
            raise DeclarationError(
                f"{type(member).__name__} cannot be attached; expected a FunctionAgent, or an AgentWorkflow "
                "of FunctionAgents: others do not call tools by the protocol of function calling"
            )
        if "_asyncfc" in vars(member):
            raise DeclarationError(f"{member.name} is attached already; attach the agent that it was made of")
    tools: list[Any] = [tool for member in members for tool in member.tools or ()]
    talks = _Talks(tools, settings, structured=any(_is_structured(one) for one in (whole, *members)))
    if not any(member.tool_retriever for member in members):
        talks.check()
    changed: Any = _changed(whole, talks)
    if isinstance(whole, AgentWorkflow):
        changed.agents = {name: _changed(member, talks) for name, member in whole.agents.items()}
    attached: AgentT = changed
    return attached


async def close(agent: FunctionAgent | AgentWorkflow) -> None:
    """End all conversations of an attached agent that rest, and what still runs in them."""
    await vars(agent)["_asyncfc"].close()


def _is_structured(agent: Any) -> bool:
    return agent.output_cls is not None or agent.structured_output_fn is not None


def _changed(agent: Any, talks: _Talks) -> Any:
    changed = copy.copy(agent)
    kind: Any = type(agent)
    object.__setattr__(changed, "__class__", _attached_class(kind))
    object.__setattr__(changed, "_asyncfc", talks)
    return changed


@functools.cache
def _attached_class(kind: Any) -> Any:
    """The class of an attached agent; runs are stored under the names of classes, so it keeps its name."""
    steps = _Steps if issubclass(kind, AgentWorkflow) else _Agent
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind)(kind.__name__, (steps, kind), names)


@dataclass(slots=True)
class _Kept:
    loop: asyncio.AbstractEventLoop
    memory: Any
    talk: Talk


class _Talks:
    """The conversations of an agent; the memory of a run tells which is its own, or its context does."""

    def __init__(self, tools: Sequence[BaseTool], settings: dict[str, Any], *, structured: bool) -> None:
        of_dialogue, of_session = split_settings(settings)
        self._tools = tools
        self._new = functools.partial(
            Talk,
            of_dialogue=of_dialogue,
            of_session={"same_message": "concurrent", **of_session},
            structured=structured,
        )
        self._live: dict[str, _Kept] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self.is_open = of_dialogue.get("final") == "open"

    def check(self) -> None:
        """Raise what is wrong with the settings."""
        self._new(self._tools)

    async def of(self, ctx: Any, tools: Sequence[BaseTool] = ()) -> Talk:
        """The conversation of a run; a new one if there is none yet, or it was that of another process."""
        memory = await ctx.store.get("memory", default=None)
        names = (name for name, kept in self._live.items() if kept.memory is memory is not None)
        name = next(names, None) or await ctx.store.get(STORE_KEY, default="")
        loop = asyncio.get_running_loop()
        kept = self._live.pop(name, None)
        if kept is None or kept.loop is not loop:
            new = (tool for tool in tools if tool.metadata.name not in CONTROLS)
            kept = _Kept(loop, memory, self._new([*self._tools, *new]))
            name = kept.talk.session.id
            await ctx.store.set(STORE_KEY, name)
        kept.memory = memory
        self._live[name] = kept  # the newest last
        return kept.talk

    async def ended(self, ctx: Any) -> None:
        """A run has ended well: so do its calls, unless they belong to the next run."""
        talk = await self.of(ctx)
        if not self.is_open:
            await talk.finish()
        for name in list(self._live)[:-MAX_KEPT]:
            await self._close(name)

    def watch(self, handler: WorkflowHandler) -> None:
        """A run has begun: if it does not end well, nor does its conversation."""
        watch = asyncio.create_task(self._watched(handler))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    async def close(self) -> None:
        """End all."""
        for name in list(self._live):
            await self._close(name)

    async def _watched(self, handler: WorkflowHandler) -> None:
        try:
            await handler.stop_event_result()
        except BaseException as error:  # it is raised where the run is awaited
            await self._close(await handler.ctx.store.get(STORE_KEY, default=""))
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise

    async def _close(self, name: str) -> None:
        kept = self._live.pop(name, None)
        if kept is not None and kept.loop is asyncio.get_running_loop():
            await kept.talk.session.close()


class _Steps:
    """What an agent has in common with a workflow of agents: the steps around a call, the end of a run."""

    _asyncfc: _Talks

    def run(self, *args: Any, **kwargs: Any) -> WorkflowHandler:
        """Run, and close the conversation should the run fail."""
        handler: WorkflowHandler = super().run(*args, **kwargs)  # type: ignore[misc]  # see _attached_class
        self._asyncfc.watch(handler)
        return handler

    async def get_tools(self, *args: Any, **kwargs: Any) -> Sequence[AsyncBaseTool]:
        """The agent's tools, in whose hands calls are answered, and those for waiting and cancelling."""
        tools: Sequence[AsyncBaseTool] = await super().get_tools(*args, **kwargs)  # type: ignore[misc]
        try:
            talk = await self._asyncfc.of(Context.get_step_context(), tools)
        except WorkflowRuntimeError:  # nothing runs: somebody has a look at them
            return tools
        names = {tool.metadata.name for tool in tools}
        controls = [control_metadata(one) for one in talk.dialogue.controls if one.name not in names]
        return [
            *(Called(tool.metadata, functools.partial(self._called, tool)) for tool in tools),
            *(Called(metadata, functools.partial(self._called, None)) for metadata in controls),
        ]

    async def _called(self, tool: AsyncBaseTool | None, name: str, arguments: dict[str, Any]) -> ToolOutput:
        ctx: Context[Any] = Context.get_step_context()
        talk = await self._asyncfc.of(ctx)
        return await talk.call(ctx, _CALL_ID.get(), tool, name, arguments)

    @step(num_workers=MAX_WORKERS)
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        """Make a call, by its id."""
        token = _CALL_ID.set(ev.tool_id)
        try:
            result: ToolCallResult = await super().call_tool(ctx, ev)  # type: ignore[misc]
        finally:
            _CALL_ID.reset(token)
        return result

    @step
    async def parse_agent_output(
        self, ctx: Context, ev: AgentOutput
    ) -> StopEvent | AgentInput | ToolCall | None:
        """A message without calls ends the run."""
        event: StopEvent | AgentInput | ToolCall | None
        event = await super().parse_agent_output(ctx, ev)  # type: ignore[misc]
        await self._ended(ctx, event)
        return event

    @step
    async def aggregate_tool_results(self, ctx: Context, ev: ToolCallResult) -> AgentInput | StopEvent | None:
        """So does the result of a tool that is returned directly."""
        event: AgentInput | StopEvent | None
        event = await super().aggregate_tool_results(ctx, ev)  # type: ignore[misc]
        await self._ended(ctx, event)
        return event

    async def _ended(self, ctx: Context, event: Any) -> None:
        if isinstance(event, StopEvent):
            talk = await self._asyncfc.of(ctx)
            result: AgentOutput = event.result
            fill = talk.session.handles.fill
            result.response = map_texts(result.response, fill)
            result.structured_response = map_strings(result.structured_response, fill)
            await self._asyncfc.ended(ctx)


class _Agent(_Steps):
    scratchpad_key: str
    llm: Any
    initial_tool_choice: str | None

    async def take_step(
        self, ctx: Any, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """Ask the model, and register the calls of its message."""
        talk = await self._asyncfc.of(ctx, tools)

        async def take(ctx: Any, llm_input: list[ChatMessage], tools: list[AsyncBaseTool]) -> AgentOutput:
            agent = self
            if await ctx.store.get(self.scratchpad_key, default=[]):  # a note is not what a person has asked
                agent = copy.copy(self)
                agent.initial_tool_choice = None
            own = super(_Agent, agent).take_step  # type: ignore[misc]
            output: AgentOutput = await own(ctx, llm_input, tools, memory)
            return output

        strict = bool(getattr(self.llm, "strict", False))
        return await talk.step(ctx, self.scratchpad_key, llm_input, tools, take, strict=strict)
