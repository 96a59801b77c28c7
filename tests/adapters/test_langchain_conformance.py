"""LangChain and LangGraph pass the suite of all adapters."""

from __future__ import annotations

from tests.adapters.conformance import suite
from tests.adapters.conformance.langchain_harness import HARNESSES

test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)
