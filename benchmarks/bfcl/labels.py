"""Effect labels of the API tools, from the committed table `labels.toml`.

The table was written from the source of the classes, not from traces: a trace shows only what its
calls happened to touch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

Level: TypeAlias = Literal["none", "class", "attribute"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Footprint:
    """The labels that a tool reads and writes. A label that is both stands under `writes` only."""

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def conflicts(self, other: Footprint) -> bool:
        """Whether the two are ordered: they share a label, and one of them writes it."""
        return bool(self.writes & (other.reads | other.writes) or other.writes & self.reads)

    def declaration(self) -> dict[str, Any]:
        """The keywords with which a tool of this footprint is declared."""
        if not self.reads and not self.writes:
            return {"pure": True}
        return {"reads": sorted(self.reads), "writes": sorted(self.writes)}


BARRIER = Footprint(writes=frozenset({"*"}))
"""Stands for an undeclared tool: it is ordered against every other."""


def footprint(class_name: str, tool: str, level: Level) -> Footprint:
    """The footprint of a tool at one level of detail.

    `attribute`: `Class.attribute` labels. `class`: one label for the whole class, read or written, as
    somebody would declare who knows only whether a tool changes anything. Labels that no class owns,
    such as `mpmath.mp`, stay as they are. `none`: undeclared.

    Raises:
        KeyError: the table has no such tool.
    """
    exact = table()[class_name][tool]
    if level == "attribute":
        return exact
    if level == "none":
        return BARRIER
    own = f"{class_name}."
    writes = {class_name if label.startswith(own) else label for label in exact.writes}
    reads = {class_name if label.startswith(own) else label for label in exact.reads} | {class_name}
    return Footprint(frozenset(reads - writes), frozenset(writes))


@cache
def table() -> Mapping[str, Mapping[str, Footprint]]:
    """The whole table: class, tool, footprint."""
    rows = tomllib.loads(Path(__file__).with_name("labels.toml").read_text(encoding="utf-8"))
    return {
        class_name: {
            tool: Footprint(
                _labels(class_name, row.get("reads", [])), _labels(class_name, row.get("writes", []))
            )
            for tool, row in tools.items()
        }
        for class_name, tools in rows.items()
    }


def _labels(class_name: str, names: list[str]) -> frozenset[str]:
    return frozenset(name if "." in name else f"{class_name}.{name}" for name in names)
