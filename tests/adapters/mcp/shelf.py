"""A server for tests: a shelf of texts, slow as told, that notes what it did and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ToolAnnotations

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(read_only_hint=False, open_world_hint=False)


class Shelf:
    """What the server keeps; several connections share it."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.log: list[str] = []
        self.running = 0
        self.most = 0

    async def work(self, what: str, seconds: float) -> None:
        self.log.append(what)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.log.append(f"{what} cancelled")
            raise
        finally:
            self.running -= 1

    def server(self) -> MCPServer:
        """A server over this shelf."""
        server = MCPServer("shelf", instructions="Texts by key.")

        @server.tool(annotations=READS)
        async def get(key: str, seconds: float = 0) -> str:
            """The text of a key."""
            await self.work(f"get {key}", seconds)
            return self.texts[key]

        @server.tool(annotations=WRITES)
        async def put(key: str, text: str, seconds: float = 0) -> str:
            """Keep a text."""
            await self.work(f"put {key}", seconds)
            self.texts[key] = text
            return f"kept {len(text)}"

        @server.tool()
        async def undeclared(seconds: float = 0) -> str:
            """Says nothing of itself."""
            await self.work("undeclared", seconds)
            return "done"

        @server.tool(annotations=READS)
        async def stats() -> dict[str, Any]:
            """How many texts, and their keys."""
            return {"count": len(self.texts), "keys": sorted(self.texts)}

        @server.tool(annotations=READS)
        async def steps(context: Context[Any, Any], seconds: float = 0) -> int:
            """Reports how far it is."""
            for step in (1, 2):
                await context.report_progress(step, 2, f"step {step}")
                await asyncio.sleep(seconds)
            return 2

        return server
