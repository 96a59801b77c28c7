from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from asyncfc.depgraph.effects import conflict
from asyncfc.futures.store import MemoryStore
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.world import (
    READERS,
    WRITERS,
    Broke,
    Fail,
    World,
    fingerprint,
    parts_of,
    world_tool,
    world_tools,
)

PATHS = (".", "a", "a/b", "b")


def _arguments(kind: str, path: str) -> dict[str, Any]:
    if kind == "many":
        return {"paths": [path]}
    return {"path": path, "to": path} if kind == "copy" else {"path": path}


def _both(one: tuple[str, str], two: tuple[str, str], second_starts: float) -> tuple[Any, ...]:
    """The results and the final state when the second starts so much later than the first."""

    async def main() -> tuple[Any, ...]:
        world = World()
        world.enter()

        async def work(n: int, kind: str, path: str) -> Any:
            await asyncio.sleep(second_starts * n)
            result = await world_tool(kind)(n=n, delay=2, **_arguments(kind, path))
            return MemoryStore().put(result).get()

        results = await asyncio.gather(work(0, *one), work(1, *two))
        return *results, world.cells

    return run_virtual(main)


@pytest.mark.parametrize("second_starts", [0, 0.5])
@pytest.mark.parametrize("one_path", PATHS)
def test_every_overlap_of_conflicting_calls_shows(one_path: str, second_starts: float) -> None:
    tools = world_tools([*READERS, *WRITERS])
    for one, two, two_path in itertools.product(tools, tools, PATHS):
        claims = [
            tools[kind].spec.bind(_arguments(kind, path)) for kind, path in ((one, one_path), (two, two_path))
        ]
        in_turn = _both((one, one_path), (two, two_path), 5)
        overlapping = _both((one, one_path), (two, two_path), second_starts)
        shows = in_turn != overlapping
        assert shows == (conflict(*claims) is not None), (one, one_path, two, two_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_swap_of_two_conflicting_writers_shows(kind: str) -> None:
    one, two = ("append", "a/b"), (kind, "a")
    assert _both(one, two, 5) != _both(one, two, -5)


@pytest.mark.parametrize(("fail", "marks"), [("start", []), ("middle", ["7<"]), ("end", ["7<", "7+"])])
def test_a_call_raises_when_it_is_told_to_and_its_log_entry_is_complete(fail: Fail, marks: list[str]) -> None:
    world = World()

    async def main() -> None:
        world.enter()
        with pytest.raises(Broke, match=f"call 7 broke at its {fail}"):
            await world_tool("append")(n=7, path="a/b", delay=3, fail=fail)

    run_virtual(main)
    assert [mark[:2] for mark in world.cells["a", "b"]] == marks
    assert world.log == [(0, 7, "start"), (0 if fail == "start" else 3, 7, "end")]


def test_a_result_is_live_state() -> None:
    world = World()

    async def main() -> Any:
        world.enter()
        result = await world_tool("read")(n=0, path="a")
        await world_tool("append")(n=1, path="a/a")
        return result

    result = run_virtual(main)
    assert result["before"]["a/a"] == []
    assert result["after"]["a/a"] == world.cells["a", "a"] != []


def test_tools_destroy_what_they_were_given() -> None:
    value = {"a": [1]}
    assert fingerprint(value) != fingerprint({})
    assert value == {}


def test_a_variant_is_the_same_tool_declared_otherwise() -> None:
    tools = world_tools(["read", "read_a", "read_wide", "read_bare", "pick"])
    assert tools["read"].spec.bind({"path": "b"}).reads == (("fs", "b"),)
    assert tools["read_a"].spec.bind({"path": "b"}).reads == (("fs", "a", "b"),)
    assert tools["read_wide"].spec.bind({"path": "b"}).writes == (("fs",),)
    assert not tools["read_bare"].spec.declared
    assert tools["pick"].spec.pure


@pytest.mark.parametrize(
    ("text", "parts"),
    [(".", ()), ("a/b", ("a", "b")), ("./a/.", ("a",)), ("../a//x/../b", ("a", "b")), ("/", ())],
)
def test_paths_are_read_as_labels_read_them(text: str, parts: tuple[str, ...]) -> None:
    assert parts_of(text) == parts
    assert world_tool("read").spec.bind({"path": text}).reads == (("fs", *parts),)


def _marks(tool: str, *, cancel: bool = False, **arguments: Any) -> list[tuple[float, list[str]]]:
    """What is in the cell `a` each half second while the tool works, cancelled at 1 or not."""
    world = World()
    seen: list[tuple[float, list[str]]] = []

    async def main() -> None:
        world.enter()
        task = asyncio.ensure_future(world_tool(tool)(n=1, path="a", **arguments))
        for half in range(6):
            await asyncio.sleep(0.25 if half == 0 else 0.5)
            if cancel and half == 1:
                task.cancel()
            seen.append((asyncio.get_running_loop().time(), [mark[:2] for mark in world.cells["a",]]))
        await asyncio.wait([task])

    run_virtual(main)
    return seen


def test_a_call_of_a_once_tool_acts_in_the_moment_in_which_it_ends() -> None:
    assert [marks for _, marks in _marks("append_once", delay=1)][:3] == [[], [], ["1<", "1+"]]


@pytest.mark.parametrize(
    ("variant", "marks"), [("timed", ["1<"]), ("deaf", ["1<", "1+"]), ("lost", ["1<", "1+"])]
)
def test_deaf_work_goes_on_when_it_is_asked_to_stop(variant: str, marks: list[str]) -> None:
    assert _marks(f"append_{variant}", delay=2, cancel=True)[-1][1] == marks


def test_label_functions_bind_as_templates_do() -> None:
    tools = world_tools(["copy", "copy_fn", "many", "many_fn"])
    arguments = {"path": "a", "to": "b/b", "paths": ["a/b", "b"]}
    for kind in ("copy", "many"):
        assert tools[kind].spec.bind(arguments) == tools[f"{kind}_fn"].spec.bind(arguments)
