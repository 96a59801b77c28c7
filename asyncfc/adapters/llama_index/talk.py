"""One conversation of a LlamaIndex agent: what it asks its model, and what it makes of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from llama_index.core.agent.workflow import AgentOutput, AgentStream
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.tools import AsyncBaseTool, BaseTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context
from pydantic import BaseModel
from workflows.runtime.types.results import WaitingForEvent

from asyncfc.adapters.hints import declarations_for
from asyncfc.attached import Attached, Work, attached_tool, value_of
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.base import ReplyCall, ToolSchema
from asyncfc.dialogue import Dialogue
from asyncfc.errors import CallError, InternalError
from asyncfc.futures.call import Call
from asyncfc.futures.outcome import Failure
from asyncfc.futures.rendered import Rendered
from asyncfc.incoming import CallReply
from asyncfc.session import Session
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool

CONTROLS = (AWAIT_FUTURE, CANCEL_FUTURE)

MAX_DESCRIPTION = 1024
"""Characters that LlamaIndex lets the description of a tool have."""

Take: TypeAlias = Callable[[Any, list[ChatMessage], list[AsyncBaseTool]], Awaitable[AgentOutput]]
"""Lets the agent take a step: with its context, what the model reads, and the tools that it is told of."""


class Talk:
    """One conversation.

    State: `_inline` has the tools whose results are not for the model alone; `_newest` the calls of the
    newest message, with the ids that the provider gave them; `_turns`, by call id, the calls
    whose tools work inside the agent's own step; `_notes` what stands in the user's place and is not theirs.

    Args:
        tools: all that its session is to know; of those of one name the first counts.
        of_dialogue: settings.
        of_session: settings.
        structured: an answer of a form of its own is made of the final message.
    """

    def __init__(
        self,
        tools: Iterable[BaseTool],
        of_dialogue: Mapping[str, Any],
        of_session: Mapping[str, Any],
        *,
        structured: bool = False,
    ) -> None:
        named: dict[str, BaseTool] = {}
        for tool in tools:
            named.setdefault(tool.metadata.get_name(), tool)
        self.session = Session([_session_tool(tool) for tool in named.values()], **of_session)
        self.dialogue = Dialogue(self.session, **of_dialogue)
        self.attached = Attached(self.dialogue, together=True)
        self._structured = structured
        self._strict = False
        self._effects = of_session.get("effects")
        self._inline = {name for name, tool in named.items() if _is_inline(tool)}
        self._newest: list[tuple[str, Call]] = []
        self._turns: dict[str, _Turn] = {}
        self._notes: set[str] = set()

    # --- the model is asked -----------------------------------------------------------------------------

    async def step(
        self,
        ctx: Any,
        key: str,
        messages: Sequence[ChatMessage],
        tools: Sequence[BaseTool],
        take: Take,
        *,
        strict: bool = False,
    ) -> AgentOutput:
        """Let the agent ask its model until what it says is not provisional, and register its calls.

        Args:
            ctx: of the step.
            key: of the agent's messages since the last turn, in the state.
            messages: those before.
            tools: of the agent.
            take: see `Take`.
            strict: the provider decodes by the schemas of the tools.
        """
        dialogue = self.dialogue
        self._strict = strict
        for tool in tools:
            self._offer(tool)
        while True:
            stream = _Stream(ctx, self.session, superseded=dialogue.may_be_provisional)
            output = await self._asked(stream, key, messages, tools, take)
            if output.tool_calls:
                self.received(output.tool_calls)
            elif await dialogue.must_go_on(output.response.content or "", structured=self._structured):
                continue
            else:
                await self._make_final(ctx, key, output)
            stream.release()
            return output

    def received(self, calls: Sequence[Any]) -> None:
        """Register the calls of a message. Where a provider gives one id to several, each gets its own."""
        self._newest = []
        for call in calls:
            same = sum(given == call.tool_id for given, _ in self._newest)
            own = f"{call.tool_id}#{same + 1}" if same else call.tool_id
            made = Call(own, call.tool_name, _written(call.tool_kwargs))
            self._newest.append((call.tool_id, made))
        made_now = [call for _, call in self._newest]
        self.attached.received(
            [ReplyCall(call, "program" if call.tool in self._inline else "model") for call in made_now]
        )

    async def finish(self) -> None:
        """Wait until all calls have ended. Those that the agent does not make, it never will."""
        for _, call in self._newest:
            self.attached.give_up(call.id)
        await self.session.finish()

    def _offer(self, tool: BaseTool) -> None:
        """A tool that a retriever or another agent may have brought only now."""
        name = tool.metadata.get_name()
        if name not in self.session.tools and name not in CONTROLS:
            self.attached.offer(toolbox([_session_tool(tool)], declarations_for(name, self._effects))[name])
            if _is_inline(tool):
                self._inline.add(name)

    async def _asked(
        self, ctx: Any, key: str, messages: Sequence[ChatMessage], tools: Sequence[BaseTool], take: Take
    ) -> AgentOutput:
        before: list[ChatMessage] = list(await ctx.store.get(key, default=[]))
        while True:
            try:
                await self.session.room()
                with self.attached.sampling() as deliveries:
                    block = "\n\n".join(delivery.text for delivery in deliveries)
                    if block:
                        block = self.session.wording.block.format(results=block)
                        self._notes.add(block)
                    await ctx.store.set(key, _with_block(before, block))
                    said = [self._escaped(message) for message in self._with_note(messages)]
                    return await take(ctx, said, [self._told(tool) for tool in tools])
            except BaseException as error:
                await ctx.store.set(key, before)
                names = [tool.metadata.get_name() for tool in tools]
                if not (isinstance(error, Exception) and self.dialogue.refused(str(error), names)):
                    raise

    def _with_note(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        note = self.dialogue.note
        if note is None:
            return list(messages)
        first = messages[0] if messages else None
        if first is None or first.role != MessageRole.SYSTEM:
            return [ChatMessage(role=MessageRole.SYSTEM, content=note), *messages]
        return [_with_text(first, f"\n\n{note}"), *messages[1:]]

    def _escaped(self, message: ChatMessage) -> ChatMessage:
        """What reads as a handle in a text of the user is inert (DESIGN H2)."""
        if message.role != MessageRole.USER or message.content in self._notes:
            return message
        return map_texts(message, self.session.handles.escape)

    def _told(self, tool: BaseTool) -> AsyncBaseTool:
        """A tool as the model is told of it."""
        about = tool.metadata
        given = ToolSchema(about.get_name(), about.description, about.get_parameters_dict(), self._strict)
        adapted = self.dialogue.adapt(given)
        too_long = len(adapted.description) > MAX_DESCRIPTION
        description = given.description if too_long else adapted.description
        return Called(_Metadata(description, adapted.name, adapted.parameters, about), None)

    async def _make_final(self, ctx: Any, key: str, output: AgentOutput) -> None:
        """Put values in place of the handles, in what people get and in the memory that they may read."""
        response = map_texts(output.response, self.dialogue.final_text)
        if response.blocks != output.response.blocks:
            output.response = response
            said: list[ChatMessage] = list(await ctx.store.get(key))
            await ctx.store.set(key, [*said[:-1], output.response])

    # --- a call is made ---------------------------------------------------------------------------------

    async def call(
        self, ctx: Context, call_id: str, tool: AsyncBaseTool | None, name: str, arguments: dict[str, Any]
    ) -> ToolOutput:
        """Make a call of the model.

        Args:
            ctx: of the step that makes it.
            call_id: of the call.
            tool: that does the work; None: the call is answered without any.
            name: of the tool.
            arguments: as the model wrote them.

        Raises:
            Exception: what the tool raises, if it has ended within the grace.
        """
        if not self.attached.knows(call_id):  # the run began in another process, which had the session
            self.received([_Selection(call_id, name, arguments)])
        call_id = self._own_id(call_id, name, arguments)
        if tool is not None and _needs_context(tool):
            reply = await self._answered_in_step(ctx, call_id, tool)
        else:
            reply = await self.attached.answer(call_id, _work(tool, name))
        return self._given(reply, arguments)

    def _own_id(self, call_id: str, name: str, arguments: dict[str, Any]) -> str:
        """The id under which a call was registered; of calls that are all alike, each has its turn."""
        wanted = (call_id, name, _written(arguments))
        for place, (given, call) in enumerate(self._newest):
            if (given, call.tool, call.arguments) == wanted:
                self._newest.append(self._newest.pop(place))
                return call.id
        return call_id

    async def _answered_in_step(self, ctx: Context, call_id: str, tool: Any) -> CallReply:
        """The tool uses the context of the step: it works there, in its turn, and may wait for an event."""
        turn = self._turns.get(call_id)
        if turn is None:
            turn = self._turns[call_id] = _Turn(self.attached, call_id)
        arguments = await turn.begin()
        if arguments is not None:
            try:
                output = await tool.acall(**arguments, **{tool.ctx_param_name: ctx})
                turn.end.set_result(_rendered(output))
            except WaitingForEvent:  # this step runs again once the event has come
                raise
            except BaseException as error:
                turn.end.set_exception(error)
                if not isinstance(error, Exception):
                    raise
        del self._turns[call_id]
        return await turn.reply

    def _given(self, reply: CallReply, arguments: dict[str, Any]) -> ToolOutput:
        """What LlamaIndex gets: the tool's own output or exception, or a text for the model."""
        own = None if reply.answer is None else reply.answer.value
        failure = reply.outcome if isinstance(reply.outcome, Failure) else None
        error = None if failure is None else failure.error
        output = own.own if isinstance(own, Rendered) else getattr(error, "output", None)
        escape = self.session.handles.escape
        if isinstance(output, ToolOutput):
            return output.model_copy(update={"blocks": _mapped(output.blocks, escape)})
        if failure is not None and not isinstance(error, CallError) and escape(str(error)) == str(error):
            failure.unwrap()
        return ToolOutput(
            tool_name=reply.call.tool,
            content=reply.text,
            raw_input=arguments,
            raw_output=reply.text,
            is_error=failure is not None,
        )


