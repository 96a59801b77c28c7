"""Future: a one-shot container of the outcome of one call.

Not an `asyncio.Future`: it needs no loop to exist, keeps no exception that somebody must retrieve,
and is settled by the scheduler only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Generator
from contextvars import ContextVar
from typing import Any, NoReturn, Protocol

from asyncfc.errors import InternalError, NotSettled
from asyncfc.futures.outcome import Outcome, Value, kind_of
from asyncfc.futures.store import JsonValue


class Caller(Protocol):
    """The call whose work is running here, as far as waiting for other calls concerns it."""

    def pause(self, pending: Collection[Future]) -> None:
        """It is about to wait for these. Raises if they wait for it."""

    async def resume(self) -> None:
        """It goes on, as soon as it may."""

    def break_off(self) -> None:
        """Its wait was interrupted; it goes on at once."""


CALLER: ContextVar[Caller | None] = ContextVar("asyncfc_caller", default=None)
"""Set in the context in which the work of a call runs."""

_log = logging.getLogger("asyncfc")


class Future:
    """What a call is answered with. Await it for the value; `wait()` for the outcome as data.

    State, and who changes it:

    - `outcome`: None until the scheduler settles it, then final.
    - `handle`: None until the call's message commits, then final.
    - `shown`: the model has been given the handle, so that it may use it (DESIGN H1).
    - `seen`: the model has been given the outcome in a request that succeeded.
    """

    __slots__ = ("_callbacks", "_outcome", "call_id", "handle", "leader", "order", "seen", "shown", "tool")

    def __init__(self, call_id: str, tool: str, order: int) -> None:
        self.call_id = call_id
        self.tool = tool
        self.order = order
        """Place in the order of registration, in which all conflicts are resolved."""
        self.leader = self
        """The future whose work this one shares; itself unless it is a duplicate."""
        self.handle: str | None = None
        self._outcome: Outcome | str | None = None
        self.shown = False
        self.seen = False
        self._callbacks: Callable[[Future], object] | list[Callable[[Future], object]] | None = None

    @property
    def outcome(self) -> Outcome | None:
        """What became of the call; None until it settles.

        A small value is kept as plain text: sessions keep many, and the garbage collector walks objects.
        """
        held = self._outcome
        return JsonValue.of_text(held) if isinstance(held, str) else held

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        self._outcome = outcome.held() if isinstance(outcome, Value) else outcome

    @property
    def settled(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    def result(self) -> Any:
        """Return the value, or raise what the call raised.

        Raises:
            NotSettled: the outcome is not known yet.
            CallCancelled, CallWithheld: the call has no value.
        """
        outcome = self.outcome
        if outcome is None:
            raise NotSettled(f"{self!r} has not settled; wait for it first, or ask `settled`")
        return outcome.unwrap()

    async def wait(self) -> Outcome:
        """Wait until settled and return the outcome. Never raises what the call raised."""
        if self._outcome is None:
            await wait_settled([self])
        outcome = self.outcome
        assert outcome is not None
        return outcome

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait until settled; return the value or raise what the call raised."""
        outcome = yield from self.wait().__await__()
        return outcome.unwrap()

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome, once. For the scheduler; callbacks run in order of registration."""
        if self._outcome is not None:
            raise InternalError(f"{self!r} was settled twice")
        self.outcome = outcome
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks if isinstance(callbacks, list) else (callbacks,) if callbacks else ():
            try:
                callback(self)
            except Exception:  # a program's callback; the others, and the order of calls, go on
                _log.exception("a done callback of %r raised: %r", self, callback)

    def add_done_callback(self, callback: Callable[[Future], object]) -> None:
        """Call `callback(future)` when settled: at once if it already is. What it raises then is logged."""
        if self._outcome is not None:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = callback  # most have one: no list for it
        elif isinstance(self._callbacks, list):
            self._callbacks.append(callback)
        else:
            self._callbacks = [self._callbacks, callback]

    def remove_done_callback(self, callback: Callable[[Future], object]) -> None:
        """Forget a callback that has not run; nothing happens if there is none."""
        if isinstance(self._callbacks, list):
            if callback in self._callbacks:
                self._callbacks.remove(callback)
        elif self._callbacks == callback:
            self._callbacks = None

    def __repr__(self) -> str:
        outcome = self.outcome
        state = "pending" if outcome is None else kind_of(outcome)
        return f"<Future {self.handle or '(no handle yet)'} of {self.tool!r}, {state}>"

    def __str__(self) -> str:
        """The handle, so that a future in an f-string reads as the model would write it."""
        return self.handle or repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled or copied: it lives in one session. "
            "Store its handle text instead, or await its value"
        )


async def wait_settled(
    futures: Collection[Future],
    *,
    any_one: bool = False,
    timeout: float | None = None,
    bell: Future | None = None,
) -> None:
    """Wait until all the futures have settled, or any one of them, or `timeout` seconds have passed.

    Args:
        futures: what to wait for.
        any_one: one of them is enough.
        timeout: seconds.
        bell: ends the wait as soon as it settles.
    """
    pending = [future for future in futures if not future.settled]
    if not pending or (any_one and len(pending) < len(futures)) or (bell is not None and bell.settled):
        return
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    missing = 1 if any_one else len(pending)

    def count(settled: Future) -> None:
        nonlocal missing
        missing -= 1
        if (missing == 0 or settled is bell) and not waiter.done():
            waiter.set_result(None)

    caller = CALLER.get()
    if caller is not None:
        caller.pause(pending)
    watched = pending if bell is None else [*pending, bell]
    for future in watched:
        future.add_done_callback(count)
    try:
        await asyncio.wait([waiter], timeout=timeout)
    except BaseException:
        if caller is not None:
            caller.break_off()
        raise
    finally:
        waiter.cancel()
        for future in watched:
            future.remove_done_callback(count)
    if caller is not None:
        await caller.resume()
