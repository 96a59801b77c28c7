"""What reading the body of a call region yields, or why it yields nothing."""

from __future__ import annotations

from typing import NamedTuple

from asyncfc.gpu_engine.dialects.parts import Arguments


class Called(NamedTuple):
    """One call as it was read."""

    name: str
    arguments: Arguments


class Unreadable(Exception):
    """The region holds no call that can be read; `name` where it can be told."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name


class NoCall(Exception):
    """What looked like an unmarked call is an answer: JSON for the user, a Markdown link."""
