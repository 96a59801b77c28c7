"""Peers: programs that some tests talk to. `make peers` sets them up in `.peers`, Chromium apart.

As a program it prints one line: what `make test` had to leave out on this machine, and the command for it.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.page import browser_path

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"
REQUIRED = os.environ.get("ASYNCFC_PEERS") == "1"
"""Whether a peer that is missing is a failure; else its tests are skipped."""


def chromium() -> str | None:
    """Where the browser is."""
    return browser_path()


def npm_server(name: str) -> list[str] | None:
    """The command of an MCP server from npm."""
    script = PEERS / f"node_modules/@modelcontextprotocol/server-{name}/dist/index.js"
    node = shutil.which("node")
    return [node, str(script)] if node is not None and script.exists() else None


def pypi_server(name: str) -> list[str] | None:
    """The command of an MCP server from PyPI."""
    command = PEERS / f"python/bin/mcp-server-{name}"
    return [str(command)] if command.exists() else None


def require(there: object, what: str) -> None:
    """Skip the test if a peer is missing; fail where none may be."""
    if there:
        return
    message = f"{what}: not installed; `make peers` does that"
    if REQUIRED:
        pytest.fail(f"{message}, and ASYNCFC_PEERS=1 says that it has to be there")
    pytest.skip(message)


def left_out() -> list[str]:
    """What the tests cannot do without the peers that are missing here."""
    missing = {
        "the timeline in a browser (no Chromium)": chromium(),
        "MCP servers from npm": npm_server("filesystem"),
        "MCP servers from PyPI": pypi_server("git"),
    }
    return [what for what, there in missing.items() if there is None]


if __name__ == "__main__":
    missing = left_out()
    names = "; ".join(missing)
    said = f"{names}. `make peers && make test` runs them." if missing else "nothing was left out."
    sys.stdout.write(f"Not run: {said}\n")
