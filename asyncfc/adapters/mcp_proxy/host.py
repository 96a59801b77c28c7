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
from collections.abc import Iterator, Mapping
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
from asyncfc.adapters.mcp_proxy.asked import ASKED, Asked
from asyncfc.adapters.mcp_proxy.asking import Person
from asyncfc.adapters.mcp_proxy.catalog import Entry, entries, offered, session_tool
from asyncfc.adapters.mcp_proxy.config import ConfigError
from asyncfc.adapters.mcp_proxy.passing import Passing
from asyncfc.adapters.mcp_proxy.settings import Config
from asyncfc.adapters.mcp_proxy.transport import Opens
from asyncfc.adapters.mcp_proxy.upstream import Upstream
from asyncfc.adapters.mcp_proxy.wording import PROXY_WORDING, instructions
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
        self._person = Person(lambda server: self._running.get(server, []))
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
        finished = await self._session.close()
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
            )
            self._passing.heard_by(upstream)
            self.upstreams.append(upstream)
        await asyncio.gather(*(upstream.start() for upstream in self.upstreams))
        self._take_stock()

    def initialized(self, session: Any) -> None:
        """The handshake is over."""
        self._person.reached_by(session)
        self._passing.reached_by(session)

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
        if not self._passing.is_reached:
            return  # still in the handshake: `connect` takes stock once
        try:
            self._take_stock()
        except ConfigError as error:
            _log.error("%s", error)
        else:
            await self._passing.say(types.ToolListChangedNotification())

    def _take_stock(self) -> None:
        self._entries = entries(self.upstreams, self._settings.timeout)
        for entry in self._entries.values():
            self._session.offer(self._tool(entry))

    # --- tools ------------------------------------------------------------------------------------------

    async def list_tools(self, _context: Any, _params: Any) -> types.ListToolsResult:
        """`tools/list`: all at once."""
        return types.ListToolsResult(tools=offered(self._entries, self._dialogue))

    async def call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        """`tools/call`. Nothing waits before the call has its place in the order: that of arrival."""
        entry = self._entries.get(params.name)
        asked = Asked(context, inline=entry is not None and entry.inline)
        arguments = dict(params.arguments or {})
        if entry is None and params.name == AWAIT_FUTURE:
            arguments["timeout"] = self._limited(arguments.get("timeout"))
        waited = self._session.owed if entry is None and params.name == AWAIT_FUTURE else []
        incoming = self._dialogue.begin()
        token = ASKED.set(asked)
        try:
            call = ReplyCall(Call(f"m{next(self._numbers)}", params.name, arguments))
            future = incoming.seal(call, known=True)
            incoming.complete()
        finally:
            ASKED.reset(token)
        if future is not None:
            try:
                await self._hold(context, asked, future)
            except BaseException:  # the host has given the request up, or is gone: the outcome comes later
                incoming.leave()
                raise
        (reply,) = await incoming.answers()
        asked.answer()
        with self._session.sampling() as deliveries:
            shown = {future for future in waited if future.settled} - set(self._session.owed)
            extra = [future.outcome for future in waited if future in shown]
            return self._answered(asked, reply, deliveries, extra)

    def cancelled(self, request: types.RequestId | None) -> None:
        """The host gives up a request that has not been answered: what it asked for is to stop."""
        future = None if request is None else self._unanswered.pop(request, None)
        if future is not None:
            self._session.cancel(future)

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
            content = list(self._shown(result.content))
        if deliveries:
            results = "\n\n".join(delivery.text for delivery in deliveries)
            text = self._session.wording.block.format(results=results)
            content.append(types.TextContent(text=text))
            awaited += [one.outcome for one in deliveries if isinstance(one, Delivery)]
        content += [block for outcome in awaited for block in _beside_text(outcome)]
        return types.CallToolResult(
            content=content, is_error=failed, _meta=None if result is None else result.meta
        )

    def _shown(self, blocks: list[types.ContentBlock]) -> Iterator[types.ContentBlock]:
        """The blocks of a result; what reads as a handle in their texts is inert."""
        for block in blocks:
            if isinstance(block, types.TextContent):
                yield block.model_copy(update={"text": self._session.handles.escape(block.text)})
            else:
                yield block

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
        if ctx.method == "initialize":
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
        self._host.initialized(context.session)

    async def _on_cancelled(
        self, _context: ServerRequestContext[Any, Any], params: types.CancelledNotificationParams
    ) -> None:
        self._host.cancelled(params.request_id)
