from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ray

from tests.test_docs import DOCS, blocks_of, read


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """The page starts one itself, whatever clusters there are."""
    ray.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        yield
    ray.shutdown()


def test_the_examples_of_the_page_run_in_the_order_in_which_they_are_read() -> None:
    page = DOCS / "adapters" / "ray.md"
    blocks = blocks_of(read(page))
    assert len(blocks) == read(page).count("```python") > 10
    names: dict[str, Any] = {"__name__": "docs.ray"}
    for block in blocks:
        block.run(page, names)
