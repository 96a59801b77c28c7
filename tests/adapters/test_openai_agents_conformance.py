"""The conformance suite over the OpenAI Agents SDK."""

from __future__ import annotations

from tests.adapters.conformance import suite
from tests.adapters.conformance.openai_agents_harness import HARNESSES

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)
