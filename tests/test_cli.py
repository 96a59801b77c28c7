from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asyncfc.cli import app
from tests.trace.runs import play


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    play(trace=path)
    return path


def _invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_trace_prints_the_report(run: Path) -> None:
    code, out, _ = _invoke("trace", run)
    assert (code, out.splitlines()[0]) == (0, "calls     4 (1 failure, 3 value)")


def test_trace_says_why_each_call_waited(run: Path) -> None:
    _, out, _ = _invoke("trace", run, "--why")
    assert out.splitlines()[-1].endswith("to end (WAW *)")


def test_trace_gives_json(run: Path) -> None:
    _, out, _ = _invoke("trace", run, "--json")
    found = json.loads(out)
    assert (found["calls"], found["critical_path"], found["wall"]) == (4, [0, 2, 3], 4.0)


def test_trace_writes_what_is_asked_for(run: Path, tmp_path: Path) -> None:
    paths = {name: tmp_path / f"out.{name}" for name in ("html", "svg", "perfetto", "mermaid", "dot")}
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    assert _invoke("trace", run, *options)[0] == 0
    assert all(path.stat().st_size > 100 for path in paths.values())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    code, out, err = _invoke("trace", tmp_path / "none.jsonl")
    assert (code, out) == (1, "")
    assert "none.jsonl" in err


def test_a_file_that_is_no_trace_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\xff\xfe")
    assert _invoke("trace", path)[0] == 1
    path.write_text("{}")
    code, _, err = _invoke("trace", path)
    assert (code, "bad.jsonl is no trace" in err) == (1, True)


@pytest.mark.slow
def test_without_typer_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; import asyncfc.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'asyncfc[cli]'" in done.stderr
