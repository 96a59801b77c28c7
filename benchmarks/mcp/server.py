"""A server over stdio with a tool that takes no time, and one that takes as long as told."""

from __future__ import annotations

import asyncio
import os

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

server = MCPServer("bench")


@server.tool(annotations=READS)
async def quick(text: str) -> str:
    """Give a text back."""
    return text


@server.tool(annotations=READS)
async def look_up(topic: str, seconds: float) -> str:
    """Take a while."""
    await asyncio.sleep(seconds)
    return f"about {topic[:40]}"


@server.tool(annotations=READS)
async def variable(name: str) -> str:
    """What the environment has."""
    return os.environ.get(name, "")


if __name__ == "__main__":
    server.run("stdio")
