"""The suite: every case on every way to run a framework, and what must hold after each of them.

A framework's own file has three lines:

    from tests.adapters.conformance import suite
    from tests.adapters.conformance.langchain_harness import HARNESSES

    test_conforms, test_says_what_it_cannot_do, test_waits_for_room = suite.tests_of(HARNESSES)
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from asyncfc import Call, DeclarationError, Runtime, Session
from asyncfc.testing.models import Emit, View
from tests.adapters.conformance.harness import CAPABILITIES, Case, Does, Harness, Ran, Stage, texts_of
from tests.adapters.conformance.scenarios import CASES

DOCS = Path(__file__).parents[3] / "docs"
SECONDS = 8.0
"""Of real time for a case; each takes milliseconds unless something waits in vain."""
MOST_ABSENT = 6

_HANDLE = re.compile(r"(?<!\$)\$(?!this_)[a-z0-9]{4}_[0-9]+")
_PENDING = re.compile(r"(?<!\$)(\$[a-z0-9]{4}_[0-9]+) is running\. Do not")
_TOLD = re.compile(r"(?<!\$)(\$[a-z0-9]{4}_[0-9]+) = \w+\(")


Test: TypeAlias = Callable[..., None]


def tests_of(harnesses: Sequence[Harness]) -> tuple[Test, Test, Test]:
    """The tests of a framework, to be bound to names that begin with `test_`."""
    pairs = [(harness, case) for harness in harnesses for case in CASES if suits(harness, case)]
    ids = [f"{harness.name}: {case.name}" for harness, case in pairs]

    @pytest.mark.parametrize(("harness", "case"), pairs, ids=ids)
    def test_conforms(harness: Harness, case: Case) -> None:
        check(harness, case)

    @pytest.mark.parametrize("harness", harnesses, ids=lambda harness: str(harness.name))
    def test_says_what_it_cannot_do(harness: Harness) -> None:
        print(f"{harness.name} cannot: {dict(harness.absent)}")  # noqa: T201 - so that a report has it
        assert set(harness.absent) <= set(CAPABILITIES)
        assert len(harness.absent) <= MOST_ABSENT
        pages = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in DOCS.rglob("*.md"))
        for sentence in harness.absent.values():
            assert len(sentence) > 20
            assert sentence in pages

    @pytest.mark.parametrize("harness", harnesses, ids=lambda harness: str(harness.name))
    def test_waits_for_room(harness: Harness) -> None:
        check_room(harness)

    return test_conforms, test_says_what_it_cannot_do, test_waits_for_room


def suits(harness: Harness, case: Case) -> bool:
    """Whether a case is about something that the framework can do, or about just that it cannot."""
    if case.without is not None and case.without not in harness.absent:
        return False
    return not case.needs & set(harness.absent)


def check(harness: Harness, case: Case) -> Ran:
    """Play a case and check it, on a loop of its own."""
    before = threading.enumerate()
    stage = Stage(case)
    ran = asyncio.run(_played(harness, stage))
    case.check(ran)
    for law in LAWS:
        law(ran)
    _no_thread_is_left(before, getattr(harness, "pools", ()))
    return ran


def _work() -> str:
    """Work."""
    return "done"


def check_room(harness: Harness) -> None:
    """See that the model is asked only when there is room in the runtime."""
    asyncio.run(asyncio.wait_for(_waits_for_room(harness), SECONDS))


async def _waits_for_room(harness: Harness) -> None:
    """In a runtime that is full the model is asked only when there is room again.

    A harness whose session has a loop of its own cannot have a runtime, and must say so.
    """
    runtime, gate = Runtime(max_live=1), asyncio.Event()
    stage = Stage(
        Case("no room", [Emit("Done.")], lambda _: None, [Does(_work)], settings={"runtime": runtime})
    )
    async with Session({"wait": gate.wait}, runtime=runtime) as other:
        await other.submit([Call("one", "wait", {})])
        playing = asyncio.ensure_future(harness.run(stage))
        while not playing.done() and not runtime.statistics().waiting_messages:  # noqa: ASYNC110 - or it fails
            await asyncio.sleep(0)
        assert not stage.ran(()).views, "the model was asked although there was no room"
        gate.set()
        (came,) = await asyncio.gather(playing, return_exceptions=True)
        refused = isinstance(came, DeclarationError) and "event loop" in str(came)
        assert refused or came == ["Done."]
    runtime.close()


async def _played(harness: Harness, stage: Stage) -> Ran:
    before = asyncio.all_tasks()
    try:
        texts = await asyncio.wait_for(harness.run(stage), SECONDS)
    except TimeoutError:
        raise AssertionError(f"stuck: {stage.where()}") from None
    finally:
        stage.end()
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    assert not left, f"tasks left behind: {left}"
    assert len(texts) == len(stage.turns)
    return stage.ran(texts)


def _no_thread_is_left(before: Sequence[threading.Thread], pools: Sequence[str]) -> None:
    """Threads end soon after they were told to; those of a pool that a framework keeps are its own."""
    until = time.monotonic() + 1
    while left := [
        t for t in threading.enumerate() if t not in before and not t.name.startswith(tuple(pools))
    ]:
        assert time.monotonic() < until, f"threads left behind: {left}"
        left[0].join(until - time.monotonic())


# --- what holds after every case ----------------------------------------------------------------------


def no_handle_reaches_people(ran: Ran) -> None:
    """P21, and D5: what is superseded is not shown either."""
    for text in [*ran.texts, "".join(ran.shown)]:
        assert not _HANDLE.search(text), text
        assert "provisional" not in text


def no_handle_reaches_a_tool(ran: Ran) -> None:
    """P21: a call that names a handle starts with its value, or not at all."""
    for run in ran.runs:
        assert not _HANDLE.search(json.dumps(run.arguments)), run


def what_was_streamed_is_the_text(ran: Ran) -> None:
    """Nobody sees anything but the final texts, and what the model says beside its calls."""
    if ran.shown:
        assert "".join(ran.shown).endswith(ran.text)


def every_call_is_answered_once(ran: Ran) -> None:
    """P17; the model's judge has checked the places, too."""
    for message in ran.last.messages:
        assert all(count == 1 for count in Counter(call.id for call in message.calls).values())
    made = Counter(call.id for call in ran.last.calls())
    assert made == Counter(answer.call_id for answer in ran.last.answers())


