"""Eventful programs: random programs in which more happens than that messages come and calls run.

Calls are irreversible, cancelled, timed out, given up, made twice, made from inside others; messages break
off and come again; several sessions share a runtime; paths are spelt in many ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import strategies as st

from asyncfc.testing.oracle import Step, refs, renamed
from asyncfc.testing.programs import (
    DELAYS,
    FAILS,
    GAPS,
    Broken,
    Emitted,
    Program,
    messages_of,
    programs,
    with_steps,
)
from asyncfc.testing.world import PATHS, READERS, WRITERS

_TWICE = ("read", "count", "many")
_OFTEN = st.sampled_from([True, True, False])


@st.composite
def irreversible(draw: st.DrawFn) -> Program:
    """Some writers are irreversible: they need the success of all earlier calls of their message."""
    return _redeclared(draw, draw(programs(max_calls=7)), WRITERS, ("final",))


@st.composite
def cancelled(draw: st.DrawFn) -> Program:
    """Somebody asks some calls to stop: before they start, while they work, when they have ended."""
    program = draw(programs(max_calls=7, limits=True))
    return replace(program, cancels=_cancels(draw, program))


def _cancels(draw: st.DrawFn, program: Program) -> tuple[tuple[float, int], ...]:
    when = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0])
    which = st.integers(0, len(program.steps) - 1)
    return tuple(draw(st.lists(st.tuples(when, which), min_size=1, max_size=3)))


@st.composite
def timed(draw: st.DrawFn) -> Program:
    """Some calls take longer than they may; the work of some of these goes on nevertheless."""
    program = draw(programs(max_calls=7))
    return _redeclared(draw, program, (*WRITERS, *READERS), ("timed", "deaf", "deaf"))


@st.composite
def given_up(draw: st.DrawFn) -> Program:
    """The work of some calls goes on for so long that it is given up, and what it claims is quarantined."""
    program = draw(programs(max_calls=7))
    return _redeclared(draw, program, (*WRITERS, *READERS), ("lost", "lost", "deaf"))


@st.composite
def mixed(draw: st.DrawFn) -> Program:
    """All of it together: most bugs of a runtime are where two of its rules meet."""
    program = draw(st.one_of(programs(max_calls=6, limits=True), families()))
    program = _redeclared(draw, program, (*WRITERS, *READERS), ("final", "timed", "deaf", "lost", ""))
    if draw(st.booleans()):
        program = replace(program, cancels=_cancels(draw, program))
    return _broken_off(draw, program) if draw(st.booleans()) else program


@st.composite
def broken_off(draw: st.DrawFn) -> Program:
    """Streams break, and their messages come again, perhaps with other calls than before."""
    return _broken_off(draw, draw(programs(max_calls=7)))


def _broken_off(draw: st.DrawFn, program: Program) -> Program:
    messages: list[Emitted] = []
    for message in program.messages:
        parts = tuple(_broken_part(draw, message) for _ in range(draw(st.sampled_from([0, 1, 1, 2]))))
        messages.append(replace(message, broken=parts))
    return replace(program, messages=tuple(messages))


def _broken_part(draw: st.DrawFn, message: Emitted) -> Broken:
    steps = [
        replace(step, arguments={**step.arguments, **draw(_OTHER)})
        for step in message.steps[: draw(st.integers(1, len(message.steps)))]
    ]
    if draw(st.booleans()):  # it had begun with other calls
        steps = [
            replace(step, arguments={**step.arguments, "n": n}) for n, step in enumerate(steps[::-1], 900)
        ]
        steps = [step for step in steps if not _mentions(step, message)]
    return Broken(tuple(steps), draw(GAPS), retried=draw(_OFTEN))


_OTHER: st.SearchStrategy[Mapping[str, Any]] = st.sampled_from([{}, {}, {}, {"delay": 4}])


def _mentions(step: Step, message: Emitted) -> bool:
    """Whether a call refers to another of the message, which need not be there when it is moved."""
    first = message.steps[0].arguments["n"]
    return any(ref.call >= first for ref in refs(step.arguments))


@st.composite
def families(draw: st.DrawFn) -> Program:
    """Some calls make others from inside, which may do so in turn."""
    steps = list(draw(programs(max_calls=3, barriers=False)).steps)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(steps)))
        steps.insert(place, draw(nests(900 + 100 * len(steps), depth=2)))
    steps = _renumbered(steps)
    return Program(draw(messages_of(steps)), draw(st.sampled_from([{}, {"*": 1}, {"*": 2}])))


@st.composite
def nests(draw: st.DrawFn, base: int, depth: int) -> Step:
    """A call that makes 1 to 3 others from inside, mostly below its own path.

    Args:
        draw: given by Hypothesis.
        base: the calls are numbered from here.
        depth: how deep calls may be made from inside others.
    """
    variant = draw(st.sampled_from(["", "", "", "bare", "wide", "fn"]))
    path = draw(st.sampled_from([".", "a", "b", "a/b"]))
    anywhere = variant in {"bare", "wide"} or path == "."
    inside = [p for p in PATHS if anywhere or p == path or p.startswith(path + "/")]
    calls: list[Any] = []
    for k in range(draw(st.integers(1, 3))):
        if depth > 1 and draw(st.integers(0, 5)) == 0:
            inner = draw(nests(base + 10 * (k + 1), depth - 1))
            # One that does not wait settles while its own calls go on, and who called it would then see them.
            calls.append([inner.tool, {**inner.arguments, "wait": True}])
        else:
            calls.append(_child(draw, base + k, inside, calls))
    arguments = {"n": base + 99, "path": path, "calls": calls, "delay": draw(DELAYS), "wait": draw(_OFTEN)}
    return Step(f"nest_{variant}" if variant else "nest", _with_fail(draw, arguments))


def _child(draw: st.DrawFn, n: int, inside: Sequence[str], siblings: Sequence[Any]) -> list[Any]:
    """A call below the paths, or now and then elsewhere, that may need the value of a sibling."""
    kind = draw(st.sampled_from(["read", "append", "append", "write", "delete", "pick", "append_fn"]))
    path: Any = draw(st.sampled_from([*inside, *inside, "b"]))
    arguments: dict[str, Any] = {"n": n, "delay": draw(DELAYS)}
    picks: list[int] = [k for k, (tool, _) in enumerate(siblings) if tool == "pick"]
    others: list[int] = [k for k, (tool, _) in enumerate(siblings) if not tool.startswith("nest")]
    if kind == "pick":
        path = draw(st.sampled_from(inside))
    elif draw(st.booleans()) and picks:
        path = {"sibling": draw(st.sampled_from(picks)), "path": []}
    elif path in inside and kind in {"append", "write"} and draw(st.booleans()) and others:
        arguments["value"] = {"sibling": draw(st.sampled_from(others)), "path": []}
    return [kind, _with_fail(draw, {**arguments, "path": path})]


def _with_fail(draw: st.DrawFn, arguments: dict[str, Any]) -> dict[str, Any]:
    fail = draw(FAILS)
    return {**arguments, "fail": fail} if fail else arguments


@st.composite
def repeated(draw: st.DrawFn) -> Program:
    """Some reads come again, word for word, now or later."""
    steps = list(draw(programs(max_calls=6)).steps)
    for _ in range(draw(st.integers(1, 3))):
        reads = [place for place, step in enumerate(steps) if step.tool.partition("_")[0] in _TWICE]
        if reads:
            place = draw(st.sampled_from(reads))
            steps.insert(draw(st.integers(place + 1, len(steps))), steps[place])
    return Program(draw(messages_of(_renumbered(steps, keep=_TWICE))))


@st.composite
def grouped(draw: st.DrawFn) -> Program:
    """Messages with groups of two or three undeclared calls, each of which acts in one moment."""
    program = draw(programs(max_calls=7, barriers=False))
    groups: dict[int, set[int]] = {}
    for n, first in enumerate(program.firsts):
        group = groups.get(first, set())
        if len(group) < 3 and (group or len(groups) < 2) and draw(_OFTEN):
            groups[first] = group | {n}
    chosen = {n for group in groups.values() for n in group}

    def other(step: Step) -> Step:
        kind = step.tool.partition("_")[0]
        pick = kind == "pick" or step.arguments["n"] not in chosen
        return step if pick else replace(step, tool=f"{kind}_once")

    return with_steps(program, other)


@st.composite
def conversations(draw: st.DrawFn) -> list[Program]:
    """Programs of two or three sessions that run at the same time; their calls are numbered differently."""
    count = draw(st.integers(2, 3))
    return [_numbered_from(draw(programs(max_calls=4)), 100 * k) for k in range(count)]


@st.composite
def respelt(draw: st.DrawFn) -> Program:
    """Every path that is written down is spelt in some other way that names the same (P5)."""

    def other(step: Step) -> Step:
        spell = partial(_spelling, draw, relative=step.tool.endswith("_a"))
        spelt = {
            name: [spell(path) for path in value] if name == "paths" else spell(value)
            for name, value in step.arguments.items()
            if name in {"path", "paths", "to"}
        }
        return replace(step, arguments={**step.arguments, **spelt})

    return with_steps(draw(programs(max_calls=6, barriers=False)), other)


def _spelling(draw: st.DrawFn, path: Any, *, relative: bool) -> Any:
    spellings = ["{}", "./{}", "{}/", "x/../{}", "./x/..//{}/."]
    spellings += [] if relative else ["../{}", "/{}"]  # which lead out of the folder that it is relative to
    return draw(st.sampled_from(spellings)).format(path) if isinstance(path, str) else path


# --- helpers ----------------------------------------------------------------------------------------------


def _redeclared(draw: st.DrawFn, program: Program, kinds: Sequence[str], variants: Sequence[str]) -> Program:
    """The program with some of its exactly declared tools of these kinds declared in these ways."""

    def other(step: Step) -> Step:
        variant = draw(st.sampled_from(variants)) if step.tool in kinds and draw(_OFTEN) else ""
        if variant == "final" and step.tool in READERS:
            variant = ""
        return replace(step, tool=f"{step.tool}_{variant}") if variant else step

    return with_steps(program, other)


def _renumbered(steps: Sequence[Step], keep: Sequence[str] = ()) -> list[Step]:
    """Steps that were put among others, with references and numbers set right.

    Args:
        steps: the calls in their new order; references are by `n`.
        keep: calls of these kinds keep their `n`.
    """
    place_of: dict[int, int] = {}
    for place, step in enumerate(steps):
        place_of.setdefault(step.arguments["n"], place)

    renumbered = []
    for place, step in enumerate(steps):
        arguments = renamed(step.arguments, place_of.__getitem__)
        if step.tool.partition("_")[0] not in keep:
            arguments = {**arguments, "n": place}
        renumbered.append(replace(step, arguments=arguments))
    return renumbered


def _numbered_from(program: Program, base: int) -> Program:
    return with_steps(
        program, lambda step: replace(step, arguments={**step.arguments, "n": base + step.arguments["n"]})
    )
