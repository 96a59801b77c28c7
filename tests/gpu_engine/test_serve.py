"""Past one machine: the same agent over a real OpenAI-compatible server, on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

import examples.tiny_llm
from asyncfc import Tool, Wording
from asyncfc.adapters.openai import wrap
from benchmarks.tiny import slow
from examples.tiny_llm.language import Task, task, tools

MODEL = Path(examples.tiny_llm.__file__).parent / "first"
UP_WITHIN = 60.0
"""Seconds."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` with the model in the box; its address."""
    home = tmp_path_factory.mktemp("hub")
    (home / "hub").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("transformers")),
        *("serve", str(MODEL), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"),
    ]
    offline = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (home / "log").open("wb")
    with subprocess.Popen(command, env={**os.environ, **offline}, stdout=log, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_up(address, process, home / "log")
            yield address
        finally:
            process.terminate()
            log.close()


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{address}/health").status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up: {log.read_text(encoding='utf-8')[-2_000:]}")


async def converse(address: str, wanted: Task, made: list[Tool], *, stream: bool, **settings: Any) -> str:
    """A loop as users write it, with the two lines changed."""
    plain = AsyncOpenAI(base_url=f"{address}/v1", api_key="none")
    client, by_name = wrap(
        plain,
        {tool.name: tool for tool in made},
        note=False,
        wording=Wording(placeholder="{handle}"),
        **settings,
    )
    messages: list[Any] = list(wanted.messages)
    schemas: Any = [
        {"type": "function", "function": {"name": tool.name, "parameters": dict(tool.schema)}}
        for tool in made
    ]
    request: dict[str, Any] = {"model": str(MODEL), "tools": schemas, "temperature": 0, "max_tokens": 400}
    async with plain:
        return await _loop(client, by_name, messages, request, stream=stream)


async def _loop(
    client: Any, by_name: Any, messages: list[Any], request: dict[str, Any], *, stream: bool
) -> str:
    for _ in range(12):
        if stream:
            async with client.chat.completions.stream(messages=messages, **request) as events:
                message = (await events.get_final_completion()).choices[0].message
        else:
            message = (await client.chat.completions.create(messages=messages, **request)).choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        results = await asyncio.gather(*(_run(by_name, call) for call in message.tool_calls))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(message.tool_calls, results, strict=True)
        ]
    raise AssertionError("the model went on and on")


async def _run(by_name: Any, call: Any) -> str:
    return str(await by_name[call.function.name](**json.loads(call.function.arguments)))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_agent_gives_the_same_answers_over_a_server(server: str, *, stream: bool) -> None:
    async def main() -> list[bool]:
        right = []
        for seed in range(4):
            wanted = task(seed)
            made = slow(tools(), lambda _, __: asyncio.sleep(0.2))
            answer = await converse(
                server, wanted, made, stream=stream, grace=0, final="substitute", id=f"task {seed}"
            )
            right.append(wanted.check(answer))
        return right

    # What comes when depends on the clock, and the model is right in 99 of 100 runs.
    assert sum(asyncio.run(main())) >= 3
