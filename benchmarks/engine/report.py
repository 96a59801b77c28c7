"""Where and with what it was measured, and the numbers as a table for people."""

from __future__ import annotations

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parents[1] / "results"


def origin(device: torch.device) -> dict[str, Any]:
    """The machine, the versions, the commit."""
    return {
        "device": device.type,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("asyncfc", "torch", "transformers")},
        },
    }


def device_name(device: torch.device) -> str:
    """What the machine calls what it computes on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def results_file(device: torch.device) -> Path:
    """Where the numbers of a device are kept."""
    slug = re.sub(r"[^a-z0-9]+", "-", device_name(device).lower()).strip("-")
    return RESULTS / f"engine-{slug}.json"


def _commit() -> str | None:
    """Of the sources; None where they have no history."""
    git = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    try:
        done = subprocess.run(git, cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def print_tables(result: dict[str, Any]) -> None:
    """Print what was compared, a line per side, and what was checked, a line per model."""
    for comparison in result.get("models", {}).values() or [result] * ("shares" in result):
        _print_comparison(comparison)
    for check in result["exactness"]:
        print(
            f"{check['model']:<14} {check['dtype']:<9} {check['checks']:>5} logits, worst difference "
            f"{check['worst']:.1e}, limit {check['limit']:.1e}"
        )


def _print_comparison(comparison: dict[str, Any]) -> None:
    print(f"{comparison['model']['name']}, {comparison['dtype']}")
    lines = {
        "trapped": [f"{share:.0%}" for share in comparison["shares"]],
        **{f"{name}, tokens/s": row for name, row in comparison["useful_tokens_per_s"].items()},
        **{name: row for name, row in comparison.items() if name.startswith("ratio_")},
    }
    for name, row in lines.items():
        print(f"  {name:<32}" + "".join(f"{cell:>10}" for cell in row))
