"""The suite sees what is wrong with an adapter: each of these breaks that of the docs in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.adapters.conformance import suite
from tests.adapters.conformance.harness import CAPABILITIES, Stage
from tests.adapters.conformance.mini_harness import HARNESSES, PAGE, MiniHarness, names_of_the_page
from tests.adapters.conformance.scenarios import CASES


class Broken(NamedTuple):
    """An adapter with another line, and a case that it fails."""

    line: str
    instead: str
    case: str


BROKEN = {
    "answers with no handle": Broken(
        "        return reply.text\n\n    def placed",
        "        return 'it runs'\n\n    def placed",
        "is passed on to the next",
    ),
    "takes what users write for handles": Broken(
        "is_users = ", "is_users = False and ", "looks like a handle"
    ),
    "drops deliveries": Broken("if not deliveries:", "if True:", "independent calls"),
    "changes what was sent": Broken(
        "return [*messages, Told(",
        "return [replace(messages[0], text='x'), *messages[1:], Told(",
        "independent calls",
    ),
    "delivers before the answers": Broken(
        'return [*messages, Told("user", block)]',
        'return [Told("user", block), *messages]',
        "independent calls",
    ),
    "forgets what a failed request brought": Broken(
        "            with self.attached.sampling() as deliveries:",
        "            with self.attached.sampling() as deliveries: pass\n            if True:",
        "a request that failed",
    ),
    "takes a provisional text for the last": Broken(
        "if not await self.dialogue.must_go_on(reply.text):", "if True:", "independent calls"
    ),
    "leaves handles in the last words": Broken(
        "self.dialogue.final_text(reply.text)", "reply.text", "values take the place"
    ),
    "admits no handles where numbers are expected": Broken(
        "[*map(self.dialogue.adapt, schemas), *", "[*schemas, *", "with a path"
    ),
    "registers calls in another order": Broken(
        "list(map(self.sealed, reply.calls))",
        "list(map(self.sealed, reversed(reply.calls)))",
        "in the order of the message",
    ),
    "answers each call with the next one's": Broken(
        'self.attached.answer(call["id"], work)',
        "self.attached.answer(sorted(self.attached._places)[-1], work)",
        "independent calls",
    ),
    "runs calls again that are asked for again": Broken(
        'reply = await self.attached.answer(call["id"], work)',
        'await work(call["arguments"]); reply = await self.attached.answer(call["id"], work)',
        "asked for again",
    ),
    "hides failures from what depends on them": Broken(
        "            result = await run(arguments)\n",
        "            try:\n                result = await run(arguments)\n"
        "            except Exception as error:\n                result = str(error)\n",
        "a failure reaches",
    ),
    "passes texts on in place of values": Broken(
        "Rendered(result, text_of(result))", "Rendered(text_of([result]), text_of(result))", "with a path"
    ),
    "takes parallelism away": Broken(
        '"same_message": "concurrent"',
        '"same_message": "ordered"',
        "undeclared calls of one message run together",
    ),
}


@pytest.mark.planted
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_adapter_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line, instead, case = BROKEN[name]
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(line) == 1
    harness = MiniHarness(names_of_the_page(text.replace(line, instead)))
    monkeypatch.setattr(suite, "SECONDS", 0.3)
    (played,) = [one for one in CASES if case in one.name]
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it comes to
        suite.check(harness, played)


class Leaky(MiniHarness):
    """It leaves a task behind."""

    async def run(self, stage: Stage) -> Sequence[str]:
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.add_done_callback(str)
        return await super().run(stage)


@pytest.mark.planted
def test_a_task_that_is_left_behind_is_seen() -> None:
    with pytest.raises(AssertionError, match="tasks left behind"):
        suite.check(Leaky(HARNESSES[0].names), CASES[0])


@pytest.mark.planted
def test_a_model_that_is_asked_where_there_is_no_room_is_seen() -> None:
    line, text = "            await self.session.room()\n", PAGE.read_text(encoding="utf-8")
    assert text.count(line) == 1
    with pytest.raises(AssertionError, match="no room"):
        suite.check_room(MiniHarness(names_of_the_page(text.replace(line, ""))))


def test_every_capability_decides_about_a_case() -> None:
    needed = {need for case in CASES for need in case.needs}
    assert needed == set(CAPABILITIES)


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
