"""A small world in which every overlap of conflicting calls shows, in a result or in the final state.

Resources form a tree, `fs:/`, `fs:/a`, `fs:/a/b`, ...; each has a cell, a list of marks. A tool looks
at, or marks, the whole subtree of its path when it starts *and* when it ends, after a pause. So two
conflicting calls that overlap, or swap, leave other marks than one after the other:

- a reader reports the subtree as it was at its start and as it is at its end;
- a writer leaves half a mark at its start and the rest at its end, and reports like a reader.

What they report of the end is the live cells themselves, as real tools do, so that a snapshot taken
too late shows as well. Tools also destroy the arguments they got. A `nest` calls other tools from inside.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Literal, TypeAlias

from asyncfc.tools import Tool

Path: TypeAlias = tuple[str, ...]
Fail: TypeAlias = Literal["start", "middle", "end"] | None
"""When a call raises: before it did anything, between its two halves, or when all is done."""
Submit: TypeAlias = Callable[[list[Any], "Path | None"], Awaitable[Callable[[], Awaitable[list[Any]]]]]
"""Submits calls from inside a tool, each `[tool name, arguments]`; an argument `{"sibling": k}` stands for
the value of the k-th of them. They must stay within a path (None: anywhere). Returns what to await for
what became of each, as plain data."""

PATHS = (".", "a", "b", "a/a", "a/b", "b/a", "b/b")
LEAVES = (".", "a", "b")
_CELLS: tuple[Path, ...] = ((), ("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"))

READERS = ("read", "count", "many")
WRITERS = ("write", "append", "delete", "copy")
VARIANTS = ("", "a", "fn", "wide", "bare")
"""How a tool is declared: exactly; exactly, with its paths below `fs:/a`; exactly, by functions of its
arguments; as reading and writing the whole tree; not at all. A variant is a suffix of the tool's name:
`read`, `read_a`, `read_wide`."""

TIMEOUT = 2.5
"""Seconds that a call of a `timed`, `deaf` or `lost` tool may take; no delay is a tie with it."""
SPECIAL: Mapping[str, Mapping[str, Any]] = {
    "final": {"level": "irreversible"},
    "timed": {"timeout": TIMEOUT},
    "deaf": {"timeout": TIMEOUT, "abandon_after": 100.0},
    "lost": {"timeout": TIMEOUT, "abandon_after": 0.25},
}
"""Further variants, declared exactly, and what else they say. Work of `deaf` and `lost` tools goes on when
it is asked to stop. And there is `once`: undeclared, it does all it does in the moment in which it ends."""


class Broke(Exception):
    """What tools of the world raise when told to fail."""


class World:
    """The tree of cells, and who worked on it when.

    - `cells`: marks by path.
    - `log`: `(virtual time, n, what)` of each run, in the order in which it happened; what waits for the
      calls that it has made pauses and resumes.
    - `submit`: how tools make calls.
    """

    def __init__(self) -> None:
        self.cells: dict[Path, list[str]] = {path: [] for path in _CELLS}
        self.log: list[tuple[float, int, Literal["start", "pause", "resume", "end"]]] = []
        self.submit: Submit | None = None

    def enter(self) -> None:
        """Make this the world that tools work on, in the current context and in tasks made from it."""
        _HERE.set(self)

    def subtree(self, path: Path) -> dict[str, list[str]]:
        """The live cells at and below a path, by readable name."""
        return {"/".join(cell): marks for cell, marks in self.cells.items() if cell[: len(path)] == path}


_HERE: ContextVar[World] = ContextVar("world")


@cache
def world_tool(name: str) -> Tool:
    """A tool by name, such as `read`, `write_a` or `pick`; see `READERS`, `WRITERS` and `VARIANTS`.

    It works on the world that was last entered where it was submitted. Making tools is expensive, so
    that they are shared by all worlds.
    """
    kind, _, variant = name.partition("_")
    function = getattr(_Hands(variant), kind)
    return Tool(function, name=name, effects=effects_of(kind, variant) or None)


def world_tools(names: Iterable[str]) -> dict[str, Tool]:
    """The named tools, as a session takes them."""
    return {name: world_tool(name) for name in sorted(set(names))}


def effects_of(kind: str, variant: str) -> dict[str, Any]:
    """The declaration of a tool, in the one written form; empty if undeclared."""
    if variant in {"bare", "once"}:
        return {}
    if variant == "wide":
        return {"reads": "fs:/", "writes": "fs:/"}
    if kind == "pick":
        return {"pure": True}
    labels = _LABELS_OF if variant == "fn" else _labels("/a" if variant == "a" else "")
    parameters = {"many": {"reads": "paths"}, "copy": {"reads": "path", "writes": "to"}}.get(kind)
    parameters = parameters or {"reads" if kind in READERS else "writes": "path"}
    return {**{name: labels[parameter] for name, parameter in parameters.items()}, **SPECIAL.get(variant, {})}


def _labels(below: str) -> dict[str, Any]:
    return {parameter: f"fs:{below}/{{{parameter}}}" for parameter in ("path", "paths", "to")}


_LABELS_OF: dict[str, Any] = {
    "path": lambda path: f"fs:/{path}",
    "paths": lambda paths: [f"fs:/{path}" for path in paths],
    "to": lambda to: f"fs:/{to}",
}


class _Hands:
    """The tool functions. All take `n` (which call of the program), `delay` (s) and `fail`."""

    def __init__(self, variant: str) -> None:
        self.base = "a" if variant == "a" else ""
        self.variant = variant
        self.deaf = variant in {"deaf", "lost"}
        self.at_once = variant == "once"

    async def pick(self, n: int, path: str, value: Any = None, delay: float = 0, fail: Fail = None) -> Any:
        """Return the path; touches nothing."""
        fingerprint(value)
        return await self._act(n, delay, fail, lambda: None, lambda _: path)

    async def read(self, n: int, path: str, delay: float = 0, fail: Fail = None) -> Any:
        """Report the subtree."""
        cells = self._cells(path)
        return await self._act(n, delay, fail, lambda: _copy(cells), lambda before: _report(before, cells))

    async def count(self, n: int, path: str, delay: float = 0, fail: Fail = None) -> Any:
        """Report how much is in each cell of the subtree, in characters."""

        def sizes() -> dict[str, int]:
            return {name: len("".join(marks)) for name, marks in self._cells(path).items()}

        return await self._act(n, delay, fail, sizes, lambda before: _report(before, sizes()))

    async def many(self, n: int, paths: list[str], delay: float = 0, fail: Fail = None) -> Any:
        """Report several subtrees."""
        cells = {name: marks for path in paths for name, marks in self._cells(path).items()}
        return await self._act(n, delay, fail, lambda: _copy(cells), lambda before: _report(before, cells))

    async def append(self, n: int, path: str, value: Any = None, delay: float = 0, fail: Fail = None) -> Any:
        """Add to every cell of the subtree."""
        mark = f"{n}+{fingerprint(value)}"
        return await self._mark(n, delay, fail, self._cells(path), lambda marks: marks.append(mark))

    async def write(self, n: int, path: str, value: Any = None, delay: float = 0, fail: Fail = None) -> Any:
        """Replace what is in every cell of the subtree."""
        mark = f"{n}={fingerprint(value)}"
        return await self._mark(n, delay, fail, self._cells(path), lambda marks: _replace(marks, mark))

    async def delete(self, n: int, path: str, delay: float = 0, fail: Fail = None) -> Any:
        """Empty every cell of the subtree."""
        return await self._mark(n, delay, fail, self._cells(path), lambda marks: marks.clear())

    async def copy(self, n: int, path: str, to: str, delay: float = 0, fail: Fail = None) -> Any:
        """Add to every cell below `to` what is below `path`."""
        source, target = self._cells(path), self._cells(to)
        return await self._mark(
            n, delay, fail, target, lambda marks: marks.append(f"{n}:{fingerprint(_copy(source))}")
        )

    async def nest(
        self, n: int, path: str, calls: list[Any], wait: bool = True, delay: float = 0, fail: Fail = None
    ) -> Any:
        """Leave half a mark, call other tools from inside and, if it is to, wait for them and finish.

        It touches nothing itself while its calls run: they are not ordered after it.
        """
        world, cells = _HERE.get(), self._cells(path)
        assert world.submit is not None
        with self._logged(n) as note:
            _break(n, fail, "start")
            before = _copy(cells)
            for marks in cells.values():
                marks.append(f"{n}<")
            note("pause")  # within grace already the answers wait for what was called
            outcomes = await world.submit(calls, self._claimed(path))
            note("resume")
            await self._pause(delay)
            if not wait:
                _break(n, fail, "middle")
                return _report(before, None)
            note("pause")
            of_calls = await outcomes()
            note("resume")
            _break(n, fail, "middle")
            for marks in cells.values():
                marks.append(f"{n}+")
            _break(n, fail, "end")
            return {**_report(before, cells), "calls": of_calls}

    def _cells(self, path: str) -> dict[str, list[str]]:
        return _HERE.get().subtree(self._place(path))

    def _claimed(self, path: str) -> Path | None:
        """What a writer of this variant declares to touch; None: everything."""
        return None if self.variant == "bare" else () if self.variant == "wide" else self._place(path)

    def _place(self, path: str) -> Path:
        return parts_of(path if path.startswith("/") else f"{self.base}/{path}")

    async def _mark(
        self,
        n: int,
        delay: float,
        fail: Fail,
        cells: dict[str, list[str]],
        finish: Callable[[Any], object],
    ) -> Any:
        def first_half() -> Any:
            before = _copy(cells)
            for marks in cells.values():
                marks.append(f"{n}<")
            return before

        def second_half(before: Any) -> Any:
            for marks in cells.values():
                finish(marks)
            return _report(before, cells)

        return await self._act(n, delay, fail, first_half, second_half)

    async def _act(
        self, n: int, delay: float, fail: Fail, begin: Callable[[], Any], finish: Callable[[Any], Any]
    ) -> Any:
        with self._logged(n):
            _break(n, fail, "start")
            if self.at_once:
                await self._pause(delay)
            before = begin()
            if not self.at_once:
                await self._pause(delay)
            _break(n, fail, "middle")
            result = finish(before)
            _break(n, fail, "end")
            return result

    @contextmanager
    def _logged(self, n: int) -> Iterator[Callable[[Any], None]]:
        clock, log = asyncio.get_running_loop().time, _HERE.get().log

        def note(what: Any) -> None:
            log.append((clock(), n, what))

        note("start")
        try:
            yield note
        finally:
            note("end")

    async def _pause(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            try:
                return await asyncio.sleep(end - clock())
            except asyncio.CancelledError:
                if not self.deaf:
                    raise


def parts_of(path: str) -> Path:
    """The components of a path as a tool of the world reads it."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return tuple(parts)


def fingerprint(value: Any) -> str:
    """A short text for a value, which is destroyed if that is possible: it was handed over."""
    text = f"{zlib.crc32(repr(value).encode('utf-8', 'surrogatepass')):08x}"
    if isinstance(value, list | dict):
        value.clear()
    return text


def _break(n: int, fail: Fail, now: Fail) -> None:
    if fail == now:
        raise Broke(f"call {n} broke at its {now}")


def _copy(cells: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: list(marks) for name, marks in cells.items()}


def _replace(marks: list[str], mark: str) -> None:
    marks[:] = [mark]


def _report(before: Any, after: Any) -> dict[str, Any]:
    """What was seen, and two paths that depend on it, so that later calls can go where it leads them."""
    seen = zlib.crc32(repr((before, after)).encode())
    return {
        "before": before,
        "after": after,
        "next": PATHS[seen % len(PATHS)],
        "leaf": LEAVES[seen % len(LEAVES)],
    }
