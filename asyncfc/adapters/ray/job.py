"""What a Ray worker does for one call: fill in, run, project, report.

It never raises what the tool raises: that goes into the report, like everything else that the program is
to know. The value itself comes apart from the report, so that it can stay in the object store.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

import ray
from ray import cloudpickle

from asyncfc.adapters.ray.values import HEAD_CHARS, About, Left
from asyncfc.errors import NotTransferable, ProjectionError
from asyncfc.execution import streams
from asyncfc.execution.serving import Target, function_of, packed_as_text, packed_failure
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import CONTAINERS
from asyncfc.futures.rendered import RenderedValue
from asyncfc.futures.store import JsonValue, MemoryStore
from asyncfc.tools import Tool

BE_THERE = (
    "workers need the modules of tools: on one machine they find what could be imported at ray.init(), on "
    "others pass runtime_env={'working_dir': ...} to it"
)
OWN_BYTES = 10 * HEAD_CHARS
"""Of a small value, what the tool itself returned comes along if it is no longer than this."""
BEGUN = "begun"
"""What the first ring of a call says; each further one has an item."""


class Ring(NamedTuple):
    """Where a call tells that it has begun, and what it yields."""

    bell: bytes
    """The handle of a `Bell`, pickled: to read it anew would cost every call more than the ring itself."""
    rope: str
    call: int


class Request(NamedTuple):
    """One call, as it goes to a worker. The values that are left to fill in come beside it."""

    arguments: dict[str, Any]
    left: Left
    ring: Ring | None
    number: int
    """Of this try, among all calls of the program."""


class Raised(NamedTuple):
    """What a tool raised, for `revive`."""

    itself: bytes
    as_text: bytes
    """For a program that has not the class of it."""


class Report(NamedTuple):
    """How a call ended. One of the first four is set."""

    value: Value | None = None
    """A small value."""
    about: About | None = None
    """A value that stays in the object store."""
    failure: Raised | None = None
    """What the tool raised."""
    stopped: str | None = None
    """When it was stopped."""
    own: bytes | None = None
    """What the tool returned, pickled, if that is more than its JSON form, and small as well."""
    rings: int = 0
    """How often the call has rung."""


Done: TypeAlias = tuple[Report, Any]
"""The report, and the value that stays in the object store, or None."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker makes a tool of. Its function: by name, itself, or the name of an actor's method."""

    function: Target | Callable[..., Any] | str
    making: Mapping[str, Any]

    def make(self, state: Any = None) -> Tool:
        """Make the tool.

        Raises:
            NotTransferable: this process cannot import the function.
        """
        function = self.function
        if isinstance(function, Target):
            function = function_of(function, BE_THERE)
        elif isinstance(function, str):
            function = getattr(state, function)
            function = function.function if isinstance(function, Tool) else function
        return Tool(function, **self.making)


# --- running ------------------------------------------------------------------------------------------


