"""Middleware: asyncfc in an agent of `create_agent`."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import (
    AgentState,
    ExtendedModelResponse,
    PrivateStateAttr,
    ToolCallRequest,
    hook_config,
)
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import Command

from asyncfc.adapters.langchain.asking import Asked
from asyncfc.adapters.langchain.conversation import Conversation
from asyncfc.adapters.langchain.eager import watching
from asyncfc.adapters.langchain.messages import marked, newest, provider_of, with_note
from asyncfc.adapters.langchain.table import Conversations
from asyncfc.adapters.langchain.tools import offered

KEY = "asyncfc_conversation"


class AsyncFCState(AgentState[Any]):
    """The state of an agent, and which conversation it is."""

    asyncfc_conversation: NotRequired[Annotated[str, PrivateStateAttr]]


class AsyncFCMiddleware(AgentMiddleware[AsyncFCState, Any, Any]):
    """Answers the tool calls of an agent with futures. One object serves many threads and runs.

    Put it first, so that what other middleware makes of results is what the model is told; only what asks
    a person before a call is made (`HumanInTheLoopMiddleware`) goes before it.

    Args:
        trust: tools whose hints about themselves (`readOnlyHint` of MCP) are believed: `"all"`, or names and
            patterns of names.
        eager: tools whose calls start while the model's message is still streamed, if they declare that
            they only read, and need nothing injected: `"all"`, or names and patterns of names. What other
            middleware does around the calls of tools is not done to these.
        settings: of each conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` and `same_message` is `"concurrent"` if nothing is said.

    Raises:
        DeclarationError: there is no such setting; one that is written wrongly raises it when the model is
            first asked.
    """

    state_schema = AsyncFCState
    tools = ()

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._stays_open = settings.get("final") == "open"
        self._conversations = Conversations(settings)

    def close(self) -> None:
        """Close the conversations that are left: of runs that failed, or with `final="open"`."""
        self._conversations.close()

    async def aclose(self) -> None:
        """The same, where agents run asynchronously."""
        await self._conversations.aclose()

    # --- the run --------------------------------------------------------------------------------------

    def before_agent(self, state: AsyncFCState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Name the conversation, or go on with that of the thread."""
        return self._named(state, blocking=True)

    async def abefore_agent(self, state: AsyncFCState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """The same."""
        return self._named(state, blocking=False)

    def after_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """The run is over, and with it the conversation, unless it is to go on with the thread."""
        conversation = self._found(state, blocking=True)
        if conversation is None:
            return None
        if not self._goes_on(runtime):
            self._finish(state[KEY], conversation)
        return _filled(conversation, state)

    async def aafter_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """The same."""
        conversation = self._found(state, blocking=False)
        if conversation is None:
            return None
        if not self._goes_on(runtime):
            await self._afinish(state[KEY], conversation)
        return _filled(conversation, state)

    # --- the model ------------------------------------------------------------------------------------

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Ask the model, told of what has come in meanwhile."""
        key, conversation = self._of(request, blocking=True)
        while True:
            asked = conversation.run(conversation.begin, request.messages, provider_of(request.model))
            try:
                with watching(conversation):
                    response = handler(_adapted(request, asked, conversation))
            except BaseException as error:
                conversation.run(conversation.end, asked, error)
                if conversation.run(conversation.refused, error, _names(request)):
                    continue
                if self._is_lost(request.runtime, error):
                    self._conversations.drop(key)
                    conversation.close()
                raise
            conversation.run(conversation.end, asked)
            return _with_all_sent(response, asked, key)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        """The same."""
        key, conversation = self._of(request, blocking=False)
        while True:
            asked = await conversation.begin(request.messages, provider_of(request.model))
            try:
                with watching(conversation):
                    response = await handler(_adapted(request, asked, conversation))
            except BaseException as error:
                await conversation.end(asked, error)
                if await conversation.refused(error, _names(request)):
                    continue
                if self._is_lost(request.runtime, error):
                    self._conversations.drop(key)
                    await conversation.aclose()
                raise
            await conversation.end(asked)
            return _with_all_sent(response, asked, key)

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: AsyncFCState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Register the calls of the message; without calls, see whether it is the model's last word."""
        conversation = self._found(state, blocking=True)
        return None if conversation is None else conversation.run(_taken_in, conversation, state)

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AsyncFCState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """The same."""
        conversation = self._found(state, blocking=False)
        return None if conversation is None else await _taken_in(conversation, state)

    # --- each call ------------------------------------------------------------------------------------

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Answer a call; the tool, with all that other middleware does to it, runs in its turn."""
        key = request.state.get(KEY)
        if key is None:
            return handler(request)
        conversation = self._conversations.get(key, request.runtime.tools, blocking=True)

        def work(arguments: dict[str, Any]) -> Any:
            return handler(_with_arguments(request, arguments))

        try:
            answer = conversation.run(_answered, conversation, request, work)
            if conversation.is_left:
                self._finish(key, conversation)
            return answer
        except BaseException as error:
            if self._is_lost(request.runtime, error):
                self._conversations.drop(key)
                conversation.close()
            raise

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """The same."""
        key = request.state.get(KEY)
        if key is None:
            return await handler(request)
        conversation = self._conversations.get(key, request.runtime.tools, blocking=False)

        async def work(arguments: dict[str, Any]) -> Any:
            return await handler(_with_arguments(request, arguments))

        try:
            answer = await _answered(conversation, request, work)
            if conversation.is_left:
                await self._afinish(key, conversation)
            return answer
        except BaseException as error:
            if self._is_lost(request.runtime, error):
                self._conversations.drop(key)
                await conversation.aclose()
            raise

    # --- inside ---------------------------------------------------------------------------------------

    def _finish(self, key: str, conversation: Conversation) -> None:
        """Nobody asks the model again: what it has asked for is still done."""
        self._conversations.drop(key)
        conversation.run(conversation.settle)
        conversation.close()

    async def _afinish(self, key: str, conversation: Conversation) -> None:
        self._conversations.drop(key)
        await conversation.settle()
        await conversation.aclose()

    def _named(self, state: Any, *, blocking: bool) -> dict[str, Any] | None:
        return None if self._found(state, blocking=blocking) else {KEY: uuid.uuid4().hex}

    def _found(self, state: Any, *, blocking: bool) -> Conversation | None:
        return self._conversations.find(state.get(KEY, ""), blocking=blocking)

    def _of(self, request: ModelRequest[Any], *, blocking: bool) -> tuple[str, Conversation]:
        """Which conversation a request belongs to; a thread may be older than the middleware."""
        state: Any = request.state
        key = state.get(KEY) or uuid.uuid4().hex
        tools = [tool for tool in request.tools if isinstance(tool, BaseTool)]
        return key, self._conversations.get(key, tools, blocking=blocking)

    def _goes_on(self, runtime: Runtime[Any]) -> bool:
        return self._stays_open and _thread(runtime) is not None

    def _is_lost(self, runtime: Any, error: BaseException) -> bool:
        """Whether nobody can take the run up again, now that it fails."""
        return not isinstance(error, GraphBubbleUp) and _thread(runtime) is None


def _thread(runtime: Any) -> str | None:
    info = runtime.execution_info
    thread: str | None = None if info is None else info.thread_id
    return thread


def _names(request: ModelRequest[Any]) -> list[str]:
    return [tool.name for tool in request.tools if isinstance(tool, BaseTool)]


def _adapted(request: ModelRequest[Any], asked: Asked, conversation: Conversation) -> ModelRequest[Any]:
    """The request with deliveries in it, handles explained and admitted."""
    dialogue = conversation.dialogue
    tools = offered(dialogue, request.tools, strict=request.response_format is not None)
    note, system = dialogue.note, request.system_message
    if note is not None and _names(request):
        system = with_note(system, note)
    return request.override(messages=asked.messages, tools=tools, system_message=system)


def _with_all_sent(response: ModelResponse[Any], asked: Asked, key: str) -> ExtendedModelResponse[Any]:
    """The response, and in the state just what was sent: what stood there already keeps its place."""
    update: dict[str, Any] = {KEY: key}
    if asked.changed:
        update["messages"] = asked.changed
    given = ModelResponse([*asked.inserted, *response.result], response.structured_response)
    return ExtendedModelResponse(given, Command(update=update))


async def _taken_in(conversation: Conversation, state: AsyncFCState) -> dict[str, Any] | None:
    message, answered = newest(state["messages"])
    if message is None:
        return None
    structured = state.get("structured_response") is not None
    await conversation.received(message, answered, structured)
    if any(made["id"] not in answered for made in message.tool_calls):
        return None
    if message.tool_calls and not structured:
        return None  # others have answered them all; the model is asked again
    if await conversation.must_go_on(message, structured):
        again: dict[str, Any] = {"jump_to": "model", "messages": [marked(message, "provisional")]}
        return {**again, "structured_response": None} if structured else again
    final = await conversation.final(message, structured)
    return None if final is message else {"messages": [final]}


def _filled(conversation: Conversation, state: Any) -> dict[str, Any] | None:
    """A structured final answer without handles."""
    structured = state.get("structured_response")
    filled = conversation.filled(structured)
    return None if filled == structured else {"structured_response": filled}


async def _answered(conversation: Conversation, request: ToolCallRequest, work: Callable[..., Any]) -> Any:
    message, answered = newest(request.state["messages"])
    await conversation.leave(answered)
    if message is not None:
        await conversation.adopt(message, request.tool_call["id"] or "")
    return await conversation.answer(request.tool_call, work)


def _with_arguments(request: ToolCallRequest, arguments: dict[str, Any]) -> ToolCallRequest:
    return request.override(tool_call={**request.tool_call, "args": arguments})
