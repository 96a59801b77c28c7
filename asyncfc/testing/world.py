"""A small world in which every overlap of conflicting calls shows, in a result or in the final state.

Resources form a tree, `fs:/`, `fs:/a`, `fs:/a/b`, ...; each has a cell, a list of marks. A tool looks
at, or marks, the whole subtree of its path when it starts *and* when it ends, after a pause. So two
conflicting calls that overlap, or swap, leave other marks than one after the other:

- a reader reports the subtree as it was at its start and as it is at its end;
- a writer leaves half a mark at its start and the rest at its end, and reports like a reader.

What they report of the end is the live cells themselves, as real tools do, so that a snapshot taken
too late shows as well. Tools also destroy the arguments they got.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, Literal, TypeAlias

from asyncfc.tool import Tool

Path: TypeAlias = tuple[str, ...]
Fail: TypeAlias = Literal["start", "middle", "end"] | None
"""When a call raises: before it did anything, between its two halves, or when all is done."""

PATHS = (".", "a", "b", "a/a", "a/b", "b/a", "b/b")
LEAVES = (".", "a", "b")
_CELLS: tuple[Path, ...] = ((), ("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"))

READERS = ("read", "count", "many")
WRITERS = ("write", "append", "delete", "copy")
VARIANTS = ("", "a", "wide", "bare")
"""How a tool is declared: exactly; exactly, with its paths below `fs:/a`; as reading and writing the
whole tree; not at all. A variant is a suffix of the tool's name: `read`, `read_a`, `read_wide`."""


class Broke(Exception):
    """What tools of the world raise when told to fail."""


class World:
    """The tree of cells, and who worked on it when.

    - `cells`: marks by path.
    - `log`: `(virtual time, n, "start" | "end")` of each run, in the order in which it happened.
    """

    def __init__(self) -> None:
        self.cells: dict[Path, list[str]] = {path: [] for path in _CELLS}
        self.log: list[tuple[float, int, Literal["start", "end"]]] = []

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
    function = getattr(_Hands(("a",) if variant == "a" else ()), kind)
    return Tool(function, name=name, effects=effects_of(kind, variant) or None)


def world_tools(names: Iterable[str]) -> dict[str, Tool]:
    """The named tools, as a session takes them."""
    return {name: world_tool(name) for name in sorted(set(names))}


def effects_of(kind: str, variant: str) -> dict[str, Any]:
    """The declaration of a tool, in the one written form; empty if undeclared."""
    below = "/a" if variant == "a" else ""
    if variant == "bare":
        return {}
    if variant == "wide":
        return {"reads": "fs:/", "writes": "fs:/"}
    exact: Mapping[str, dict[str, Any]] = {
        "pick": {"pure": True},
        "many": {"reads": f"fs:{below}/{{paths}}"},
        "copy": {"reads": f"fs:{below}/{{path}}", "writes": f"fs:{below}/{{to}}"},
    }
    return exact.get(kind) or {"reads" if kind in READERS else "writes": f"fs:{below}/{{path}}"}


class _Hands:
    """The tool functions. All take `n` (which call of the program), `delay` (s) and `fail`."""

    def __init__(self, base: Path) -> None:
        self.base = base

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

    def _cells(self, path: str) -> dict[str, list[str]]:
        return _HERE.get().subtree(self.base + parts_of(path))

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
        clock, log = asyncio.get_running_loop().time, _HERE.get().log
        log.append((clock(), n, "start"))
        try:
            _break(n, fail, "start")
            before = begin()
            await asyncio.sleep(delay)
            _break(n, fail, "middle")
            result = finish(before)
            _break(n, fail, "end")
            return result
        finally:
            log.append((clock(), n, "end"))


def parts_of(path: str) -> Path:
    """The components of a path as a tool of the world reads it."""
    return tuple(part for part in path.split("/") if part not in {"", "."})


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
