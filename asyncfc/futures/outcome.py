"""Outcomes: what became of a call, as frozen data.

Inside asyncfc nothing is raised between parts: a tool's exception travels as a `Failure` and turns
back into an exception only where somebody asks for the value (`unwrap`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from asyncfc.errors import CallCancelled, CallWithheld
from asyncfc.futures.plain import safe_text

if TYPE_CHECKING:  # handles import futures, and futures outcomes
    from asyncfc.futures.handle import Path


class Value(ABC):
    """The tool returned: the snapshot of its result, taken when the call ended.

    Where it lies is its store's business (`Store`); it never changes.
    """

    __slots__ = ()

    is_artifact: ClassVar[bool]
    """Whether the value has no JSON form and is passed whole, by identity."""
    elsewhere: ClassVar[bool] = False
    """Whether it lies outside of this process, so that it had better be fetched where it is used."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Roughly the bytes that keeping the value costs."""

    @abstractmethod
    def get(self) -> Any:
        """Return a structural copy of the value (an artifact itself)."""

    @abstractmethod
    def at(self, path: Path) -> Any:
        """Return a copy of the part that the path leads to.

        Raises:
            UnresolvedPath: the path does not exist in the value.
        """

    @abstractmethod
    def text(self) -> str:
        """Return the canonical text of the value."""

    @property
    def chars(self) -> int:
        """The length of the canonical text."""
        return len(self.text())

    @abstractmethod
    def preview(self, max_chars: int) -> str:
        """Return the start of the text, in at most `max_chars` characters, the last one `…` if cut."""

    def held(self) -> Value | str:
        """What to keep of it: itself, or JSON text that stands for it."""
        return self

    def unwrap(self) -> Any:
        """Return a copy of the value (an artifact is handed over by identity)."""
        return self.get()


@dataclass(frozen=True, slots=True)
class Failure:
    """The tool raised, or the call could not run; `error` is that very exception."""

    error: BaseException
    traceback: TracebackType | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traceback", self.error.__traceback__)

    def __repr__(self) -> str:
        return f"Failure({type(self.error).__name__}: {safe_text(self.error, 200)})"

    def unwrap(self) -> Any:
        """Raise the error, with its traceback as it was when it was caught.

        Without that, every raise of the one shared exception object would add its frames to it.
        """
        raise self.error.with_traceback(self.traceback)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The call was cancelled, or its message never completed. It may or may not have had effects."""

    reason: str

    def unwrap(self) -> Any:
        """Raise `CallCancelled` with the reason."""
        raise CallCancelled(self.reason)


@dataclass(frozen=True, slots=True)
class Withheld:
    """The call did not run because the model had not yet seen what it needed to know (DESIGN E4)."""

    reason: str

    def unwrap(self) -> Any:
        """Raise `CallWithheld` with the reason."""
        raise CallWithheld(self.reason)


Outcome: TypeAlias = Value | Failure | Cancelled | Withheld


def kind_of(outcome: Outcome) -> str:
    """What it is, in one word: value, failure, cancelled or withheld."""
    return "value" if isinstance(outcome, Value) else type(outcome).__name__.lower()
