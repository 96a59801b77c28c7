"""How a bug is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def planted(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace `owner.name` by `make(original)` for a while.

    Raises:
        AttributeError: there is no such name, so that the fault would be none.
    """
    original = owner.__dict__[name] if name in owner.__dict__ else getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def replaced(owner: Any, name: str, other: Any) -> Any:
    """Replace `owner.name` by something else for a while."""
    return planted(owner, name, lambda _: other)
