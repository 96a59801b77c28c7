"""The suite, over `asyncfc.run`, the miniature of the docs and the wrapped clients."""

from __future__ import annotations

from tests.adapters.conformance import (
    anthropic_harness,
    mini_harness,
    openai_harness,
    run_harness,
    suite,
)
from tests.adapters.conformance.harness import Harness

HARNESSES: list[Harness] = [
    *run_harness.HARNESSES,
    *mini_harness.HARNESSES,
    *openai_harness.HARNESSES,
    *anthropic_harness.HARNESSES,
]

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)
