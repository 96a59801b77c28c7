"""HTTP: many hosts over streamable HTTP, each with a conversation of its own.

What tells hosts apart is the session of the protocol up to 2025-11-25. The exchanges of the protocol of
2026 belong to no session, so that nobody could say whose a handle is. A host that speaks both is told to use
the former, and does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import uvicorn
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER, StreamableHTTPServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION, ErrorData, JSONRPCError
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asyncfc.adapters.mcp_proxy.config import ConfigError
from asyncfc.adapters.mcp_proxy.host import Host
from asyncfc.adapters.mcp_proxy.written import watching

_log = logging.getLogger(__name__)

PATH = "/mcp"
IDLE = 30 * 60.0
"""Seconds after which a host that asks for nothing, and does not listen, counts as gone."""


class Application:
    """The ASGI application.

    Args:
        new_host: makes a host.
        close: ends one that has gone.
        security: which addresses may be asked for.
    """

    def __init__(
        self,
        new_host: Callable[[], Host],
        close: Callable[[Host], Coroutine[Any, Any, None]],
        security: TransportSecuritySettings,
    ) -> None:
        self._new_host = new_host
        self._close = close
        self._security = security
        self._transports: dict[str, StreamableHTTPServerTransport] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        version = request.headers.get(MCP_PROTOCOL_VERSION_HEADER)
        session = request.headers.get(MCP_SESSION_ID_HEADER)
        if scope["path"].rstrip("/") != PATH:
            await Response(status_code=404)(scope, receive, send)
        elif version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await _unsupported(version, await _id_of(request))(scope, receive, send)
        elif session is None:
            await self._open(scope, receive, send)
        elif session in self._transports:
            transport = self._transports[session]
            await transport.handle_request(scope, receive, send)
            if transport.is_terminated:
                self._transports.pop(session, None)
        else:
            await _error(404, INVALID_REQUEST, "Session not found")(scope, receive, send)

    async def close(self) -> None:
        """All hosts have gone."""
        for transport in list(self._transports.values()):
            await transport.terminate()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = uuid.uuid4().hex
        transport = StreamableHTTPServerTransport(
            mcp_session_id=session, security_settings=self._security, idle_timeout=IDLE
        )
        self._transports[session] = transport
        ready = asyncio.Event()
        task = asyncio.create_task(self._serve(session, transport, ready))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        await ready.wait()
        opened = False

        async def watch(message: Any) -> None:
            nonlocal opened
            opened = opened or (message["type"] == "http.response.start" and message["status"] < 400)
            await send(message)

        try:
            await transport.handle_request(scope, receive, watch)
        finally:
            if not opened:  # only a handshake can open one
                await transport.terminate()

    async def _serve(
        self, session: str, transport: StreamableHTTPServerTransport, ready: asyncio.Event
    ) -> None:
        host = self._new_host()
        try:
            async with transport.connect() as (read, write):
                ready.set()
                scope = transport.idle_scope
                assert scope is not None
                with scope:
                    await host.serve(read, write)
        except Exception:
            _log.exception("a host's connection failed")
        finally:
            ready.set()
            self._transports.pop(session, None)
            await transport.terminate()
            await self._close(host)


class WebServer(uvicorn.Server):
    """Leaves signals to the proxy."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def web_server(application: Application) -> WebServer:
    """Serves the application, at a socket that it gets."""
    config = uvicorn.Config(
        watching(application),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    return WebServer(config)


def security_of(host: str, allowed: Sequence[str] = ()) -> TransportSecuritySettings:
    """Only requests for certain names are served: a page in a browser must not get in by a name of its own.

    Args:
        host: what is listened at.
        allowed: further names that may be asked for.

    Raises:
        ConfigError: others than this machine can reach it, and no name is allowed.
    """
    if not is_loopback(host) and not allowed:
        raise ConfigError(
            f"--http: others than this machine can reach {host}, and nobody is asked who they are. "
            "If that is meant, name the hosts that may be asked for: --allow-host NAME"
        )
    names = ["127.0.0.1", "localhost", "[::1]", *allowed]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[one for name in names for one in (name, f"{name}:*")],
        allowed_origins=[
            f"{scheme}://{one}"
            for scheme in ("http", "https")
            for name in names
            for one in (name, f"{name}:*")
        ],
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _id_of(request: Request) -> Any:
    try:
        found = json.loads(await request.body())["id"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, str | int) else None


def _unsupported(version: str, request: Any) -> Response:
    data = {"supported": list(HANDSHAKE_PROTOCOL_VERSIONS), "requested": version}
    message = "this proxy serves sessions only, which that version of the protocol does not have"
    return _error(400, UNSUPPORTED_PROTOCOL_VERSION, message, request, data)


def _error(status: int, code: int, message: str, request: Any = None, data: Any = None) -> Response:
    body = JSONRPCError(
        jsonrpc="2.0", id=request, error=ErrorData(code=code, message=message, data=data)
    ).model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, status_code=status, media_type="application/json")