def what_was_sent_stays(ran: Ran) -> None:
    """P18: each request repeats the one before, and adds to it."""
    if ran.case.forgets:
        return
    for earlier, later in zip(ran.views, ran.views[1:], strict=False):
        for before, now in zip(earlier.messages, later.messages, strict=False):
            assert now == before, f"was {before}, is {now}"
        assert len(later.messages) >= len(earlier.messages)
        assert later.system == earlier.system


def every_outcome_is_told_once(ran: Ran) -> None:
    """D4, D5: of each call that was answered with a handle."""
    texts = "\n".join(text for view in _ends(ran) for text in texts_of(view))
    told = Counter(_TOLD.findall(texts))
    assert all(count == 1 for count in told.values()), told
    if not ran.case.untold:
        assert set(_PENDING.findall(texts)) <= set(told), f"never told: {texts}"


def every_run_has_ended(ran: Ran) -> None:
    """Nothing goes on behind the user's back."""
    assert all(run.ended is not None for run in ran.runs)


def the_model_is_taught(ran: Ran) -> None:
    """D7: in every request, what handles are, and how to wait."""
    for view in ran.views:
        assert {"await_future", "cancel_future"} <= view.tools.keys()
        assert "stands for its result" in view.system


LAWS = (
    the_model_is_taught,
    no_handle_reaches_people,
    no_handle_reaches_a_tool,
    what_was_streamed_is_the_text,
    every_call_is_answered_once,
    what_was_sent_stays,
    every_outcome_is_told_once,
    every_run_has_ended,
)


def _ends(ran: Ran) -> list[View]:
    """The last request of each history: all the others are parts of it."""
    if not ran.case.forgets:
        return [ran.last]
    pairs = zip(ran.views, ran.views[1:], strict=False)
    return [one for one, after in pairs if len(after.messages) < len(one.messages)] + [ran.last]
