"""Effects of an MCP tool: what its annotations amount to, and what somebody has declared for it.

Annotations are hints, and MCP says that clients should not decide by those of servers that they do not
trust. So trust is asked for; without it a tool is a barrier, as any tool that declares nothing (DESIGN E1).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from mcp_types import ToolAnnotations

Declared: TypeAlias = Mapping[str, Any] | str
"""In the one written form (DESIGN §4)."""

WORLD = "world"
"""The label of all that lies outside a server: `openWorldHint`."""

_UNCLEAR = re.compile(r"[^A-Za-z0-9_-]")


def server_label(server: str) -> str:
    """The label of all that a server keeps, `mcp:<server>`; other characters are percent-escaped."""
    return "mcp:" + _UNCLEAR.sub(lambda match: f"%{ord(match[0]):02X}", server)


def effects_of(
    annotations: ToolAnnotations | None,
    *,
    server: str,
    trusted: bool,
    declared: Declared | None = None,
    irreversible: bool = False,
    beside_declared: bool = False,
) -> Declared | None:
    """What a tool declares; None: nothing, so that its calls are barriers.

    What is declared for the tool always wins, level included if it says one. Hints count only where they
    are trusted, and what a hint leaves open is filled as MCP says: not read-only, not idempotent,
    an open world. `destructiveHint` makes no difference: every write is ordered, and none is irreversible
    unless said.

    Args:
        annotations: of the tool.
        server: what the user calls the server.
        trusted: whether the hints are believed.
        declared: for this tool, by its user.
        irreversible: the user says that a call cannot be taken back.
        beside_declared: other tools of the server have declarations with labels of their own, such as
            paths. Hints know nothing of these, so that what they say of this tool is ordered against
            everything: as a read of everything, or as a barrier.
    """
    if declared is not None:
        return _irreversible(declared) if irreversible else declared
    hints = annotations if trusted and annotations is not None and _says_anything(annotations) else None
    if hints is None:
        return {"level": "irreversible"} if irreversible else None
    fields: dict[str, Any] = {}
    if hints.read_only_hint and not irreversible:
        fields["level"] = "read"
        if not beside_declared:
            fields["reads"] = _touched(server, hints)
    elif irreversible:
        fields["level"] = "irreversible"
        fields["writes"] = ["*"] if beside_declared else _touched(server, hints)
    else:
        fields["writes"] = ["*"] if beside_declared else _touched(server, hints)
    if hints.idempotent_hint:
        fields["idempotent"] = True
    return fields


def _irreversible(declared: Declared) -> Declared:
    """What is declared of a tool whose calls cannot be taken back: that they cannot, if it says no level."""
    if isinstance(declared, str) or declared.get("pure") or declared.get("level") is not None:
        return declared
    return {**declared, "level": "irreversible"}


def is_named(name: str, patterns: Collection[str]) -> bool:
    """Whether a tool is among those that names and shell-style patterns stand for."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _says_anything(hints: ToolAnnotations) -> bool:
    """A title alone is no hint."""
    known = (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
    return any(hint is not None for hint in known)


def _touched(server: str, hints: ToolAnnotations) -> list[str]:
    label = server_label(server)
    return [label] if hints.open_world_hint is False else [label, WORLD]
