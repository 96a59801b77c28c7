"""Hints: what the tools of a framework say about their effects in its own words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from asyncfc.depgraph.assignment import Declarations
from asyncfc.depgraph.effects_file import load_effects

Trust: TypeAlias = Collection[str] | Literal["all"]
"""Tools whose annotations by MCP are believed: all, or by name or pattern. MCP itself says that clients
should not believe those of servers that they do not trust."""

READ_ONLY = ("readOnlyHint", "read_only_hint")
"""As MCP writes it, and as its Python SDK does since version 2."""


def declared_in(metadata: Any) -> Mapping[str, Any] | str | None:
    """The declaration under the key `asyncfc` of a tool's metadata, in the one written form."""
    declared = metadata.get("asyncfc") if isinstance(metadata, Mapping) else None
    return declared if isinstance(declared, Mapping | str) else None


def is_named(name: str, named: Trust) -> bool:
    """Whether a tool is among those that are named, by names and patterns, or as all."""
    return named == "all" or any(fnmatchcase(name, pattern) for pattern in named)


def annotated(name: str, annotations: Any, trust: Trust) -> str | None:
    """The declaration that MCP's annotations of a tool amount to: `read`, or None, as all else is a barrier.

    Args:
        name: of the tool.
        annotations: a mapping, or an object of the MCP SDK.
        trust: which tools' are believed.
    """
    if annotations is None or not is_named(name, trust):
        return None
    given: Mapping[str, Any] = annotations if isinstance(annotations, Mapping) else vars(annotations)
    return "read" if any(given.get(key) is True for key in READ_ONLY) else None


def declarations_for(name: str, effects: Declarations | None) -> dict[str, Mapping[str, Any] | str]:
    """Those of the session's declarations that concern a tool which comes later than the others."""
    if effects is None:
        return {}
    declared = effects if isinstance(effects, Mapping) else load_effects(effects)
    return {key: value for key, value in declared.items() if key == name or fnmatchcase(name, key)}
