from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks.bfcl import __main__ as command
from benchmarks.bfcl import faults

pytestmark = pytest.mark.bfcl


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids"
    path.write_text("multi_turn_base_55\nmulti_turn_base_61\n", encoding="utf-8")
    return path


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def _sums(result: Result) -> dict[str, Any]:
    loaded = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(loaded, dict)
    return loaded


def test_the_json_has_the_sums_and_the_settings(ids: Path) -> None:
    result = _invoke("--json", "--ids", ids, "--seed", 7, "--q", 3)
    assert result.exit_code == 0, result.output
    sums = _sums(result)
    assert (sums["cases"], sums["mismatched_cases"], sums["mismatched_ids"]) == (2, 0, [])
    assert (sums["source"], sums["seed"], sums["q"], sums["barrier"]) == ("base", 7, 3, "turn")
    assert sums["calls"] > sums["handles_substituted"] > 0
    assert sums["speedup"] == pytest.approx(sums["sync_s"] / sums["async_s"])
    assert sums["async_s"] == pytest.approx(sums["ideal_s"], rel=1e-9)
    assert 1 <= sums["speedup"] <= sums["bound"]
    assert len(result.stdout.splitlines()) == 1


def test_the_table_has_a_line_for_each_case_and_the_verdict(ids: Path) -> None:
    result = _invoke("--ids", ids)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("multi")] == ids.read_text().split()
    assert lines[-1].strip() == "identical results and final state: 2/2"
    assert "every user turn drains" in result.stdout


def test_a_planted_fault_implies_futures_across_turns_and_is_reported(ids: Path) -> None:
    result = _invoke("--ids", ids, "--break", "data", "--barrier", "turn", "--json")
    sums = _sums(result)
    assert (sums["fault"], sums["barrier"], sums["mismatched_cases"] > 0) == ("data", "case", True)
    assert result.exit_code == 0
    table = _invoke("--ids", ids, "--break", "data").stdout
    assert "with futures across user turns; planted fault: data" in table
    assert "NO: call" in table


def test_a_difference_without_a_planted_fault_fails_the_command(
    ids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> AbstractContextManager[object]:
        return faults.planted("late-snapshot")

    monkeypatch.setattr(command, "planted", broken)
    result = _invoke("--ids", ids, "--json")
    assert result.exit_code == 1
    assert _sums(result)["mismatched_ids"] == ["multi_turn_base_55"]


def test_a_file_of_cases_takes_the_place_of_the_package(tmp_path: Path) -> None:
    call = {"name": "add", "class": "MathAPI", "args": {"a": 1, "b": 2}}
    case = {"id": "own_1", "classes": ["MathAPI"], "initial_config": {}, "long_context": False}
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(case | {"turns": [{"user": ["add"], "calls": [call]}]}), encoding="utf-8")
    sums = _sums(_invoke("--data", path, "--json"))
    assert (sums["source"], sums["cases"], sums["calls"], sums["mismatched_cases"]) == ("own.jsonl", 1, 1, 0)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--data", "nowhere.jsonl", "nowhere.jsonl"),
        ("--category", "all", "long_context"),
        ("--break", "all", "late-snapshot"),
        ("--q", "-1", "--q"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(option: str, value: str, told: str) -> None:
    result = _invoke(option, value)
    assert result.exit_code == 2
    assert told in result.output
