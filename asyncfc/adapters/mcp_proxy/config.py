"""Config: which servers the proxy connects to, in the form that hosts use, with what asyncfc adds.

    {
      "mcpServers": {
        "files": {
          "command": "npx",
          "args": ["-y", "@modelcontextprotocol/server-filesystem", "${HOME}/work"],
          "asyncfc": {"trust": true, "effects": {"write_file": {"writes": "fs:{path}"}}}
        }
      },
      "asyncfc": {"grace": 1.0, "limits": {"*": 32}}
    }

The sections named `asyncfc` are checked strictly. Keys of other programs elsewhere are left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from asyncfc.adapters.mcp_proxy.settings import Config, ProxySettings, ServerSettings
from asyncfc.depgraph.declaration import Declaration
from asyncfc.errors import DeclarationError


class ConfigError(DeclarationError):
    """The configuration is written wrongly; says where, what is expected and what stands there."""


def load_config(path: Path) -> Config:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is no JSON, or something in it is wrong.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}: is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:  # no UTF-8
        raise ConfigError(f"{path}: is no JSON: {error}") from None
    return read_config(raw, str(path))


def read_config(raw: Any, place: str = "config", environment: Mapping[str, str] | None = None) -> Config:
    """Check a configuration, and put environment variables in place.

    Args:
        raw: as JSON has it.
        place: what messages call it.
        environment: for `${NAME}` and `${NAME:-default}`; default: that of the process.

    Raises:
        ConfigError: something in it is wrong; names each fault by its path.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("mcpServers"), dict):
        raise ConfigError(f"{place}: mcpServers: expected an object of servers by name, as hosts have it")
    try:
        faults = _Expanded(os.environ if environment is None else environment)
        config = Config.model_validate({**raw, "mcpServers": faults.servers(raw["mcpServers"])})
    except ValidationError as error:
        lines = [
            f"{place}: {line}"
            for details in error.errors(include_url=False)
            for line in _explain(details, raw)
        ]
        raise ConfigError("\n".join(lines)) from None
    if faults.missing:
        lines = [f"{place}: {path}: the environment has no variable {name}" for path, name in faults.missing]
        raise ConfigError("\n".join(lines))
    return config


class _Expanded:
    """Puts environment variables in the places where hosts do; `missing` are those that are not there."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.missing: list[tuple[str, str]] = []

    def servers(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._server(server, f"mcpServers.{name}") if isinstance(server, dict) else server
            for name, server in raw.items()
        }

    def _server(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        places = ("command", "args", "env", "cwd", "url", "headers")
        return {
            key: self._value(value, f"{path}.{key}") if key in places else value for key, value in raw.items()
        }

    def _value(self, raw: Any, path: str) -> Any:
        if isinstance(raw, str):
            return _VARIABLE.sub(lambda match: self._variable(match, path), raw)
        if isinstance(raw, list):
            return [self._value(item, f"{path}.{index}") for index, item in enumerate(raw)]
        if isinstance(raw, dict):
            return {key: self._value(value, f"{path}.{key}") for key, value in raw.items()}
        return raw

    def _variable(self, match: re.Match[str], path: str) -> str:
        name, default = match[1], match[2]
        value = self._environment.get(name, default)
        if value is None:
            self.missing.append((path, name))
        return value or ""


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _explain(details: Mapping[str, Any], raw: Any) -> Iterator[str]:
    """Where it is, what is expected, what stands there."""
    path = ".".join(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        *parents, key = map(str, details["loc"])
        known = ", ".join(_known_keys(parents))
        yield f"{path}: there is no such setting as {key!r}; expected {known}"
    elif details["type"] == "labels":
        found = _FIELD.search(details["ctx"]["fault"])
        place = ".".join(filter(None, [path, details["ctx"]["key"], found and found[1]]))
        yield f"{place}: {details['msg']}"
    elif details["type"] in ("limits", "rates"):
        yield f"{path}: {details['msg']}"
    else:
        message = details["msg"].removeprefix("Value error, ")
        yield f"{path}: {message}; there stands {_shown(raw, details['loc'])}"


def _shown(raw: Any, path: Sequence[int | str]) -> str:
    """What stands there, as it was written: before variables are put in, and without what may be secret."""
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    if isinstance(raw, dict):
        return f"an object with {', '.join(map(repr, raw)) or 'nothing in it'}"
    if {"env", "headers"} & set(path):
        return f"a {type(raw).__name__}"
    return json.dumps(raw)[:200]


_FIELD = re.compile(r"field '(\w+)'")


def _known_keys(parents: list[str]) -> list[str]:
    if len(parents) > 1 and parents[-2] == "effects":
        return list(Declaration.model_fields)
    return list((ServerSettings if len(parents) > 1 else ProxySettings).model_fields)
