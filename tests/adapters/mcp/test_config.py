"""The configuration: what is understood, and what a wrong one is told."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from asyncfc.adapters.mcp_proxy.catalog import unique_names
from asyncfc.adapters.mcp_proxy.command import run
from asyncfc.adapters.mcp_proxy.config import ConfigError, load_config, read_config
from asyncfc.adapters.mcp_proxy.http import security_of


def with_fs(**asyncfc: Any) -> dict[str, Any]:
    return {"mcpServers": {"fs": {"command": "x", "asyncfc": asyncfc}}}


def test_what_hosts_write_is_understood_and_their_own_keys_are_left_alone() -> None:
    raw = {
        "mcpServers": {
            "fs": {
                "command": "${RUN:-npx}",
                "args": ["-y", "${HOME}/w"],
                "env": {"A": "${B}"},
                "autoApprove": [],
            },
            "web": {"type": "http", "url": "https://x/${B}", "headers": {"Authorization": "Bearer ${B}"}},
            "off": {"command": "x", "disabled": True},
        },
        "theme": "dark",
    }
    config = read_config(raw, environment={"HOME": "/h", "B": "b"})
    fs, web = config.servers["fs"], config.servers["web"]
    assert (fs.command, fs.args, fs.env) == ("npx", ["-y", "/h/w"], {"A": "b"})
    assert (web.url, web.headers) == ("https://x/b", {"Authorization": "Bearer b"})
    assert config.servers["off"].disabled
    assert (config.asyncfc.grace, config.asyncfc.drain, fs.asyncfc.trust) == (1.0, 30.0, False)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ([], "config: mcpServers: expected an object of servers by name"),
        ({"servers": {}}, "config: mcpServers: expected an object of servers by name"),
        ({"mcpServers": {}}, "config: mcpServers: Dictionary should have at least 1 item"),
        (
            {"mcpServers": {"a": {}}},
            "config: mcpServers.a: expected either 'command' or 'url'; there stands an object with",
        ),
        (
            {"mcpServers": {"a": {"command": "x", "url": "y"}}},
            "mcpServers.a: expected either 'command' or 'url'",
        ),
        ({"mcpServers": {"a": 3}}, "mcpServers.a: Input should be a valid dictionary"),
        ({"mcpServers": {"a": {"command": ["x"]}}}, "mcpServers.a.command: Input should be a valid string"),
        (
            {"mcpServers": {"a": {"command": "x", "args": ["${NO}"]}}},
            "config: mcpServers.a.args.0: the environment has no variable NO",
        ),
        (
            with_fs(effects={"write_file": {"writes": 3}}),
            "effects.write_file.writes: Input should be a label or a list of labels; there stands 3",
        ),
        (
            with_fs(effects={"write_file": {"writes": "fs:{path"}}),
            "config: mcpServers.fs.asyncfc.effects.write_file.writes: tool 'write_file': field 'writes'",
        ),
        (
            with_fs(effects={"write_file": {"level": "careful"}}),
            "effects.write_file.level: Input should be 'read', 'write' or 'irreversible'",
        ),
        (
            with_fs(effects={"write_file": {"wirtes": "a"}}),
            "fs.asyncfc.effects.write_file.wirtes: there is no such setting as 'wirtes'",
        ),
        (
            with_fs(effects={"write_file": "careful"}),
            "mcpServers.fs.asyncfc.effects.write_file: expected 'pure', 'read' or an object such as",
        ),
        (
            with_fs(effects={"a": {"pure": True, "reads": "x"}}),
            "mcpServers.fs.asyncfc.effects.a: tool 'a': pure means no effects, but it names labels",
        ),
        (
            with_fs(trusts=True),
            "mcpServers.fs.asyncfc.trusts: there is no such setting as 'trusts'; expected trust",
        ),
        (
            with_fs(trust="yes"),
            'mcpServers.fs.asyncfc.trust: Input should be a valid boolean; there stands "yes"',
        ),
        (
            with_fs(timeout=-1),
            "mcpServers.fs.asyncfc.timeout: Input should be greater than 0; there stands -1",
        ),
        (with_fs(irreversible="pay"), "mcpServers.fs.asyncfc.irreversible: Input should be a valid list"),
        (
            {**with_fs(), "asyncfc": {"grace": "auto"}},
            "config: asyncfc.grace: Input should be a valid number",
        ),
        (
            {**with_fs(), "asyncfc": {"graze": 1}},
            "asyncfc.graze: there is no such setting as 'graze'; expected grace",
        ),
        ({**with_fs(), "asyncfc": {"limits": {"*": 0}}}, "asyncfc.limits.*: Input should be greater than 0"),
        ({**with_fs(), "asyncfc": {"limits": {"a*": 1}}}, "asyncfc.limits: label 'a*' has a '*' inside"),
        ({**with_fs(), "asyncfc": {"rates": {"*": "fast"}}}, "asyncfc.rates: "),
    ],
)
def test_a_wrong_configuration_says_where_what_is_expected_and_what_stands_there(
    raw: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(raw, environment={})
    assert complaint in str(caught.value)


def test_the_configurations_in_the_docs_are_understood() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mcp_proxy.md").read_text()
    blocks = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        assert read_config(json.loads(block), environment={"HOME": "/h", "SHOP_TOKEN": "t"}).servers


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({**with_fs(trust=1, timeout="x"), "asyncfc": {"drain": -1}}, environment={})
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_that_cannot_be_read_or_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.json: cannot be read: No such file"):
        load_config(tmp_path / "missing.json")
    broken = tmp_path / "broken.json"
    broken.write_text('{\n "mcpServers": }')
    with pytest.raises(ConfigError, match=r"broken\.json: is no JSON: Expecting value in line 2, column 16"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match=r"broken\.json: is no JSON"):
        load_config(broken)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((None, []), "give either --config FILE or -- COMMAND ARGS"),
        ((Path("x.json"), ["x"]), "give either --config FILE or -- COMMAND ARGS"),
        ((Path("x.json"), []), "x.json: cannot be read"),
        ((None, ["x"], "8000"), "--http: expected HOST:PORT, such as 127.0.0.1:8000; there stands '8000'"),
        ((None, ["x"], "a:99999"), "--http: expected HOST:PORT"),
    ],
)
def test_the_command_ends_with_code_2_and_one_clear_line(
    arguments: Any, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("asyncfc mcp-proxy: ")
    assert complaint in err


def test_the_checked_sections_survive_a_round_through_json() -> None:
    raw = with_fs(effects={"a": {"reads": ["x", "y"], "level": None}, "b*": "pure"}, inline=["c"])
    config = read_config(json.loads(json.dumps(raw)), environment={})
    effects = config.servers["fs"].asyncfc.effects
    assert (effects["a"].reads, effects["b*"].pure) == (("x", "y"), True)


@pytest.mark.parametrize(
    "server",
    [
        {"type": "http", "headers": {"Authorization": "Bearer ${TOKEN}"}},
        {"command": "x", "env": {"KEY": "${TOKEN}", "N": 3}},
        {"command": "x", "args": "--token=${TOKEN}"},
        {"command": "x", "env": "${TOKEN}"},
        {"url": "u", "headers": {"Authorization": "literal sk-SECRET", "X": 3}},
    ],
)
def test_what_may_be_secret_is_not_printed(server: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({"mcpServers": {"a": server}}, environment={"TOKEN": "sk-SECRET"})
    assert "sk-SECRET" not in str(caught.value)
    assert "mcpServers.a" in str(caught.value)


def test_a_name_that_another_server_has_gets_its_server_too() -> None:
    keys = [("a", "x"), ("b", "x"), ("c", "a__x")]
    assert unique_names(keys) == {
        ("a", "x"): "a__x",
        ("b", "x"): "b__x",
        ("c", "a__x"): "c__a__x",
    }


def test_names_have_characters_that_hosts_take() -> None:
    assert unique_names([("my files.v2", "x"), ("b", "x")])["my files.v2", "x"] == "my_files_v2__x"


def test_two_tools_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"mcpServers\.a.b: 'x' would be called 'a_b__x', as another is"):
        unique_names([("a.b", "x"), ("a b", "x")])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "LOCALHOST", "::1"])
def test_at_a_loopback_address_only_its_names_may_be_asked_for(host: str) -> None:
    security = security_of(host)
    assert security.enable_dns_rebinding_protection
    assert "127.0.0.1:*" in security.allowed_hosts
    assert "evil.example:*" not in security.allowed_hosts


def test_an_address_that_others_reach_needs_names_that_may_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"reach 0\.0\.0\.0, .*--allow-host NAME"):
        security_of("0.0.0.0")
    security = security_of("0.0.0.0", ["box.example"])
    assert "box.example:*" in security.allowed_hosts
    assert "https://box.example" in security.allowed_origins


def test_trust_is_not_for_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    assert run(tmp_path / "mcp.json", [], trust=True) == 2
    assert "--trust goes with a COMMAND" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(tmp_path / "mcp.json", [], f"127.0.0.1:{port}") == 2
    assert f"--http: 127.0.0.1:{port}: " in capsys.readouterr().err
