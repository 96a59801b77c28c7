"""What is measured of a turn, and the mean of a mix of turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn, or the mean of many. Times are in seconds since the turn began."""

    seconds: float
    messages: float
    """Of the model, with the answer and those that were superseded."""
    first_text: float
    """Until a person reads anything."""
    first_answer: float
    """Until the first of the answer's text."""


class Heard:
    """The text that a person reads, and when.

    Args:
        start: of the turn.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._pieces: list[tuple[float, str]] = []

    def note(self, text: str, now: float) -> None:
        """A piece of text has come."""
        if text:
            self._pieces.append((now - self._start, text))

    def measured(self, answer: str, messages: int, now: float) -> Measured:
        """The turn is over.

        Raises:
            AssertionError: the text does not end with the answer, so that what was measured is worth nothing.
        """
        whole = "".join(text for _, text in self._pieces)
        if not whole.endswith(answer):
            raise AssertionError(f"the turn ended with {whole!r}; expected {answer!r} at its end")
        begins, read = len(whole) - len(answer), 0
        for when, text in self._pieces:
            read += len(text)
            if read > begins:
                return Measured(now - self._start, messages, self._pieces[0][0], when)
        raise AssertionError(f"no piece of {whole!r} begins the answer {answer!r}")


def mean(measured: Mapping[int, Measured], mix: Mapping[int, int]) -> Measured:
    """The mean turn.

    Args:
        measured: turns by their number of calls.
        mix: how many turns there are of each of them.
    """
    turns = sum(mix.values())
    names = [field.name for field in fields(Measured)]
    sums = {name: sum(mix[n] * getattr(measured[n], name) for n in mix) for name in names}
    return Measured(**{name: total / turns for name, total in sums.items()})
