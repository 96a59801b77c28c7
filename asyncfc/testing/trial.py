"""Trials: run a program through a real `Session`, and one after the other through the oracle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncfc.conversation.delivery import Delivery
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Outcome, Value
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Answer, Call, Finished, Session
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.oracle import Digest, Ref, Text, digest, run_in_order
from asyncfc.testing.programs import Emitted, Program
from asyncfc.testing.world import World, world_tools
from asyncfc.tool import Tool
from asyncfc.trace.events import Event, Kind

SESSION_ID = "trial"
TAG = DEFAULT_GRAMMAR.tag_for(SESSION_ID)


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome that was put into a request, in an answer or in a delivery, and what was handed over.

    `own` is the JSON form, at that moment, of the tool's own object, if that was handed over.
    """

    call_id: str
    outcome: Outcome
    own: Digest | None = None


@dataclass(slots=True)
class Trial:
    """What became of a program: the outcome of each call, the final world, and how it came about.

    Of a sequential run there are only `outcomes` and `world`. `told` are the outcomes that the model was
    told, in order; `answered` the ids of the calls that were answered, by message.
    """

    world: World
    tools: Mapping[str, Tool]
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    futures: list[Future] = field(default_factory=list)
    answered: list[list[str]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    session: Session | None = None

    @property
    def promised(self) -> tuple[list[Digest], dict[Any, list[str]]]:
        """What the promise of DESIGN §1 is about: the results and the final state."""
        return [digest(outcome) for outcome in self.outcomes], self.world.cells

    def times(self, kind: Kind) -> dict[int, float]:
        """When the first event of this kind came, in virtual seconds, by call of the program."""
        times: dict[int, float] = {}
        for event in self.events:
            if event.kind == kind:
                times.setdefault(event.call, event.t)
        return times


def in_order(program: Program) -> Trial:
    """Run the calls one after the other: the reference."""
    trial = Trial(World(), world_tools(step.tool for step in program.steps))

    async def main() -> list[Outcome]:
        trial.world.enter()
        return await run_in_order(program.steps, trial.tools)

    trial.outcomes = run_virtual(main)
    return trial


def in_session(
    program: Program, *, seed: int = 0, mode: Mode = "fifo", finish: bool = True, **options: Any
) -> Trial:
    """Run the program through a session, messages and decode gaps as it says.

    Args:
        program: what the model emits.
        seed: of the loop.
        mode: of the loop.
        finish: False closes the session as soon as the last message is answered.
        options: of the session.
    """
    trial = Trial(World(), world_tools(step.tool for step in program.steps))
    fixed: dict[str, Any] = {"limits": program.limits, "on_event": trial.events.append, "id": SESSION_ID}

    async def main() -> None:
        trial.world.enter()
        async with Session(trial.tools, **{**fixed, **options}) as session:
            trial.session = session
            for emitted in program.messages:
                await _emit(session, emitted, trial)
            if finish:
                finished = await session.finish()
                assert finished == Finished(len(program.steps), ()), f"finish() returned {finished}"
                _deliver(session, trial)
        open_ones = [future for future in trial.futures if not future.settled]
        assert not open_ones, f"not settled at the end: {open_ones}"

    run_virtual(main, seed=seed, mode=mode)
    trial.outcomes = [future.outcome for future in trial.futures if future.outcome is not None]
    return trial


async def _emit(session: Session, emitted: Emitted, trial: Trial) -> None:
    """Send what is due, decode a message and submit it, call by call."""
    _deliver(session, trial)
    first = len(trial.futures)
    message = session.message()
    for step, gap in zip(emitted.steps, emitted.gaps, strict=False):
        await _decode(gap)
        n = len(trial.futures)
        arguments = written(step.arguments, trial.futures, first=first, as_text=n % 2 == 0)
        call = Call(str(n), step.tool, json.dumps(arguments) if n % 2 == 0 else arguments)
        trial.futures.append(message.seal(call))
    await _decode(emitted.gaps[-1])
    message.commit()
    answers = await message.answers()
    trial.answered.append([answer.call_id for answer in answers])
    for answer in answers:
        _note_answer(answer, trial)


def _note_answer(answer: Answer, trial: Trial) -> None:
    outcome = answer.future.outcome
    if outcome is not None:
        handed_over = isinstance(outcome, Value) and answer.value is not None
        own = digest(Value(MemoryStore().put(answer.value))) if handed_over else None
        trial.told.append(Told(answer.call_id, outcome, own))


def _deliver(session: Session, trial: Trial) -> None:
    with session.sampling() as deliveries:
        trial.told += [Told(d.call_id, d.outcome) for d in deliveries if isinstance(d, Delivery)]


async def _decode(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def written(arguments: Any, futures: Sequence[Future], *, first: int, as_text: bool) -> Any:
    """The arguments as a model writes them, or as a program does, with the futures themselves.

    Args:
        arguments: with `Ref` and `Text` in them; other text that looks like a handle is escaped.
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
            return "".join(_inside(part, futures, first) for part in parts)
        case str():
            return _literal(arguments)
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


def _inside(part: str | Ref, futures: Sequence[Future], first: int) -> str:
    """Part of a text: a path behind a handle needs braces there."""
    if isinstance(part, str):
        return _literal(part)
    name = _name(part.call, futures, first)
    return f"${{{name[1:]}{_show(part.path)}}}" if part.path else name


def _literal(text: str) -> str:
    """Text that may look like handles, of whatever session, and is none."""
    return DEFAULT_GRAMMAR.mention.sub(lambda match: DEFAULT_GRAMMAR.sigil + match[0], text)


def _show(path: tuple[str | int, ...]) -> str:
    return "".join(f".{key}" if str(key).isidentifier() else f"[{json.dumps(key)}]" for key in path)
