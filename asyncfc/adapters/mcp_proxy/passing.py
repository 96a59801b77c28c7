"""Passing: resources, prompts, completions, logging and notifications, from and to the right server."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from mcp import Client, MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.session import ServerSession
from mcp_types import INVALID_PARAMS

from asyncfc.adapters.mcp.errors import ServerLost
from asyncfc.adapters.mcp_proxy.catalog import unique_names
from asyncfc.adapters.mcp_proxy.upstream import Upstream

_log = logging.getLogger(__name__)

MAX_PAGES = 1000
"""Of a listing."""
LISTING = 10.0
"""Seconds that a server has to list what it has; the others are not held up for longer."""
_HOLE = re.compile(r"\{[^}]*\}")


class Passing:
    """All of the protocol that is not about tools.

    State: which server each prompt and each resource is of, by the name or URI that the host has, as of the
    last listing. A name or URI that two servers have gets the server's name in front, for both.

    Args:
        upstreams: in the order of the configuration; the list may still grow.
    """

    def __init__(self, upstreams: list[Upstream]) -> None:
        self._upstreams = upstreams
        self._session: ServerSession | None = None
        self._prompts: dict[str, tuple[Upstream, str]] = {}
        self._resources: dict[str, tuple[Upstream, str]] = {}
        self._shown: dict[tuple[str, str], str] = {}
        self._templates: list[tuple[str, Upstream, str]] = []
        self._by_name: dict[str, Upstream] = {}

    # --- to the host ------------------------------------------------------------------------------------

    @property
    def is_reached(self) -> bool:
        """Whether the host can be told anything yet."""
        return self._session is not None

    def reached_by(self, session: ServerSession) -> None:
        """The handshake with the host is over."""
        self._session = session

    async def say(self, notification: types.ServerNotification) -> None:
        """Tell the host."""
        if self._session is not None:
            await self._session.send_notification(notification)

    def callbacks(self, server: str) -> dict[str, Any]:
        """What a client of the SDK gets, so that the host hears what the server says."""

        async def log(params: types.LoggingMessageNotificationParams) -> None:
            logger = server if params.logger is None else f"{server}.{params.logger}"
            await self.say(
                types.LoggingMessageNotification(params=params.model_copy(update={"logger": logger}))
            )

        async def hear(message: Any) -> None:
            await self._hear(server, message)

        return {"logging_callback": log, "message_handler": hear}

    def heard_by(self, upstream: Upstream) -> None:
        """A server that will be heard."""
        self._by_name[upstream.name] = upstream

    async def _hear(self, server: str, message: Any) -> None:
        match message:
            case types.ToolListChangedNotification():
                self._by_name[server].relist()
            case types.ResourceListChangedNotification() | types.PromptListChangedNotification():
                await self.say(message)
            case types.ResourceUpdatedNotification(params=params):
                uri = self._shown.get((server, params.uri), params.uri)
                await self.say(
                    types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri=uri))
                )
            case types.ElicitCompleteNotification():
                await self.say(message)

    # --- from the host ----------------------------------------------------------------------------------

    def register(self, server: Server[Any]) -> None:
        """Let the host ask for what some server has."""
        able = [upstream.capabilities for upstream in self._upstreams]

        def add(method: str, params: type, handler: Callable[[Any, Any], Awaitable[Any]]) -> None:
            server.add_request_handler(method, params, handler)

        if any(one.resources is not None for one in able):
            add("resources/list", types.PaginatedRequestParams, self.list_resources)
            add("resources/templates/list", types.PaginatedRequestParams, self.list_templates)
            add("resources/read", types.ReadResourceRequestParams, self.read_resource)
        if any(one.resources is not None and one.resources.subscribe for one in able):
            add("resources/subscribe", types.SubscribeRequestParams, self.subscribe)
            add("resources/unsubscribe", types.UnsubscribeRequestParams, self.unsubscribe)
        if any(one.prompts is not None for one in able):
            add("prompts/list", types.PaginatedRequestParams, self.list_prompts)
            add("prompts/get", types.GetPromptRequestParams, self.get_prompt)
        if any(one.completions is not None for one in able):
            add("completion/complete", types.CompleteRequestParams, self.complete)
        if any(one.logging is not None for one in able):
            add("logging/setLevel", types.SetLevelRequestParams, self.set_level)
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self.roots_changed
        )

    async def list_resources(
        self, _context: ServerRequestContext[Any, Any], _params: Any
    ) -> types.ListResourcesResult:
        """`resources/list`: those of all servers, all at once."""
        found = await self._listed("resources", "list_resources", "resources")
        uris = _unique_uris([(upstream.name, resource.uri) for upstream, resource in found])
        self._shown = uris
        self._resources = {uris[upstream.name, one.uri]: (upstream, one.uri) for upstream, one in found}
        return types.ListResourcesResult(
            resources=[
                one.model_copy(update={"uri": uris[upstream.name, one.uri]}) for upstream, one in found
            ]
        )

    async def list_templates(
        self, _context: ServerRequestContext[Any, Any], _params: Any
    ) -> types.ListResourceTemplatesResult:
        """`resources/templates/list`: those of all servers."""
        found = await self._listed("resources", "list_resource_templates", "resource_templates")
        uris = _unique_uris([(upstream.name, one.uri_template) for upstream, one in found])
        self._templates = [
            (uris[upstream.name, one.uri_template], upstream, one.uri_template) for upstream, one in found
        ]
        return types.ListResourceTemplatesResult(
            resource_templates=[
                one.model_copy(update={"uri_template": uris[upstream.name, one.uri_template]})
                for upstream, one in found
            ]
        )

    async def read_resource(
        self, context: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """`resources/read`, from the server that has it."""
        upstream, uri = await self._having_resource(context, params.uri)
        result = await (await upstream.client()).read_resource(uri, cache_mode="bypass")
        contents = [
            one.model_copy(update={"uri": params.uri}) if one.uri == uri else one for one in result.contents
        ]
        return types.ReadResourceResult(contents=contents, _meta=result.meta)

    async def subscribe(
        self, context: ServerRequestContext[Any, Any], params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """`resources/subscribe`."""
        upstream, uri = await self._having_resource(context, params.uri)
        client = await upstream.client()
        self._shown[upstream.name, uri] = params.uri
        if upstream.is_modern:
            upstream.listen_to(uri)
            return types.EmptyResult()
        request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
        result = await client.session.send_request(request, types.EmptyResult)
        upstream.listens.add(uri)
        return result

    async def unsubscribe(
        self, context: ServerRequestContext[Any, Any], params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """`resources/unsubscribe`."""
        upstream, uri = await self._having_resource(context, params.uri)
        client = await upstream.client()
        upstream.listens.discard(uri)
        if upstream.is_modern:
            return types.EmptyResult()
        request = types.UnsubscribeRequest(params=types.UnsubscribeRequestParams(uri=uri))
        return await client.session.send_request(request, types.EmptyResult)

    async def list_prompts(
        self, _context: ServerRequestContext[Any, Any], _params: Any
    ) -> types.ListPromptsResult:
        """`prompts/list`: those of all servers."""
        found = await self._listed("prompts", "list_prompts", "prompts")
        names = unique_names([(upstream.name, prompt.name) for upstream, prompt in found])
        self._prompts = {names[upstream.name, one.name]: (upstream, one.name) for upstream, one in found}
        return types.ListPromptsResult(
            prompts=[
                one.model_copy(update={"name": names[upstream.name, one.name]}) for upstream, one in found
            ]
        )

    async def get_prompt(
        self, context: ServerRequestContext[Any, Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        """`prompts/get`, from the server that has it."""
        upstream, name = await self._having_prompt(context, params.name)
        return await (await upstream.client()).get_prompt(name, params.arguments)

    async def complete(
        self, context: ServerRequestContext[Any, Any], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        """`completion/complete`, by the server of the prompt or template."""
        reference = params.ref
        if isinstance(reference, types.PromptReference):
            upstream, name = await self._having_prompt(context, reference.name)
            reference = reference.model_copy(update={"name": name})
        else:
            upstream, uri = await self._having_resource(context, reference.uri)
            reference = reference.model_copy(update={"uri": uri})
        known = None if params.context is None else params.context.arguments
        client = await upstream.client()
        return await client.complete(reference, params.argument.model_dump(), known)

    async def set_level(
        self, _context: ServerRequestContext[Any, Any], params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        """`logging/setLevel`, at all servers that have one."""
        for upstream in self._upstreams:
            upstream.level = params.level
        await asyncio.gather(*(upstream.tell_level() for upstream in self._upstreams))
        return types.EmptyResult()

    async def roots_changed(self, _context: ServerRequestContext[Any, Any], _params: Any) -> None:
        """`notifications/roots/list_changed`, to all servers."""
        for upstream in self._upstreams:
            if upstream.is_up and not upstream.is_modern:
                client = await upstream.client()
                await client.session.send_notification(types.RootsListChangedNotification())

    # --- whose it is ------------------------------------------------------------------------------------

    async def _listed(self, what: str, method: str, field: str) -> list[tuple[Upstream, Any]]:
        """The listings of all servers that have something, in the order of the configuration."""
        having = self._having(what)
        listings = await asyncio.gather(*(_all(upstream, method, field) for upstream in having))
        return [
            (upstream, one) for upstream, listing in zip(having, listings, strict=True) for one in listing
        ]

    def _having(self, what: str) -> list[Upstream]:
        return [one for one in self._upstreams if getattr(one.capabilities, what) is not None]

    async def _having_prompt(
        self, context: ServerRequestContext[Any, Any], name: str
    ) -> tuple[Upstream, str]:
        if name not in self._prompts:
            await self.list_prompts(context, None)
        if name not in self._prompts:
            raise MCPError(INVALID_PARAMS, f"there is no prompt {name!r}; there are {sorted(self._prompts)}")
        return self._prompts[name]

    async def _having_resource(
        self, context: ServerRequestContext[Any, Any], uri: str
    ) -> tuple[Upstream, str]:
        """The server of a resource: the one that lists it or a template of it, else the only one there is."""
        if uri not in self._resources:
            await self.list_resources(context, None)
        if uri in self._resources:
            return self._resources[uri]
        await self.list_templates(context, None)
        for shown, upstream, template in self._templates:
            if uri == shown or _fits(uri, shown):
                return upstream, uri if shown == template else uri.removeprefix(f"{upstream.name}+")
        having = self._having("resources")
        if len(having) == 1:
            return having[0], uri
        raise MCPError(INVALID_PARAMS, f"no server lists a resource {uri!r} or a template that it fits")


def _unique_uris(keys: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A URI for each pair of a server and a URI there: with the server in front where it is not unique."""
    counts = Counter([uri for _, uri in dict.fromkeys(keys)])
    return {(name, uri): uri if counts[uri] == 1 else f"{name}+{uri}" for name, uri in keys}


def _fits(uri: str, template: str) -> bool:
    """Whether a URI may be of a template: what stands outside of its holes is in it."""
    literal = [re.escape(part) for part in _HOLE.split(template)]
    return re.fullmatch(".*".join(literal), uri, re.DOTALL) is not None


async def _all(upstream: Upstream, method: str, field: str) -> list[Any]:
    """A whole listing of a server, page by page; what cannot be listed is none."""
    found: list[Any] = []
    try:
        async with asyncio.timeout(LISTING):
            client: Client = await upstream.client()
            cursor: str | None = None
            for _ in range(MAX_PAGES):
                page = await getattr(client, method)(cursor=cursor, cache_mode="refresh")
                found += getattr(page, field)
                cursor = page.next_cursor
                if cursor is None:
                    break
    except (MCPError, ServerLost, TimeoutError) as error:
        _log.warning("server %r: %s failed: %s", upstream.name, method, str(error) or "it takes too long")
        return []
    return found
