"""Calls from inside a tool of the world: through a session, and one after the other for the oracle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncfc.errors import EffectEscape
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure
from asyncfc.session import Call, Session
from asyncfc.testing.oracle import Recorded, Ref, Step, digest, run_in_order
from asyncfc.testing.world import Path, Submit, parts_of
from asyncfc.testing.written import written
from asyncfc.tools import Tool


def through(session: Session, made: Callable[[Future], object]) -> Submit:
    """Submits them as one message of the session, and shows each future to `made`."""

    async def submit(calls: list[Any], _: Path | None) -> Callable[[], Awaitable[list[Any]]]:
        message, futures = session.message(), list[Future]()
        for k, step in enumerate(map(_as_step, calls)):
            arguments = written(step.arguments, futures, first=0, as_text=k % 2 == 0)
            futures.append(message.seal(Call(str(k), step.tool, arguments)))
            made(futures[-1])
        message.commit()
        await message.answers()

        async def outcomes() -> list[Any]:
            return [digest(await future.wait()) for future in futures]

        return outcomes

    return submit


def one_by_one(tools: Mapping[str, Tool]) -> Submit:
    """Runs them at once, in order. What leaves the path that the caller declared does not run."""

    async def submit(calls: list[Any], within: Path | None) -> Callable[[], Awaitable[list[Any]]]:
        steps = [_as_step(call) for call in calls]
        escaped = Recorded(Failure(EffectEscape("outside")), ran=False)
        recorded = {
            k: escaped for k, step in enumerate(steps) if within is not None and _leaves(step, within)
        }
        found = await run_in_order(steps, tools, recorded=recorded)

        async def outcomes() -> list[Any]:
            return [digest(outcome) for outcome in found]

        return outcomes

    return submit


def _as_step(call: list[Any]) -> Step:
    tool, arguments = call
    return Step(tool, {k: v if k == "calls" else _with_refs(v) for k, v in arguments.items()})


def _with_refs(value: Any) -> Any:
    match value:
        case {"sibling": int(k), "path": list(path)}:
            return Ref(k, tuple(path))
        case dict():
            return {key: _with_refs(item) for key, item in value.items()}
        case list():
            return [_with_refs(item) for item in value]
        case _:
            return value


def _leaves(step: Step, within: Path) -> bool:
    """Whether the call touches more than what is at and below a path; a path that is a reference does not."""
    kind, _, variant = step.tool.partition("_")
    if kind == "pick":
        return False
    if variant in {"bare", "wide"}:
        return variant == "bare" or within != ()
    given = [step.arguments.get("path"), step.arguments.get("to"), *step.arguments.get("paths", ())]
    base = "a/" if variant == "a" else ""
    paths = [parts_of(base + path) for path in given if isinstance(path, str)]
    return any(path[: len(within)] != within for path in paths)
