"""Trials: run a program through a real `Session`, and one after the other through the oracle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Outcome
from asyncfc.session import Answer, Call, Message, Session
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.oracle import Digest, Ref, Text, digest, run_in_order
from asyncfc.testing.programs import Emitted, Program
from asyncfc.testing.world import World, world_tools
from asyncfc.tool import Tool
from asyncfc.trace.events import Event, Kind


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a program: the outcome of each call, the final world, and how it came about.

    `events`, `futures` and `answers` are empty after a sequential run.
    """

    outcomes: list[Outcome]
    world: World
    tools: Mapping[str, Tool]
    events: Sequence[Event] = ()
    futures: Sequence[Future] = ()
    answers: Sequence[Answer] = ()

    @property
    def promised(self) -> tuple[list[Digest], dict[Any, list[str]]]:
        """What the promise of DESIGN §1 is about: the results and the final state."""
        return [digest(outcome) for outcome in self.outcomes], self.world.cells

    def times(self, kind: Kind) -> dict[int, float]:
        """When the first event of this kind came, in virtual seconds, by call of the program."""
        place = {future.order: n for n, future in enumerate(self.futures)}
        times: dict[int, float] = {}
        for event in self.events:
            if event.kind == kind:
                times.setdefault(place[event.call], event.t)
        return times


def in_order(program: Program) -> Trial:
    """Run the calls one after the other: the reference."""
    world, tools = World(), world_tools(step.tool for step in program.steps)

    async def main() -> list[Outcome]:
        world.enter()
        return await run_in_order(program.steps, tools)

    return Trial(run_virtual(main), world, tools)


def in_session(program: Program, *, seed: int = 0, mode: Mode = "fifo", **options: Any) -> Trial:
    """Run the program through a session, messages and decode gaps as it says.

    Args:
        program: what the model emits.
        seed: of the loop.
        mode: of the loop.
        options: of the session.
    """
    return run_virtual(lambda: _perform(program, options), seed=seed, mode=mode)


async def _perform(program: Program, options: Mapping[str, Any]) -> Trial:
    world, events = World(), list[Event]()
    world.enter()
    tools = world_tools(step.tool for step in program.steps)
    futures: list[Future] = []
    answers: list[Answer] = []
    async with Session(
        tools, limits=program.limits, on_event=events.append, id="trial", **options
    ) as session:
        for emitted in program.messages:
            answers += await _emit(session.message(), emitted, futures)
        finished = await session.finish()
        assert not finished.left, f"finish() left {finished.left}"
        outcomes = [future.outcome for future in futures]
    assert None not in outcomes, f"not settled: {[f for f in futures if not f.settled]}"
    return Trial([o for o in outcomes if o is not None], world, tools, events, futures, answers)


async def _emit(message: Message, emitted: Emitted, futures: list[Future]) -> list[Answer]:
    first = len(futures)
    for step, gap in zip(emitted.steps, emitted.gaps, strict=False):
        if gap:
            await asyncio.sleep(gap)
        n = len(futures)
        arguments = written(step.arguments, futures, first=first, as_text=n % 2 == 0)
        futures.append(
            message.seal(Call(str(n), step.tool, json.dumps(arguments) if n % 2 == 0 else arguments))
        )
    if emitted.gaps[-1]:
        await asyncio.sleep(emitted.gaps[-1])
    message.commit()
    return await message.answers()


def written(arguments: Any, futures: Sequence[Future], *, first: int, as_text: bool) -> Any:
    """The arguments as a model writes them, or as a program does, with the futures themselves.

    Args:
        arguments: with `Ref` and `Text` in them.
        futures: of the calls so far.
        first: which call is the first of the same message: from it on, a call is named by its place.
        as_text: whether all references must be text.
    """
    match arguments:
        case Ref(call, ()) if not as_text:
            return futures[call]
        case Ref(call, path):
            return f"{_name(call, futures, first)}{_show(path)}"
        case Text(parts):
            return "".join(part if isinstance(part, str) else _inside(part, futures, first) for part in parts)
        case Mapping():
            return {
                key: written(item, futures, first=first, as_text=as_text) for key, item in arguments.items()
            }
        case list():
            return [written(item, futures, first=first, as_text=as_text) for item in arguments]
        case _:
            return arguments


def _name(call: int, futures: Sequence[Future], first: int) -> str:
    if call >= first:
        return f"$this_{call - first + 1}"
    handle = futures[call].handle
    assert handle is not None, f"call {call} has no handle although its message was committed"
    return handle


def _inside(ref: Ref, futures: Sequence[Future], first: int) -> str:
    name = _name(ref.call, futures, first)
    return f"${{{name[1:]}{_show(ref.path)}}}" if ref.path else name


def _show(path: tuple[str | int, ...]) -> str:
    return "".join(f".{key}" if str(key).isidentifier() else f"[{json.dumps(key)}]" for key in path)
