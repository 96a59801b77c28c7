"""Toolbox: the tools of a session by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncfc.depgraph.assignment import Declarations, assign
from asyncfc.errors import DeclarationError
from asyncfc.tools import Tool


def toolbox(
    tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
    effects: Declarations,
) -> dict[str, Tool]:
    """Tools by name, with the declarations for those that one does not own; these replace their own.

    Raises:
        DeclarationError: two tools of one name, effects for no tool, or anything written wrongly.
    """
    named = tools.items() if isinstance(tools, Mapping) else ((None, tool) for tool in tools)
    made: dict[str, Tool] = {}
    for name, function in named:
        tool = function if isinstance(function, Tool) else Tool(function, name=name)
        tool = tool if name in (None, tool.name) else tool.with_name(name)
        if tool.name in made:
            raise DeclarationError(f"two tools are called {tool.name!r}; pass a mapping that renames one")
        made[tool.name] = tool
    for name, (declaration, place) in assign(effects, made).items():
        try:
            made[name] = made[name].with_effects(declaration)
        except DeclarationError as error:
            raise DeclarationError(f"{place}: {error}") from None
    return made
