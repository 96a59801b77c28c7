"""`python -m asyncfc.adapters.mcp_proxy`: the same as the command `asyncfc mcp-proxy`, without its extra."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from asyncfc.adapters.mcp_proxy.command import run


def main(arguments: list[str]) -> int:
    """Run the proxy; return the exit code."""
    before, command = arguments, []
    if "--" in arguments:
        place = arguments.index("--")
        before, command = arguments[:place], arguments[place + 1 :]
    parser = argparse.ArgumentParser("asyncfc mcp-proxy", description="Futures for any MCP host.")
    parser.add_argument("--config", type=Path, help="the servers, as hosts write them")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve many hosts there; default: one over stdio")
    parser.add_argument("--trust", action="store_true", help="believe the annotations of COMMAND's server")
    parser.add_argument("--allow-host", action="append", default=[], help="may be asked for over HTTP")
    given = parser.parse_args(before)
    return run(given.config, command, given.http, trust=given.trust, allow_hosts=given.allow_host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
