"""Values that lie outside of this process: who fetches them, and that nobody does without need."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncfc import Call, Session, Tool, UnresolvedPath, tool
from asyncfc.execution.work import Result, Running, Work
from asyncfc.futures.handle import Path
from asyncfc.futures.outcome import Value
from asyncfc.futures.reference import substitute
from asyncfc.futures.store import JsonValue
from asyncfc.testing.loop import run_virtual

TEXT = "x" * 1000


class Away(Value):
    """A value that counts how often somebody has it fetched."""

    elsewhere = True
    is_artifact = False
    size = 2000
    chars = len(TEXT)

    def __init__(self) -> None:
        self.fetched = 0

    def get(self) -> Any:
        self.fetched += 1
        return TEXT

    def at(self, path: Path) -> Any:
        if path:
            raise UnresolvedPath("no parts")
        return self.get()

    def text(self) -> str:
        return str(self.get())

    def preview(self, max_chars: int) -> str:
        return JsonValue(TEXT[:100]).preview(max_chars)


class Far:
    """Runs nothing: `make` gives a value that lies elsewhere, any other tool what it was given."""

    def __init__(self) -> None:
        self.away = Away()
        self.works: list[Work] = []

    def start(self, work: Work) -> Running:
        self.works.append(work)
        return _Done(self.away if work.tool.name == "make" else JsonValue(work.arguments))

    def close(self) -> None: ...


class Filling(Far):
    fills_in = True


class _Done:
    def __init__(self, value: Value) -> None:
        self.outcome = self.ended = asyncio.get_running_loop().create_future()
        self.outcome.set_result(Result(value))

    def cancel(self) -> bool:
        return False


@tool(pure=True)
async def make() -> None: ...


@tool(pure=True)
async def use(thing: Any, text: str = "", n: int = 0) -> None: ...


@tool(writes="fs:{path}")
async def write(path: str) -> None: ...


def given(executor: Far, *calls: Call, **settings: Any) -> list[str]:
    """Run the calls; return the texts of all deliveries."""

    async def story() -> list[str]:
        async with Session([make, use, write], executor=executor, **settings) as session:
            await session.submit(calls)
            await session.finish()
            with session.sampling() as deliveries:
                return [delivery.text for delivery in deliveries]

    return run_virtual(story)


def test_an_executor_that_fills_in_gets_the_references_and_nothing_is_fetched() -> None:
    executor = Filling()
    given(
        executor,
        Call("1", "make", {}),
        Call("2", "use", {"thing": ["$this_1"], "text": "a $this_1 b", "n": 3}),
        max_chars=50,
    )
    _, work = executor.works
    assert work.arguments == {"thing": ["$this_1"], "text": "a $this_1 b", "n": 3}
    assert [site.location for site in work.sites] == [("thing", 0), ("text",)]
    assert executor.away.fetched == 0
    assert substitute(work.arguments, work.sites) == {"thing": [TEXT], "text": f"a {TEXT} b", "n": 3}


def test_values_that_are_here_are_filled_in_all_the_same() -> None:
    executor = Filling()
    given(
        executor,
        Call("1", "use", {"thing": 5}),
        Call("2", "make", {}),
        Call("3", "use", {"thing": "$this_1.thing", "text": "$this_2"}),
        max_chars=50,
    )
    work = executor.works[-1]
    assert work.arguments == {"thing": 5, "text": "$this_2"}
    assert [site.location for site in work.sites] == [("text",)]


def test_any_other_executor_gets_the_value_itself() -> None:
    executor = Far()
    given(executor, Call("1", "make", {}), Call("2", "use", {"thing": "$this_1"}), max_chars=50)
    work = executor.works[-1]
    assert (work.arguments, work.sites) == ({"thing": TEXT}, ())


def test_a_label_needs_the_value_itself() -> None:
    executor = Filling()
    given(executor, Call("1", "make", {}), Call("2", "write", {"path": "$this_1"}), max_chars=50)
    assert executor.away.fetched == 1
    assert executor.works[-1].arguments == {"path": "$this_1"}


@pytest.mark.parametrize(("max_chars", "fetched"), [(50, 0), (1000, 1), (None, 1)])
def test_what_the_model_is_shown_in_part_is_not_fetched_as_a_whole(
    max_chars: int | None, fetched: int
) -> None:
    executor = Filling()
    (text,) = given(executor, Call("1", "make", {}), max_chars=max_chars)
    assert executor.away.fetched == fetched
    assert (TEXT in text) == bool(fetched)
    assert ("1000" in text) == (not fetched)


def test_a_tool_can_be_made_again_elsewhere() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    made = Tool(lambda **arguments: arguments, name="f", schema=schema, effects="pure")
    again = Tool(made.function, **made.making)
    assert (again.name, again.schema, again.invoke({"a": 1})) == ("f", schema, {"a": 1})
    assert not again.spec.declared  # calls are ordered here, not there

    def double(n: int) -> int:
        return 2 * n

    checked = Tool(double, validate=True)
    assert Tool(double, **checked.making).invoke({"n": "4"}) == 8
