"""Host: one connection of a host, and the conversation that its model leads.

Each host has a session of its own, and connections of its own to the servers, just as if it had started
them itself: roots, sampling and what a server keeps in memory are those of this host. All sessions share
one order of effects, because servers of the same name most likely work on the same files and accounts.

The protocol has no messages of a model: each `tools/call` is a message of one call, in order of arrival.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions
from mcp.server.runner import serve_loop
from mcp_types import INTERNAL_ERROR

from asyncfc.adapters.mcp.results import Blocks, passable, value_of
from asyncfc.adapters.mcp_proxy.answers import Answers
from asyncfc.adapters.mcp_proxy.asked import ASKED, Asked
from asyncfc.adapters.mcp_proxy.asking import Person
from asyncfc.adapters.mcp_proxy.catalog import Entry, entries, offered, session_tool
from asyncfc.adapters.mcp_proxy.config import ConfigError
from asyncfc.adapters.mcp_proxy.passing import Passing
from asyncfc.adapters.mcp_proxy.settings import Config
from asyncfc.adapters.mcp_proxy.transport import Opens
from asyncfc.adapters.mcp_proxy.upstream import Upstream
from asyncfc.adapters.mcp_proxy.wording import PROXY_WORDING, instructions
from asyncfc.adapters.mcp_proxy.written import hears_of, written_of
from asyncfc.conversation.control import AWAIT_FUTURE
from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.base import ReplyCall
from asyncfc.dialogue import Dialogue
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.incoming import CallReply
from asyncfc.runtime import Runtime
from asyncfc.session import Session
from asyncfc.tools import Tool

_log = logging.getLogger(__name__)

FAREWELL = 0.1
"""Seconds in which a host is told that nothing is served."""


class Host:
    """One host.

    Args:
        config: of the proxy.
        opened: what opens a transport to each server, by name.
        runtime: that all hosts share.
    """

    def __init__(self, config: Config, opened: Mapping[str, Opens], runtime: Runtime) -> None:
        self._settings = config.asyncfc
        self._runtime = runtime
        self._session = Session(
            [],
            runtime=runtime,
            wording=PROXY_WORDING,
            max_chars=self._settings.max_chars,
            max_retained_bytes=self._settings.max_retained_bytes,
        )
        self._dialogue = Dialogue(self._session, pipelining=False, relax=self._settings.relax, final="open")
        self._config = config
        self._opened = opened
        self._numbers = count(1)
        self._entries: dict[str, Entry] = {}
        self._running: dict[str, list[Asked]] = {}
        self._unanswered: dict[types.RequestId, Future] = {}
        self._answers = Answers()
        self._connected = False
        self._unsaid = False
        self._waiting: list[Asked] = []
        self._person = Person(lambda server: self._running.get(server, []), lambda: self._waiting)
        self.upstreams: list[Upstream] = []
        self.fault: ConfigError | None = None
        """What the servers have shown to be wrong in the configuration."""
        self._failed = asyncio.Event()
        self._passing = Passing(self.upstreams)
        self._server = _Server(self)

    async def serve(self, read: Any, write: Any) -> None:
        """Serve the host until it goes; then let what has been answered with a handle come to its end."""
        serving = asyncio.create_task(serve_loop(self._server, read, write, lifespan_state=None))
        failed = asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait([serving, failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._person.gone()
            failed.cancel()
            serving.cancel()
            (fault, _) = await asyncio.gather(serving, failed, return_exceptions=True)
            if isinstance(fault, Exception):
                _log.error("the connection to the host failed", exc_info=fault)

    async def finish(self, drain: float) -> None:
        """The host has gone: let its calls come to their end.

        Nobody will see the outcomes, but a model was told that these calls run, and some may be writes.

        Args:
            drain: seconds that they have.
        """
        await self._session.finish(drain)

    async def close(self) -> None:
        """Give up what has not ended, and disconnect."""
        closing = asyncio.create_task(self._session.close())
        await asyncio.sleep(0)  # all calls that wait are taken back
        for upstream in self.upstreams:
            upstream.let_go()
        finished = await closing
        for future in finished.left:
            _log.warning("%s (%s) has not ended; it is given up", future.tool, future.handle)
        await asyncio.gather(*(upstream.stop() for upstream in self.upstreams))

    # --- the handshake ----------------------------------------------------------------------------------

    async def connect(self, capabilities: types.ClientCapabilities) -> None:
        """Connect to all servers, on behalf of a host that can do this.

        Raises:
            ConfigError: the configuration does not fit the servers.
        """
        for name, server in self._config.servers.items():
            if server.disabled:
                continue
            callbacks = self._person.callbacks(name, capabilities)
            upstream = Upstream(
                name,
                self._opened[name],
                server.asyncfc,
                client={**callbacks, **self._passing.callbacks(name)},
                changed=self._changed,
                remote=server.url is not None,
            )
            self._passing.heard_by(upstream)
            self.upstreams.append(upstream)
        await asyncio.gather(*(upstream.start() for upstream in self.upstreams))
        self._take_stock(strict=True)
        self._connected = True

    async def initialized(self, context: ServerRequestContext[Any, Any]) -> None:
        """The handshake is over."""
        self._person.reached_by(context.session, hears_of(context.request))
        self._passing.reached_by(context.session)
        if self._unsaid:
            self._unsaid = False
            await self._passing.say(types.ToolListChangedNotification())

    @property
    def has_begun(self) -> bool:
        """Whether the host has asked for the handshake."""
        return bool(self.upstreams)

    def greeting(self) -> str:
        """The instructions."""
        servers = [(upstream.name, upstream.instructions) for upstream in self.upstreams]
        return instructions(self._dialogue.note, servers)

    @property
    def passing(self) -> Passing:
        """All that is not about tools."""
        return self._passing

    def fail(self, fault: ConfigError) -> None:
        """The configuration does not fit the servers; nothing is served."""
        self.fault = fault
        asyncio.get_running_loop().call_later(FAREWELL, self._failed.set)

    async def _changed(self, _upstream: Upstream) -> None:
        """A server has listed its tools."""
        if not self._connected:
            return  # `connect` takes stock once
        try:
            self._take_stock(strict=False)
        except ConfigError as error:
            _log.error("%s", error)
            return
        self._unsaid = not self._passing.is_reached  # else it is said when the handshake is over
        await self._passing.say(types.ToolListChangedNotification())

    def _take_stock(self, *, strict: bool) -> None:
        found = entries(self.upstreams, self._settings.timeout, strict=strict)
        for name, entry in list(found.items()):
            try:
                tool = self._tool(entry)
            except ConfigError as error:
                if strict:
                    raise
                _log.error("%s", error)
                del found[name]
            else:
                self._session.offer(tool)
        self._entries = found

    # --- tools ------------------------------------------------------------------------------------------

    async def list_tools(self, _context: Any, _params: Any) -> types.ListToolsResult:
        """`tools/list`: all at once."""
        return types.ListToolsResult(tools=offered(self._entries, self._dialogue))

    async def call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """`tools/call`. Nothing waits before the call has its place in the order: that of arrival."""
        request = context.request_id
        assert request is not None
        entry = self._entries.get(params.name)
        asked = Asked(context, inline=entry is not None and entry.inline)

        def lose() -> None:
            asked.lose()
            self._answers.lose(request)

        self._answers.begin(request)
        self._waiting.append(asked)
        try:
            written = written_of(context.request)
            if written is not None:
                written.when_lost(lose)
            return await self._answer(request, asked, context, params, entry)
        finally:
            self._waiting.remove(asked)
            self._answers.drop(request)

    async def _answer(
        self,
        request: types.RequestId,
        asked: Asked,
        context: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
        entry: Entry | None,
    ) -> types.CallToolResult:
        arguments = dict(params.arguments or {})
        if entry is None and params.name == AWAIT_FUTURE:
            arguments["timeout"] = self._limited(arguments.get("timeout"))
        waited = self._session.owed if entry is None and params.name == AWAIT_FUTURE else []
        incoming = self._dialogue.begin()
        call = Call(f"m{next(self._numbers)}", params.name, arguments)
        token = ASKED.set(asked)
        try:
            future = incoming.seal(ReplyCall(call), known=True)
            incoming.complete()
        finally:
            ASKED.reset(token)
        if future is not None:
            try:
                await self._hold(context, asked, future)
            except BaseException:  # the host has given the request up, or is gone: the outcome comes later
                incoming.leave()
                raise
        with self._session.receipt() as receipt:
            (reply,) = await incoming.answers(patience=self._settings.await_limit)
            asked.answer()
            with self._session.sampling() as deliveries:
                shown = {future for future in waited if future.settled} - set(self._session.owed)
                extra = [future.outcome for future in waited if future in shown]
                answer = self._answered(asked, reply, deliveries, extra)
        self._answers.send(
            request, partial(self._session.untell, receipt, {} if future is None else {future: call})
        )
        return answer

    def cancelled(self, request: types.RequestId | None) -> None:
        """The host gives a request up. What it asked for is to stop; an answer that is on its way is lost."""
        if request is None:
            return
        future = self._unanswered.pop(request, None)
        if future is not None:
            self._session.cancel(future)
        self._answers.lose(request)

    async def _hold(self, context: ServerRequestContext[Any, Any], asked: Asked, future: Future) -> None:
        request = context.request_id
        if request is not None:
            self._unanswered[request] = future
        await asked.until_answer(future, self._runtime.scheduler, self._settings.grace)
        if request is not None:  # if it was given up, `cancelled` is about to be told of that
            self._unanswered.pop(request, None)

    def _answered(
        self, asked: Asked, reply: CallReply, deliveries: list[Delivery | Note], awaited: list[Outcome | None]
    ) -> types.CallToolResult:
        result, failed = asked.result, isinstance(reply.outcome, Failure)
        if result is None or not ((failed and result.is_error) or _has_more_than_text(result)):
            content: list[types.ContentBlock] = [types.TextContent(text=reply.text)]
        else:  # as the server gave it
            content = self._shown(result.content)
        if deliveries:
            results = "\n\n".join(delivery.text for delivery in deliveries)
            text = self._session.wording.block.format(results=results)
            content.append(types.TextContent(text=text))
            awaited += [one.outcome for one in deliveries if isinstance(one, Delivery)]
        content += self._shown(block for outcome in awaited for block in _beside_text(outcome))
        return types.CallToolResult(
            content=content, is_error=failed, _meta=None if result is None else result.meta
        )

    def _shown(self, blocks: Iterable[types.ContentBlock]) -> list[types.ContentBlock]:
        """The blocks of a result; what reads as a handle in their texts is inert."""
        return [_with_texts(block, self._session.handles.escape) for block in blocks]

    def _limited(self, timeout: Any) -> Any:
        """The timeout of an await: a host gives up a request after some time, and would lose the answer."""
        limit = self._settings.await_limit
        if timeout is None:
            return limit
        usable = isinstance(timeout, int | float) and not isinstance(timeout, bool) and math.isfinite(timeout)
        return min(timeout, limit) if usable else timeout

    def _tool(self, entry: Entry) -> Tool:
        async def call(**arguments: Any) -> Any:
            return await self._call(entry, tool, arguments)

        tool = session_tool(entry, call)
        return tool

    async def _call(self, entry: Entry, tool: Tool, arguments: dict[str, Any]) -> Any:
        asked = ASKED.get()
        assert asked is not None
        running = self._running.setdefault(entry.upstream.name, [])
        running.append(asked)
        reads = tool.spec.level == "read"
        try:
            result = await entry.upstream.call(
                entry.tool.name,
                passable(arguments),
                asked.report,
                reads=reads,
                again=reads or tool.idempotent,
                timeout=tool.timeout,
            )
        finally:
            running.remove(asked)
        asked.result = result
        return value_of(result)


def _has_more_than_text(result: types.CallToolResult) -> bool:
    return any(block.type != "text" for block in result.content)


def _beside_text(outcome: Outcome | None) -> list[types.ContentBlock]:
    """What of an outcome is no text."""
    value = outcome.get() if isinstance(outcome, Value) and outcome.is_artifact else None
    blocks = value.blocks if isinstance(value, Blocks) else ()
    return [block for block in blocks if block.type != "text"]


def _with_texts(block: types.ContentBlock, change: Callable[[str], str]) -> types.ContentBlock:
    match block:
        case types.TextContent(text=text):
            return block.model_copy(update={"text": change(text)})
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text) as resource):
            return block.model_copy(update={"resource": resource.model_copy(update={"text": change(text)})})
    return block


class _Server(Server[Any]):
    """The SDK's server, which asks the host object for everything."""

    def __init__(self, host: Host) -> None:
        super().__init__("asyncfc", on_list_tools=host.list_tools, on_call_tool=host.call_tool)
        self._host = host
        self.middleware.append(self._around)
        self.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._on_initialized
        )
        self.add_notification_handler(
            "notifications/cancelled", types.CancelledNotificationParams, self._on_cancelled
        )

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """What the proxy says of itself, once the servers are known."""
        all_change = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(
            notification_options or all_change, experimental_capabilities, extensions
        )

    async def _around(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Connect to the servers before the handshake is answered: what they can do is part of it."""
        if ctx.method == "initialize" and not self._host.has_begun:
            given = (ctx.params or {}).get("capabilities") or {}
            try:
                await self._host.connect(types.ClientCapabilities.model_validate(given))
            except ConfigError as error:
                self._host.fail(error)
                raise MCPError(INTERNAL_ERROR, str(error)) from None
            self._host.passing.register(self)
            self.instructions = self._host.greeting()
        return await call_next(ctx)

    async def _on_initialized(self, context: ServerRequestContext[Any, Any], _params: Any) -> None:
        await self._host.initialized(context)

    async def _on_cancelled(
        self, _context: ServerRequestContext[Any, Any], params: types.CancelledNotificationParams
    ) -> None:
        self._host.cancelled(params.request_id)
