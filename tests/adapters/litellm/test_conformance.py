"""The suite, over LiteLLM's functions."""

from __future__ import annotations

from tests.adapters.conformance import suite
from tests.adapters.litellm.harness import HARNESSES, MARKS

pytestmark = MARKS

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)
