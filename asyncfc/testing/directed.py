"""Directed programs: skeletons of the rare holes of an ordering runtime, randomly decorated.

Random programs hit these once in hundreds of runs or less. The letters are those of the scenarios
that broke earlier drafts of the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from asyncfc.testing.oracle import Ref, Step, Text
from asyncfc.testing.programs import DELAYS, GAPS, Broken, Emitted, Program, messages_of

_WRITERS = st.sampled_from(["write", "append", "delete"])
_LONG = st.integers(4, 8)
_SHORT = st.integers(0, 2)
_PAIRS = st.sampled_from([("a", "a"), ("b", "b/b"), ("a/b", "a"), (".", "b/a"), ("b/b", "b/b")])
"""Paths that overlap: the same, ancestor and descendant, descendant and ancestor."""


@st.composite
def never_runs(draw: st.DrawFn) -> Program:
    """S1: a call that settles without running stands between two that conflict.

    `W1 write(x) slow; F fails; W2 write(x, value of F); R read(x)`: W2 never runs, and what is ordered
    after it must still wait for W1.
    """
    old, new = draw(_PAIRS)
    steps = [
        _step(draw(_WRITERS), path=old, delay=draw(_LONG)),
        _step("pick", path="a", delay=draw(_SHORT), fail="end"),
        _step(draw(st.sampled_from(["write", "append"])), path=new, value=Ref(1), delay=draw(DELAYS)),
        _step(draw(st.sampled_from(["read", "count", "append"])), path=new, delay=draw(_SHORT)),
    ]
    return draw(_decorated(steps))


@st.composite
def wide_covers(draw: st.DrawFn) -> Program:
    """S2: a claim that is still wide stands between two that conflict, and then narrows to elsewhere.

    `W1 write(a) slow; P gives "b"; W2 write(path from P); R read(a)`: W2 ends up at b, and R must wait
    for W1 although at its registration W2 seemed to cover all.
    """
    steps = [
        _step(draw(_WRITERS), path="a", delay=draw(_LONG)),
        _step("pick", path=draw(st.sampled_from(["b", "b/a", "b/b"])), delay=draw(st.integers(1, 2))),
        _step(draw(_WRITERS), path=draw(st.sampled_from([Ref(1), Text(("./", Ref(1)))])), delay=draw(DELAYS)),
        _step(draw(st.sampled_from(["read", "count", "append"])), path=draw(st.sampled_from(["a", "a/b"]))),
    ]
    return draw(_decorated(steps, together=True))


@st.composite
def late_and_lost(draw: st.DrawFn) -> Program:
    """A call that will never run, because of its value, learns its label afterwards, or before.

    `F fails; P gives "b"; W1 write(a) slow; W2 write(path from P, value of F); R, X at a and b`: once W2's
    label is known, W2 is in nobody's way at a.
    """
    steps = [
        _step("pick", path="a", delay=draw(_SHORT), fail="end"),
        _step("pick", path=draw(st.sampled_from(["b", "b/a"])), delay=draw(DELAYS)),
        _step(draw(_WRITERS), path="a", delay=draw(_LONG)),
        _step("append", path=Ref(1), value=draw(st.sampled_from([Ref(0), [Ref(1), Ref(0)]]))),
        _step(draw(st.sampled_from(["read", "append"])), path=draw(st.sampled_from(["a/b", "b", "b/b"]))),
        _step(
            "append", path=draw(st.sampled_from(["b", "a", "."])), value=draw(st.sampled_from([None, Ref(1)]))
        ),
    ]
    return draw(_decorated(steps, together=True))


@st.composite
def groups(draw: st.DrawFn) -> Program:
    """S37: undeclared calls of one message, which may run concurrently, after an older call that still runs.

    `W write(a) slow; [U1, U2] undeclared; R`: neither U may overlap with W, and R with neither U.
    """
    undeclared = st.sampled_from(["read_bare", "append_bare", "copy_bare"])
    inner = [draw(undeclared), draw(st.sampled_from(["pick", "append_a", "read_bare"])), draw(undeclared)]
    tools = [draw(_WRITERS), *draw(st.sampled_from([inner, inner[::2]])), draw(_WRITERS)]
    steps = []
    for n, tool in enumerate(tools):
        path = "a" if tool.endswith("_a") else draw(st.sampled_from(["a", "b", "."]))
        to = {"to": "b"} if tool.startswith("copy") else {}
        steps.append(_step(tool, n=n, path=path, delay=draw(_LONG if n == 0 else DELAYS), **to))
    cut = (steps[:1], steps[1:-1], steps[-1:])
    return Program(tuple(Emitted(tuple(part), (0.0,) * (len(part) + 1)) for part in cut))


@st.composite
def escapes(draw: st.DrawFn) -> Program:
    """S3: a late label leaves the prefix that was claimed for it; the call, number 1, must not run.

    `P gives "../b"; W writes fs:/a/{path from P}; X writes b`: X did not conflict with W when it started.
    """
    target = draw(st.sampled_from(["../b", "../b/a", "/b", "/", "..", "./../b"]))
    tool = draw(st.sampled_from(["write_a", "append_a", "delete_a", "read_a"]))
    steps = [
        _step("pick", path=target, delay=draw(st.integers(1, 3))),
        _step(tool, path=Ref(0), delay=draw(DELAYS)),
        _step(draw(_WRITERS), path=draw(st.sampled_from(["b", "b/a", "a"])), delay=draw(DELAYS)),
        _step("read", path=draw(st.sampled_from(["a", "b", "."])), delay=draw(DELAYS)),
    ]
    return draw(_decorated(steps, together=True))


@st.composite
def late_into_quarantine(draw: st.DrawFn) -> Program:
    """F2: a call that waits for its label learns that it touches what work that was given up still holds.

    `L writes a for long, is given up; P gives "a" even later; R(path from P)`: R must not run.
    """
    steps = [
        _step(draw(st.sampled_from(["write_lost", "append_lost"])), path="a", delay=draw(st.integers(9, 12))),
        _step("pick", path=draw(st.sampled_from(["a", "a/b", "b"])), delay=draw(st.integers(3, 8))),
        _step(draw(st.sampled_from(["read", "append", "delete"])), path=Ref(1), delay=draw(DELAYS)),
    ]
    return draw(_decorated(steps, together=True))


@st.composite
def retried_behind_a_write(draw: st.DrawFn) -> Program:
    """O3: a stream breaks after a read; when it comes again a write stands before that read.

    The read of the broken message has not seen what the write does, so it must not be adopted.
    """
    path, other = draw(_PAIRS)
    read = _step(draw(st.sampled_from(["read", "count"])), n=1, path=path, delay=draw(DELAYS))
    before = _step("pick", n=0, path="a", delay=draw(_SHORT))
    write = _step(draw(_WRITERS), n=0, path=other, delay=draw(DELAYS))
    first = draw(st.sampled_from([write, write, before]))
    broken = Broken((before, read), draw(GAPS), retried=True)
    return Program((Emitted((first, read), (0.0, draw(GAPS), draw(GAPS)), (broken,)),))


@st.composite
def two_failed_inputs(draw: st.DrawFn) -> Program:
    """S10: of two failed inputs the earliest-emitted is to blame, even if the other failed first."""
    steps = [
        _step("pick", path="a", delay=draw(DELAYS), fail=draw(st.sampled_from(["end", "middle", None]))),
        _step("pick", path="b", delay=draw(DELAYS), fail="middle"),
        _step("pick", path="b", value=[Ref(1), Ref(0)], delay=draw(DELAYS)),
        _step("append", path="a", value=draw(st.sampled_from([Ref(2), [Ref(2), Ref(1)]]))),
    ]
    return draw(_decorated(steps))


@st.composite
def live_results(draw: st.DrawFn) -> Program:
    """A reader returns live state, a later writer changes it, and then the reader's value is used.

    A snapshot taken any later than at the reader's end would show what the writer did.
    """
    old, new = draw(_PAIRS)
    steps = [
        _step(draw(st.sampled_from(["read", "append"])), path=old, delay=draw(_SHORT)),
        _step(draw(_WRITERS), path=new, delay=draw(_SHORT)),
        _step("pick", path="a", delay=draw(_LONG)),
        _step("append", path=old, value=[Ref(0), Ref(2)]),
    ]
    return draw(_decorated(steps))


@st.composite
def forgeries(draw: st.DrawFn, handles: Sequence[str]) -> Program:
    """A tool returns text that looks like a handle; as a value it must stay what it is.

    Args:
        draw: given by Hypothesis.
        handles: texts that would be handles if a model wrote them.
    """
    text = draw(st.sampled_from(handles)) + draw(st.sampled_from(["", ".next", " and more"]))
    values = [Ref(1), [Ref(1)], {"k": Ref(1)}, Text(("see ", Ref(1))), Text((Ref(1), "!"))]
    steps = [
        _step("pick", path="a", delay=draw(_SHORT)),
        _step("pick", path=draw(st.sampled_from([text, f"{text} {text}"])), delay=draw(_SHORT)),
        _step("append", path="a", value=draw(st.sampled_from(values))),
    ]
    return draw(_decorated(steps))


@st.composite
def _decorated(draw: st.DrawFn, steps: Sequence[Step], *, together: bool = False) -> Program:
    """Number the calls, add up to two others at the end, and cut them into messages.

    With `together` the skeleton is emitted without any pause, so that what is late stays late.
    """
    extra = st.builds(
        _step,
        st.sampled_from(["read", "append", "read_a", "count_bare"]),
        path=st.sampled_from(["a", "b", "."]),
        delay=DELAYS,
    )
    steps = [*steps, *draw(st.lists(extra, max_size=2))]
    steps = [replace(step, arguments={"n": n, **step.arguments}) for n, step in enumerate(steps)]
    messages = draw(messages_of(steps))
    if together:
        messages = tuple(replace(message, gaps=(0.0,) * len(message.gaps)) for message in messages)
    return Program(messages)


def _step(tool: str, **arguments: Any) -> Step:
    arguments.setdefault("delay", 1)
    if arguments.get("fail", "") is None:
        del arguments["fail"]
    return Step(tool, arguments)
