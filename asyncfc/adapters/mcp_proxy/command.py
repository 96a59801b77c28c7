"""Command: `asyncfc mcp-proxy`, from its arguments to its end.

Standard output carries the protocol only; all else goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mcp.server.stdio import stdio_server

from asyncfc.adapters.mcp_proxy.config import ConfigError, load_config
from asyncfc.adapters.mcp_proxy.host import Host
from asyncfc.adapters.mcp_proxy.http import Application, is_loopback, security_of, web_server
from asyncfc.adapters.mcp_proxy.proxy import Proxy
from asyncfc.adapters.mcp_proxy.settings import Config
from asyncfc.adapters.mcp_proxy.stdio import Lines, Output

_log = logging.getLogger("asyncfc.mcp_proxy")

WRONG = 2
"""Exit code where the configuration or the arguments are wrong."""
INTERRUPTED = 130
"""Exit code after a second signal."""


def run(
    config: Path | None,
    command: list[str],
    http: str | None = None,
    *,
    trust: bool = False,
    allow_hosts: Sequence[str] = (),
) -> int:
    """Run the proxy until its host has gone, or a signal comes.

    Args:
        config: a file; see `asyncfc.adapters.mcp_proxy.config`.
        command: of one server, instead of a file.
        http: `host:port` to serve at, many hosts at a time; None: one host over stdio.
        trust: whether the annotations of that one server are believed.
        allow_hosts: names that may be asked for over HTTP, beside those of this machine.

    Returns:
        the exit code: 0; 2 if what is wanted is written wrongly; 130 after a second signal.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="asyncfc mcp-proxy: %(message)s")
    try:
        wanted = _config(config, command, trust=trust)
        address = None if http is None else _Address(*_address(http), tuple(allow_hosts))
        asyncio.run(_serve(wanted, address))
    except ConfigError as error:
        sys.stderr.write(f"asyncfc mcp-proxy: {error}\n")
        return WRONG
    except (KeyboardInterrupt, asyncio.CancelledError):  # a second signal: at once
        return INTERRUPTED
    return 0


def _config(path: Path | None, command: list[str], *, trust: bool) -> Config:
    if (path is None) == (not command):
        raise ConfigError("give either --config FILE or -- COMMAND ARGS")
    if path is not None:
        if trust:
            raise ConfigError('--trust goes with a COMMAND; in a file say "trust": true for a server')
        return load_config(path)
    server = {
        "command": command[0],
        "args": command[1:],
        "env": dict(os.environ),  # the host set it for the server, and knows nothing of a proxy
        "asyncfc": {"trust": trust},
    }
    return Config.model_validate({"mcpServers": {Path(command[0]).stem: server}})


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--http: expected HOST:PORT, such as 127.0.0.1:8000; there stands {text!r}")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class _Address:
    """What to listen at, and the further names that may be asked for."""

    host: str
    port: int
    allowed: tuple[str, ...]


async def _serve(config: Config, address: _Address | None) -> None:
    proxy = Proxy(config)
    stopping = _Signals()
    try:
        if address is None:
            await _over_stdio(proxy, stopping)
        else:
            await _over_http(proxy, stopping, address)
    finally:
        proxy.close()


async def _over_stdio(proxy: Proxy, stopping: _Signals) -> None:
    """One host; it has gone when standard input ends."""
    host = proxy.new_host()
    lines = Lines()
    try:
        async with stdio_server(cast("Any", lines), cast("Any", Output())) as (read, write):
            await stopping.or_end_of(host.serve(read, write))
            lines.end()
    finally:
        await proxy.end(host, stopping.event)
    if host.fault is not None:
        raise host.fault


async def _over_http(proxy: Proxy, stopping: _Signals, address: _Address) -> None:
    security = security_of(address.host, address.allowed)
    if not is_loopback(address.host):
        _log.warning("whoever reaches %s can call these tools: there is no authentication", address.host)

    async def end(gone: Host) -> None:
        if gone.fault is not None:
            _log.error("%s", gone.fault)
        await proxy.end(gone, stopping.event)

    application = Application(proxy.new_host, end, security)
    server = web_server(application)
    listening = _listen(address)
    _log.warning("serving at http://%s:%d/mcp", address.host, listening.getsockname()[1])
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await stopping.or_end_of(asyncio.shield(serving))
    server.should_exit = True
    await application.close()
    await serving


def _listen(address: _Address) -> socket.socket:
    """A socket there.

    Raises:
        ConfigError: that is not possible.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise ConfigError(f"--http: {address.host}:{address.port}: {error.strerror or error}") from None


class _Signals:
    """SIGTERM and SIGINT: the first ends the proxy in good order, in a few seconds; the second at once."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        """Set when one has come."""
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # Windows
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._take)

    async def or_end_of(self, work: Awaitable[None]) -> None:
        """Do the work until it ends or a signal comes."""
        task = asyncio.ensure_future(work)
        signalled = asyncio.create_task(self.event.wait())
        await asyncio.wait([task, signalled], return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if not task.done():
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if not self.event.is_set():
                raise

    def _take(self) -> None:
        if self.event.is_set():
            loop = asyncio.get_running_loop()
            for task in asyncio.all_tasks(loop):
                task.cancel()
        self.event.set()
