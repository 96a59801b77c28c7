"""The capability: what pydantic-ai's hooks are told."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from typing import Any

from pydantic_ai import (
    DeferredToolRequests,
    FunctionToolset,
    ModelRequestContext,
    ModelRetry,
    RunContext,
    Tool,
    ToolDefinition,
)
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import SkipModelRequest
from pydantic_ai.messages import (
    ModelResponse,
    ToolCallPart,
    ToolReturn,
    ToolReturnPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_core import ValidationError

from asyncfc.adapters.hints import Trust
from asyncfc.adapters.pydantic_ai.model import Listening
from asyncfc.adapters.pydantic_ai.talk import Talk, call_of, is_ours
from asyncfc.conversation.control import await_tool, cancel_tool
from asyncfc.conversation.wording import Wording
from asyncfc.errors import CallError, InternalError
from asyncfc.futures.outcome import Failure
from asyncfc.futures.rendered import Rendered
from asyncfc.incoming import CallReply

MAX_KEPT = 100
"""Conversations that are kept between runs; of more, those that have rested longest are closed."""


class AsyncFC(AbstractCapability[Any]):
    """Makes the tool calls of an agent asynchronous.

    A conversation of pydantic-ai (its `conversation_id`, which goes on with `message_history`) is one
    session: handles stay valid from run to run, and with `final="open"` calls go on between runs. One that
    is still in use, or that belongs to another event loop, is not joined: then a new one begins.

    Args:
        trust: tools whose MCP annotations are believed, so that a read-only one is a read: by name or
            pattern, or `"all"`.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` if nothing is said, and undeclared calls of one message run
            concurrently, as pydantic-ai runs them.
    """

    def __init__(self, *, trust: Trust = (), **settings: Any) -> None:
        self._trust = trust
        self.settings = settings
        self._kept: OrderedDict[str, tuple[asyncio.AbstractEventLoop, Talk]] = OrderedDict()

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """It cannot be written in a file: its settings may be functions."""
        return None

    def get_ordering(self) -> CapabilityOrdering:
        """What other capabilities do with calls and results happens inside (DESIGN D6)."""
        return CapabilityOrdering(position="outermost")

    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:  # noqa: ARG002  # a hook
        """Each run has its own hooks."""
        return _Run(self)

    async def close(self) -> None:
        """Close all conversations that no run is using."""
        while self._kept:
            _, (_, talk) = self._kept.popitem()
            await talk.session.close()

    def begin(self, key: str | None, tools: list[ToolDefinition]) -> Talk:
        """The conversation of a run."""
        loop, talk = self._kept.pop(key or "", (None, None))
        if talk is not None and loop is asyncio.get_running_loop():
            return talk
        return Talk(tools, self.settings, self._trust)

    async def keep(self, key: str | None, talk: Talk, *, paused: bool) -> None:
        """A run has ended, or waits for a person; its conversation may go on."""
        if self.settings.get("final") != "open" and not paused:
            await talk.rest()
        before = self._kept.pop(key or "", None)
        self._kept[key or ""] = (asyncio.get_running_loop(), talk)
        dropped = [] if before is None else [before]
        if len(self._kept) > MAX_KEPT:
            dropped.append(self._kept.popitem(last=False)[1])
        for loop, old in dropped:
            if loop is asyncio.get_running_loop():
                await old.session.close()


class _Run(AbstractCapability[Any]):
    """The hooks of one run. `_late` is how the arguments of calls with handles in them are validated."""

    def __init__(self, owner: AsyncFC) -> None:
        self._owner = owner
        self._late: dict[str, Any] = {}
        self._begun: Talk | None = None
        self._received: list[tuple[str, str, Any]] = []

    @property
    def _talk(self) -> Talk:
        if self._begun is None:
            raise InternalError("a hook of pydantic-ai came before the tools of the run were prepared")
        return self._begun

    def get_ordering(self) -> CapabilityOrdering:
        """As of `AsyncFC`."""
        return CapabilityOrdering(position="outermost")

    def get_instructions(self) -> Any:
        """The note on handles."""
        return lambda: self._talk.dialogue.note if self._talk.session.tools else None

    def get_toolset(self) -> FunctionToolset[Any] | None:
        """The tools for waiting and cancelling."""
        settings = self._owner.settings
        if not settings.get("control", True):
            return None
        wording = settings.get("wording") or Wording()
        made = [
            Tool.from_schema(_never_called, one.name, one.description, one.parameters)
            for one in (await_tool(wording), cancel_tool(wording))
        ]
        return FunctionToolset(made)

    def get_wrapper_model(self, model: Model) -> Model:
        """What the model says is not always its last word."""
        return Listening(model, self)

    async def wrap_run(self, ctx: RunContext[Any], *, handler: Any) -> Any:
        """The conversation ends with an error, else it may go on."""
        try:
            result = await handler()
        except BaseException:
            if self._begun is not None:
                await self._begun.session.close()
            raise
        if self._begun is not None:
            paused = isinstance(result.output, DeferredToolRequests)
            await self._owner.keep(ctx.conversation_id, self._begun, paused=paused)
        return result

    async def prepare_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        """Handles admitted where the agent has tools of its own."""
        if self._begun is None:
            self._begun = self._owner.begin(ctx.conversation_id, tool_defs)
        if not any(is_ours(tool) for tool in tool_defs):
            return [tool for tool in tool_defs if not self._talk.is_control(tool.name)]
        return [self._talk.offered(tool) for tool in tool_defs]

    # --- the model --------------------------------------------------------------------------------------

    async def wrap_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, handler: Any
    ) -> ModelResponse:
        """Deliver what is due, and register the calls of the message in its order (DESIGN O1)."""
        talk = self._talk
        await talk.session.room()
        talk.ask(ctx, request_context)
        try:
            response: ModelResponse = await handler(request_context)
        except ModelRetry:  # another hook rejected what the model said; it was asked all the same
            talk.seen()
            raise
        except SkipModelRequest as skipped:
            talk.failed(skipped)
            self._receive(skipped.response, request_context.model_request_parameters)
            raise
        except BaseException as error:
            talk.failed(error)
            raise
        talk.seen()
        self._receive(response, request_context.model_request_parameters)
        return response

    async def before_node_run(self, ctx: RunContext[Any], *, node: Any) -> Any:  # noqa: ARG002  # a hook
        """Calls of an earlier run that go on in this one, because a person has approved them."""
        response = getattr(node, "model_response", None)
        if (
            isinstance(response, ModelResponse)
            and self._begun is not None
            and _calls(response) != self._received
        ):
            self._receive(response, None)
        return node

    def _receive(self, response: ModelResponse, parameters: ModelRequestParameters | None) -> None:
        self._received = _calls(response)
        outputs = parameters.output_tools if parameters is not None else ()
        self._talk.received(response, {tool.name for tool in outputs})

    @property
    def may_hold(self) -> bool:
        """Whether a text that the model says now may not be meant for people, or not in these words."""
        return self._talk.dialogue.may_be_provisional or self._talk.session.handles.any_shown

    async def heard(self, response: ModelResponse, parameters: ModelRequestParameters) -> ModelResponse:
        """A message of the model as the agent gets it."""
        outputs = {tool.name for tool in parameters.output_tools}
        structured = parameters.output_mode in ("native", "prompted")
        return await self._talk.finished(response, outputs, structured=structured)

    # --- its calls --------------------------------------------------------------------------------------

    async def wrap_tool_validate(
        self,
        ctx: RunContext[Any],  # noqa: ARG002  # a hook
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: Any,
        handler: Any,
    ) -> dict[str, Any]:
        """Arguments with handles in them are validated once the values are there (DESIGN D7)."""
        talk = self._talk
        given = _parsed(args) if not talk.is_control(call.tool_name) else None
        if given is None or not talk.mentions_handle(json.dumps(given, ensure_ascii=False, default=repr)):
            return await handler(args)  # type: ignore[no-any-return]  # as pydantic-ai validates them
        if is_ours(tool_def) and not tool_def.defer:
            self._late[call.tool_call_id] = handler
            return given
        try:
            call.args = await talk.resolved(call_of(call))
        except CallError as error:
            raise ModelRetry(str(error)) from error
        return await handler(call.args)  # type: ignore[no-any-return]  # see above

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],  # noqa: ARG002  # a hook
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,  # noqa: ARG002  # see above
        args: dict[str, Any],
        handler: Any,
    ) -> Any:
        """Let the call run in its turn, and answer it."""
        talk, validate = self._talk, self._late.pop(call.tool_call_id, None)
        if not talk.runs(call.tool_name):
            return await handler(args)
        if not talk.attached.knows(call.tool_call_id):
            talk.made_by_program(call)

        async def work(arguments: dict[str, Any]) -> Rendered:
            checked = args if validate is None else await validate(arguments)
            return self._rendered(await handler(checked), call)

        return self._given(await talk.attached.answer(call.tool_call_id, work))

    def _rendered(self, result: Any, call: ToolCallPart) -> Rendered:
        """A result with the text that pydantic-ai has for it."""
        value = result.return_value if isinstance(result, ToolReturn) else result
        part = ToolReturnPart(call.tool_name, value, tool_call_id=call.tool_call_id)
        beside = result.content if isinstance(result, ToolReturn) else None
        if beside or part.files:
            said = [beside] if isinstance(beside, str) else list(beside or ())
            whole = [*part.files, *said]
            self._talk.content[call.tool_call_id] = beside if whole == [beside] else whole
        return Rendered(value, part.model_response_str(), own=result)

    def _given(self, reply: CallReply) -> Any:
        """What pydantic-ai gets: the tool's own result if it is there, else a text for the model.

        An exception that would end the run does so only if the call is inline; else it would depend on
        the grace.
        """
        if reply.is_own_text:
            return reply.text
        if isinstance(reply.outcome, Failure):
            error = reply.outcome.error
            own = isinstance(error, ValidationError) or type(error).__module__.startswith("pydantic_ai.")
            if own or reply.kind == "inline":
                raise error  # a retry, an approval, a limit: what pydantic-ai itself acts upon
            return reply.text
        rendered = reply.answer.value if reply.answer is not None else None
        if (
            not isinstance(rendered, Rendered) or reply.text != rendered.text
        ):  # escaped, or only the start of it
            return reply.text
        self._talk.content.pop(reply.call.id, None)
        return rendered.own


async def _never_called(**arguments: Any) -> str:  # noqa: ARG001  # takes what the model writes
    raise InternalError("a call of await_future or cancel_future went past the capability")


def _calls(response: ModelResponse) -> list[tuple[str, str, Any]]:
    parts = [part for part in response.parts if isinstance(part, ToolCallPart)]
    return [(part.tool_call_id, part.tool_name, part.args) for part in parts]


def _parsed(args: Any) -> dict[str, Any] | None:
    """The arguments as JSON; None if they cannot be read, which pydantic-ai then says."""
    try:
        given = json.loads(args or "{}") if isinstance(args, str) else args
    except ValueError:
        return None
    return given if isinstance(given, dict) else None
