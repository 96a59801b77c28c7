"""The proxy in a process of its own, over real servers, driven by the SDK's client."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from asyncfc import Session
from asyncfc.adapters.mcp import tools_of
from asyncfc.futures.outcome import Failure
from tests.adapters.mcp.files import EFFECTS, braced, program, run_messages, run_steps, tree, value
from tests.adapters.mcp.memory import handle, text
from tests.adapters.mcp.real import (
    CLEAN,
    MODULE,
    direct,
    node_server,
    none_left,
    over_stdio,
    processes_with,
    python_server,
    served,
    write_config,
)


def trusted(server: dict[str, Any], **asyncfc: Any) -> dict[str, Any]:
    return {**server, "asyncfc": {"trust": True, **asyncfc}}


@pytest.mark.node
@pytest.mark.slow
@pytest.mark.parametrize("labels", ["paths", "annotations"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_hundreds_of_files_end_as_in_a_direct_sequential_run(
    tmp_path: Path, transport: str, labels: str
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    effects = EFFECTS if labels == "paths" else {}
    config = write_config(
        tmp_path, {"fs": trusted(node_server("filesystem", str(two)), effects=effects)}, grace=0
    )

    async def main() -> None:
        async with direct(node_server("filesystem", str(one))) as client:
            await run_steps(client, program(one, 1, 300), value)
        if transport == "stdio":
            async with over_stdio(config) as client:
                await run_steps(client, program(two, 1, 300), braced)
                await client.call_tool("await_future", {})
        else:
            async with served(config) as url, Client(url) as client:
                await run_steps(client, program(two, 1, 300), braced)
                await client.call_tool("await_future", {})

    asyncio.run(main())
    expected = {path: text.replace(str(one), str(two)) for path, text in tree(one).items()}
    assert len(expected) > 80
    assert tree(two) == expected
    assert asyncio.run(none_left(str(tmp_path)))


@pytest.mark.node
@pytest.mark.slow
def test_messages_with_calls_that_need_each_other_end_as_in_a_direct_sequential_run(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()

    async def main() -> None:
        async with direct(node_server("filesystem", str(one))) as client:
            await run_steps(client, program(one, 2, 300), value)
        async with direct(node_server("filesystem", str(two))) as client:
            tools = await tools_of(client, server="fs", trust=True, effects=EFFECTS)
            async with Session(tools) as session:
                assert await run_messages(session, program(two, 2, 300), 30) > 3
                awaited = await session.await_future()
                assert [one.text for one in awaited.settled if isinstance(one.outcome, Failure)] == []

    asyncio.run(main())
    expected = {path: text.replace(str(one), str(two)) for path, text in tree(one).items()}
    assert any("copy" in text and "<" in text for text in expected.values())
    assert tree(two) == expected


@pytest.mark.node
@pytest.mark.slow
def test_nothing_is_lost_when_the_host_goes_right_after_its_last_call(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    server = trusted(node_server("filesystem", str(root)), effects=EFFECTS)
    config = write_config(tmp_path, {"fs": server}, grace=0)

    async def main() -> None:
        async with over_stdio(config) as client:
            calls = ({"path": f"{root}/{n}.txt", "content": str(n)} for n in range(200))
            await asyncio.gather(*(client.call_tool("write_file", call) for call in calls))

    asyncio.run(main())
    assert len(tree(root)) == 200
    assert asyncio.run(none_left(str(tmp_path)))


@pytest.mark.node
@pytest.mark.slow
def test_a_memory_ends_as_in_a_direct_sequential_run(tmp_path: Path) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    one, two = (node_server("memory", MEMORY_FILE_PATH=str(path)) for path in files)

    async def work(client: Client) -> None:
        for n in range(60):
            entity = {"name": f"e{n}", "entityType": "thing", "observations": [f"first {n}"]}
            await client.call_tool("create_entities", {"entities": [entity]})
            added = {"entityName": f"e{n // 2}", "contents": [f"also {n}"]}
            await client.call_tool("add_observations", {"observations": [added]})
            if n % 3 == 0:
                relation = {"from": f"e{n}", "to": f"e{n // 3}", "relationType": "made of"}
                await client.call_tool("create_relations", {"relations": [relation]})
            if n % 7 == 6:
                await client.call_tool("delete_entities", {"entityNames": [f"e{n - 1}"]})
        await client.call_tool("await_future", {}) if client is proxied else None

    proxied: Client | None = None

    async def main() -> None:
        nonlocal proxied
        async with direct(one) as client:
            await work(client)
        async with over_stdio(write_config(tmp_path, {"memory": trusted(two)}, grace=0)) as client:
            proxied = client
            await work(client)

    asyncio.run(main())
    assert files[0].read_text() == files[1].read_text()
    assert len(files[0].read_text().splitlines()) > 60


@pytest.mark.slow
def test_a_git_repository_ends_as_in_a_direct_sequential_run(tmp_path: Path) -> None:
    repositories = [tmp_path / "one", tmp_path / "two"]
    for path in repositories:
        path.mkdir()
        git(path, "init", "-q", "-b", "main")
        git(path, "config", "user.email", "a@b")
        git(path, "config", "user.name", "A")
        for n in range(24):
            (path / f"{n}.txt").write_text(f"{n}\n")

    async def work(client: Client, path: Path) -> None:
        repo = {"repo_path": str(path)}
        for n in range(24):
            await client.call_tool("git_add", {**repo, "files": [f"{n}.txt"]})
            await client.call_tool("git_commit", {**repo, "message": f"commit {n}"})
            if n % 8 == 7:
                await client.call_tool("git_create_branch", {**repo, "branch_name": f"b{n}"})
                await client.call_tool("git_checkout", {**repo, "branch_name": f"b{n}"})

    async def main() -> None:
        async with direct(python_server("git")) as client:
            await work(client, repositories[0])
        config = write_config(tmp_path, {"git": trusted(python_server("git"))}, grace=0)
        async with over_stdio(config) as client:
            await work(client, repositories[1])
            status = await client.call_tool("git_status", {"repo_path": str(repositories[1])})
            assert text(await client.call_tool("await_future", {})).count("has ended") >= 1
            assert handle(status)

    asyncio.run(main())
    one, two = (git(path, "log", "--all", "--topo-order", "--format=%s %T") for path in repositories)
    assert one == two
    assert len(one.splitlines()) == 24
    assert git(repositories[0], "branch", "--list") == git(repositories[1], "branch", "--list")


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.node
@pytest.mark.slow
def test_servers_of_both_kinds_behind_one_proxy(tmp_path: Path) -> None:
    servers = {
        "everything": trusted(node_server("everything")),
        "thinking": trusted(node_server("sequential-thinking")),
        "time": trusted(python_server("time")),
    }

    async def main() -> None:
        async with over_stdio(write_config(tmp_path, servers, grace=5)) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {"echo", "sequentialthinking", "get_current_time", "await_future"} <= names
            assert text(await client.call_tool("echo", {"message": "hi"})) == "Echo: hi"
            now = await client.call_tool("get_current_time", {"timezone": "Europe/Rome"})
            assert json.loads(text(now))["timezone"] == "Europe/Rome"
            thought = {"thought": "t", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1}
            assert not (await client.call_tool("sequentialthinking", thought)).is_error
            assert (await client.list_resources()).resources
            assert (await client.list_prompts()).prompts
            image = await client.call_tool("get-tiny-image", {})
            assert "image" in [block.type for block in image.content]

    asyncio.run(main())


@pytest.mark.node
@pytest.mark.slow
def test_two_hosts_over_http_work_on_the_same_files_in_one_order(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    (root / "log.txt").write_text("start\n")
    server = trusted(node_server("filesystem", str(root)), effects=EFFECTS)
    config = write_config(tmp_path, {"fs": server}, grace=0)

    async def append(client: Client, who: str) -> None:
        for n in range(40):
            edit = {"oldText": "start\n", "newText": f"start\n{who}{n}\n"}
            await client.call_tool("edit_file", {"path": f"{root}/log.txt", "edits": [edit]})
        await client.call_tool("await_future", {})

    async def main() -> None:
        async with served(config) as url, Client(url) as one, Client(url) as two:
            await asyncio.gather(append(one, "a"), append(two, "b"))

    asyncio.run(main())
    lines = (root / "log.txt").read_text().splitlines()
    assert sorted(lines) == sorted(["start", *(f"{who}{n}" for who in "ab" for n in range(40))])
    assert asyncio.run(none_left(str(tmp_path)))


@pytest.mark.node
@pytest.mark.slow
def test_a_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    config = write_config(tmp_path, {"fs": trusted(node_server("filesystem", str(root)))}, grace=2)

    async def main() -> None:
        async with over_stdio(config) as client:
            await client.call_tool("write_file", {"path": f"{root}/a", "content": "1"})
            (pid,) = [number for number in processes_with(str(root)) if number]
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
            await client.call_tool("write_file", {"path": f"{root}/b", "content": "2"})
            await client.call_tool("await_future", {})

    asyncio.run(main())
    assert tree(root) == {"a": "1", "b": "2"}


def start(config: Path) -> subprocess.Popen[str]:
    """A proxy whose host is this test, line by line."""
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, "--config", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **CLEAN},
        text=True,
    )
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("no json at all\n")
    send(process, id=1, method="initialize", params=params)
    answer = json.loads(process.stdout.readline())
    assert answer["result"]["serverInfo"]["name"] == "asyncfc"
    send(process, method="notifications/initialized")
    return process


def send(process: subprocess.Popen[str], **message: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    process.stdin.flush()


@pytest.mark.node
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_proxy_and_its_servers(tmp_path: Path, number: int) -> None:
    root = tmp_path / "files"
    root.mkdir()
    config = write_config(tmp_path, {"fs": trusted(node_server("filesystem", str(root)))})
    with start(config) as process:
        assert processes_with(str(root))
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert asyncio.run(none_left(str(root)))


@pytest.mark.node
@pytest.mark.slow
def test_a_host_that_is_killed_loses_no_write_and_leaves_no_process(tmp_path: Path) -> None:
    root = tmp_path / "files"
    root.mkdir()
    server = trusted(node_server("filesystem", str(root)), effects=EFFECTS)
    with start(write_config(tmp_path, {"fs": server}, grace=0)) as process:
        for n in range(50):
            arguments = {"path": f"{root}/{n}.txt", "content": "x"}
            send(
                process, id=n + 2, method="tools/call", params={"name": "write_file", "arguments": arguments}
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.close()
        assert process.wait(30) == 0
    assert asyncio.run(none_left(str(tmp_path)))
    assert len(tree(root)) == 50


@pytest.mark.node
@pytest.mark.slow
def test_effects_that_do_not_fit_the_server_end_the_proxy_with_code_2(tmp_path: Path) -> None:
    server = trusted(node_server("filesystem", str(tmp_path)), effects={"wirte_file": "read"})
    config = write_config(tmp_path, {"fs": server})
    info = {"name": "t", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "--config", str(config)],
        input=json.dumps(hello) + "\n",
        capture_output=True,
        text=True,
        env={**os.environ, **CLEAN},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "effects.wirte_file" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr
    assert "mcpServers.fs.asyncfc.effects.wirte_file: matches no tool" in done.stderr


@pytest.mark.node
@pytest.mark.slow
def test_the_configuration_in_the_docs_fits_the_server_that_it_is_for(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "mcp_proxy.md").read_text()
    (block,) = (
        one for one in re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if "shop" in one
    )
    effects = json.loads(block)["mcpServers"]["files"]["asyncfc"]
    server = {**node_server("filesystem", str(tmp_path)), "asyncfc": effects}

    async def main() -> None:
        async with over_stdio(write_config(tmp_path, {"files": server})) as client:
            answer = await client.call_tool("list_directory", {"path": str(tmp_path)})
            assert text(answer) == "[FILE] mcp.json"

    asyncio.run(main())


@pytest.mark.slow
def test_a_command_that_is_no_server_does_not_keep_the_others_or_outlive_the_proxy(tmp_path: Path) -> None:
    servers = {
        "mute": {"command": "sleep", "args": ["86431.5"], "asyncfc": {"start_timeout": 1}},
        "missing": {"command": "/no/such/command", "asyncfc": {"start_timeout": 1}},
        "time": trusted(python_server("time")),
    }

    async def main() -> None:
        async with over_stdio(write_config(tmp_path, servers)) as client:
            assert "get_current_time" in [tool.name for tool in (await client.list_tools()).tools]
            assert processes_with("86431.5")
        assert await none_left("86431.5")

    asyncio.run(main())