class _Turn:
    """A call whose work the agent's step does; the session says when, and with which arguments."""

    def __init__(self, attached: Attached, call_id: str) -> None:
        self._arguments: asyncio.Future[dict[str, Any]] = asyncio.Future()
        self.end: asyncio.Future[Rendered] = asyncio.Future()
        self.reply = asyncio.ensure_future(attached.answer(call_id, self._work))

    async def begin(self) -> dict[str, Any] | None:
        """Wait for its turn: the final arguments; None if it never comes."""
        both: set[asyncio.Future[Any]] = {self._arguments, self.reply}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return None if self.reply.done() else self._arguments.result()

    async def _work(self, arguments: dict[str, Any]) -> Rendered:
        self._arguments.set_result(arguments)
        return await self.end


class Called(AsyncBaseTool):
    """A tool in the hands of the agent.

    Args:
        metadata: of the tool.
        run: makes a call.
    """

    def __init__(
        self, metadata: ToolMetadata, run: Callable[[str, dict[str, Any]], Awaitable[ToolOutput]] | None
    ) -> None:
        self._metadata = metadata
        self._run = run

    @property
    def metadata(self) -> ToolMetadata:
        """As the model is told."""
        return self._metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """LlamaIndex's agents make calls asynchronously."""
        raise NotImplementedError(f"{self._metadata.name} is called by an agent, with acall")

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Make a call."""
        if self._run is None or args:
            return self.call(*args, **kwargs)
        return await self._run(self._metadata.get_name(), kwargs)


class _Metadata(ToolMetadata):
    """Of a tool whose schema is given."""

    def __init__(
        self, description: str, name: str, parameters: Mapping[str, Any], like: ToolMetadata | None = None
    ) -> None:
        super().__init__(description, name)
        self._parameters = dict(parameters)
        if like is not None:
            self.fn_schema = like.fn_schema
            self.return_direct = like.return_direct

    def get_parameters_dict(self) -> dict[str, Any]:
        """The schema."""
        return self._parameters


def control_metadata(schema: ToolSchema) -> ToolMetadata:
    """Of a tool that the model has for waiting or cancelling."""
    return _Metadata(schema.description, schema.name, schema.parameters)


class _Stream:
    """The context of a step. What people read waits if it may be superseded, and from a handle on."""

    def __init__(self, ctx: Any, session: Session, *, superseded: bool) -> None:
        self._ctx = ctx
        self._handles = session.handles
        self._superseded = superseded
        self._waiting: list[AgentStream] = []
        self._shown = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    def write_event_to_stream(self, event: Any) -> None:
        """Pass an event on, or let it wait."""
        if not isinstance(event, AgentStream):
            self._ctx.write_event_to_stream(event)
        elif self._waiting or self._superseded or self._handles.may_mention(event.response):
            self._waiting.append(event)
        else:
            self._shown += event.delta
            self._ctx.write_event_to_stream(event)

    def release(self) -> None:
        """The message counts: pass on what waits, with values in place of handles."""
        text = self._shown + "".join(event.delta for event in self._waiting)
        filled = self._handles.fill(text)
        if filled != text:
            last = self._waiting[-1]
            delta = filled.removeprefix(self._shown)
            self._waiting = [last.model_copy(update={"delta": delta, "response": filled})]
        for event in self._waiting:
            self._ctx.write_event_to_stream(event)


class _Selection(NamedTuple):
    """As LlamaIndex's `ToolSelection`."""

    tool_id: str
    tool_name: str
    tool_kwargs: dict[str, Any]


