"""One conversation of a pydantic-ai agent: its session, and how outcomes get into the message history."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, cast

from pydantic_ai import ModelRequestContext, RunContext, ToolDefinition
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tool_manager import ToolManager
from pydantic_ai.toolsets import CombinedToolset

from asyncfc.adapters.hints import Trust, annotated, declarations_for, declared_in
from asyncfc.attached import Attached, attached_tool
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.base import ReplyCall, ToolSchema
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import CallError
from asyncfc.futures.call import Call, parse_arguments
from asyncfc.session import Session
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool

CONTROLS = frozenset({AWAIT_FUTURE, CANCEL_FUTURE})
BARRIER = {"writes": ["*"]}
"""Of a tool that pydantic-ai runs alone: ordered against every other, in its own message, too."""

SERVER_SIDE = ("openai_previous_response_id", "openai_conversation_id")
"""Settings with which the provider has the history: it knows all calls that the model has made."""


class Talk:
    """One conversation.

    State: `_deferred` are the tools that a person approves or that others run. `_request` is the request to
    the model under way, and `_undo` takes back what was put into the history for it.

    Args:
        tools: of the agent's first step; others may come later.
        settings: of the dialogue and the session.
        trust: MCP servers whose annotations are believed.
    """

    def __init__(self, tools: Iterable[ToolDefinition], settings: dict[str, Any], trust: Trust) -> None:
        one_by_one = ToolManager(CombinedToolset([])).get_parallel_execution_mode() == "sequential"
        of_dialogue, of_session = split_settings(settings)
        usual = {"same_message": "ordered" if one_by_one else "concurrent"}
        self._effects = of_session.get("effects")
        self._trust = trust
        self._deferred: set[str] = set()
        self._known: dict[str, ToolDefinition] = {}
        made = [self._tool(tool) for tool in tools if is_ours(tool)]
        self.session = Session(made, **{**usual, **of_session})
        self.dialogue = Dialogue(self.session, **of_dialogue)
        self.attached = Attached(self.dialogue, together=not one_by_one)
        self._newest: list[str] = []
        self._request = ExitStack()
        self._undo: list[Callable[[], None]] = []
        self._ctx: RunContext[Any] | None = None
        self._settings: Mapping[str, Any] = {}
        self.content: dict[str, Any] = {}
        """What a tool returned for the model beside its value, by the id of its call, until that is told."""

    # --- tools ----------------------------------------------------------------------------------------

    def offered(self, tool: ToolDefinition) -> ToolDefinition:
        """A tool as the model is told of it."""
        if not is_ours(tool):
            return tool
        if self._known.get(tool.name) != tool:
            made = toolbox([self._tool(tool)], declarations_for(tool.name, self._effects))
            self.attached.offer(made[tool.name])
        schema = ToolSchema(tool.name, tool.description or "", tool.parameters_json_schema, bool(tool.strict))
        adapted = self.dialogue.adapt(schema)
        return replace(
            tool,
            description=adapted.description or None,
            parameters_json_schema=adapted.parameters,
            sequential=False,  # kept in the order of effects; its hook may come with the others
        )

    def _tool(self, tool: ToolDefinition) -> Tool:
        self._known[tool.name] = tool
        if tool.defer:
            self._deferred.add(tool.name)
        hints = (tool.metadata or {}).get("annotations")
        declared = declared_in(tool.metadata) or annotated(tool.name, hints, self._trust)
        if declared is None and tool.sequential:
            declared = BARRIER
        return attached_tool(
            tool.name,
            tool.description or "",
            tool.parameters_json_schema,
            effects=declared,
            returns=tool.return_schema,
        )

    def runs(self, name: str) -> bool:
        """Whether calls of a tool are asyncfc's to make."""
        return name in CONTROLS or name in self._known

    def is_control(self, name: str) -> bool:
        """Whether it is the name of a tool for waiting or cancelling."""
        return name in CONTROLS and name not in self._known

    def mentions_handle(self, text: str) -> bool:
        """Whether a text has something in it that reads as a handle."""
        return self.session.grammar.mention.search(text) is not None

    async def resolved(self, call: Call) -> dict[str, Any]:
        """The arguments of a call that others make, with values in place of handles."""
        return await self.session.handles.resolve(dict(parse_arguments(call)))

    # --- the model is asked ---------------------------------------------------------------------------

    def ask(self, ctx: RunContext[Any], request: ModelRequestContext) -> None:
        """A request begins: put what is due into the history and the request."""
        self._ctx, self._settings = ctx, request.model_settings or {}
        deliveries = self._request.enter_context(self.attached.sampling())
        newest = request.messages[-1] if request.messages else None
        if not isinstance(newest, ModelRequest):
            return
        parts = newest.parts
        self._undo.append(lambda: setattr(newest, "parts", parts))
        newest.parts = [self._inert(part) for part in parts]
        if deliveries:
            self._place(deliveries, newest, ctx, request)
        content, self.content = self.content, {}
        newest.parts = [*newest.parts, *map(UserPromptPart, content.values())]

    def seen(self) -> None:
        """The model has answered."""
        self._undo.clear()
        self._request.close()

    def failed(self, error: BaseException) -> None:
        """It has not: nothing of the request has been seen."""
        request, self._request = self._request, ExitStack()
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        with suppress(type(error)):
            request.__exit__(type(error), error, error.__traceback__)

    def told(self, deliveries: Sequence[Delivery | Note]) -> str:
        """The block of some deliveries."""
        return self.session.wording.block.format(results="\n\n".join(one.text for one in deliveries))

    def _inert(self, part: ModelRequestPart) -> ModelRequestPart:
        if not isinstance(part, UserPromptPart) or not isinstance(part.content, str):
            return part
        return replace(part, content=self.session.handles.escape(part.content))

    def _place(
        self,
        deliveries: Sequence[Delivery | Note],
        newest: ModelRequest,
        ctx: RunContext[Any],
        request: ModelRequestContext,
    ) -> None:
        """Behind the last tool answer; else as an `await_future` that the model has not called."""
        block = self.told(deliveries)
        answers = [n for n, part in enumerate(newest.parts) if is_text_answer(part)]
        handles = [one.handle for one in deliveries if isinstance(one, Delivery)]
        if answers:
            newest.parts = extended(newest.parts, answers[-1], block)
        elif handles and len(request.messages) > 1 and self._may_call:
            call = ToolCallPart(AWAIT_FUTURE, {"handles": handles})
            text = "\n\n".join(one.text for one in deliveries)
            answer = ToolReturnPart(AWAIT_FUTURE, text, tool_call_id=call.tool_call_id)
            pair: list[ModelMessage] = [
                ModelResponse([call], run_id=ctx.run_id, conversation_id=ctx.conversation_id),
                ModelRequest([answer], run_id=ctx.run_id, conversation_id=ctx.conversation_id),
            ]
            request.messages = [*request.messages[:-1], *pair, request.messages[-1]]
            place = len(ctx.messages) - 1
            ctx.messages[place:place] = pair
            self._undo.append(lambda: ctx.messages.__delitem__(slice(place, place + 2)))
        else:
            newest.parts = [UserPromptPart(block), *newest.parts]

    # --- the model has answered -----------------------------------------------------------------------

    def received(self, response: ModelResponse, outputs: Collection[str]) -> None:
        """Register the calls of a message.

        Args:
            response: the message.
            outputs: the names of the tools that end the run. Beside a call of one, all others are answered
                with their outcomes, as the model is not asked again.
        """
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        last = any(call.tool_name in outputs for call in calls)
        self.attached.received([self._asked(call, direct=last) for call in calls])
        self._newest = [call.tool_call_id for call in calls]

    def _asked(self, part: ToolCallPart, *, direct: bool = False) -> ReplyCall:
        if not self.runs(part.tool_name):
            return ReplyCall(call_of(part), "foreign")
        direct = direct or part.tool_name in self._deferred
        return ReplyCall(call_of(part), "program" if direct else "model")

    async def rest(self) -> None:
        """The run is over: calls that it has not made will not be made, and the others end."""
        for call_id in self._newest:
            self.attached.give_up(call_id)
        await self.session.finish()

    def made_by_program(self, part: ToolCallPart) -> None:
        """A call that stands in no message of the model."""
        self.attached.received([self._asked(part, direct=True)])

    async def finished(
        self, response: ModelResponse, outputs: Collection[str], *, structured: bool
    ) -> ModelResponse:
        """A message of the model as the agent gets it: not its last word while outcomes are unseen (D5).

        Args:
            response: as the model gave it.
            outputs: the names of the tools that end the run.
            structured: text is to be JSON.
        """
        self.seen()
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        last = [call for call in calls if call.tool_name in outputs]
        if response.state != "complete" or (calls and not last):
            return response
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        told = "\n".join([text, *(call.args_as_json_str() for call in last)])
        if await self.dialogue.must_go_on(told, structured=structured or bool(last)):
            return await self._provisional(response, outputs, structured=structured)
        return replace(
            response, parts=[await self._final(part, outputs, structured) for part in response.parts]
        )

    async def _provisional(
        self, response: ModelResponse, outputs: Collection[str], *, structured: bool
    ) -> ModelResponse:
        """The same message, but waiting for outcomes is what it ends with."""
        if not self._may_call:
            await self._enqueue()
            return response
        parts = [
            part
            for part in response.parts
            if not (isinstance(part, ToolCallPart) and part.tool_name in outputs)
            and not (isinstance(part, TextPart) and structured)
        ]
        if not any(isinstance(part, ToolCallPart) for part in parts):
            handles = [future.handle for future in self.session.owed]
            parts.append(ToolCallPart(AWAIT_FUTURE, {"handles": handles}))
        return replace(response, parts=parts, finish_reason="tool_call")

    @property
    def _may_call(self) -> bool:
        """Whether a call that the model did not make may stand in the history."""
        return bool(self.dialogue.controls) and not any(self._settings.get(key) for key in SERVER_SIDE)

    async def _enqueue(self) -> None:
        """Deliver by a message of the user's, which pydantic-ai sends before the run ends."""
        awaited = await self.session.await_future(self.session.owed, timeout=0)
        assert self._ctx is not None
        self._ctx.enqueue(self.told([*awaited.settled, *awaited.notes]))

    async def _final(self, part: Any, outputs: Collection[str], structured: bool) -> Any:
        if isinstance(part, TextPart):
            content = self.dialogue.final_text(part.content, structured=structured)
            return part if content == part.content else replace(part, content=content, id=None)
        is_last = isinstance(part, ToolCallPart) and part.tool_name in outputs
        if not is_last or not self.mentions_handle(part.args_as_json_str()):
            return part
        try:
            args: Any = await self.resolved(call_of(part))
        except CallError:
            args = self.dialogue.final_text(part.args_as_json_str(), structured=True)
        return replace(part, args=args, id=None)


def is_ours(tool: ToolDefinition) -> bool:
    """Whether calls of a tool run in the background; those of pydantic-ai's own tools do not."""
    return tool.tool_kind is None and tool.name not in CONTROLS and tool.kind in ("function", "unapproved")


def call_of(part: ToolCallPart) -> Call:
    """A call of the model as asyncfc knows it."""
    return Call(part.tool_call_id, part.tool_name, part.args or "{}")


def is_text_answer(part: ModelRequestPart) -> bool:
    """Whether a text may stand behind what a tool answered."""
    return isinstance(part, ToolReturnPart) and part.outcome != "retried" and not part.files


def extended(parts: Sequence[ModelRequestPart], place: int, text: str) -> list[ModelRequestPart]:
    """The parts with a text behind one of the answers."""
    answer = parts[place]
    assert isinstance(answer, ToolReturnPart)
    content = f"{answer.model_response_str(wrap_if_error=False)}\n\n{text}"
    changed = replace(cast("ToolReturnPart[Any]", answer), content=content)
    return [*parts[:place], changed, *parts[place + 1 :]]
