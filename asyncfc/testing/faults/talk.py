"""Bugs between the model and the calls: messages, duplicates, what was seen, what is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from asyncfc import duplicates
from asyncfc.conversation.delivery import Delivery, Outbox
from asyncfc.duplicates import Broken
from asyncfc.execution.scheduler import Scheduler
from asyncfc.execution.task import Task
from asyncfc.futures.future import Future
from asyncfc.message import Message
from asyncfc.session import Session
from asyncfc.testing.faults.plant import planted, replaced


def stale_share() -> Any:
    """A call shares the outcome of an equal one in flight, although a write lies in between (S9)."""
    return replaced(Scheduler, "newest_conflict", lambda *_: -1)


def stale_adoption() -> Any:
    """A retry adopts a read of the broken message although a write has come in between (O3)."""

    def make(original: Any) -> Any:
        def adopt(self: Broken, task: Task, place: int, _: Callable[[Task], int]) -> Any:
            return original(self, task, place, lambda _: -1)

        return adopt

    return planted(Broken, "adopt", make)


def other_call_adopted() -> Any:
    """A retry adopts whatever read stood at the place of a call (O3)."""
    return replaced(duplicates, "same_call", lambda *_: True)


def withdrawn_runs() -> Any:
    """The calls of a message that never completed run (O3)."""

    def withdraw(self: Message, tasks: Sequence[Task], _: str) -> None:
        self._core.scheduler.commit(tasks)

    return replaced(Message, "_withdraw", withdraw)


def submitted_again_runs_again() -> Any:
    """A message that a framework submits once more is taken for a new one (O4)."""

    def make(original: Any) -> Any:
        async def submit(self: Session, calls: Any, **_: Any) -> Any:
            return await original(self, calls)

        return submit

    return planted(Session, "submit", make)


def gate_dropped() -> Any:
    """An irreversible call does not wait for the earlier calls of its message (E4)."""

    def make(original: Any) -> Any:
        def init(self: Task, *args: Any) -> None:
            original(self, *args[:5])  # without `before`

        return init

    return planted(Task, "__init__", make)


def blind_runs() -> Any:
    """An irreversible call runs although outcomes have not been seen (E4)."""

    def make(original: Any) -> Any:
        def init(self: Message, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            self._blind = []

        return init

    return planted(Message, "__init__", make)


def told_twice() -> Any:
    """A delivery stays due after it was made, so that the model is told again with every request."""

    def make(original: Any) -> Any:
        def tell(self: Outbox, future: Future) -> Delivery:
            was_due, in_short = future.order in self._due, self._in_short.get(future.order, "")
            delivery: Delivery = original(self, future)
            if was_due:
                self._due[future.order] = future
                self._in_short[future.order] = in_short
            return delivery

        return tell

    return planted(Outbox, "tell", make)


def note_lost() -> Any:
    """A note that a failed request was to bring does not come again."""

    def make(original: Any) -> Any:
        @contextmanager
        def sampling(self: Outbox) -> Iterator[Any]:
            try:
                with original(self) as due:
                    yield due
            except BaseException:
                self._notes = deque()
                raise

        return sampling

    return planted(Outbox, "sampling", make)


def unescaped() -> Any:
    """Text of a tool that looks like a handle is one as soon as the model copies it (H2)."""

    def make(original: Any) -> Any:
        def init(self: Outbox, *args: Any, **options: Any) -> None:
            original(self, *args, **options)
            self._escape = lambda text: text  # type: ignore[assignment]

        return init

    return planted(Outbox, "__init__", make)
