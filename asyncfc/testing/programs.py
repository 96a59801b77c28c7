"""Random programs: what a model might emit against a `World`, as plain data and as Hypothesis strategies.

A `Program` is frozen and its repr can be pasted into a test. Its calls read and write overlapping
paths, fail, refer to earlier values (whole, by path, inside text), take their very paths from them,
and declare too much or nothing; messages come in groups, with decode time before each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from asyncfc.testing.oracle import Ref, Step, Text, refs
from asyncfc.testing.world import LEAVES, PATHS, READERS, VARIANTS, WRITERS, Fail


@dataclass(frozen=True, slots=True)
class Broken:
    """A stream that broke after these calls, `gap` seconds apart, before its message came again.

    `retried`: the new message begins as a retry of the broken one; else that was withdrawn before.
    """

    steps: tuple[Step, ...]
    gap: float
    retried: bool


@dataclass(frozen=True, slots=True)
class Emitted:
    """One message: its calls, and how long the model decodes before each and before the end (s)."""

    steps: tuple[Step, ...]
    gaps: tuple[float, ...]
    broken: tuple[Broken, ...] = ()
    """What came of it before it was complete at last."""

    def __post_init__(self) -> None:
        assert len(self.gaps) == len(self.steps) + 1, "one gap before each call and one before the end"


@dataclass(frozen=True, slots=True)
class Program:
    """The messages of one session, and its limits. Call `n` of the program is `steps[n]`."""

    messages: tuple[Emitted, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    cancels: tuple[tuple[float, int], ...] = ()
    """When somebody asks which call to stop; nothing happens if it was not emitted by then."""

    @property
    def steps(self) -> list[Step]:
        """All calls, in the order of emission."""
        return [step for message in self.messages for step in message.steps]

    @property
    def sealed_at(self) -> list[float]:
        """When each call seals, in seconds from the start."""
        return [sealed for sealed, _ in self._times()]

    @property
    def committed_at(self) -> list[float]:
        """When the message of each call is complete, in seconds from the start."""
        return [committed for _, committed in self._times()]

    @property
    def tools(self) -> set[str]:
        """The names of all tools that it needs."""
        broken = (step for message in self.messages for part in message.broken for step in part.steps)
        return {name for step in (*self.steps, *broken) for name in _tools_of(step.tool, step.arguments)}

    @property
    def gates(self) -> dict[int, range]:
        """Of each irreversible call the earlier calls of its message, which must succeed before it."""
        return {n: range(first, n) for n, first in enumerate(self.firsts) if is_final(self.steps[n])}

    @property
    def firsts(self) -> list[int]:
        """Of each call the first call of its message."""
        firsts: list[int] = []
        for message in self.messages:
            firsts += [len(firsts)] * len(message.steps)
        return firsts

    def _times(self) -> list[tuple[float, float]]:
        times: list[tuple[float, float]] = []
        now = 0.0
        for message in self.messages:
            now += sum(part.gap * len(part.steps) for part in message.broken)
            seals = [now := now + gap for gap in message.gaps[:-1]]
            now += message.gaps[-1]
            times += [(sealed, now) for sealed in seals]
        return times

    def __repr__(self) -> str:
        lines = ["Program(", "    ("]
        for message in self.messages:
            lines += ["        Emitted(", "            ("]
            lines += [f"                {step!r}," for step in message.steps]
            lines += ["            ),", f"            {message.gaps!r},"]
            lines += [f"            {message.broken!r},"] * bool(message.broken)
            lines += ["        ),"]
        lines += ["    ),", f"    {dict(self.limits)!r},"]
        lines += [f"    {self.cancels!r},"] * bool(self.cancels)
        return "\n".join([*lines, ")"])


def _tools_of(name: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """The tool and, of a `nest`, those that it calls."""
    yield name
    for child, of_child in arguments.get("calls", ()):
        yield from _tools_of(child, of_child)


def is_final(step: Step) -> bool:
    """Whether the call is irreversible."""
    return step.tool.endswith("_final")


def declared_as(program: Program, variant: str) -> Program:
    """The same program with every tool of the world declared in another way; see `VARIANTS`."""

    def other(step: Step) -> Step:
        kind, _, old = step.tool.partition("_")
        return step if kind == "pick" or old == "a" else replace(step, tool=f"{kind}_{variant}")

    return with_steps(program, other)


def with_steps(program: Program, other: Callable[[Step], Step]) -> Program:
    """The program with other steps in place of its own."""
    messages = (replace(m, steps=tuple(map(other, m.steps))) for m in program.messages)
    return replace(program, messages=tuple(messages))


GAPS = st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0])
DELAYS = st.sampled_from([0, 1, 1, 2, 3, 5])
FAILS: st.SearchStrategy[Fail] = st.sampled_from([None] * 7 + ["start", "middle", "end"])
LITERALS: st.SearchStrategy[Any] = st.sampled_from([None, "x", 7, ["x", {"y": 1.5}], "$notahandle_1", {}])
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "*": st.integers(1, 3),
        "tool:read": st.integers(1, 2),
        "tool:append": st.just(1),
        "fs:/a": st.integers(1, 2),
    },
)
_KINDS = st.sampled_from([*READERS, *WRITERS, "read", "write", "append", "pick", "pick"])
_VARIANTS = st.sampled_from(["", "", "", "", "", "a", "a", *VARIANTS])
_PATHS = st.sampled_from([*PATHS, None, None, None])  # None: taken from the value of an earlier call
_LEAVES = st.sampled_from([*LEAVES, None, None])
_DEPTHS = st.sampled_from([(), (), ("before",), ("after", "a/b"), ("nope", 0)])
_FORMS = st.sampled_from(["literal", "whole", "whole", "nested", "text"])


@st.composite
def programs(
    draw: st.DrawFn, *, max_calls: int = 8, limits: bool = False, barriers: bool = True, fails: bool = True
) -> Program:
    """Programs of 2 to `max_calls` calls.

    Args:
        draw: given by Hypothesis.
        max_calls: the most calls.
        limits: whether there may be limits.
        barriers: whether tools may be undeclared or declared too widely.
        fails: whether tools may raise.
    """
    steps: list[Step] = []
    for _ in range(draw(st.integers(2, max_calls))):
        steps.append(_draw_step(draw, steps, barriers=barriers, fail=draw(FAILS) if fails else None))
    return Program(draw(messages_of(steps)), draw(LIMITS) if limits else {})


@st.composite
def messages_of(draw: st.DrawFn, steps: Sequence[Step]) -> tuple[Emitted, ...]:
    """Cut calls into messages of 1 to 4, with decode time between them."""
    rest = tuple(steps)
    messages: list[Emitted] = []
    while rest:
        size = draw(st.integers(1, min(4, len(rest))))
        messages.append(Emitted(rest[:size], tuple(draw(GAPS) for _ in range(size + 1))))
        rest = rest[size:]
    return tuple(messages)


def _draw_step(draw: st.DrawFn, before: Sequence[Step], *, barriers: bool, fail: Fail) -> Step:
    kind = draw(_KINDS)
    variant = "" if kind == "pick" else draw(_VARIANTS)
    if variant in {"wide", "bare"} and not barriers:
        variant = ""
    arguments: dict[str, Any] = {"n": len(before), "delay": draw(DELAYS)}
    if kind == "many":
        arguments["paths"] = [_draw_path(draw, before, variant) for _ in range(draw(st.integers(1, 2)))]
    else:
        arguments["path"] = _draw_path(draw, before, variant)
    if kind == "copy":
        arguments["to"] = _draw_path(draw, before, variant)
    if kind in {"write", "append", "pick"}:
        arguments["value"] = _draw_value(draw, len(before))
    if fail:
        arguments["fail"] = fail
    return Step(f"{kind}_{variant}" if variant else kind, arguments)


def _draw_path(draw: st.DrawFn, before: Sequence[Step], variant: str) -> Any:
    """A path, or where to find one in the value of an earlier call, so that the label binds late."""
    literal = draw(_LEAVES if variant == "a" else _PATHS)
    if literal is not None or not before:
        return literal or "a"
    n = draw(st.integers(0, len(before) - 1))
    ref = path_ref(n, before[n], leaf=variant == "a")
    return draw(st.sampled_from([ref, Text(("./", ref))])) if ref else "b"


def path_ref(n: int, step: Step, *, leaf: bool = False) -> Ref | None:
    """Where the value of call `n` holds a path (with `leaf` one of at most one component), if it does."""
    if step.tool != "pick":
        return Ref(n, ("leaf" if leaf else "next",))
    return None if leaf and step.arguments["path"] not in LEAVES else Ref(n)


def _draw_value(draw: st.DrawFn, calls: int) -> Any:
    form = draw(_FORMS) if calls else "literal"
    if form == "literal":
        return draw(LITERALS)
    ref = Ref(draw(st.integers(0, calls - 1)), draw(_DEPTHS))
    if form == "text":
        return Text(("1: ", Ref(ref.call), " 2: ", Ref(draw(st.integers(0, calls - 1)))))
    return ref if form == "whole" else [ref, {"k": ref}]


def has_late_label(step: Step) -> bool:
    """Whether some label of this call comes from the value of another."""
    return any(refs([step.arguments.get(name)]) for name in ("path", "paths", "to"))
