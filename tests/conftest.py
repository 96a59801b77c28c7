"""Settings for the whole suite: how much Hypothesis tries, and that it tries the same every time.

`HYPOTHESIS_PROFILE` chooses: "default" in `make test` (the same examples on every run, so that the
suite passes or fails for a reason that is in the tree), "nightly" in `make nightly` (fresh examples,
many more of them; a failure prints the line that reproduces it).
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

FRAMEWORKS = ("google_genai", "langchain", "llama_index", "openai_agents", "pydantic_ai", "smolagents")

settings.register_profile(
    "default",
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=True,
    # A loaded machine is not a fault of the test.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly",
    settings.get_profile("default"),
    max_examples=20_000,
    derandomize=False,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure() -> None:
    """Take Ctrl-C as in the foreground: some shells start what runs in the background deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs inside an agent framework, so that the edit loop can leave it out."""
    for item in items:
        path = item.path.as_posix()
        if any(name in path for name in (*FRAMEWORKS, "benchmarks/test_adapters")):
            item.add_marker("framework")
