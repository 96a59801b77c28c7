"""MCP servers as tools of a session.

    async with Client(StdioServerParameters(command="mcp-server-git")) as client:
        tools = await tools_of(client, server="git", trust=True)
        async with Session(tools) as session:
            ...

`trust=True` believes the server's annotations; without it, and without `effects`, its calls run one after
the other. See `docs/adapters/mcp.md`. A proxy that needs no code at all is `asyncfc mcp-proxy`.
"""

from __future__ import annotations

from asyncfc.adapters.mcp.changes import Changes
from asyncfc.adapters.mcp.effects import effects_of, server_label
from asyncfc.adapters.mcp.errors import ServerError, ServerLost
from asyncfc.adapters.mcp.results import Blocks
from asyncfc.adapters.mcp.tools import tools_of

__all__ = ["Blocks", "Changes", "ServerError", "ServerLost", "effects_of", "server_label", "tools_of"]
