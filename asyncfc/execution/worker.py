"""Worker: one process that runs tools, one call after the other, and the pipe to it. Both ends are here.

Processes of our own rather than a `concurrent.futures` pool: there one dead process fails every call of
the pool (against DESIGN F1), a call that was queued cannot be taken back, a call that hangs keeps the
interpreter from its exit, and the processes outlive a parent that was killed.

Down the pipe go a `Target` and the pickled arguments; up come the kind of the reply and its pickled body.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Generator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from operator import attrgetter
from types import FrameType
from typing import Any, NamedTuple

from asyncfc.errors import AsyncFCError, NotTransferable, ToolFailed, WorkerLost

READY = b"ready"
VALUE = b"value"
FAILURE = b"failure"

LOOK_AGAIN_S = 1.0
"""How often the death of a worker is looked for that left children of its own behind, in seconds."""

STAY_HERE = "declare thread='pool' for the tool, and it runs in this process"

_SPAWN = multiprocessing.get_context("spawn")  # the same on all systems, and safe beside threads


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
    parts: dict[int | str, bytes] = {}
    for name, value in (*enumerate(args), *kwargs.items()):
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
    error, args, trace = pickle.loads(body)  # noqa: S301  # comes from a process of our own
    if not isinstance(error, BaseException):
        raise TypeError(f"an exception was pickled as a {type(error).__name__}")
    error.args = args  # an `__init__` that makes its text from its arguments has now made it twice
    if trace:
        error.add_note(trace)
    return error


class Worker:
    """One worker process, for one call at a time. The first call waits until it is ready.

    Raises:
        OSError, RuntimeError: the system gives no process.
    """

    def __init__(self) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=serve, args=(theirs,), name="asyncfc-worker")
        self._ready = False
        try:
            self._process.start()
        finally:
            theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        return self._process.is_alive()

    def run(self, target: Target, arguments: bytes) -> Reply:
        """Run one call, and block until its end.

        Raises:
            WorkerLost: the process has ended, by now in any case.
        """
        try:
            if not self._ready:
                self._ready = self._receive() == READY
            self._connection.send_bytes(dumps(target))
            self._connection.send_bytes(arguments)
            return Reply(self._receive(), self._receive())
        except (EOFError, OSError):
            self._process.kill()  # a tool may have closed the pipe and live on
            self._process.join()
            self._connection.close()
            raise WorkerLost(self._epitaph(target.tool)) from None

    def dismiss(self) -> None:
        """Let the process end by itself. Only between two calls."""
        self._connection.close()

    def terminate(self) -> None:
        """Ask the process to end, whatever it is doing."""
        self._process.terminate()

    def join(self, timeout: float) -> None:
        """Wait for the end of the process, at most `timeout` seconds."""
        self._process.join(timeout)

    def kill(self, timeout: float) -> None:
        """End the process, and wait for that at most `timeout` seconds."""
        self._process.kill()
        self._process.join(timeout)

    def _receive(self) -> bytes:
        """Block until the next message is there. EOFError, OSError: none will come any more."""
        signs: list[Connection | int] = [self._connection, self._process.sentinel]
        while not (seen := wait(signs, LOOK_AGAIN_S)):
            if not self._process.is_alive():  # a process that the tool has forked holds both open
                break
        if self._connection not in seen:
            raise EOFError
        return self._connection.recv_bytes()

    def _epitaph(self, tool: str) -> str:
        code = self._process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            with suppress(ValueError):  # a real-time signal has no name
                how = signal.Signals(-code).name
        if self._ready:
            return f"{tool} may or may not have taken effect: its worker process died while it ran ({how})"
        return (
            f"{tool} did not run: its worker process died before it was ready ({how}; the reason is on the "
            f"standard error of this program). A worker imports the main module: what that does as a program "
            f"belongs under `if __name__ == '__main__':`"
        )


# --- in the worker process ----------------------------------------------------------------------------


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
    target = pickle.loads(connection.recv_bytes())  # noqa: S301  # comes from our parent
    reply = _answer(target, connection.recv_bytes(), interrupt)
    connection.send_bytes(reply.kind)
    connection.send_bytes(reply.body)


def _answer(target: Target, arguments: bytes, interrupt: _Interrupt) -> Reply:
    """Run one call. Whatever goes wrong is the reply."""
    try:
        function = _function(target)
        args, kwargs = _unpack(target.tool, arguments)
        with interrupt:
            value = function(*args, **kwargs)
            if isinstance(value, Generator):
                value = list(value)
        return Reply(VALUE, _packed_value(target.tool, value))
    except BaseException as error:
        return Reply(FAILURE, _packed_failure(target.tool, error))


def _function(target: Target) -> Any:
    try:
        return attrgetter(target.path)(importlib.import_module(target.module))
    except BaseException as error:
        raise NotTransferable(
            f"{target.tool} did not run: a worker process cannot import {target.path!r} from "
            f"{target.module!r} ({_short(error)}); {STAY_HERE}"
        ) from error


def _unpack(tool: str, arguments: bytes) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, part in pickle.loads(arguments).items():  # noqa: S301  # comes from our parent
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
    from asyncfc.futures.store import MemoryStore  # here, so that a worker starts fast

    try:
        return dumps(value)
    except BaseException as error:
        stored = MemoryStore().put(value)
        if not stored.is_artifact:
            return dumps(stored.get())
        raise NotTransferable(
            f"{tool} has run, but its result, of type {type(value).__name__}, cannot leave the worker "
            f"process: it has no JSON form and cannot be pickled ({_short(error)}); return plain data, or "
            f"{STAY_HERE}"
        ) from error


def _packed_failure(tool: str, error: BaseException) -> bytes:
    """The pickled exception, or else one of ours that names it; with the traceback as text."""
    trace = ""
    try:
        trace = _trace(error)
        body = dumps((error, error.args, trace))
        revive(body)  # many exceptions can be pickled but not read back
    except BaseException:
        kind = type(error)
        failed = ToolFailed(f"{tool} raised {kind.__module__}.{kind.__qualname__}: {_text(error, 2000)}")
        return dumps((failed, failed.args, trace))
    return body


def _trace(error: BaseException) -> str:
    if isinstance(error, AsyncFCError) or error.__traceback__ is None:
        return ""
    lines = traceback.format_exception(type(error), error, error.__traceback__.tb_next)  # without our frame
    return f"In worker process {os.getpid()}:\n{''.join(lines)}"


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {_text(error, 200)}"


def _text(error: BaseException, max_chars: int) -> str:
    from asyncfc.futures.plain import safe_text

    try:
        return safe_text(error, max_chars)
    except KeyboardInterrupt:  # its own `__str__` raised that
        return ""
