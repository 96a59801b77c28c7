"""A seeded event loop on virtual time: nothing waits, everything is repeatable, stuck means an error.

Time stands still while anything is ready and then jumps to the next timer. The loop reaches into
asyncio's private `_ready`, `_scheduled` and `_clock_resolution` (the same on Python 3.11 to 3.13), so
it is for tests only. There are no threads and no I/O on it: tools are async functions.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import selectors
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

Mode: TypeAlias = Literal["fifo", "shuffled"]
"""`fifo`: ready callbacks run as asyncio runs them. `shuffled`: those of one turn run in random order."""

_T = TypeVar("_T")
_MAX_IDLE_TURNS = 1_000_000


class Deadlock(AssertionError):
    """Nothing is ready and no timer is due, so what is awaited can never happen."""


class Livelock(AssertionError):
    """The loop turns without end while time stands still."""


class LeftBehind(AssertionError):
    """The program ended and left a running task, or an error that nobody took notice of."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and advances by jumps.

    Args:
        seed: of the shuffling; the same seed gives the same run.
        mode: see `Mode`. asyncio promises first in, first out; `shuffled` breaks that on purpose, so
            it is for what must not depend on it.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(self, *, seed: int = 0, mode: Mode = "fifo") -> None:
        self._now = 0.0
        self._turns = 0
        self._made = 0
        self._random = random.Random(seed)
        self._mode = mode
        self._idlers: list[asyncio.Future[None]] = []
        self._failed: list[asyncio.Task[Any]] = []
        self._complaints: list[BaseException | str] = []
        super().__init__(_NoSelector(self))
        self.set_exception_handler(_note_complaint)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    async def idle(self) -> None:
        """Wait until nothing is ready any more; time does not advance."""
        waiter: asyncio.Future[None] = self.create_future()
        self._idlers.append(waiter)
        await waiter

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Create a task whose failure is remembered until somebody retrieves it."""
        self._made += 1
        options["name"] = options.get("name") or f"task-{self._made:04}"  # repeatable, unlike asyncio's
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        task.add_done_callback(self._note_failure)
        return task

    def troubles(self) -> list[str]:
        """What a clean program would not have left behind; empty if there is nothing."""
        return [f"still running: {_where(task)}" for task in _pending_tasks(self)] + self.unnoticed()

    def unnoticed(self) -> list[str]:
        """Errors that nobody took notice of, so far."""
        lost = [
            f"exception of {task.get_name()!r} was never retrieved: {task.exception()!r}"
            for task in self._failed
            if _unretrieved(task)  # asking for exception() above marks it as retrieved
        ]
        return lost + [f"unhandled in the loop: {_show(what)}" for what in self._complaints]

    def run_in_executor(self, *work: Any, **options: Any) -> NoReturn:  # type: ignore[override]
        """Refuse: a thread would run on real time.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"no threads on virtual time: make it an async function: {work}, {options}")

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, **options: Any
    ) -> asyncio.Handle:
        """As `call_soon`, from the loop's own thread only.

        Raises:
            RuntimeError: called from another thread.
        """
        if threading.get_ident() != getattr(self, "_thread_id", None):
            raise RuntimeError(f"no threads on virtual time: {callback!r} came from another thread")
        return self.call_soon(callback, *args, **options)

    def _next_turn(self, timeout: float | None) -> None:
        """Stand in for waiting. `timeout` is None if nothing is scheduled, 0 if something is ready."""
        if timeout is not None and timeout <= 0:
            self._turns += 1
            if self._turns > _MAX_IDLE_TURNS:
                raise Livelock(f"time stands still at t={self._now}:\n  " + "\n  ".join(self.troubles()))
        elif self._idlers:
            self._wake_idlers()
        elif timeout is None:
            raise Deadlock(
                f"nothing can happen any more at t={self._now}:\n  " + "\n  ".join(self.troubles())
            )
        else:
            self._turns = 0
            self._now = self._scheduled[0].when()  # not now + timeout: that would round
            self._clock_resolution = math.ulp(self._now)  # fire what is due at this very time, no more
        if self._mode == "shuffled":
            self._shuffle()

    def _wake_idlers(self) -> None:
        idlers, self._idlers = self._idlers, []
        for waiter in idlers:
            if not waiter.done():
                waiter.set_result(None)

    def _shuffle(self) -> None:
        """Put the due timers to the ready callbacks, as asyncio does next, and mix them all."""
        due: list[asyncio.Handle] = []
        while self._scheduled and self._scheduled[0].when() <= self._now:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]
            due.append(timer)
        handles = [*self._ready, *due]
        self._random.shuffle(handles)
        self._ready.clear()
        self._ready.extend(handles)

    def _note_failure(self, task: asyncio.Task[Any]) -> None:
        if _unretrieved(task):
            self._failed.append(task)

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None  # nothing outside can wake this loop

    def _close_self_pipe(self) -> None:
        pass


class _NoSelector(selectors.BaseSelector):
    """Watches nothing; asked to wait, it lets the loop's time jump instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        self._loop._next_turn(timeout)
        return []

    def register(self, *watch: Any, **options: Any) -> NoReturn:
        raise RuntimeError(f"no I/O on virtual time: cannot watch {watch}, {options}")

    def unregister(self, fileobj: Any) -> NoReturn:
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


def run_virtual(
    main: Callable[[], Coroutine[Any, Any, _T]] | Coroutine[Any, Any, _T],
    *,
    seed: int = 0,
    mode: Mode = "fifo",
) -> _T:
    """Run `main` to its end on a fresh `VirtualLoop` and return its result.

    Args:
        main: a coroutine, or a function without parameters that makes one.
        seed: of the shuffling.
        mode: see `Mode`.

    Raises:
        Deadlock: nothing can happen any more and `main` has not ended.
        Livelock: the loop turns without end.
        LeftBehind: `main` returned, but a task still runs or an error went unnoticed.
    """
    loop = VirtualLoop(seed=seed, mode=mode)
    try:
        result = loop.run_until_complete(main() if callable(main) else main)
        troubles = loop.troubles()
        if troubles:
            raise LeftBehind("the program ended, but\n  " + "\n  ".join(troubles))
        return result
    finally:
        try:
            _clear(loop)
        finally:
            loop.close()


def _pending_tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """The tasks of the loop that have not ended, by name."""
    return sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())


def _clear(loop: VirtualLoop) -> None:
    """Cancel whatever is left and let it end, so that closing the loop warns of nothing."""
    loop._idlers.clear()
    for _ in range(100):  # a task may refuse to be cancelled, but not for ever
        left = _pending_tasks(loop)
        if not left:
            break
        for task in left:
            task.cancel()
        loop._turns = 0
        loop.call_later(0, loop.stop)
        loop.run_forever()
    loop.run_until_complete(loop.shutdown_asyncgens())
    for task in loop._failed:
        _unretrieved(task) and task.exception()


def _note_complaint(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    assert isinstance(loop, VirtualLoop)
    loop._complaints.append(context.get("exception") or context["message"])


def _unretrieved(task: asyncio.Task[Any]) -> bool:
    """Whether asyncio would log "Task exception was never retrieved" once the task is gone."""
    return bool(task._log_traceback)


def _show(complaint: BaseException | str) -> str:
    return complaint if isinstance(complaint, str) else repr(complaint)


def _where(task: asyncio.Task[Any]) -> str:
    """Name the task and the functions it is suspended in, outermost first, with the innermost line."""
    names: list[str] = []
    place = "?"
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            names.append(frame.f_code.co_name)
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return f"{task.get_name()} in {' > '.join(names) or '?'} ({place})"
