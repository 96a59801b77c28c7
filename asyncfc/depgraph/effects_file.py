"""Effects files: declarations for tools that one does not own, in TOML.

    [tools."github_*"]
    reads = "github"

    [tools.pay]
    writes = "bank.{account}"
    level = "irreversible"

A table is a declaration in the one written form (DESIGN §4), under the name of a tool or a pattern.
"""

from __future__ import annotations

import json
import re
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any

from asyncfc.depgraph.declaration import Declaration, parse_declaration
from asyncfc.errors import DeclarationError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def load_effects(path: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the declarations of a TOML file by tool name or pattern, in the order of the file.

    Labels are checked as far as that is possible without the tools: not whether their holes name
    parameters.

    Raises:
        DeclarationError: the file cannot be read, or something in it is written wrongly; it names the
            file, the table and the field.
    """
    content = _read(path)
    tools = content.pop("tools", {})
    if content:
        stray = next(iter(content))
        raise DeclarationError(f"{path}: {stray!r} stands outside of [tools]; write {_table(stray)}")
    if not isinstance(tools, dict):
        raise DeclarationError(f"{path}: 'tools' is no table; each tool has one of its own, [tools.NAME]")
    return {name: _declaration(raw, name, place_in(path, name)) for name, raw in tools.items()}


def place_in(path: str | PathLike[str], name: str) -> str:
    """Return how messages name the table of a tool or pattern."""
    return f"{path}, {_table(name)}"


def _table(name: str) -> str:
    return f"[tools.{name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)}]"


def _read(path: str | PathLike[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DeclarationError(f"{path}: this file of effects cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or not even UTF-8
        raise DeclarationError(f"{path}: this file of effects is no TOML: {error}") from error


def _declaration(raw: Any, name: str, place: str) -> dict[str, Any]:
    if isinstance(raw, dict):
        _check_dots(raw, name, place)
    declaration = parse_declaration(raw, tool=name, place=place)
    try:
        declaration.spec(name, parameters=None)
    except DeclarationError as error:
        raise DeclarationError(f"{place}: {error}") from None
    return declaration.model_dump(exclude_unset=True)


def _check_dots(raw: dict[str, Any], name: str, place: str) -> None:
    """TOML reads `[tools.a.b]` as a table `b` in that of a tool `a`: say so, rather than 'unknown field'."""
    for field, value in raw.items():
        if isinstance(value, dict) and field not in Declaration.model_fields:
            raise DeclarationError(
                f"{place}: field {field!r} is a table; if the tool's name has a dot, quote it: "
                f"{_table(f'{name}.{field}')}"
            )
