"""The benchmark of the timeline page makes the run that it says, and judges what it measures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks import page

GOOD = {"open_s": 1.9, "frames_per_s": 30.0, "bytes": 1, "chromium": "1.0"}


def _command(monkeypatch: pytest.MonkeyPatch, measured: dict[str, Any], *arguments: str) -> Result:
    monkeypatch.setattr(page, "browser_path", lambda: "/bin/chromium")
    monkeypatch.setattr(page, "measure", lambda path, browser: {**measured, "bytes": path.stat().st_size})
    return CliRunner().invoke(page.app, ["--calls", "20", *arguments])


def test_without_a_browser_it_says_so_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "browser_path", lambda: None)
    result = CliRunner().invoke(page.app, ["--calls", "1"])
    assert result.exit_code == 2
    assert "no Chromium was found" in result.stderr


@pytest.mark.parametrize(
    ("change", "word"), [({"open_s": 2.0}, "to open"), ({"frames_per_s": 29.9}, "frames/s")]
)
def test_a_missed_target_fails(monkeypatch: pytest.MonkeyPatch, change: dict[str, float], word: str) -> None:
    result = _command(monkeypatch, {**GOOD, **change})
    assert result.exit_code == 1
    assert word in result.stderr


def test_the_last_line_is_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "kept.html"
    result = _command(monkeypatch, GOOD, "--json", "--out", str(out))
    assert result.exit_code == 0
    [line] = result.stdout.splitlines()
    assert json.loads(line) == {"calls": 20, **GOOD, "bytes": out.stat().st_size}


def test_the_run_has_all_that_a_page_can_show() -> None:
    report = page.make(300).report
    assert len(report.calls) == 300
    assert set(report.outcomes) == {"value", "failure", "cancelled", "withheld"}
    assert {"data", "effect", "limit"} <= set(report.waited)
    assert len({call.tool for call in report.calls.values()}) == 6
    assert any(call.needs for call in report.calls.values())


def test_the_same_seed_makes_the_same_run() -> None:
    one, other, another = (str(page.make(30, seed).report) for seed in (1, 1, 2))
    assert one == other
    assert one != another


@pytest.mark.parametrize("names", [["chromium"], ["google-chrome"], ["google-chrome", "chromium-browser"]])
def test_a_browser_is_found_by_its_usual_names(tmp_path: Path, names: Sequence[str]) -> None:
    for name in names:
        _program(tmp_path / name)
    assert page.browser_path({"PATH": str(tmp_path)}) == str(tmp_path / names[-1])


def test_a_named_browser_is_taken_or_none(tmp_path: Path) -> None:
    _program(tmp_path / "chromium")
    own = _program(tmp_path / "own")
    assert page.browser_path({"PATH": str(tmp_path), "CHROMIUM": own}) == own
    assert page.browser_path({"PATH": str(tmp_path), "CHROMIUM": str(tmp_path / "none")}) is None
    assert page.browser_path({"PATH": str(tmp_path / "empty")}) is None


def _program(path: Path) -> str:
    path.write_text("")
    path.chmod(0o755)
    return str(path)
