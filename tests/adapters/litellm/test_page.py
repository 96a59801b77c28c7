"""The page and the example of LiteLLM run here, as those of the others do in the main environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.litellm.harness import MARKS
from tests.test_docs import blocks_of

pytestmark = [*MARKS, pytest.mark.slow]

ROOT = Path(__file__).parents[3]


def test_the_examples_of_the_page_run_in_the_order_in_which_they_are_read() -> None:
    page = ROOT / "docs" / "adapters" / "litellm.md"
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    assert len(blocks) == 2
    names = {"__name__": "docs.litellm"}
    for block in blocks:
        block.run(page, names)


def test_the_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "litellm_agent.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "I have booked LX340 to London, rain in London.",
    )
