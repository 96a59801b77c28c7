"""Catalog: the tools of all servers under names of their own, as the host and the session have them."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types

from asyncfc.adapters.mcp.effects import Declared, effects_of, is_named
from asyncfc.adapters.mcp.tools import check_patterns, declared_for, returns_of
from asyncfc.adapters.mcp_proxy.config import ConfigError
from asyncfc.adapters.mcp_proxy.upstream import Upstream
from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.conversation.formats.base import ToolSchema
from asyncfc.dialogue import Dialogue
from asyncfc.errors import DeclarationError
from asyncfc.tools import Tool

_log = logging.getLogger(__name__)

BETWEEN = "__"
"""Stands between the name of a server and that of its tool where the latter alone is not unique."""


_UNUSUAL = re.compile(r"[^A-Za-z0-9_-]")
"""Characters that many hosts do not take in the name of a tool."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool."""

    name: str
    """As the host knows it."""
    upstream: Upstream
    tool: types.Tool
    declared: Declared | None
    inline: bool
    """It is answered with its outcome only."""


def unique_names(keys: Iterable[tuple[str, str]], taken: Iterable[str] = ()) -> dict[tuple[str, str], str]:
    """A name for each pair of a server and a name there: as it is where that is unique, else with both.

    Raises:
        ConfigError: two would have the same name nevertheless.
    """
    names = {key: key[1] for key in keys}
    reserved = frozenset(taken)
    for _ in range(2):  # with both names it may be one that another server has: then that gets both, too
        counts = Counter([*names.values(), *reserved])
        names = {key: name if counts[name] == 1 else _with_server(*key) for key, name in names.items()}
    counts = Counter([*names.values(), *reserved])
    for (server, own), name in names.items():
        if counts[name] > 1:
            raise ConfigError(
                f"mcpServers.{server}: {own!r} would be called {name!r}, as another is; rename the server"
            )
    return names


def _with_server(server: str, name: str) -> str:
    return f"{_UNUSUAL.sub('_', server)}{BETWEEN}{name}"


def entries(upstreams: Iterable[Upstream], timeout: float | None, *, strict: bool = True) -> dict[str, Entry]:
    """All tools by the names that the host gets.

    Args:
        upstreams: that have listed their tools, as far as they are connected.
        timeout: seconds for each call, where neither its effects nor its server say it.
        strict: effects must fit the tools. Else, when a server has changed its tools under a host, what is
            known of a tool stays, others are barriers, and a server of which nothing is known is left out.

    Raises:
        ConfigError: effects for a tool that its server does not have, or two tools of one name.
    """
    upstreams = list(upstreams)
    keys = [(upstream.name, tool.name) for upstream in upstreams for tool in upstream.tools]
    names = unique_names(dict.fromkeys(keys), (AWAIT_FUTURE, CANCEL_FUTURE))
    found: dict[str, Entry] = {}
    for upstream in upstreams:
        try:
            declared = _declared(upstream, timeout)
        except ConfigError as error:
            if strict:
                raise
            declared = _known(upstream, str(error))
        for tool in upstream.tools:
            if tool.name in declared:
                name = names[upstream.name, tool.name]
                inline = is_named(tool.name, upstream.settings.inline)
                found[name] = Entry(name, upstream, tool, declared[tool.name], inline)
    return found


def session_tool(entry: Entry, function: Any) -> Tool:
    """The tool as the session has it.

    Args:
        entry: the tool.
        function: makes a call; gets the arguments by name.

    Raises:
        ConfigError: its effects name a parameter that it does not have.
    """
    tool = entry.tool
    try:
        return Tool(
            function,
            name=entry.name,
            description=tool.description or "",
            effects=entry.declared,
            schema=tool.input_schema,
            returns=returns_of(tool),
        )
    except DeclarationError as error:
        raise ConfigError(f"mcpServers.{entry.upstream.name}.asyncfc.effects.{tool.name}: {error}") from None


def offered(entries: Mapping[str, Entry], dialogue: Dialogue) -> list[types.Tool]:
    """The tools as the host is told of them.

    Handles fit into the parameters. Annotations and titles are passed on. A handle is no structured output,
    so that there is no schema of that: the return type stands in the description.
    """
    tools = []
    for entry in entries.values():
        tool = entry.tool
        schema = dialogue.adapt(
            ToolSchema(entry.name, tool.description or "", tool.input_schema, strict=False)
        )
        tools.append(
            types.Tool(
                name=entry.name,
                title=tool.title,
                description=schema.description or None,
                input_schema=schema.parameters,
                annotations=tool.annotations,
                icons=tool.icons,
                _meta=tool.meta,
            )
        )
    hints = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
    for control in dialogue.controls:
        waits = hints if control.name == AWAIT_FUTURE else types.ToolAnnotations(open_world_hint=False)
        tools.append(
            types.Tool(
                name=control.name,
                description=control.description,
                input_schema=control.parameters,
                annotations=waits,
            )
        )
    return tools


def _declared(upstream: Upstream, timeout: float | None) -> dict[str, Declared | None]:
    settings = upstream.settings
    effects = {key: one.model_dump(exclude_unset=True) for key, one in settings.effects.items()}
    if not upstream.tools:  # it is not connected, so that nothing can be said about names
        return {}
    try:
        check_patterns("inline", settings.inline, [tool.name for tool in upstream.tools])
        upstream.declared = declared_for(
            upstream.tools,
            server=upstream.name,
            trust=settings.trust,
            effects=effects,
            irreversible=settings.irreversible,
            timeout=settings.timeout or timeout,
        )
    except DeclarationError as error:
        place = _PLACE.sub(r"effects.\1", str(error), count=1)
        raise ConfigError(f"mcpServers.{upstream.name}.asyncfc.{place}") from None
    upstream.declared_for = {tool.name: tool.input_schema for tool in upstream.tools}
    upstream.misfit = None
    return upstream.declared


def _known(upstream: Upstream, fault: str) -> dict[str, Declared | None]:
    """What is known of the tools of a server to which its settings do not fit any more."""
    if upstream.misfit != fault:
        upstream.misfit = fault
        _log.error("%s", fault)
    if not upstream.declared:
        return {}
    patterns = upstream.settings.irreversible
    known: dict[str, Declared | None] = {}
    for tool in upstream.tools:
        if upstream.declared_for.get(tool.name) == tool.input_schema:
            known[tool.name] = upstream.declared[tool.name]
        else:
            final = is_named(tool.name, patterns)
            known[tool.name] = effects_of(None, server=upstream.name, trusted=False, irreversible=final)
    return known


_PLACE = re.compile(r"^effects\['(.*?)'\]")
