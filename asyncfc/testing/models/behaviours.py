"""Behaviours: how models deal with handles, each a small script, by name.

Calls are given as `(tool, arguments)`. None of them ends a conversation by itself: asked again, as after a
late delivery, each tells what it was told last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from asyncfc.testing.models.script import Ask, Emit, Script, View, play

Asks: TypeAlias = tuple[str, Mapping[str, Any]]

AWAIT = "await_future"


def tells(view: View) -> Emit:
    """Say what was told last; the end of most behaviours."""
    return Emit("Done: " + " ".join(view.last_texts()))


def well_behaved(first: Asks, then: tuple[str, str]) -> Script:
    """Call a tool, pass its result on, await what is running, tell what came.

    Args:
        first: the call.
        then: the tool that gets the result, and its argument.
    """
    tool, argument = then
    return play(
        Emit(calls=[first]),
        lambda view: Emit(calls=[(tool, {argument: view.passed_on(first[0], -1)})]),
        _awaits_or_tells,
        after=tells,
    )


def pipelines(first: Asks, then: tuple[str, str]) -> Script:
    """Both calls in one message: the second takes `$this_1`."""
    tool, argument = then
    return play(Emit(calls=[first, (tool, {argument: "$this_1"})]), _awaits_or_tells, after=tells)


def calls_twice(call: Asks) -> Script:
    """Make a call, and the same call again once it was answered."""
    return play(Emit(calls=[call]), Emit(calls=[call]), after=tells)


def invents_a_handle(tool: str, argument: str, handle: str = "$zz9z_7") -> Script:
    """Pass on a result that nobody gave it."""
    return play(Emit(calls=[(tool, {argument: handle})]), after=tells)


def awaits_settled(call: Asks) -> Script:
    """Await a handle, and then the same handle again."""

    def await_first(view: View) -> Emit:
        return Emit(calls=[(AWAIT, {"handles": view.handles()[:1]})])

    return play(Emit(calls=[call]), await_first, await_first, after=tells)


def awaits_unknown(handle: str = "$zz9z_7") -> Script:
    """Await a handle that nobody gave it."""
    return play(Emit(calls=[(AWAIT, {"handles": [handle]})]), after=tells)


def never_awaits(call: Asks) -> Script:
    """Make a call and be done."""
    return play(Emit(calls=[call]), Emit("Done."), after=tells)


def answers_with_handles(call: Asks) -> Script:
    """Tell the handle in place of the result."""
    return play(
        Emit(calls=[call]), lambda view: Emit(f"The result is {view.passed_on(call[0], -1)}."), after=tells
    )


def stops_mid_handle(call: Asks) -> Script:
    """End the text in the middle of a handle, as in `$k7q`."""
    return play(
        Emit(calls=[call]), lambda view: Emit(f"The result is {view.passed_on(call[0], -1)[:4]}"), after=tells
    )


def calls_a_missing_tool(name: str = "no_such_tool") -> Script:
    """Call a tool that was not offered."""
    return play(Emit(calls=[(name, {"x": 1})]), after=tells)


def cut_off_in_arguments(*calls: Asks) -> Script:
    """Run into the token limit in the middle of the last call's arguments."""
    *whole, (name, arguments) = calls
    text = Ask(name, arguments).text
    return play(Emit(calls=[*whole, (name, text[: len(text) // 2])], stop="length"), after=tells)


def refuses(text: str = "I cannot help with that.") -> Script:
    """Refuse, whatever is asked."""
    return play(after=Emit(text, stop="refusal"))


def copies_an_escaped_handle(call: Asks, then: tuple[str, str]) -> Script:
    """Pass on the text of an answer as it reads, with the escaped handles in it.

    Args:
        call: a call whose result has handles in its text.
        then: the tool that gets the text, and its argument.
    """
    tool, argument = then
    return play(
        Emit(calls=[call]),
        lambda view: Emit(calls=[(tool, {argument: view.answer_of(call[0], -1)})]),
        after=tells,
    )


def talks_and_calls(text: str, *calls: Asks) -> Script:
    """Text and calls in one message."""
    return play(Emit(text, calls=calls), after=tells)


def one_call_per_user(*calls: Asks) -> Script:
    """One call in each turn of the user, then tell its answer; with no calls left, talk only."""

    def script(view: View) -> Emit:
        users = sum(message.role == "user" for message in view.messages)
        asked_now = view.messages[-1].role == "user"
        return Emit(calls=[calls[users - 1]]) if asked_now and users <= len(calls) else tells(view)

    return script


def _awaits_or_tells(view: View) -> Emit:
    """Await what is running, if that can be done."""
    if AWAIT in view.tools and view.handles():
        return Emit(calls=[(AWAIT, {"handles": view.handles()})])
    return tells(view)
