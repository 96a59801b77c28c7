"""Retention: which values are kept, where a session may keep only so many bytes (DESIGN V3).

A value that the model has not seen yet, or that a live call refers to, is never dropped, so the bound may
be exceeded for a while. Of the others, the one that was seen, or used by a call, longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from typing import NoReturn

from asyncfc.errors import DeclarationError, ValueDropped
from asyncfc.futures.future import Future
from asyncfc.futures.handle import Path
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import shorten


class Retention:
    """Counts the bytes of one session's values, and drops some when they are too many.

    Every operation takes constant time, amortised, per future that it is given.

    Args:
        max_bytes: that all values may take together, as `Value.size` counts them.

    - `total`: bytes of the values that are kept.

    Raises:
        DeclarationError: `max_bytes` is not a whole number of at least 0.
    """

    __slots__ = ("_kept", "_max_bytes", "_pins", "_seen", "_spare", "total")

    def __init__(self, max_bytes: int) -> None:
        if type(max_bytes) is not int or max_bytes < 0:
            raise DeclarationError(
                f"max_retained_bytes={max_bytes!r}: expected None or a whole number of bytes, at least 0"
            )
        self.total = 0
        self._max_bytes = max_bytes
        self._kept: dict[Future, int] = {}  # bytes of each
        self._seen: set[Future] = set()
        self._pins: dict[Future, int] = {}  # how many live calls refer to each
        self._spare: OrderedDict[Future, None] = OrderedDict()  # kept, seen, not pinned; next to go first

    def enter(self, future: Future, inputs: Iterable[Future]) -> None:
        """A call is about to be registered: pin its inputs until it settles, and then keep its value.

        Raises:
            ValueDropped: the value of an input is no longer kept.
        """
        inputs = tuple(inputs)
        for given in inputs:
            if isinstance(given.outcome, Value) and isinstance(given.outcome, Dropped):
                given.outcome.unwrap()
        self.pin(inputs)
        future.add_done_callback(partial(self._leave, inputs))

    def pin(self, futures: Iterable[Future]) -> None:
        """A live call refers to these, settled or not: they stay until it is done with them."""
        for future in futures:
            self._pins[future] = self._pins.get(future, 0) + 1
            self._spare.pop(future, None)

    def unpin(self, futures: Iterable[Future]) -> None:
        """A live call is done with these; what no other one refers to may go, last of all."""
        for future in futures:
            self._pins[future] -= 1
            if not self._pins[future]:
                del self._pins[future]
                self._offer(future)
        self._shrink()

    def keep(self, future: Future) -> None:
        """A future has settled: count its value, if it has one."""
        if isinstance(future.outcome, Value):
            self._kept[future] = size = future.outcome.size
            self.total += size
            self._shrink()

    def see(self, futures: Iterable[Future]) -> None:
        """The model has seen these outcomes, or never will; what no live call refers to may go."""
        for future in futures:
            if future in self._kept:
                self._seen.add(future)
                self._offer(future)
        self._shrink()

    def unsee(self, futures: Iterable[Future]) -> None:
        """The model has not seen these after all; those that are kept stay."""
        for future in futures:
            self._seen.discard(future)
            self._spare.pop(future, None)

    def _leave(self, inputs: tuple[Future, ...], future: Future) -> None:
        self.unpin(inputs)
        self.keep(future)

    def _offer(self, future: Future) -> None:
        """Put it last among those that may go, if it may."""
        if future in self._seen and future not in self._pins:
            self._spare[future] = None
            self._spare.move_to_end(future)

    def _shrink(self) -> None:
        while self.total > self._max_bytes and self._spare:
            future, _ = self._spare.popitem(last=False)
            self._seen.remove(future)
            size = self._kept.pop(future)
            self.total -= size
            future.outcome = Dropped(future, size)


class Dropped(Value):
    """Stands for a value that is no longer kept. That it was a value is still true."""

    __slots__ = ("_message",)

    is_artifact = False
    size = 0

    def __init__(self, future: Future, size: int) -> None:
        self._message = (
            f"the value of {future.handle or future.call_id} is no longer kept: {future.tool} returned "
            f"{size} bytes, and room was needed for newer values. Call {future.tool} again if it is needed"
        )

    def __repr__(self) -> str:
        return f"Dropped({self._message!r})"

    def get(self) -> NoReturn:
        """There is nothing to return.

        Raises:
            ValueDropped: always; it names the handle, the tool and the size.
        """
        raise ValueDropped(self._message)

    def at(self, _path: Path) -> NoReturn:
        """As `get`."""
        self.get()

    def text(self) -> NoReturn:
        """As `get`."""
        self.get()

    def preview(self, max_chars: int) -> str:
        """Return the start of the reason, since a preview must not raise."""
        return shorten(f"({self._message})", max_chars)
