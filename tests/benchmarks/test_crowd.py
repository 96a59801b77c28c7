"""The benchmark of many sessions: its ratios come out right on a crowd that is small."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import crowd


def test_equal_sessions_get_on_at_the_same_pace_and_weights_count() -> None:
    programs = crowd.draw(20, 60, seed=1)
    assert [len(program) for program in programs] == [60] * 20
    half = crowd.finished_at(programs, [1.0] * 20, 4, 0.5)
    assert abs(sum(half) - 600) <= 4  # some have settled and are not released yet
    assert max(half) <= 1.2 * min(half)
    weights = [2.0, *[1.0] * 19]
    heavy, *others = crowd.finished_at(programs, weights, 4, 0.25)
    assert heavy >= 1.5 * max(others)


@pytest.mark.slow
def test_the_command_prints_one_object_and_fails_if_a_bound_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["crowd", "--sessions", "10", "--calls", "60", "--slots", "4", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert ended.value.code == 0
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert result["calls"] == 600
    assert 0.9 < result["memory_ratio"] <= crowd.BACK
    monkeypatch.setattr(crowd, "BACK", 0.5)
    with pytest.raises(SystemExit) as ended:
        crowd.main()
    assert ended.value.code == 1
