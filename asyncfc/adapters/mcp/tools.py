"""Tools: those of an MCP server as tools of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

import mcp_types as types
from mcp import ClientSession

from asyncfc.adapters.mcp.calls import AnyClient, call_tool
from asyncfc.adapters.mcp.effects import Declared, effects_of, is_named
from asyncfc.adapters.mcp.results import passable, value_of
from asyncfc.depgraph.assignment import assign
from asyncfc.depgraph.declaration import parse_declaration
from asyncfc.errors import DeclarationError
from asyncfc.tools import Tool

Progress: TypeAlias = Callable[[str, float, float | None, str | None], Awaitable[None]]
"""Called with the name of the tool, how far it is, of how much if that is known, and a text if any."""

MAX_PAGES = 1000
"""Of a listing: a server that never ends it must not hang its client."""


async def tools_of(
    client: AnyClient,
    *,
    server: str,
    trust: bool = False,
    effects: Mapping[str, Declared] | None = None,
    irreversible: Collection[str] = (),
    timeout: float | None = None,
    progress: Progress | None = None,
) -> list[Tool]:
    """The tools of a server, for a session.

    Args:
        client: a `Client` or `ClientSession` of the official SDK, connected; it has to stay so for as long
            as the session makes calls.
        server: a name for it: the label of what it keeps is `mcp:<server>`.
        trust: whether its annotations are believed, see `effects_of`.
        effects: by the name of a tool or a pattern, in the one written form (DESIGN §4).
        irreversible: names and patterns of tools whose calls cannot be taken back.
        timeout: seconds for each call, where its effects do not say it.
        progress: told what the server reports while a call is under way.

    Raises:
        DeclarationError: effects for no tool, or written wrongly.
    """
    listed = [tool async for tool in listed_tools(client)]
    declarations = declared_for(
        listed, server=server, trust=trust, effects=effects, irreversible=irreversible, timeout=timeout
    )
    return [_tool(client, server, tool, declarations[tool.name], progress) for tool in listed]


async def listed_tools(client: AnyClient) -> AsyncIterator[types.Tool]:
    """All tools of a server, page by page."""
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        if isinstance(client, ClientSession):
            page = await client.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        else:
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        for tool in page.tools:
            yield tool
        cursor = page.next_cursor
        if cursor is None:
            return


def declared_for(
    listed: Iterable[types.Tool],
    *,
    server: str,
    trust: bool,
    effects: Mapping[str, Declared] | None = None,
    irreversible: Collection[str] = (),
    timeout: float | None = None,
) -> dict[str, Declared | None]:
    """What each tool of a server declares, by name; for the arguments see `tools_of`.

    Raises:
        DeclarationError: effects for no tool, or for parameters that it does not have.
    """
    tools = {tool.name: tool for tool in listed}
    assigned = assign(effects or {}, tools)
    for name, (one, place) in assigned.items():
        _check_holes(tools[name], one, place)
    declared = {name: one for name, (one, _) in assigned.items()}
    check_patterns("irreversible", irreversible, tools)
    found = {
        name: effects_of(
            tool.annotations,
            server=server,
            trusted=trust,
            declared=declared.get(name),
            irreversible=is_named(name, irreversible),
            beside_declared=bool(declared),
        )
        for name, tool in tools.items()
    }
    return {name: _timed(one, timeout) for name, one in found.items()}


def check_patterns(setting: str, patterns: Collection[str], names: Collection[str]) -> None:
    """Each name and pattern must fit a tool: one that is misspelt would switch something off in silence.

    Raises:
        DeclarationError: one fits none.
    """
    for pattern in patterns:
        if not any(is_named(name, [pattern]) for name in names):
            raise DeclarationError(f"{setting} has {pattern!r}, which fits no tool; they are {sorted(names)}")


def returns_of(tool: types.Tool) -> Mapping[str, Any] | None:
    """The schema of what a call gives, where that is certain: see `value_of` on what is only wrapped."""
    schema = tool.output_schema
    return None if schema is None or len(schema.get("properties", ())) == 1 else schema


def _tool(
    client: AnyClient, server: str, tool: types.Tool, declared: Declared | None, told: Progress | None
) -> Tool:
    async def call(**arguments: Any) -> Any:
        async def report(progress: float, total: float | None = None, message: str | None = None) -> None:
            assert told is not None
            await told(tool.name, progress, total, message)

        result = await call_tool(
            client,
            server,
            tool.name,
            passable(arguments),
            progress=None if told is None else report,
            reads=made.spec.level == "read",
        )
        return value_of(result)

    made = Tool(
        call,
        name=tool.name,
        description=tool.description or "",
        effects=declared,
        schema=tool.input_schema,
        returns=returns_of(tool),
    )
    return made


def _check_holes(tool: types.Tool, declared: Any, place: str) -> None:
    """Labels must name parameters that the tool has, also where its schema admits others."""
    try:
        parameters = list(tool.input_schema.get("properties", ()))
        parse_declaration(declared, tool=tool.name).spec(tool.name, parameters)
    except DeclarationError as error:
        raise DeclarationError(f"{place}: {error}") from None


def _timed(declared: Declared | None, timeout: float | None) -> Declared | None:
    if timeout is None:
        return declared
    fields = {} if declared is None else {"pure": True} if declared == "pure" else declared
    fields = {"level": "read"} if fields == "read" else fields
    assert isinstance(fields, Mapping)
    return {"timeout": timeout, **{name: value for name, value in fields.items() if value is not None}}
