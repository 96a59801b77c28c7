"""A result that comes with its own text."""

from __future__ import annotations

import pytest

from asyncfc.errors import UnresolvedPath
from asyncfc.futures.rendered import Rendered
from asyncfc.futures.store import MemoryStore


def test_the_text_is_the_given_one_and_the_value_the_tools() -> None:
    value = MemoryStore().put(Rendered({"a": [1, 2]}, "two numbers"))
    assert (value.text(), value.preview(5), value.get(), value.at(("a", 1))) == (
        "two numbers",
        "two …",
        {"a": [1, 2]},
        2,
    )
    assert value.size >= len("two numbers")
    assert not value.is_artifact
    assert "two numbers" in repr(value)
    with pytest.raises(UnresolvedPath):
        value.at(("b",))


def test_an_artifact_stays_one() -> None:
    thing = object()
    value = MemoryStore().put(Rendered(thing, "a thing"))
    assert value.is_artifact
    assert value.get() is thing
