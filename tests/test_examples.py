"""Each example runs by itself, and what the README shows is what runs."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncfc import Tool, tool
from asyncfc.testing.loop import run_virtual

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(*arguments: str | Path) -> str:
    """What the program prints; it must end well and without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8") in blocks


def test_the_quickstart_prints_a_handle_the_value_and_the_time_that_the_readme_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
    monkeypatch.setattr(time, "perf_counter", lambda: asyncio.get_running_loop().time())
    run_virtual(names["main"])
    text, value, seconds = capsys.readouterr().out.splitlines()
    assert re.match(r"\$[a-z][a-z0-9]{3}_1 is running", text)
    assert value == "booked LX340, expect rain in London"
    assert seconds == "0.3 s; one after the other: 0.5 s"
    assert "0.3 s rather than 0.5 s" in README


def test_the_agent_ends_with_what_it_was_told_last(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "agent_loop.py"))
    agent, model, tools = names["agent"], names["scripted_model"], [names["balance"], names["send"]]
    answer = run_virtual(agent(model, tools, "Mail Ada her balance."))
    assert answer == "sent to ada@example.com: You have 250 euros."


@pytest.mark.parametrize("declaration", re.findall(r"^\| `@(tool.*?)` \|", README, re.MULTILINE))
def test_a_declaration_in_the_readme_is_accepted(declaration: str) -> None:
    def function(path: str, id: str) -> None:
        pass

    decorate = eval(declaration, {"tool": tool})
    assert isinstance(decorate(function), Tool)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    assert run(path)


@pytest.mark.slow
@pytest.mark.bfcl
@pytest.mark.parametrize(
    ("row", "barrier"),
    [("every user turn waits for its calls", "turn"), ("calls go on across user turns", "case")],
)
def test_the_readme_has_the_numbers_that_the_benchmark_prints(row: str, barrier: str) -> None:
    printed = run("-m", "benchmarks.bfcl", "--json", "--barrier", barrier)
    measured = json.loads(printed.splitlines()[-1])
    same = measured["cases"] - measured["mismatched_cases"]
    assert f"{measured['cases']} multi-turn cases of BFCL, {measured['calls']:,} calls" in README
    figures = f"**{measured['speedup']:.2f}** | {measured['bound']:.2f} | {same} of {measured['cases']}"
    assert f"| {row} | {figures} |" in README
