"""The MCP proxy: what it costs per call, and what a scripted host saves with slow tools.

    python -m benchmarks.mcp --json

`overhead_ratio`  one call after the other of a tool that takes no time, through the proxy against a direct
                  connection: the SDK's client, processes and stdio on both sides. They take turns batch by
                  batch; reported is the median of the batches' ratios, and each side's median per call
`scenario`        30 calls in 10 chains of 3, where each call of a chain needs the result of the one before.
                  The host's model takes `model_s` for each message, a message has one call, and each call
                  takes `tool_s`. Directly, the model waits for each; through the proxy it passes handles on,
                  and reads all results at the end, which takes it one more message
`bound_s`         what no host can beat: all messages one after the other, then the last call
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters

ROOT = Path(__file__).parents[2]
CALLS = 50
"""Of a batch."""
CHAINS, LENGTH = 10, 3


def _server() -> dict[str, Any]:
    return {
        "command": sys.executable,
        "args": ["-m", "benchmarks.mcp.server"],
        "env": {"PYTHONPATH": str(ROOT)},
    }


def _direct() -> Client:
    server = _server()
    return Client(StdioServerParameters(command=server["command"], args=server["args"], env=server["env"]))


def _proxied(folder: Path, grace: float) -> Client:
    path = folder / f"{grace}.json"
    servers = {"bench": {**_server(), "asyncfc": {"trust": True}}}
    path.write_text(json.dumps({"mcpServers": servers, "asyncfc": {"grace": grace}}))
    arguments = ["-m", "asyncfc.adapters.mcp_proxy", "--config", str(path)]
    environment = {"PYTHONPATH": str(ROOT)}
    return Client(StdioServerParameters(command=sys.executable, args=arguments, env=environment))


async def _batch(client: Client) -> float:
    begin = perf_counter()
    for number in range(CALLS):
        result = await client.call_tool("quick", {"text": f"t{number}"})
        assert _text(result) == f"t{number}"
    return perf_counter() - begin


async def overhead(folder: Path, rounds: int) -> dict[str, float]:
    """What a call takes, directly and through the proxy."""
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(_direct())
        proxied = await stack.enter_async_context(_proxied(folder, 1.0))
        pairs = [(await _batch(direct), await _batch(proxied)) for _ in range(rounds + 1)][1:]
    return {
        "overhead_ratio": round(median(through / straight for straight, through in pairs), 2),
        "direct_ms": round(median(straight for straight, _ in pairs) / CALLS * 1e3, 3),
        "proxy_ms": round(median(through for _, through in pairs) / CALLS * 1e3, 3),
    }


async def _work(client: Client, model_s: float, tool_s: float) -> tuple[float, str]:
    """The scripted host: what it takes, and its final answer."""
    begin = perf_counter()
    shown = [f"topic {chain}" for chain in range(CHAINS)]
    through_proxy = False
    for _ in range(LENGTH):
        for chain in range(CHAINS):
            await asyncio.sleep(model_s)
            answer = await client.call_tool("look_up", {"topic": shown[chain], "seconds": tool_s})
            shown[chain] = _text(answer)
            if shown[chain].startswith("$"):
                through_proxy = True
                shown[chain] = shown[chain].split()[0]
    final = " ".join(shown)
    if through_proxy:
        await asyncio.sleep(model_s)
        final = _text(await client.call_tool("await_future", {"handles": shown}))
    await asyncio.sleep(model_s)
    return perf_counter() - begin, final


async def scenario(folder: Path, model_s: float, tool_s: float) -> dict[str, Any]:
    """The wall time of the scripted host, directly and through the proxy."""
    async with _direct() as client:
        direct_s, plain = await _work(client, model_s, tool_s)
    async with _proxied(folder, model_s / 2) as client:
        proxy_s, told = await _work(client, model_s, tool_s)
    expected = "about " * LENGTH + "topic 9"
    assert expected in plain
    assert expected in told
    calls = CHAINS * LENGTH
    return {
        "calls": calls,
        "model_s": model_s,
        "tool_s": tool_s,
        "direct_s": round(direct_s, 3),
        "proxy_s": round(proxy_s, 3),
        "speedup": round(direct_s / proxy_s, 2),
        "bound_s": round((calls + 1) * model_s + tool_s, 3),
    }


def _text(result: Any) -> str:
    return str(result.content[0].text)


async def _measure(rounds: int, model_s: float, tool_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        print(f"overhead: {rounds} rounds of {CALLS} calls on each side", file=sys.stderr)
        found: dict[str, Any] = await overhead(Path(folder), rounds)
        print(f"scenario: {CHAINS * LENGTH} calls of {tool_s} s", file=sys.stderr)
        found["scenario"] = await scenario(Path(folder), model_s, tool_s)
    return found


def main() -> None:
    """Run both; print the figures."""
    parser = argparse.ArgumentParser(description="What the MCP proxy costs, and what it saves.")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--model-s", type=float, default=0.2)
    parser.add_argument("--tool-s", type=float, default=0.6)
    given = parser.parse_args()
    found = asyncio.run(_measure(given.rounds, given.model_s, given.tool_s))
    print(json.dumps(found) if given.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
