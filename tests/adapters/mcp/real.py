"""Real servers, which nobody here wrote, and a proxy in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests import peers

ROOT = Path(__file__).parents[3]
MODULE = "asyncfc.adapters.mcp_proxy"
CLEAN = {"npm_config_update_notifier": "false", "PYTHONPATH": str(ROOT)}


def node_server(name: str, *args: str, **env: str) -> dict[str, Any]:
    """A server from npm, as a configuration has it."""
    found = peers.npm_server(name)
    peers.require(found, "MCP servers from npm")
    assert found is not None
    return {"command": found[0], "args": [*found[1:], *args], "env": env}


def python_server(name: str, *args: str) -> dict[str, Any]:
    """A server from PyPI."""
    found = peers.pypi_server(name)
    peers.require(found, "MCP servers from PyPI")
    assert found is not None
    return {"command": found[0], "args": [*found[1:], *args], "env": {"HOME": os.environ.get("HOME", "/")}}


def write_config(folder: Path, servers: dict[str, Any], **proxy: Any) -> Path:
    """A configuration in a file."""
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers, "asyncfc": proxy}))
    return path


def direct(server: dict[str, Any]) -> Client:
    """A client connected to a server without the proxy."""
    return Client(StdioServerParameters(command=server["command"], args=server["args"], env=server["env"]))


def over_stdio(config: Path) -> Client:
    """A host that starts a proxy of its own."""
    arguments = ["-m", MODULE, "--config", str(config)]
    return Client(StdioServerParameters(command=sys.executable, args=arguments, env=CLEAN))


def instead_of(server: dict[str, Any]) -> Client:
    """A host whose configuration of a server has the proxy in front of its command."""
    arguments = ["-m", MODULE, "--trust", "--", server["command"], *server["args"]]
    environment = {**server["env"], "PYTHONPATH": str(ROOT)}
    return Client(StdioServerParameters(command=sys.executable, args=arguments, env=environment))


@asynccontextmanager
async def served(config: Path) -> AsyncIterator[str]:
    """A proxy that serves over HTTP; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["-m", MODULE, "--config", str(config), "--http", f"127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, env={**os.environ, **CLEAN})
    try:
        await _until_open(port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 20)
        assert code == 0


async def _until_open(port: int) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise AssertionError(f"nothing listens at port {port}")


async def none_left(text: str) -> bool:
    """Whether no process has a text in its command line any more, or soon."""
    for _ in range(200):
        if not processes_with(text):
            return True
        await asyncio.sleep(0.05)
    return False


def processes_with(text: str) -> list[int]:
    """The processes that run and have a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return [number for number in found if number != os.getpid()]
