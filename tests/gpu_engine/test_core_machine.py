"""The core with a checking runner, under any interleaving of verbs, steps and failures."""

from __future__ import annotations

import pytest

from tests.gpu_engine.machine import Machine, prove


@pytest.mark.slow
def test_any_interleaving_is_exact_and_nothing_is_lost_or_left() -> None:
    prove(Machine, examples=100, steps=60)
