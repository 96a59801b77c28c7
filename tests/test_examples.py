"""Each example runs by itself, and what the README shows is what runs."""

from __future__ import annotations

import asyncio
import difflib
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
from benchmarks.protocol.report import summary
from benchmarks.protocol.sweep import sweep
from benchmarks.protocol.turns import BFCL_MIX

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = "litellm_agent"
"""It runs in an environment of its own, where `tests/adapters/litellm` executes it."""
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem != ELSEWHERE]


def source(name: str) -> str:
    return (ROOT / "examples" / name).read_text(encoding="utf-8")


def run(*arguments: str | Path) -> str:
    """What the program prints; it must end well and without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert source("quickstart.py") in blocks


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


def test_the_loops_differ_in_the_two_lines_that_the_readme_shows() -> None:
    plain, ours = (source(name).splitlines() for name in ("openai_loop_plain.py", "openai_loop.py"))
    changed = [line for line in difflib.ndiff(plain, ours) if line[0] in "+-"]
    assert len([line for line in changed if line.startswith("+")]) == 2
    (block,) = re.findall(r"```diff\n(.*?)```", README, re.DOTALL)
    shown = block.splitlines()
    assert [line[0] + line[2:] for line in changed] == [line for line in shown if line[:1] in {"+", "-"}]
    assert [line[1:] for line in shown if line.startswith(" ") and line[1:] not in plain] == []


@pytest.mark.slow
def test_the_wrapped_loop_gives_the_same_answer_sooner() -> None:
    names = ("openai_loop_plain.py", "openai_loop.py")
    (answer, slow), (same, fast) = (run(ROOT / "examples" / name).splitlines() for name in names)
    assert answer == same == "I have booked LX340 to London, rain in London."
    assert float(fast.split()[0]) < 2.1 <= float(slow.split()[0])  # it sleeps for 2.1 s


def test_the_examples_are_few_and_short() -> None:
    assert len(EXAMPLES) <= 10
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 80 for path in EXAMPLES)


@pytest.mark.parametrize("declaration", re.findall(r"^\| `@(tool.*?)` \|", README, re.MULTILINE))
def test_a_declaration_in_the_readme_is_accepted(declaration: str) -> None:
    def function(path: str, id: str) -> None:
        pass

    decorate = eval(declaration, {"tool": tool})
    assert isinstance(decorate(function), Tool)


@pytest.mark.slow
def test_an_example_runs_as_a_program() -> None:
    assert run(ROOT / "examples" / "quickstart.py")


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
    assert barrier != "turn" or f"Measured: **{measured['speedup']:.2f}** times as fast" in README


@pytest.mark.slow
def test_the_page_on_loops_has_the_numbers_that_the_benchmark_prints() -> None:
    page = " ".join((ROOT / "docs" / "loops.md").read_text(encoding="utf-8").split())
    measured = summary(sweep([0.1, 0.8, 1], BFCL_MIX, lambda ratio: None))
    single = min(one["by_calls"]["1"] for one in measured["lost"] if one["strategy"] == "auto")
    assert f"({measured['auto_min_speedup']:.2f} at worst)" in page
    assert f"{measured['auto_speedup_q1']:.2f} times as fast with independent tools" in page
    assert f"{measured['pipelining_messages']} messages in place of 6" in page
    assert f"in parallel already: {measured['auto_min_vs_parallel']:.2f} at worst" in page
    assert measured["auto_min_vs_parallel_outside"] == 1  # "nothing elsewhere"
    assert f"a turn with a single call: {single:.2f}, too" in page
