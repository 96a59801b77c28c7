"""Wrapped tools: asyncfc in graphs and loops of one's own.

tools = wrap_tools([search, note])
new = tools.ask(model, messages)            # or await tools.aask(...); in the node that asks the model
tools[0].invoke(new[-1].tool_calls[0])      # or ToolNode(tools)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as made_tool
from langgraph.config import get_config
from langgraph.prebuilt.tool_node import ToolCallRequest

from asyncfc.adapters.langchain.asking import Asked
from asyncfc.adapters.langchain.conversation import Conversation
from asyncfc.adapters.langchain.eager import watching
from asyncfc.adapters.langchain.messages import in_place, marked, newest, provider_of, with_note
from asyncfc.adapters.langchain.proxies import ControlTool, WrappedTool
from asyncfc.adapters.langchain.table import Conversations
from asyncfc.adapters.langchain.tools import offered
from asyncfc.conversation.control import await_tool, cancel_tool
from asyncfc.conversation.wording import Wording


def wrap_tools(tools: Iterable[BaseTool | Callable[..., Any]], **settings: Any) -> WrappedTools:
    """The tools to use in a graph or a loop of one's own.

    Args:
        tools: of LangChain, or functions that become such.
        settings: see `AsyncFCMiddleware`.
    """
    return WrappedTools(tools, settings)


class WrappedTools(list[BaseTool]):
    """The tools, and what asks the model about them. Each thread of a graph is a conversation of its own.

    A call of a message that `ask` has brought is answered as the model's; every other one, such as a
    program's own, with its outcome. Close it in the end: it may be used with `with` or `async with`.
    """

    def __init__(self, tools: Iterable[BaseTool | Callable[..., Any]], settings: dict[str, Any]) -> None:
        self.inner = [tool if isinstance(tool, BaseTool) else made_tool(tool) for tool in tools]
        self._names = [tool.name for tool in self.inner]
        self._conversations = Conversations(settings)
        super().__init__(WrappedTool.of(tool, self) for tool in self.inner)
        if settings.get("control", True):
            wording = settings.get("wording") or Wording()
            self += [ControlTool.of(await_tool(wording), self), ControlTool.of(cancel_tool(wording), self)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def close(self) -> None:
        """Close all conversations; calls that still run are cancelled."""
        self._conversations.close()

    async def aclose(self) -> None:
        """The same, where graphs run asynchronously."""
        await self._conversations.aclose()

    # --- the model ------------------------------------------------------------------------------------

    def ask(self, model: BaseChatModel, messages: Sequence[AnyMessage], **settings: Any) -> list[AnyMessage]:
        """Ask the model, told of what has come in meanwhile, until it makes calls or says its last word.

        Args:
            model: without tools; it gets these.
            messages: so far.
            settings: for `bind_tools`.

        Returns:
            what is new, the model's message last; in front of it may stand messages that replace those of
            the same ids, as `add_messages` does it.
        """
        conversation = self.conversation(blocking=True)
        new: list[AnyMessage] = []
        while True:
            asked = conversation.run(conversation.begin, _known(messages, new), provider_of(model))
            try:
                with watching(conversation):
                    reply = self._bound(model, conversation, settings).invoke(_sent(asked, conversation))
            except BaseException as error:
                conversation.run(conversation.end, asked, error)
                if conversation.run(conversation.refused, error, self._names):
                    continue
                raise
            conversation.run(conversation.end, asked)
            if conversation.run(_taken_in, conversation, asked, reply, new):
                return new

    async def aask(
        self, model: BaseChatModel, messages: Sequence[AnyMessage], **settings: Any
    ) -> list[AnyMessage]:
        """The same."""
        conversation = self.conversation(blocking=False)
        new: list[AnyMessage] = []
        while True:
            asked = await conversation.begin(_known(messages, new), provider_of(model))
            try:
                bound = self._bound(model, conversation, settings)
                with watching(conversation):
                    reply = await bound.ainvoke(_sent(asked, conversation))
            except BaseException as error:
                await conversation.end(asked, error)
                if await conversation.refused(error, self._names):
                    continue
                raise
            await conversation.end(asked)
            if await _taken_in(conversation, asked, reply, new):
                return new

    # --- each call, in a ToolNode with tools that are not wrapped ---------------------------------------

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """For `ToolNode(wrap_tool_call=...)`."""
        conversation = self.conversation(blocking=True)

        def work(arguments: dict[str, Any]) -> Any:
            return handler(request.override(tool_call={**request.tool_call, "args": arguments}))

        return conversation.run(_answered, conversation, request, work)

    async def awrap_tool_call(self, request: ToolCallRequest, handler: Callable[..., Any]) -> Any:
        """For `ToolNode(awrap_tool_call=...)`."""
        conversation = self.conversation(blocking=False)

        async def work(arguments: dict[str, Any]) -> Any:
            return await handler(request.override(tool_call={**request.tool_call, "args": arguments}))

        return await _answered(conversation, request, work)

    def conversation(self, *, blocking: bool) -> Conversation:
        """That of the thread of the graph which runs here."""
        thread = _thread()
        return self._conversations.get(
            thread or "", self.inner, blocking=blocking, together=thread is not None
        )

    def _bound(
        self, model: BaseChatModel, conversation: Conversation, settings: dict[str, Any]
    ) -> Runnable[Any, AIMessage]:
        return model.bind_tools(offered(conversation.dialogue, self.inner), **settings)


def _thread() -> str | None:
    """The thread of the graph that runs here, and which of its subgraphs; None outside of graphs."""
    try:
        configurable = get_config().get("configurable", {})
    except RuntimeError:
        return None
    thread = configurable.get("thread_id")
    namespace = configurable.get("checkpoint_ns", "").rpartition("|")[0]
    return "" if thread is None else f"{thread}|{namespace}"


def _known(messages: Sequence[AnyMessage], new: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The messages, with those that are new in their places."""
    ids = {message.id for message in messages if message.id}
    return [
        *in_place(messages, new),
        *(message for message in new if message.id is None or message.id not in ids),
    ]


def _sent(asked: Asked, conversation: Conversation) -> list[AnyMessage]:
    note = conversation.dialogue.note
    if note is None:
        return asked.messages
    first = asked.messages[0] if asked.messages else None
    if isinstance(first, SystemMessage):
        return [with_note(first, note), *asked.messages[1:]]
    return [with_note(None, note), *asked.messages]


async def _taken_in(
    conversation: Conversation, asked: Asked, reply: AIMessage, new: list[AnyMessage]
) -> bool:
    """Whether this message of the model is one for the graph; what is new goes into the list."""
    new += [*asked.changed, *asked.inserted]
    await conversation.received(reply, (), False)
    if reply.tool_calls:
        new.append(reply)
        return True
    if await conversation.must_go_on(reply, False):
        new.append(marked(reply, "provisional"))
        return False
    new.append(await conversation.final(reply, False))
    return True


async def _answered(conversation: Conversation, request: ToolCallRequest, work: Callable[..., Any]) -> Any:
    state = request.state
    messages = (
        state if isinstance(state, list) else state["messages"] if isinstance(state, dict) else state.messages
    )
    message, answered = newest(messages)
    again = message is not None and message.id is None and conversation.knows(request.tool_call["id"] or "")
    if message is not None and not again:
        await conversation.received(message, answered, False)
    return await conversation.answer(request.tool_call, work)
