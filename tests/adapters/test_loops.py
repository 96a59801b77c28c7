"""Loops that do as they like with their own list of messages."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from asyncfc.testing.models import Emit, Script, View, play
from tests.adapters import loops
from tests.adapters.loops import APIS, GO, Gate, answer_items, request_of

ON = (False, True)


def everything(body: Any) -> str:
    return json.dumps(body.get("messages", body.get("input")))


class Talk:
    """A conversation in which `slow` runs, `other` answers at once, and the model tells all that it knows."""

    def __init__(self, api: str, server: Any, made: Any, gate: Gate, tools: Any) -> None:
        self.api, self.server, self.made, self.gate, self.tools = api, server, made, gate, tools
        self.messages: list[Any] = list(GO)

    def ask(self) -> loops.Said:
        said = loops.ask(self.made.client, self.api, **request_of(self.api, self.messages, self.tools))
        self.messages += said.items
        return said

    def step(self) -> loops.Said:
        """One round: ask, and call the tools."""
        said = self.ask()
        if said.calls:
            given = [(call.id, str(self.made.tools[call.name](**call.arguments))) for call in said.calls]
            self.messages += answer_items(self.api, given)
        return said

    def settle(self) -> None:
        self.gate.opened.set()
        self.made.session.wait_for(self.made.session.owed)

    @property
    def sent(self) -> list[str]:
        return [everything(request.body) for request in self.server.requests]


def calls(*names: str) -> Emit:
    return Emit(calls=[(name, {"text": name}) for name in names])


def story(api: str, use: Callable[[Talk], None], script: Script, **settings: Any) -> None:
    gate, quick = Gate(), Gate()
    quick.opened.set()
    tools = {"slow": gate.tool(), "other": quick.tool("other")}
    with loops.wrapped(script, api, tools, **{"grace": 0, **settings}) as (server, made):
        use(Talk(api, server, made, gate, list(tools.values())))
    assert server.rejections == []


ENDLESS = play(
    calls("slow"), after=lambda view: calls("other") if len(view.calls("other")) < 5 else Emit("Done.")
)


@pytest.mark.parametrize("api", APIS)
def test_what_was_delivered_stays_where_it_was_byte_for_byte(api: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        talk.step()
        talk.settle()
        talk.step()
        for _ in range(3):
            talk.step()
        later = talk.sent[2:]
        assert all(text.count("result slow") == 1 for text in later)
        for before, after in zip(talk.sent, talk.sent[1:], strict=False):
            assert after.startswith(before[:-1])  # all but the bracket that closes the list

    story(api, use, ENDLESS)


@pytest.mark.parametrize("api", APIS)
def test_a_list_trimmed_to_its_end_is_a_valid_request(api: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        talk.settle()
        for _ in range(5):
            talk.step()
            talk.messages = [*GO, *talk.messages[-4:]]
        assert ["result slow" in text for text in talk.sent] == [False, True, True, False, False, False]

    story(api, use, lambda view: calls("slow") if len(view.messages) == 1 else calls("other"))


@pytest.mark.parametrize("api", APIS)
def test_an_outcome_that_was_not_seen_survives_a_summary(api: str) -> None:
    """All messages are replaced by one of the user before the outcome was delivered."""

    def use(talk: Talk) -> None:
        talk.step()
        talk.settle()
        talk.messages = [{"role": "user", "content": "In short: a call was made."}]
        assert "result slow" in talk.ask().text

    def script(view: View) -> Emit:
        texts = [*(a.text for a in view.answers()), *(m.text for m in view.messages)]
        return calls("slow") if view.messages[-1].text == "go" else Emit(" ".join(texts))

    story(api, use, script)


@pytest.mark.parametrize("api", APIS)
def test_an_outcome_that_was_seen_goes_with_what_is_summarised(api: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        talk.settle()
        talk.step()
        talk.messages = [{"role": "user", "content": "In short: slow gave its result."}]
        talk.ask()
        assert "result slow" in talk.sent[1]
        assert "result slow" not in talk.sent[2]

    story(api, use, play(calls("slow"), calls("other"), after=Emit("Done.")))


@pytest.mark.parametrize("api", APIS)
def test_a_loop_may_go_back_and_on_from_there(api: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        before = list(talk.messages)
        talk.settle()
        talk.step()
        talk.messages = before
        said = talk.step()
        assert said.calls
        assert talk.sent[2].count("result slow") == 1

    story(api, use, ENDLESS)


def reordered(thing: Any) -> Any:
    """The same JSON with its keys in another order and its arguments with other blanks."""
    if isinstance(thing, list):
        return [reordered(item) for item in thing]
    if isinstance(thing, dict):
        return {key: reordered(thing[key]) for key in reversed(list(thing))}
    return thing


COPIES: dict[str, Callable[[list[Any]], list[Any]]] = {
    "deep copies": copy.deepcopy,
    "through JSON": lambda messages: json.loads(json.dumps(messages)),
    "keys in another order": reordered,
    "no copy at all": lambda messages: messages,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("api", APIS)
def test_copied_messages_are_the_same_messages(api: str, way: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        talk.messages = COPIES[way](talk.messages)
        talk.settle()
        for _ in range(3):
            talk.step()
            talk.messages = COPIES[way](talk.messages)
        assert [text.count("result slow") for text in talk.sent] == [0, 1, 1, 1]

    story(api, use, ENDLESS)


def test_ids_that_repeat_in_every_message_are_told_apart() -> None:
    gate, quick = Gate(), Gate()
    quick.opened.set()
    tools = {"slow": gate.tool(), "other": quick.tool("other")}
    server: Any = {"repeat_ids": True, "require": ["user first"]}
    with loops.wrapped(ENDLESS, "chat", tools, server=server, grace=0) as (running, made):
        talk = Talk("chat", running, made, gate, list(tools.values()))
        talk.step()
        talk.settle()
        for _ in range(4):
            talk.step()
        assert [text.count("result slow") for text in talk.sent] == [0, 1, 1, 1, 1]
        assert running.rejections == []


@pytest.mark.parametrize("api", APIS)
def test_the_call_goes_on_if_the_loop_forgets_all_about_it(api: str) -> None:
    def use(talk: Talk) -> None:
        talk.step()
        talk.messages = [{"role": "user", "content": "Something else."}]
        talk.gate.opened.set()
        assert talk.step().text.startswith("told")

    def script(view: View) -> Emit:
        if view.messages[-1].text == "go":
            return calls("slow")
        texts = " ".join([*(a.text for a in view.answers()), *(m.text for m in view.messages)])
        return Emit(f"told {texts}") if "result slow" in texts else Emit("Nothing.")

    story(api, use, script)
