"""Tools for worker processes, in a module that these can import by name.

A tool that is to wait for its test connects to it: `meet` tells its process id and waits for one word.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator, KeysView
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from asyncfc import tool

EVER_SEEN: list[int] = []
VARIABLE = ContextVar("VARIABLE", default="default")


def talk(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        return connection.makefile().readline().strip()


@tool(pure=True)
def meet(port: int) -> str:
    return talk(port)


@tool(writes="meeting", timeout=0.05, abandon_after=60)
def meet_too_long(port: int) -> str:
    return talk(port)


@tool(writes="fs:{path}")
def append(path: str, text: Any) -> str:
    """Return what the file holds then."""
    with Path(path).open("a+") as file:
        file.write(f"{text};")
        file.seek(0)
        return file.read()


@tool(writes="fs:{path}")
def meet_and_append(port: int, path: str, text: str) -> None:
    talk(port)
    append(path, text)


@tool(pure=True)
def where() -> int:
    return os.getpid()


def where_plain(_n: int = 0) -> int:
    return os.getpid()


async def where_async() -> int:
    return os.getpid()


def where_item_by_item() -> Iterator[int]:
    yield os.getpid()


class Place:
    def where(self) -> int:
        return os.getpid()

    @staticmethod
    def where_static() -> int:
        return os.getpid()

    def __call__(self) -> int:
        return os.getpid()


def closure() -> Any:
    def where_closed() -> int:
        return os.getpid()

    return where_closed


class Point(BaseModel):
    x: int


@tool(pure=True)
def shift(point: Point, by: int, /) -> list[Any]:
    return [os.getpid(), type(point).__name__, point.x + by]


@tool(pure=True)
def remember(n: int) -> list[int]:
    EVER_SEEN.append(n)
    return EVER_SEEN


@tool(pure=True)
def variable() -> str:
    return VARIABLE.get()


class OwnError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class TwoPartError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class HostileError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class DisguisedError(Exception):
    def __reduce__(self) -> Any:
        return int, ()


def _locked() -> Exception:
    return ValueError("holds a lock", threading.Lock())


def _hostile() -> Exception:
    return HostileError(threading.Lock())


ERRORS: dict[str, Callable[[], BaseException]] = {
    "own": lambda: OwnError(5),
    "os": lambda: FileNotFoundError(2, "No such file", "a.txt"),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit(3),
    "generator exit": GeneratorExit,
    "two parts": lambda: TwoPartError("one", "two"),
    "locked": _locked,
    "hostile": _hostile,
    "disguised": lambda: DisguisedError("ordinary text"),
}


@tool(pure=True)
def fail(how: str) -> None:
    error = ERRORS[how]()
    raise error


class Unreadable:
    """Can be pickled, but not read back."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


async def _coroutine() -> int:
    return 1


def _items() -> Generator[int, None, None]:
    yield from (1, 2)


def _cycle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def _keys() -> KeysView[str]:
    return {"a": 1, "b": 2}.keys()


RESULTS: dict[str, Callable[[], Any]] = {
    "cycle": _cycle,
    "keys": _keys,
    "generator": _items,
    "lock": threading.Lock,
    "unreadable": Unreadable,
    "coroutine": _coroutine,
}


@tool(pure=True)
def give(what: str) -> Any:
    return RESULTS[what]()


@tool(pure=True)
async def make_lock() -> Any:
    return threading.Lock()


@tool(pure=True)
def take(thing: Any) -> str:
    return type(thing).__name__


@tool(pure=True)
def leave(code: int) -> None:
    os._exit(code)


def leave_at_once(_connection: object) -> None:
    os._exit(7)


@tool(pure=True)
def hang_without_pipe() -> None:
    os.closerange(3, 256)
    threading.Event().wait()


@tool(pure=True)
def leave_a_child(port: int) -> None:
    """Die, and leave a child behind that has all files of its parent open."""
    if os.fork() == 0:
        try:
            talk(port)
        finally:
            os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@tool(pure=True)
def meet_undisturbed(port: int) -> str:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return talk(port)


@tool(pure=True)
def echo(thing: Any) -> Any:
    return thing


@tool(pure=True)
def say(text: str) -> None:
    sys.stdout.write(text)  # and not flushed


@tool(pure=True)
def interrupt_twice() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
