"""Conversation: one run of a graph, or several of one thread, and the session of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from pydantic import BaseModel

from asyncfc.adapters.hints import Trust, is_named
from asyncfc.adapters.langchain.asking import Asked, Asking
from asyncfc.adapters.langchain.messages import (
    ToolError,
    answer_of,
    calls_of,
    error_of,
    rendered,
    with_text,
)
from asyncfc.adapters.langchain.tools import attached, is_inline, tool_alone
from asyncfc.attached import Attached, Begun, Work
from asyncfc.blocking import BlockingSession
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.providers import Provider
from asyncfc.conversation.wording import MAX_ERROR_CHARS
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import CallError, DeclarationError
from asyncfc.futures.call import Call
from asyncfc.futures.outcome import Failure
from asyncfc.futures.plain import safe_text
from asyncfc.futures.rendered import Rendered
from asyncfc.session import Session

_T = TypeVar("_T")


class Conversation:
    """One linear conversation. Its coroutines run on the loop of its session.

    - `_newest`: the id of the newest message of the model; `_made`: the newest call of each id, as it was
      registered; `_handed`: the ids of those answered with a handle; `_interrupted`: of those whose tool has
      asked a person, and waits for its node to run again; `_hooks`: how many calls are being made;
      `_leaving`: one of them has handed over to another agent.

    Args:
        tools: of LangChain.
        settings: see `AsyncFCMiddleware`.
        blocking: the graph runs synchronously; the session then has a loop of its own, in a thread.
        together: it makes the calls of a message at the same time.
    """

    def __init__(
        self, tools: Iterable[BaseTool], settings: Mapping[str, Any], *, blocking: bool, together: bool
    ) -> None:
        given = {"same_message": "concurrent" if together else "ordered", **settings}
        trust: Trust = given.pop("trust", ())
        eager: Trust = given.pop("eager", ())
        of_dialogue, of_session = split_settings(given)
        known = list(tools)
        made = [attached(tool, trust, asynchronous=not blocking) for tool in known]
        self._blocking = BlockingSession(made, **of_session) if blocking else None
        self._session = Session(made, **of_session) if self._blocking is None else self._blocking.inner
        self._loop = None if blocking else asyncio.get_running_loop()
        inline = {*of_dialogue.pop("inline", ()), *(tool.name for tool in known if is_inline(tool))}
        try:
            self.dialogue = Dialogue(self._session, inline=inline, **of_dialogue)
        except DeclarationError:
            self.close()
            raise
        self._attached = Attached(self.dialogue, together=together)
        self._eager = {
            tool.name: tool
            for tool in known
            if is_named(tool.name, eager)
            and self._session.tools[tool.name].spec.level == "read"
            and tool.name not in inline
        }
        self._artifacts = {tool.name for tool in known if tool.response_format == "content_and_artifact"}
        self._newest: str | None = None
        self._made: dict[str, Call] = {}
        self._handed: set[str] = set()
        self._interrupted: set[str] = set()
        self._asking = Asking(self.dialogue)
        self._hooks = 0
        self._leaving = False
        self._closed = False

    # --- whose it is ----------------------------------------------------------------------------------

    def is_alive(self, *, blocking: bool) -> bool:
        """Whether it can go on here: in the same way, and on the same loop."""
        if self._closed or blocking is not (self._blocking is not None):
            return False
        return blocking or self._loop is asyncio.get_running_loop()

    def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Of a synchronous graph: run a coroutine of the conversation and wait for its result."""
        assert self._blocking is not None
        return self._blocking.run(function, *args)

    async def settle(self) -> None:
        """Wait for all that the model has not been told: it was asked for, so it is done."""
        await self._session.wait_for(self._session.owed)

    async def aclose(self) -> None:
        """Close the session; calls that still run are cancelled."""
        self._closed = True
        await self._session.close()

    def close(self) -> None:
        """The same, of a synchronous graph."""
        self._closed = True
        if self._blocking is not None:
            self._blocking.close()

    # --- around the model -----------------------------------------------------------------------------

    async def begin(self, messages: Sequence[AnyMessage], provider: Provider) -> Asked:
        """The request to send: with what has to be delivered. Close it with `end`."""
        asked = Asked([self._asking.inert(message) for message in messages])
        await self._session.room()
        deliveries = asked.under_way.enter_context(self._attached.sampling())
        if deliveries:
            self._asking.deliver(deliveries, asked, provider)
        return asked

    async def end(self, asked: Asked, error: BaseException | None = None) -> None:
        """The request has succeeded, or failed: then nothing of it has been seen."""
        if error is None:
            asked.under_way.close()
        else:
            self._attached.drop()
            with suppress(type(error)):
                asked.under_way.__exit__(type(error), error, error.__traceback__)

    async def refused(self, error: BaseException, names: Collection[str]) -> bool:
        """Whether the provider may have refused the request for its schemas, and these are changed now."""
        return getattr(error, "status_code", None) == 400 and self.dialogue.refused(str(error), names)

    @property
    def has_eager(self) -> bool:
        """Whether calls of some tool start while the message with them is streamed."""
        return bool(self._eager)

    def here(self, function: Callable[..., None], *args: Any) -> None:
        """From the way of the graph: call a function where the session runs."""
        if self._blocking is not None:
            self._blocking.run(_called, function, *args)
        elif self.is_alive(blocking=False):
            function(*args)

    def begin_message(self) -> Begun:
        """The model makes its first call in a message that is streamed."""
        return self._attached.begin()

    def drop_message(self) -> None:
        """The message that is streamed never becomes complete."""
        self._attached.drop()

    def seal(self, begun: Begun, made: ToolCall, config: RunnableConfig, context: Context) -> None:
        """A call of a message that is streamed is complete; an eager one starts.

        Args:
            begun: the message.
            made: the call.
            config: of the run, for the tool.
            context: to run the tool in.
        """
        (sealed,) = calls_of(AIMessage("", tool_calls=[made]), self._session.tools, (), ends=False)
        tool = self._eager.get(made["name"])
        if tool is None:
            begun.seal(sealed)
        else:
            work = tool_alone(tool, made, config, asynchronous=self._blocking is None)
            begun.seal(sealed, self._judged(sealed.call, work), context)

    async def received(self, message: AIMessage, answered: Collection[str], ends: bool) -> None:
        """The message of the model is complete: register its calls (DESIGN O1).

        Args:
            message: of the model; received again, it changes nothing.
            answered: the ids of calls that others have answered.
            ends: the run ends with the answers to the others.
        """
        calls = calls_of(message, self._session.tools, answered, ends=ends)
        made = {sealed.call.id: sealed.call for sealed in calls}
        if calls:
            self._attached.received(calls, key=message.id)
        else:
            self._attached.drop()
        if message.id is None or message.id != self._newest:  # some providers count ids anew in each message
            self._handed -= made.keys()
            self._interrupted -= made.keys()
        self._made |= made
        self._newest = message.id

    async def adopt(self, message: AIMessage, call_id: str) -> None:
        """A call of a message from before this session is made now; its siblings may have run long ago."""
        if not self._attached.knows(call_id):
            others = {made["id"] or "" for made in message.tool_calls} - {call_id}
            calls = calls_of(message, self._session.tools, others, ends=False)
            self._attached.received(calls)
            self._made[call_id] = next(sealed.call for sealed in calls if sealed.call.id == call_id)

    def knows(self, call_id: str) -> bool:
        """Whether a call of this id has been received."""
        return self._attached.knows(call_id)

    async def must_go_on(self, message: AIMessage, structured: bool) -> bool:
        """Whether the model must be asked once more; see `Dialogue`."""
        return await self.dialogue.must_go_on(str(message.text), structured=structured)

    async def final(self, message: AIMessage, structured: bool) -> AIMessage:
        """The final message without handles."""
        return with_text(message, lambda text: self.dialogue.final_text(text, structured=structured))

    def filled(self, value: Any) -> Any:
        """A structured final answer without handles."""
        if isinstance(value, BaseModel):
            old = {name: getattr(value, name) for name in type(value).model_fields}
            new = {name: self.filled(part) for name, part in old.items()}
            return value if new == old else value.model_copy(update=new)
        if isinstance(value, list):
            return [self.filled(part) for part in value]
        if isinstance(value, dict):
            return {key: self.filled(part) for key, part in value.items()}
        return self._session.handles.fill(value) if isinstance(value, str) else value

    # --- each call ------------------------------------------------------------------------------------

    async def answer(self, made: ToolCall, work: Callable[[dict[str, Any]], Any], bare: bool = False) -> Any:
        """The framework makes a call: what its hook returns.

        Args:
            made: as the hook was given it; a person may have changed it.
            work: runs the framework's own path with final arguments, in the way of the graph.
            bare: the call is the program's own, so that the result goes to the program as it is.

        Raises:
            Exception: what the tool of an inline call raised.
        """
        call = Call(made["id"] or "", made["name"], made["args"])
        self._hooks += 1
        try:
            if bare:
                return await self._attached.make(call.tool, _mapping(call.arguments), work)
            result = await self._answer(call, work)
        finally:
            self._hooks -= 1
        self._leaving |= isinstance(result, Command) and result.graph == Command.PARENT
        return result

    @property
    def is_left(self) -> bool:
        """Whether a tool has handed over to another agent, so that nobody asks this one's model again."""
        return self._leaving and not self._hooks

    async def _answer(self, call: Call, work: Callable[[dict[str, Any]], Any]) -> Any:
        is_control = call.tool in {AWAIT_FUTURE, CANCEL_FUTURE}
        if call.tool not in self._session.tools and not is_control:
            return await self._others(call, work)
        judged = self._judged(call, work)
        if not is_control and self._must_be_made_anew(call):
            return await self._make(call, judged)
        reply = await self._attached.answer(call.id, judged)
        if reply.kind == "foreign":
            return await self._make(call, judged)
        if reply.outcome is None and reply.answer is not None:
            self._handed.add(call.id)
        if isinstance(reply.outcome, Failure) and isinstance(reply.outcome.error, GraphBubbleUp):
            self._interrupted.add(call.id)
        return answer_of(reply, has_artifact=call.tool in self._artifacts)

    async def leave(self, call_ids: Iterable[str]) -> None:
        """Others have answered these calls; they are not made any more."""
        for call_id in call_ids:
            self._attached.give_up(call_id)

    def _must_be_made_anew(self, call: Call) -> bool:
        """A person has changed it, or its tool has asked one; then it is not the call that was registered."""
        if call.id in self._interrupted:
            self._interrupted.discard(call.id)
            return True
        changed = call != self._made.get(call.id)
        if changed:
            self._attached.give_up(call.id)
        return changed

    async def _make(self, call: Call, work: Work) -> Any:
        """In the order of all calls, and answered with its outcome."""
        try:
            result = await self._attached.make(call.tool, _mapping(call.arguments), work)
        except GraphBubbleUp:
            self._interrupted.add(call.id)
            raise
        except Exception as error:
            return error_of(call, error, self._failure(error))
        return result.own if isinstance(result, Rendered) else result

    async def _others(self, call: Call, work: Callable[[dict[str, Any]], Any]) -> Any:
        """A tool that asyncfc does not know: as without it, with values in place of handles."""
        try:
            given = await self._session.handles.resolve(_mapping(call.arguments))
        except CallError as error:
            return error_of(call, error, self._failure(error))
        if self._blocking is None:
            return await work(given)
        return await asyncio.to_thread(work, given)

    def _failure(self, error: Exception) -> str:
        message = safe_text(error, MAX_ERROR_CHARS)
        return self._session.wording.failure.format(kind=type(error).__name__, message=message)

    def _judged(self, call: Call, work: Callable[[dict[str, Any]], Any]) -> Work:
        """The work, with its result in asyncfc's terms."""

        async def asynchronous(arguments: dict[str, Any]) -> Any:
            with self._judging(call):
                return rendered(self._fit(call, await work(arguments)))

        def blocking(arguments: dict[str, Any]) -> Any:
            with self._judging(call):
                return rendered(self._fit(call, work(arguments)))

        return asynchronous if self._blocking is None else blocking

    @contextmanager
    def _judging(self, call: Call) -> Iterator[None]:
        try:
            yield
        except GraphBubbleUp as bubble:
            if call.id in self._handed:
                raise self._too_late(call, "asks a person, or leaves the graph,") from bubble
            raise

    def _fit(self, call: Call, result: Any) -> Any:
        if not isinstance(result, ToolMessage) and call.id in self._handed:
            raise self._too_late(call, "changes the state of the graph (Command)")
        return result

    def _too_late(self, call: Call, what: str) -> ToolError:
        return ToolError(
            f"{call.tool} {what} which it can do only before its call is answered; "
            f"pass inline={{{call.tool!r}}}"
        )


async def _called(function: Callable[..., None], *args: Any) -> None:
    function(*args)


def _mapping(arguments: Any) -> dict[str, Any]:
    return dict(arguments) if isinstance(arguments, Mapping) else {}
