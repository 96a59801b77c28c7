"""Which declaration each tool gets, where declarations are written apart from the tools."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from os import PathLike
from typing import Any, TypeAlias

from asyncfc.errors import DeclarationError

Declarations: TypeAlias = Mapping[str, Mapping[str, Any] | str] | str | PathLike[str]
"""By the name of a tool or a shell-style pattern of names, in the one written form (DESIGN §4); or the path
of the TOML file that has them (see `load_effects`)."""


def assign(declarations: Declarations, tools: Collection[str]) -> dict[str, tuple[Any, str]]:
    """Return, for each tool that gets one, its declaration and where that is written, for messages.

    A key that is the name of a tool is no pattern. A name wins over all patterns, an earlier pattern over
    a later one; case counts (`fnmatchcase`).

    Raises:
        DeclarationError: a key matches none of the tools (only `*` may), or the file is written wrongly.
    """
    declared, place_of = _read(declarations)
    chosen: dict[str, str] = {}
    for key in declared:
        matched = [key] if key in tools else [name for name in tools if fnmatchcase(name, str(key))]
        if not matched and key != "*":
            raise DeclarationError(f"{place_of(key)}: matches no tool; the tools are {sorted(tools)}")
        for name in matched:
            if name == key or name not in chosen:
                chosen[name] = key
    return {name: (declared[key], place_of(key)) for name, key in chosen.items()}


def _read(declarations: Declarations) -> tuple[Mapping[str, Any], Callable[[str], str]]:
    """Return the declarations by key, and how messages name the place of one of them."""
    if isinstance(declarations, Mapping):
        return declarations, "effects[{!r}]".format
    if not isinstance(declarations, str | PathLike):
        raise DeclarationError(
            f"effects are a mapping by the names of tools or the path of a TOML file, got {declarations!r}"
        )
    from asyncfc.depgraph.effects_file import load_effects, place_in  # pydantic: only where declared

    return load_effects(declarations), lambda key: place_in(declarations, key)
