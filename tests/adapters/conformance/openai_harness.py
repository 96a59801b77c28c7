"""Wrapped clients of the OpenAI SDK."""

from __future__ import annotations

from tests.adapters.conformance.clients import ABSENT, IN_THREADS, NO_PROGRAMS, ClientHarness

HARNESSES = [
    ClientHarness("openai chat", "chat", False, False, {**ABSENT, **IN_THREADS, **NO_PROGRAMS}),
    ClientHarness("openai chat, async, streamed", "chat", True, True, {**ABSENT, **NO_PROGRAMS}),
    ClientHarness("openai responses, streamed", "responses", False, True, {**ABSENT, **IN_THREADS}),
    ClientHarness("openai responses, async", "responses", True, False, ABSENT),
]
