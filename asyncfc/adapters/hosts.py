"""Hosts: where a client lives, and how its session's loop is reached from there.

What goes on between a request and its reply is written once, as coroutines. That of a synchronous client
never waits as coroutines do: it blocks, so that its coroutines run through at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from asyncfc.blocking import BlockingSession

_T = TypeVar("_T")


class Host(Protocol):
    """Reaches the loop of the session."""

    async def do(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function that does not wait, on the session's loop."""

    async def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Run a coroutine function on the session's loop."""


class OnLoop:
    """`Host` of an asynchronous client: the loop of the program is the session's."""

    async def do(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function that does not wait, on the session's loop."""
        return function(*args)

    async def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Run a coroutine function on the session's loop."""
        return await function(*args)


class FromThread:
    """`Host` of a synchronous client.

    Args:
        session: with a loop of its own.
    """

    def __init__(self, session: BlockingSession) -> None:
        self._session = session

    async def do(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function that does not wait, on the session's loop."""

        async def run() -> _T:
            return function(*args)

        return self._session.run(run)

    async def run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """Run a coroutine function on the session's loop."""
        return self._session.run(function, *args)


def through(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise RuntimeError("what a synchronous client does waited as a coroutine does")
