"""LiteLLM's case of the benchmark, which has no other place to run; see `tests/benchmarks`."""

from __future__ import annotations

import pytest

from benchmarks.adapters.cases import elsewhere, load
from tests.adapters.litellm.harness import MARKS, LitellmHarness
from tests.benchmarks.counted import assert_alike

pytestmark = MARKS


def test_it_can_be_measured_here() -> None:
    assert elsewhere("litellm") is None


@pytest.mark.parametrize("with_asyncfc", [False, True])
def test_both_sides_make_the_same_calls_and_ask_the_model_equally_often(with_asyncfc: bool) -> None:
    assert_alike(load("litellm"), with_asyncfc, *LitellmHarness.pools)
