"""The worker process: what it does, and what goes through the pipe between it and its parent.

Down go a `Target` and the pickled arguments; up come the kind of the reply and its pickled body. Pickle is
safe here, because both ends are ours.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator
from contextlib import suppress
from multiprocessing.connection import Connection
from operator import attrgetter
from types import FrameType
from typing import Any, NamedTuple

from asyncfc.errors import AsyncFCError, NotTransferable, ToolFailed

READY = b"ready"
VALUE = b"value"
FAILURE = b"failure"

STAY_HERE = "declare thread='pool' for the tool, and it runs in this process"


class Target(NamedTuple):
    """Where a worker finds the function of a tool."""

    tool: str
    module: str
    path: str


class Reply(NamedTuple):
    """What a call came to: `VALUE` and the pickled value, or `FAILURE` and what `revive` takes."""

    kind: bytes
    body: bytes


def dumps(value: Any) -> bytes:
    """Pickle a value."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def pack(tool: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle the arguments of a call, each by itself, so that one that cannot be pickled can be named.

    Raises:
        NotTransferable: naming that argument.
    """
    named: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
    parts: dict[int | str, bytes] = {}
    for name, value in named:
        try:
            parts[name] = dumps(value)
        except Exception as error:
            raise NotTransferable(
                f"{tool} did not run: its argument {name!r}, of type {type(value).__name__}, cannot be "
                f"pickled ({_short(error)}), so it cannot go to a worker process; {STAY_HERE}"
            ) from error
    return dumps(parts)


def revive(body: bytes) -> BaseException:
    """Return the exception that a `FAILURE` holds."""
    error, args, trace = pickle.loads(body)  # noqa: S301
    if not isinstance(error, BaseException):
        raise TypeError(f"an exception was pickled as a {type(error).__name__}")
    error.args = args  # an `__init__` that makes its text from its arguments has now made it twice
    if trace:
        error.add_note(trace)
    return error


class _Interrupt:
    """Handles SIGINT: it interrupts the tool that runs, and nothing else.

    Ctrl-C reaches every process of the terminal. The tool is interrupted and may clean up; the worker
    stays, because it is the parent that decides about its end. Raises once, so that no second interrupt
    can hit the code that deals with the first.
    """

    armed = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def __enter__(self) -> None:
        self.armed = True

    def __exit__(self, *_: object) -> None:
        self.armed = False


def serve(connection: Connection) -> None:
    """The life of a worker process: one call after the other, until the other end of the pipe closes."""
    interrupt = _Interrupt()
    signal.signal(signal.SIGINT, interrupt)
    with suppress(EOFError, OSError):
        connection.send_bytes(READY)
        while True:
            _serve_one(connection, interrupt)


def _serve_one(connection: Connection, interrupt: _Interrupt) -> None:
    target = pickle.loads(connection.recv_bytes())  # noqa: S301
    reply = _answer(target, connection.recv_bytes(), interrupt)
    connection.send_bytes(reply.kind)
    connection.send_bytes(reply.body)


def _answer(target: Target, arguments: bytes, interrupt: _Interrupt) -> Reply:
    """Run one call. Whatever goes wrong is the reply."""
    try:
        function = function_of(target)
        args, kwargs = _unpack(target.tool, arguments)
        with interrupt:
            value = function(*args, **kwargs)
            if isinstance(value, Generator):
                value = list(value)
        return Reply(VALUE, _packed_value(target.tool, value))
    except BaseException as error:
        return Reply(FAILURE, packed_failure(target.tool, error))


def function_of(target: Target, advice: str = STAY_HERE) -> Any:
    """Import the function.

    Args:
        target: which.
        advice: what to do if that cannot be.

    Raises:
        NotTransferable: this process cannot.
    """
    try:
        return attrgetter(target.path)(importlib.import_module(target.module))
    except BaseException as error:
        raise NotTransferable(
            f"{target.tool} did not run: a worker process cannot import {target.path!r} from "
            f"{target.module!r} ({_short(error)}); {advice}"
        ) from error


def _unpack(tool: str, arguments: bytes) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, part in pickle.loads(arguments).items():  # noqa: S301
        try:
            value = pickle.loads(part)  # noqa: S301
        except BaseException as error:
            raise NotTransferable(
                f"{tool} did not run: its argument {name!r} cannot be read in a worker process "
                f"({_short(error)}); {STAY_HERE}"
            ) from error
        if isinstance(name, str):
            kwargs[name] = value
        else:
            args.append(value)
    return args, kwargs


def _packed_value(tool: str, value: Any) -> bytes:
    """The pickled result, or else its pickled JSON form: keys of a dict, say, have only that."""
    try:
        return dumps(value)
    except BaseException as error:
        from asyncfc.futures.store import MemoryStore  # here, so that a worker starts fast

        stored = MemoryStore().put(value)
        if not stored.is_artifact:
            return dumps(stored.get())
        raise NotTransferable(
            f"{tool} has run, but its result, of type {type(value).__name__}, cannot leave the worker "
            f"process: it has no JSON form and cannot be pickled ({_short(error)}); return plain data, or "
            f"{STAY_HERE}"
        ) from error


def packed_failure(
    tool: str, error: BaseException, *, write: Callable[[Any], bytes] = dumps, own_frames: int = 1
) -> bytes:
    """The pickled exception, or else one of ours that names it; with the traceback as text.

    Args:
        tool: its name.
        error: what it raised.
        write: pickles.
        own_frames: how many of the outermost frames are not the tool's.
    """
    try:
        body = write((error, error.args, _trace(error, own_frames)))
        revive(body)  # many exceptions can be pickled but not read back
    except BaseException:
        return packed_as_text(tool, error, own_frames=own_frames)
    return body


def packed_as_text(tool: str, error: BaseException, *, own_frames: int = 1) -> bytes:
    """The pickled error of ours that names an exception, with the traceback as text."""
    trace = ""
    with suppress(BaseException):
        trace = _trace(error, own_frames)
    kind = type(error)
    failed = ToolFailed(f"{tool} raised {kind.__module__}.{kind.__qualname__}: {_text(error, 2000)}")
    return dumps((failed, failed.args, trace))


def _trace(error: BaseException, own_frames: int) -> str:
    frames = error.__traceback__
    if isinstance(error, AsyncFCError) or frames is None:
        return ""
    for _ in range(own_frames):
        frames = None if frames is None else frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    return f"In worker process {os.getpid()}:\n{''.join(lines)}"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {_text(error, 200)}"


def _text(error: BaseException, max_chars: int) -> str:
    from asyncfc.futures.plain import safe_text

    try:
        return safe_text(error, max_chars)
    except KeyboardInterrupt:  # its own `__str__` raised that
        return ""
