"""Each example runs by itself, and what the README shows is what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from asyncfc import Tool, tool

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(path: Path) -> str:
    """What the program prints; it must end well and without a warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8") in blocks


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
def test_the_quickstart_answers_with_a_handle_and_ends_with_the_value() -> None:
    text, value, _ = run(ROOT / "examples" / "quickstart.py").splitlines()
    assert re.search(r"\$[a-z][a-z0-9]{3}_1\b", text)
    assert value == "booked LX340, expect rain in London"
