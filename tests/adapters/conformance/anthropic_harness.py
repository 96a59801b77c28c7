"""Wrapped clients of the Anthropic SDK."""

from __future__ import annotations

from tests.adapters.conformance.clients import ABSENT, IN_THREADS, ClientHarness

HARNESSES = [
    ClientHarness("anthropic", "messages", False, False, {**ABSENT, **IN_THREADS}),
    ClientHarness("anthropic, async, streamed", "messages", True, True, ABSENT),
]
