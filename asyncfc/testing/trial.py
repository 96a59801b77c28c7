"""Trials: run a program through real sessions, and one after the other through the oracle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from asyncfc.conversation.delivery import Delivery
from asyncfc.errors import ResourceQuarantined, ToolAbandoned, ToolTimeout
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.store import MemoryStore
from asyncfc.message import Message
from asyncfc.runtime import Runtime
from asyncfc.session import Answer, Call, Finished, Session
from asyncfc.testing.inside import one_by_one, through
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.oracle import Digest, Recorded, Step, digest, renamed, run_in_order
from asyncfc.testing.programs import Emitted, Program
from asyncfc.testing.world import World, world_tools
from asyncfc.testing.written import written
from asyncfc.tools import Tool
from asyncfc.trace.events import Event, Kind

SESSION_ID = "trial"
TAG = DEFAULT_GRAMMAR.tag_for(SESSION_ID)
IdOf = Callable[[int], str]
"""The id of call `n` of a program, when it is sealed."""


_LONGEST = 20
"""Seconds within which all work of a program ends."""


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
    told, in order; `answered` the ids of the calls that were answered, by message; `knew` the calls whose
    outcome had been seen when the message of a call began, by call; `made` are the futures of all calls,
    those from inside tools and of broken messages included.
    """

    world: World
    tools: Mapping[str, Tool]
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    futures: list[Future] = field(default_factory=list)
    answered: list[list[str]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    knew: list[frozenset[int]] = field(default_factory=list)
    made: list[Future] = field(default_factory=list)
    session: Session | None = None

    @property
    def promised(self) -> tuple[list[Digest], dict[Any, list[str]]]:
        """What the promise of DESIGN §1 is about: the results and the final state."""
        return [digest(outcome) for outcome in self.outcomes], self.world.cells

    def events_of(self, n: int) -> list[Event]:
        """The events of call `n` of the program, or of the call whose work it shares or has adopted."""
        return [event for event in self.events if event.call == self.futures[n].leader.order]

    def times(self, kind: Kind) -> dict[int, float]:
        """When the first event of this kind came, in virtual seconds, by call of the program.

        A call that shares or has adopted the work of another has the times of that one.
        """
        times: dict[int, float] = {}
        for event in self.events:
            if event.kind == kind:
                times.setdefault(event.call, event.t)
        orders = [future.leader.order for future in self.futures]
        return {n: times[order] for n, order in enumerate(orders) if order in times}

    def recorded(self, *, withheld: bool = False) -> dict[int, Recorded]:
        """The exceptions of the promise: what the clock, or a person, has decided, and what had been seen.

        Args:
            withheld: whether a withheld call is one of them; else that follows from the outcomes of others.
        """
        ran = {n for _, n, what in self.world.log if what == "start"}
        return {
            n: Recorded(outcome, n in ran)
            for n, outcome in enumerate(self.outcomes)
            if _is_decided(outcome) or (isinstance(outcome, Withheld) and withheld)
        }

    def refused(self, error: type[BaseException]) -> dict[int, Recorded]:
        """The calls that failed in this way before they entered the order."""
        entered = {event.call for event in self.events if event.kind == "sealed" and event.data["level"]}
        orders = [future.leader.order for future in self.futures]
        failed = {
            n: o for n, o in enumerate(self.outcomes) if isinstance(o, Failure) and orders[n] not in entered
        }
        return {n: Recorded(o, ran=False) for n, o in failed.items() if isinstance(o.error, error)}

    def settle(self) -> None:
        """Take the outcomes from the futures, all of which must have one."""
        for futures in (self.futures, self.made):
            still_open = [future for future in futures if not future.settled]
            assert not still_open, f"not settled at the end: {still_open}"
        self.outcomes = [future.outcome for future in self.futures if future.outcome is not None]


def _is_decided(outcome: Outcome) -> bool:
    error = outcome.error if isinstance(outcome, Failure) else None
    return isinstance(outcome, Cancelled) or isinstance(
        error, ToolTimeout | ToolAbandoned | ResourceQuarantined
    )


def in_order(
    program: Program,
    recorded: Mapping[int, Recorded] | None = None,
    *,
    order: Sequence[int] | None = None,
) -> Trial:
    """Run the calls one after the other: the reference.

    Args:
        program: what the model emitted.
        recorded: what the reference cannot know. Work that stops when asked to does so in its middle.
        order: another order to run the calls in.
    """
    recorded = recorded or {}
    trial = Trial(World(), world_tools(program.tools))
    trial.world.submit = one_by_one(trial.tools)
    steps = [_stopped(s) if n in recorded and recorded[n].ran else s for n, s in enumerate(program.steps)]

    async def main() -> list[Outcome]:
        trial.world.enter()
        return await run_in_order(steps, trial.tools, gates=program.gates, recorded=recorded, order=order)

    trial.outcomes = run_virtual(main)
    return trial


def _stopped(step: Step) -> Step:
    """The call as far as it went when it was asked to stop."""
    goes_on = step.tool.endswith(("_deaf", "_lost"))
    return step if goes_on else replace(step, arguments={**step.arguments, "fail": "middle"})


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
    trial = Trial(World(), world_tools(program.tools))
    fixed: dict[str, Any] = {"limits": program.limits, "on_event": trial.events.append, "id": SESSION_ID}

    async def main() -> None:
        trial.world.enter()
        async with Session(trial.tools, **{**fixed, **options}) as session:
            trial.session = session
            trial.world.submit = through(session, trial.made.append)
            await _converse(session, program, trial, str)
            if finish:
                await _finish(session, trial)

    run_virtual(main, seed=seed, mode=mode)
    trial.settle()
    return trial


def in_runtime(
    programs: Sequence[Program],
    *,
    seed: int = 0,
    mode: Mode = "fifo",
    limits: Mapping[str, int] | None = None,
) -> tuple[Program, Trial]:
    """Run programs at the same time, each through a session of its own, all of one runtime.

    Returns:
        The calls of all of them as one program, in the order of registration, and what became of it.
    """
    whole = Trial(World(), world_tools(name for program in programs for name in program.tools))
    parts = [Trial(whole.world, whole.tools) for _ in programs]

    async def main() -> None:
        whole.world.enter()
        runtime = Runtime(limits=limits)

        async def converse(k: int) -> None:
            session = Session(
                whole.tools, runtime=runtime, id=f"{SESSION_ID} {k}", on_event=whole.events.append
            )
            async with session:
                await _converse(
                    session, programs[k], parts[k], lambda _: str(runtime.scheduler._order._orders)
                )
                await _finish(session, parts[k])
            whole.session = session

        await asyncio.gather(*map(converse, range(len(programs))))
        runtime.close()

    run_virtual(main, seed=seed, mode=mode)
    calls = [
        (future.order, step, parts[k])
        for k, program in enumerate(programs)
        for future, step in zip(parts[k].futures, program.steps, strict=True)
    ]
    calls.sort(key=lambda call: call[0])
    steps = tuple(_among_all(step, part) for _, step, part in calls)
    whole.futures = whole.made = sorted((f for part in parts for f in part.futures), key=lambda f: f.order)
    whole.settle()
    return Program((Emitted(steps, (0.0,) * (len(steps) + 1)),), limits or {}), whole


def _among_all(step: Step, part: Trial) -> Step:
    """The call with its references by their places among the calls of all sessions."""
    return replace(step, arguments=renamed(step.arguments, lambda n: part.futures[n].order))


async def _converse(session: Session, program: Program, trial: Trial, id_of: IdOf) -> None:
    """Emit all messages of the program, and cancel what it says when it says it."""
    loop = asyncio.get_running_loop()

    def cancel(n: int) -> None:
        if n < len(trial.futures):
            session.cancel(trial.futures[n])

    for at, n in program.cancels:
        loop.call_at(at, cancel, n)
    for emitted in program.messages:
        await _emit(session, emitted, trial, id_of)


async def _finish(session: Session, trial: Trial) -> None:
    """Wait for the end, if need be for that of work that was given up, too."""
    finished = await session.finish()
    if any(name.endswith("_lost") for name in trial.tools):
        await asyncio.sleep(_LONGEST)
        finished = await session.finish()
    assert finished == Finished(len(trial.made), ()), f"finish() returned {finished}"
    _deliver(session, trial)


async def _emit(session: Session, emitted: Emitted, trial: Trial, id_of: IdOf) -> None:
    """Send what is due, decode a message, again if its stream breaks, and submit it call by call."""
    _deliver(session, trial)
    earlier = list(trial.futures)
    knew = frozenset(n for n, future in enumerate(earlier) if future.seen)
    message = session.message()
    for broken in emitted.broken:
        futures = list(earlier)
        for step in broken.steps:
            await _decode(broken.gap)
            _seal(message, step, futures, len(earlier), trial, id_of)
        if broken.retried:
            message = message.retry()
        else:
            message.withdraw()
            message = session.message()
    for step, gap in zip(emitted.steps, emitted.gaps, strict=False):
        await _decode(gap)
        trial.knew.append(knew)
        _seal(message, step, trial.futures, len(earlier), trial, id_of)
    await _decode(emitted.gaps[-1])
    message.commit()
    answers = await message.answers()
    trial.answered.append([answer.call_id for answer in answers])
    for answer in answers:
        _note_answer(answer, trial)


def _seal(message: Message, step: Step, futures: list[Future], first: int, trial: Trial, id_of: IdOf) -> None:
    """Seal the next call; call `first` is the first of its message."""
    n = len(futures)
    arguments = written(step.arguments, futures, first=first, as_text=n % 2 == 0)
    call = Call(id_of(n), step.tool, json.dumps(arguments) if n % 2 == 0 else arguments)
    futures.append(message.seal(call))
    trial.made.append(futures[-1])


def _note_answer(answer: Answer, trial: Trial) -> None:
    outcome = answer.future.outcome
    if outcome is not None:
        handed_over = isinstance(outcome, Value) and answer.value is not None
        own = digest(MemoryStore().put(answer.value)) if handed_over else None
        trial.told.append(Told(answer.call_id, outcome, own))


def _deliver(session: Session, trial: Trial) -> None:
    with session.sampling() as deliveries:
        trial.told += [Told(d.call_id, d.outcome) for d in deliveries if isinstance(d, Delivery)]


async def _decode(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
