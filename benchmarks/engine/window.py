"""What one run has measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """A run of one side.

    Args:
        useful: tokens that were sampled and belong to conversations.
        seconds: that it took.
        trapped: the share of the living conversations that was trapped, where it is measured.
    """

    useful: float
    seconds: float
    trapped: float | None = None

    @property
    def speed(self) -> float:
        """Useful tokens per second."""
        return self.useful / self.seconds


class Side(Protocol):
    """A way to decode the conversations of a crowd."""

    def run(self) -> Window:
        """Decode for about as many steps as the scene says."""
