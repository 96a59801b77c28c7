"""Tools for Ray's workers, in a module that these can import by name."""

# ruff: noqa: ASYNC110  # what workers do is seen in files alone
from __future__ import annotations

import _thread
import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, PrivateAttr, model_serializer

from asyncfc import tool

EVER_SEEN: list[int] = []


@tool(pure=True)
def where() -> int:
    return os.getpid()


@tool(pure=True)
def echo(thing: Any) -> Any:
    return thing


@tool(pure=True)
def big(chars: int) -> str:
    return "x" * chars


@tool(pure=True)
def rows(count: int) -> dict[str, Any]:
    return {"rows": [{"n": n, "text": "y" * 20} for n in range(count)], "count": count}


@tool(pure=True)
def length(thing: Any) -> int:
    return len(thing)


@tool(pure=True)
def lengths(one: Any, other: Any, text: str) -> list[Any]:
    """Change what was given, so that it shows if the two are one object."""
    seen = [len(one["rows"]), len(other["rows"]), len(text)]
    one["rows"].clear()
    return [*seen, len(other["rows"])]


def length_here(thing: Any) -> list[int]:
    return [os.getpid(), len(thing)]


class Matrix:
    """Has no JSON form."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.bytes = bytearray(side * side)


@tool(pure=True)
def matrix(side: int) -> Matrix:
    return Matrix(side)


@tool(pure=True)
def side(of: Any) -> Any:
    return [type(of).__name__, of.side, len(of.bytes)]


@tool(pure=True)
def lock() -> Any:
    return threading.Lock()


class Point(BaseModel):
    x: int


class Laden(Point):
    """Has more to it than its JSON form shows."""

    _load: bytes = PrivateAttr(default=b"")


@tool(pure=True)
def laden(size: int) -> Laden:
    made = Laden(x=size)
    made._load = b"0" * size
    return made


@tool(pure=True)
def shift(point: Point, by: int, /) -> Point:
    return Point(x=point.x + by)


class OwnError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


@tool(pure=True)
def fail(code: int) -> None:
    raise OwnError(code)


@tool(pure=True)
def interrupt() -> None:
    raise KeyboardInterrupt


class Said(BaseModel):
    said: str

    @model_serializer
    def _interrupted(self) -> dict[str, str]:
        _thread.interrupt_main()
        for _ in range(1000):  # where it would be felt
            pass
        return {"said": self.said}


def interrupted() -> Said:
    """Be interrupted while at work, and while the result is written down."""
    _thread.interrupt_main()
    return Said(said="done")


@tool(pure=True)
def count_to(n: int) -> Iterator[dict[str, int]]:
    for k in range(n):
        yield {"n": k}


def note(path: str, text: str = "x") -> int:
    """Add to a file; return how often that was done."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return Path(path).read_text().count("\n")


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.005)


def hold(begun: str, path: str) -> str:
    note(begun)
    wait_for(path)
    return "done"


def die_once(path: str) -> str:
    """Kill the worker, the first time."""
    if note(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"try {Path(path).read_text().count(chr(10))}"


def die_when_told(path: str, go: str) -> str:
    """Kill the worker, the first time, as soon as the test says so."""
    if note(path) == 1:
        wait_for(go)
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


class Counter:
    """State with methods. They are declared here, or by the session."""

    def __init__(self, start: int = 0) -> None:
        self.marks = [start]

    @tool(writes="counter")
    def add(self, by: int) -> list[int]:
        self.marks.append(self.marks[-1] + by)
        return self.marks  # the live list, as real tools do

    @tool(reads="counter")
    def total(self) -> int:
        return self.marks[-1]

    def pid(self) -> int:
        return os.getpid()

    @tool(writes="counter")
    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @tool(writes="counter", timeout=0.2, abandon_after=0.3)
    def hold(self, begun: str, path: str) -> str:
        return hold(begun, path)


class Slow:
    """State with asynchronous methods."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.here = 0

    @tool(reads="slow.meet")
    async def meet(self, of: int) -> int:
        """Wait until so many calls are here at the same time."""
        self.here += 1
        while self.here < of:
            await asyncio.sleep(0.005)
        return self.here

    @tool(writes="slow.block")
    def block(self, begun: str, path: str) -> str:
        """Keep the loop busy."""
        return hold(begun, path)

    @tool(writes="slow.sleep")
    async def sleep(self, begun: str) -> None:
        note(begun)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    @tool(reads="slow")
    def cancels(self) -> int:
        return self.cancelled

    @tool(pure=True)
    async def pages(self, n: int) -> Any:
        for k in range(n):
            await asyncio.sleep(0)
            yield k


class Broken:
    def __init__(self) -> None:
        raise ValueError("no such database")

    @tool(reads="broken")
    def read(self) -> None: ...
