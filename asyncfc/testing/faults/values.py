"""Bugs in values: snapshots, references, copies, errors, and what is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from asyncfc.execution import own
from asyncfc.execution.executors import LocalExecutor, Result
from asyncfc.execution.task import Task
from asyncfc.futures import reference
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.reference import Site, scan, substitute
from asyncfc.futures.retention import Retention
from asyncfc.futures.store import MemoryStore
from asyncfc.futures.table import FutureTable
from asyncfc.message import Message
from asyncfc.testing.faults.plant import planted, replaced


class Lazy(Value):
    """Takes its snapshot anew each time that somebody looks at it."""

    def __init__(self, live: Any) -> None:
        self._live = live

    @property
    def is_artifact(self) -> bool:  # type: ignore[override]  # one object may be either, at its time
        """See `Value.is_artifact`."""
        return self._now.is_artifact

    @property
    def _now(self) -> Value:
        return MemoryStore().put(self._live)

    @property
    def size(self) -> int:
        """See `Value.size`."""
        return self._now.size

    def get(self) -> Any:
        """See `Value.get`."""
        return self._now.get()

    def at(self, path: Any) -> Any:
        """See `Value.at`."""
        return self._now.at(path)

    def text(self) -> str:
        """See `Value.text`."""
        return self._now.text()

    def preview(self, max_chars: int) -> str:
        """See `Value.preview`."""
        return self._now.preview(max_chars)


def late_snapshot() -> Any:
    """A result is projected when somebody looks at it, not when its call ended."""
    return planted(LocalExecutor, "_result", lambda _: lambda _, value: Result(Lazy(value), value))


def lost_exception() -> Any:
    """What a tool raises becomes the value None."""

    def make(original: Any) -> Any:
        async def finish(self: LocalExecutor, *args: Any, **options: Any) -> Result:
            result: Result = await original(self, *args, **options)
            swallowed = isinstance(result.outcome, Failure)
            return Result(MemoryStore().put(None)) if swallowed else result

        return finish

    return planted(LocalExecutor, "finish", make)


def first_failure_in_time() -> Any:
    """A dependant blames whichever input failed first, not the earliest emitted one (S10)."""

    def make(original: Any) -> Any:
        def obstacle(self: Task) -> Any:
            failed = [f for f in self.inputs if f.outcome is not None and not isinstance(f.outcome, Value)]
            self.inputs, self.certain = failed[:1], 0
            return original(self)

        return obstacle

    return planted(Task, "obstacle", make)


def own_object_late() -> Any:
    """Within grace the caller gets the tool's live object, although a later call may have changed it."""
    return planted(own, "_copied", lambda _: lambda result: result.own)


@contextmanager
def inserted_text_scanned_again() -> Iterator[None]:
    """What was put in place of a reference is searched for references, too (P22)."""
    lookups: dict[int, Any] = {}

    def noting(original: Any) -> Any:
        def register(self: Message, call: Any, future: Future, *, waits: bool) -> None:
            lookups[future.order] = self._lookup
            original(self, call, future, waits=waits)

        return register

    def again(original: Any) -> Any:
        def final_arguments(self: Task, left: Collection[Site] = ()) -> dict[str, Any]:
            inserted = original(self, left) if self.sites else None
            if inserted is None:
                return self.arguments
            return substitute(*scan(inserted, DEFAULT_GRAMMAR, lookups[self.order]), self.tool.schema)

        return final_arguments

    with ExitStack() as stack:
        stack.enter_context(planted(Message, "_register", noting))
        stack.enter_context(planted(Task, "final_arguments", again))
        yield


def handle_left_in_text() -> Any:
    """A handle inside a longer text is left there as it was written (P21)."""

    def make(original: Any) -> Any:
        def text(self: Any, text: str, location: Any) -> str:
            found = len(self.sites)
            result: str = original(self, text, location)
            if len(self.sites) > found and not self.sites[-1].whole:
                del self.sites[found:]
            return result

        return text

    return planted(reference._Scanner, "_text", make)


def text_for_value() -> Any:
    """A reference that stands alone is replaced by the text of its value (P23)."""

    def make(original: Any) -> Any:
        return lambda self, site, location: canonical_text(original(self, site, location))

    return planted(reference._Filler, "_whole", make)


def shared_values() -> Any:
    """All who refer to a value get the same object (P24)."""
    handed: dict[int, tuple[Any, Any]] = {}  # with the future itself, so that its id stays taken

    def make(original: Any) -> Any:
        def part(ref: Any, stored: Value) -> Any:
            if ref.path:
                return original(ref, stored)
            return handed.setdefault(id(ref.future), (ref.future, original(ref, stored)))[1]

        return part

    return planted(reference, "_part", make)


def hidden_handles_known() -> Any:
    """A handle counts before it was shown (P25)."""

    def make(original: Any) -> Any:
        def lookup(self: FutureTable, tag: str, number: int, text: str | None = None) -> Future:
            if tag == self.tag and 0 < number <= len(self):
                return self._futures[number - 1]
            found: Future = original(self, tag, number, text)
            return found

        return lookup

    return planted(FutureTable, "lookup", make)


@contextmanager
def dropped_while_referenced() -> Iterator[None]:
    """A value is dropped although a call that is live refers to it (V3)."""
    with ExitStack() as stack:
        for name in ("pin", "unpin"):
            stack.enter_context(replaced(Retention, name, lambda *_: None))
        yield
