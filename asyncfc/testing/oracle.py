"""The sequential oracle: what the promise is measured against (DESIGN §1).

It runs emitted calls one after the other, in the order of emission, in the most obvious way, and
shares no code with the scheduler. A tool that raises yields its error as the result and the loop goes
on; a call that needs the value of a failed one does not run (DESIGN F1). What only the clock or a person
decides, a timeout say, it is told: the calls that did run must still obey the order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from asyncfc.errors import EffectEscape, RootCause, UnresolvedPath, UpstreamFailed
from asyncfc.futures.outcome import Failure, Outcome, Value, Withheld
from asyncfc.futures.projection import canonical_text
from asyncfc.futures.store import MemoryStore
from asyncfc.tools import Tool


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for the value of an earlier call: its position in the program, and a path into it."""

    call: int
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A string in which references stand for canonical text."""

    parts: tuple[str | Ref, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One emitted call: the tool's name, and arguments in which `Ref` and `Text` may stand anywhere."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An outcome that the sequential run cannot know; `ran`: the tool was called nevertheless."""

    outcome: Outcome
    ran: bool


Digest: TypeAlias = tuple[Any, ...]
Outcomes: TypeAlias = Mapping[int, Outcome] | Sequence[Outcome]
"""By call."""


async def run_in_order(
    steps: Sequence[Step],
    tools: Mapping[str, Tool],
    *,
    gates: Mapping[int, Collection[int]] | None = None,
    recorded: Mapping[int, Recorded] | None = None,
    order: Sequence[int] | None = None,
) -> list[Outcome]:
    """Run the steps one after the other and return the outcome of each.

    Args:
        steps: the calls, in the order of emission.
        tools: by name.
        gates: by call, the earlier ones that must have succeeded, or else it is withheld (DESIGN E4).
        recorded: by call, outcomes to take as they are.
        order: another order to run the calls in; inputs must still come first.
    """
    outcomes: dict[int, Outcome] = {}
    for n in range(len(steps)) if order is None else order:
        record = (recorded or {}).get(n)
        gate = (gates or {}).get(n, ())
        if record is None or record.ran:
            outcomes[n] = await _run(n, steps, tools, outcomes, gate)
        if record is not None:
            outcomes[n] = record.outcome
    return [outcomes[n] for n in range(len(steps))]


async def _run(
    n: int,
    steps: Sequence[Step],
    tools: Mapping[str, Tool],
    outcomes: Outcomes,
    gate: Collection[int],
) -> Outcome:
    step = steps[n]
    blame = first_failed(step.arguments, outcomes, gate)
    if blame is not None:
        needed = blame in {ref.call for ref in refs(step.arguments)}
        return Failure(_upstream(blame, steps, outcomes)) if needed else Withheld(f"call {blame} failed")
    try:
        result = tools[step.tool].function(**resolve(step.arguments, outcomes))
        return MemoryStore().put(await result if inspect.isawaitable(result) else result)
    except BaseException as error:
        return Failure(error)


def refs(arguments: Any) -> list[Ref]:
    """The references in some arguments, in the order in which they stand there."""
    if isinstance(arguments, Ref):
        return [arguments]
    if isinstance(arguments, Mapping):
        arguments = list(arguments.values())
    if isinstance(arguments, Text):
        arguments = arguments.parts
    return [ref for item in arguments for ref in refs(item)] if isinstance(arguments, list | tuple) else []


def renamed(arguments: Any, place_of: Callable[[int], int]) -> Any:
    """The arguments with every reference naming its call by another position."""
    match arguments:
        case Ref(call, path):
            return Ref(place_of(call), path)
        case Text(parts):
            return Text(tuple(renamed(part, place_of) for part in parts))
        case Mapping():
            return {key: renamed(item, place_of) for key, item in arguments.items()}
        case list():
            return [renamed(item, place_of) for item in arguments]
        case _:
            return arguments


def first_failed(arguments: Any, outcomes: Outcomes, gate: Collection[int] = ()) -> int | None:
    """The earliest-emitted input, or call of the gate, that has no value; None if all have one."""
    needed = {*gate, *(ref.call for ref in refs(arguments))}
    return min((n for n in needed if not isinstance(outcomes[n], Value)), default=None)


def resolve(arguments: Any, outcomes: Outcomes) -> Any:
    """The arguments with every reference replaced; all inputs must have a value.

    Raises:
        UnresolvedPath: a path does not exist in the value.
    """
    if isinstance(arguments, Ref):
        return _look_up(arguments, outcomes)
    if isinstance(arguments, Text):
        return "".join(canonical_text(resolve(part, outcomes)) for part in arguments.parts)
    if isinstance(arguments, Mapping):
        return {key: resolve(item, outcomes) for key, item in arguments.items()}
    return [resolve(item, outcomes) for item in arguments] if isinstance(arguments, list) else arguments


def _look_up(ref: Ref, outcomes: Outcomes) -> Any:
    value = outcomes[ref.call].unwrap()
    for key in ref.path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            raise UnresolvedPath(f"the value of call {ref.call} has no {ref.path}") from None
    return value


def _upstream(blame: int, steps: Sequence[Step], outcomes: Outcomes) -> UpstreamFailed:
    error = outcomes[blame].error if isinstance(outcomes[blame], Failure) else None  # type: ignore[union-attr]
    if isinstance(error, UpstreamFailed):
        return UpstreamFailed(str(error), error.root)
    return UpstreamFailed(f"call {blame} failed", RootCause(str(blame), steps[blame].tool, None, error))


def digest(outcome: Outcome) -> Digest:
    """An outcome as comparable data: its projected value, or what failed and why.

    The wording of errors is left out where it is asyncfc's own, and so are handles.
    """
    match outcome:
        case Value() as value:
            return ("value", repr(value.get()))  # canonical text would take "1" for 1
        case Failure(UpstreamFailed() as error):
            return ("upstream", error.root.call_id, error.root.tool, type(error.root.error).__name__)
        case Failure(UnresolvedPath() | EffectEscape() as error):
            return ("failure", type(error).__name__)
        case Failure(error):
            return ("failure", type(error).__name__, str(error))
        case Withheld():
            return ("withheld",)
        case _:
            return (type(outcome).__name__.lower(), outcome.reason)
