"""The benchmark of the proxy runs, and prints what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_benchmark_prints_one_object_as_its_last_line() -> None:
    arguments = ["--json", "--rounds", "1", "--model-s", "0.02", "--tool-s", "0.1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mcp", *arguments],
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["overhead_ratio"] > 0
    assert found["scenario"]["proxy_s"] < found["scenario"]["direct_s"]