class _ErrorOutput(Exception):
    """A tool gave an output that says of itself that it is an error."""

    def __init__(self, output: ToolOutput) -> None:
        super().__init__(output.content)
        self.output = output


def _work(tool: AsyncBaseTool | None, name: str) -> Work:
    async def work(arguments: dict[str, Any]) -> Rendered:
        if tool is None:
            raise InternalError(f"{name} has no work to do")
        return _rendered(await tool.acall(**arguments))

    return work


def _rendered(output: ToolOutput) -> Rendered:
    """What a tool gave; its own value counts where the model reads nothing but that.

    Raises:
        Exception: it is an error.
    """
    if output.is_error:
        raise output.exception or _ErrorOutput(output)
    text, raw = output.content, output.raw_output
    plain = raw is None or isinstance(raw, str | int | float | list | tuple | dict | BaseModel)
    return Rendered(raw if plain and str(raw) == text else value_of(text), text, output)


def _written(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def _session_tool(tool: BaseTool) -> Tool:
    about = tool.metadata
    # Handing over to another agent touches nothing but the state of the run.
    effects = "pure" if about.name == "handoff" else None
    return attached_tool(about.get_name(), about.description, about.get_parameters_dict(), effects=effects)


def _is_inline(tool: BaseTool) -> bool:
    return tool.metadata.return_direct or _needs_context(tool)


def _needs_context(tool: BaseTool) -> bool:
    return bool(getattr(tool, "requires_context", False))


def map_texts(message: ChatMessage, change: Callable[[str], str]) -> ChatMessage:
    """The message with its texts changed."""
    return message.model_copy(update={"blocks": _mapped(message.blocks, change)})


def _mapped(blocks: Sequence[Any], change: Callable[[str], str]) -> list[Any]:
    """Blocks with the texts among them changed."""
    return [
        block.model_copy(update={"text": change(block.text)}) if isinstance(block, TextBlock) else block
        for block in blocks
    ]


def _with_block(messages: list[ChatMessage], block: str) -> list[ChatMessage]:
    """Deliveries, behind the newest result that has not been sent yet, else as a note."""
    if not block:
        return list(messages)
    if messages and messages[-1].role == MessageRole.TOOL:
        return [*messages[:-1], _with_text(messages[-1], f"\n\n{block}")]
    return [*messages, ChatMessage(role=MessageRole.USER, content=block)]


def _with_text(message: ChatMessage, text: str) -> ChatMessage:
    """The message, with a text behind its last block."""
    blocks = list(message.blocks)
    last = blocks[-1] if blocks else None
    if isinstance(last, TextBlock):
        blocks[-1] = last.model_copy(update={"text": last.text + text})
    else:
        blocks.append(TextBlock(text=text))
    return message.model_copy(update={"blocks": blocks})
