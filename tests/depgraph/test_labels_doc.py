"""The Python in docs/labels.md runs, and its assertions hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "labels.md"


def test_the_examples_run_in_the_order_in_which_they_are_read() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert sum(block.count("assert ") for block in blocks) >= 10
