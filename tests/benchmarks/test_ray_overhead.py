"""The benchmark runs, and no large value comes to the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.ray
@pytest.mark.slow
def test_the_command_prints_one_object_as_its_last_line() -> None:
    command = [sys.executable, "-m", "benchmarks.ray_overhead", "--calls", "10", "--value-mb", "20", "--json"]
    root, here = Path(__file__).parents[2], {**os.environ, "RAY_ADDRESS": "local"}
    done = subprocess.run(command, cwd=root, env=here, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    assert min(result[f"{name}_ratio"] for name in ("task", "write", "method", "async")) > 0
    assert result["value_driver_grew_mb"] < 10
