"""The sequential oracle: what the promise is measured against (DESIGN §1).

It runs emitted calls one after the other, in the order of emission, in the most obvious way, and
shares no code with the scheduler. A tool that raises yields its error as the result and the loop goes
on; a call that needs the value of a failed one does not run (DESIGN F1).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from asyncfc.errors import RootCause, UnresolvedPath, UpstreamFailed
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.projection import canonical_text
from asyncfc.futures.store import MemoryStore
from asyncfc.tool import Tool


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


Digest: TypeAlias = tuple[Any, ...]


async def run_in_order(steps: Sequence[Step], tools: Mapping[str, Tool]) -> list[Outcome]:
    """Run the steps one after the other and return the outcome of each."""
    outcomes: list[Outcome] = []
    for step in steps:
        outcomes.append(await _run(step, tools[step.tool], steps, outcomes))
    return outcomes


async def _run(step: Step, tool: Tool, steps: Sequence[Step], outcomes: Sequence[Outcome]) -> Outcome:
    blame = first_failed(step.arguments, outcomes)
    if blame is not None:
        return Failure(_upstream(blame, steps, outcomes))
    try:
        result = tool.function(**resolve(step.arguments, outcomes))
        return Value(MemoryStore().put(await result if inspect.isawaitable(result) else result))
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


def first_failed(arguments: Any, outcomes: Sequence[Outcome]) -> int | None:
    """The earliest-emitted input that has no value; None if all have one."""
    return min(
        (ref.call for ref in refs(arguments) if not isinstance(outcomes[ref.call], Value)), default=None
    )


def resolve(arguments: Any, outcomes: Sequence[Outcome]) -> Any:
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


def _look_up(ref: Ref, outcomes: Sequence[Outcome]) -> Any:
    value = outcomes[ref.call].unwrap()
    for key in ref.path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            raise UnresolvedPath(f"the value of call {ref.call} has no {ref.path}") from None
    return value


def _upstream(blame: int, steps: Sequence[Step], outcomes: Sequence[Outcome]) -> UpstreamFailed:
    error = outcomes[blame].error if isinstance(outcomes[blame], Failure) else None  # type: ignore[union-attr]
    if isinstance(error, UpstreamFailed):
        return UpstreamFailed(str(error), error.root)
    return UpstreamFailed(f"call {blame} failed", RootCause(str(blame), steps[blame].tool, None, error))


def digest(outcome: Outcome) -> Digest:
    """An outcome as comparable data: its projected value, or what failed and why.

    The wording of errors is left out where it is asyncfc's own, and so are handles.
    """
    match outcome:
        case Value(stored):
            return ("value", repr(stored.get()))  # canonical text would take "1" for 1
        case Failure(UpstreamFailed() as error):
            return ("upstream", error.root.call_id, error.root.tool, type(error.root.error).__name__)
        case Failure(UnresolvedPath()):
            return ("failure", "UnresolvedPath")
        case Failure(error):
            return ("failure", type(error).__name__, str(error))
        case _:
            return (type(outcome).__name__.lower(), outcome.reason)