class Job:
    """One call on its worker. It rings when it begins, and for each item that the tool yields.

    Args:
        tool: its name.
        make: makes the tool, or has it.
        request: the call.
        data: the values that are left to fill in.
    """

    def __init__(self, tool: str, make: Callable[[], Tool], request: Request, data: tuple[Any, ...]) -> None:
        self._tool = tool
        self._make = make
        self._request = request
        self._data = data
        self._rings = 0

    def run(self) -> Done:
        """Run the call to its end in this thread."""
        try:
            _DEAF.begin()
            value = self._begin()
            if streams.is_awaitable(value) or streams.is_async_stream(value):
                value = asyncio.run(self._complete(value))
            elif streams.is_stream(value):
                value = streams.drain(value, self._take)
            return self._reported(value)
        except BaseException as error:
            return self._failed(error)

    async def run_async(self) -> Done:
        """Run the call to its end on this loop."""
        try:
            return self._reported(await self._complete(self._begin()))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it was asked for
            return self._failed(error)
        except BaseException as error:
            return self._failed(error)

    def _begin(self) -> Any:
        arguments, left, _, _ = self._request
        self._ring(BEGUN)
        tool = self._make()
        if left.sites:
            arguments = left.fill(arguments, self._data, tool.schema)
        self._data = ()
        return tool.invoke(arguments)

    async def _complete(self, value: Any) -> Any:
        while streams.is_awaitable(value):
            value = await value
        if streams.is_stream(value):
            value = streams.step_by_step(value)
        return await streams.drain_async(value, self._take) if streams.is_async_stream(value) else value

    def _take(self, item: Any) -> None:
        if self._request.ring is None:
            return
        try:
            stored = MemoryStore().put(item)
            self._ring(stored.text() if stored.is_artifact else stored.get())
        except ProjectionError as error:
            self._ring(str(error))

    def _ring(self, what: Any) -> None:
        ring = self._request.ring
        if ring is not None:
            _bell(ring.bell).ring.remote(ring.rope, ring.call, self._rings, what)
            self._rings += 1

    def _reported(self, result: Any) -> Done:
        """The projection is taken here, before any other call can change what was returned (DESIGN V1)."""
        stored = MemoryStore().put(result)
        if isinstance(stored, RenderedValue) or (isinstance(stored, JsonValue) and _is_small(stored)):
            own = None if _is_plain(result) else pickled(result)
            if own is not None and len(own) > OWN_BYTES:
                own = None
            return Report(value=stored, own=own, rings=self._rings), None
        kept = stored.get()
        if stored.is_artifact:
            self._check_pickle(kept)
        text = stored.text()
        head = text if stored.is_artifact else text[:HEAD_CHARS]
        about = About(stored.size, len(text), head, stored.is_artifact, type(result).__name__)
        return Report(about=about, rings=self._rings), kept

    def _failed(self, error: BaseException) -> Done:
        frames = _own_frames(error)
        itself = packed_failure(self._tool, error, write=cloudpickle.dumps, own_frames=frames)
        raised = Raised(itself, packed_as_text(self._tool, error, own_frames=frames))
        return Report(failure=raised, rings=self._rings), None

    def _check_pickle(self, value: Any) -> None:
        dumps: Any = cloudpickle.dumps
        try:
            dumps(value, protocol=5, buffer_callback=lambda _: None)  # copies no array
        except Exception as error:
            raise NotTransferable(
                f"{self._tool} has run, but its result, of type {type(value).__name__}, cannot leave "
                f"its worker: it has no JSON form and cannot be pickled ({error}); return plain data"
            ) from error


@lru_cache(maxsize=8)
def _bell(handle: bytes) -> Any:
    return pickle.loads(handle)  # noqa: S301  # both ends are ours


class _Deaf:
    """Handles SIGINT in a worker, by which Ray asks a task to stop: not once a call has begun.

    A call that may be stopped is stopped with its whole process; any other one runs to its end. That holds
    until Ray has its result: an interrupt on the way out would be told as if the tool had not run.
    """

    def __init__(self) -> None:
        self._task: str | None = None
        self._before: Any = None

    def begin(self) -> None:
        """A call begins in this thread."""
        if threading.current_thread() is threading.main_thread():
            self._task = _task()
            if signal.getsignal(signal.SIGINT) is not self:
                self._before = signal.signal(signal.SIGINT, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before) and _task() != self._task:
            self._before(number, frame)


_DEAF = _Deaf()


def _task() -> str | None:
    context: Any = ray.get_runtime_context()
    found: str | None = context.get_task_id()
    return found


_SHORT = (type(None), bool, int, float)


def _is_small(value: JsonValue) -> bool:
    """Whether it travels with the report: held as text, or a short atom."""
    held = value.held()
    return isinstance(held, str) or value.fits(HEAD_CHARS) or type(held.get()) is int


def _is_plain(value: Any) -> bool:
    """Whether a value is the same as its JSON form, types included."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if kind in CONTAINERS:
        return all(map(_is_plain, value))
    return kind is str or kind in _SHORT


def pickled(value: Any) -> bytes | None:
    """The value pickled; None if it cannot be."""
    dumps: Any = cloudpickle.dumps
    with suppress(Exception):
        return bytes(dumps(value))
    return None


def why_not_pickled(error: BaseException, *functions: Any) -> str:
    """What Ray says of something that cannot be pickled, without its report around it.

    Args:
        error: what it raised.
        functions: what they refer to may be the reason.
    """
    names = [name for function in functions if inspect.isfunction(function) for name in _culprits(function)]
    why = " ".join(str(error.__cause__ or error).split())[:300]
    return f"{', '.join(sorted(set(names)))}: {why}" if names else why


def _culprits(function: Any) -> Iterator[str]:
    """The names that a function uses for what cannot be pickled."""
    used = inspect.getclosurevars(function)
    values = {**used.globals, **used.nonlocals}
    return (name for name, value in values.items() if pickled(value) is None)


def _own_frames(error: BaseException) -> int:
    """How many of the outermost frames of a traceback are of this module."""
    count, frames = 0, error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == __name__:
        count, frames = count + 1, frames.tb_next
    return count
