"""Tests that run inside an agent framework are marked, so that the edit loop can leave them out."""

from __future__ import annotations

import pytest

FRAMEWORKS = ("google_genai", "langchain", "llama_index", "openai_agents", "pydantic_ai", "smolagents")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(name in str(item.path) for name in FRAMEWORKS):
            item.add_marker("framework")
