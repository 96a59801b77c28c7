"""With limited slots, the call with the longest way to go starts first, and none waits for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import DeclarationError
from asyncfc.execution.line import EVERY
from asyncfc.session import Call, Session
from asyncfc.testing import checks
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.oracle import Step
from asyncfc.testing.programs import Emitted, Program, programs
from asyncfc.testing.trial import in_session
from asyncfc.tools import Tool

SEEDS = st.integers(0, 2**16)


def test_a_priority_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'newest': expected 'critical' or 'emission'"):
        Session([], priority="newest")  # type: ignore[arg-type]


def chain_and_leaves() -> Program:
    """Three calls that nobody waits for, then a chain of three."""
    steps = [Step("pick", {"n": n, "path": "a", "delay": 1}) for n in range(3)]
    steps += [Step("append_a", {"n": n, "path": "a", "delay": 1, "value": None}) for n in range(3, 6)]
    return Program((Emitted(tuple(steps), (0.0,) * 7),), {"*": 1})


@pytest.mark.parametrize(
    ("priority", "expected"), [("critical", [3, 4, 0, 1, 2, 5]), ("emission", [0, 1, 2, 3, 4, 5])]
)
def test_the_chain_is_not_kept_waiting_behind_what_nobody_waits_for(
    priority: str, expected: list[int]
) -> None:
    starts = in_session(chain_and_leaves(), priority=priority).times("started")
    assert sorted(starts, key=lambda n: starts[n]) == expected


class Work:
    """Tools that take what their name says, and notes of when which call of them starts."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.session: Session | None = None
        effects = dict.fromkeys(("slow", "fast", "outer"), "pure")
        self.tools = [Tool(getattr(self, name), effects=effects[name]) for name in effects]

    async def slow(self, name: str, after: Any = None) -> None:
        self.starts.append(name)
        await asyncio.sleep(5)

    async def fast(self, name: str, after: Any = None) -> None:
        self.starts.append(name)
        await asyncio.sleep(1)

    async def outer(self, name: str) -> None:
        await asyncio.sleep(1)
        assert self.session is not None
        (answer,) = await self.session.submit([call("fast", name)])
        await answer.future

    def run(self, *messages: list[Call], **settings: Any) -> list[str]:
        """The order in which the calls start, one at a time."""

        async def main() -> None:
            async with Session(self.tools, limits={"*": 1}, **settings) as self.session:
                for message in messages:
                    await self.session.submit(message)
                    await self.session.finish()

        run_virtual(main)
        return self.starts


def call(tool: str, name: str, after: str | None = None) -> Call:
    return Call(name, tool, {"name": name} | ({"after": after} if after else {}))


def test_what_a_tool_takes_is_learned_and_counts() -> None:
    message = [call("fast", "one"), call("fast", "two"), call("slow", "three"), call("fast", "four")]
    assert Work().run(message) == ["one", "two", "three", "four"]  # all alike
    known = [call("slow", "b"), call("fast", "a")]
    assert Work().run(known, message) == ["b", "a", "three", "one", "two", "four"]


def test_a_call_from_inside_another_is_as_urgent_as_what_waits_for_that_one() -> None:
    message = [call("outer", "from inside"), call("fast", "leaf"), call("fast", "leaf 2")]
    message += [call("fast", "then", "$this_1"), call("fast", "then 2", "$this_4")]
    assert Work().run(message) == ["from inside", "leaf", "then", "leaf 2", "then 2"]


def test_a_message_is_looked_at_as_a_whole_before_any_call_of_it_takes_a_slot() -> None:
    message = [call("fast", "leaf"), call("fast", "first"), call("fast", "second", "$this_2")]
    assert Work().run(message) == ["first", "leaf", "second"]


@pytest.mark.parametrize("grace", ["auto", 2])
def test_answers_are_held_for_calls_that_are_about_to_have_a_slot(grace: Any) -> None:
    work = Work()

    async def main() -> None:
        async with Session(work.tools, limits={"*": 1}, grace=grace) as session:
            with session.sampling():
                await asyncio.sleep(9)
            await session.submit([call("fast", "known")])
            await session.finish()
            (answer,) = await session.submit([call("fast", "held")])
            assert answer.held_s == 1

    run_virtual(main)


@pytest.mark.parametrize("priority", ["critical", "emission"])
def test_a_call_that_nobody_waits_for_starts_although_longer_ways_come_for_ever(priority: Any) -> None:
    work = Work()

    async def main() -> None:
        async with Session(work.tools, limits={"*": 1}, priority=priority) as session:
            await session.submit([call("fast", "first"), call("fast", "leaf")])
            while "leaf" not in work.starts:
                turn = len(work.starts)
                await session.submit([call("fast", f"a{turn}"), call("fast", f"b{turn}", "$this_1")])
                await asyncio.sleep(1)

    run_virtual(main)
    assert work.starts.index("leaf") == (2 * EVERY - 1 if priority == "critical" else 1)


@given(program=programs(limits=True), seed=SEEDS)
def test_without_limits_the_priority_changes_nothing(program: Program, seed: int) -> None:
    free = replace(program, limits={})
    one, two = (in_session(free, seed=seed, priority=priority) for priority in ("critical", "emission"))
    checks.same_trace(one, two)
