"""Where deliveries go: behind what was sent, before what a person has said since, as the provider allows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.placement import Placement
from asyncfc.conversation.providers import (
    CHAT_COMPATIBLE,
    GEMINI,
    MISTRAL,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    Provider,
)
from asyncfc.conversation.shadow import Insertion, Shadow
from asyncfc.conversation.transcript import check
from asyncfc.conversation.wording import Wording
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Cancelled

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hi"}
DONE: Json = {"role": "assistant", "content": "Done."}
CALL = {"id": "abcdefgh1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKS: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TELLS: Json = {"role": "tool", "tool_call_id": "abcdefgh1", "content": "$k7qz_2 is running."}
NOTE = Note("Ann", "Ann says:\nhurry")


def delivery(call_id: str = "x") -> Delivery:
    return Delivery(call_id, "f", "$k7qz_1", "$k7qz_1 = f({}) ended", Cancelled("x"), Future(call_id, "f", 0))


def placed(
    items: list[Json], provider: Provider, *deliveries: Delivery | Note, sent: int = 0, **options: Any
) -> list[Any]:
    """The items with the deliveries in them; the first `sent` of them were in an earlier request."""
    shadow = Shadow(CHAT)
    shadow.keep(items[:sent], ())
    awaits = options.pop("awaits", True)
    placement = Placement(shadow, CHAT, Wording(), awaits)
    return shadow.apply(items, placement.place(deliveries, items, provider, **options))


def roles(items: list[Any]) -> list[str]:
    return [item["role"] for item in items]


def test_behind_an_answer_that_was_not_sent_yet() -> None:
    items = placed([USER, ASKS, TELLS], OPENAI_CHAT, delivery(), sent=2)
    assert roles(items) == ["user", "assistant", "tool"]
    assert items[2]["content"].startswith(TELLS["content"])
    assert "$k7qz_1 = f({}) ended" in items[2]["content"]


def test_an_answer_that_was_sent_stays_as_it_is() -> None:
    items = placed([USER, ASKS, TELLS], OPENAI_CHAT, delivery(), sent=3)
    assert items[:3] == [USER, ASKS, TELLS]
    assert roles(items[3:]) == ["assistant", "tool"]


def test_before_what_a_person_says_and_behind_what_the_model_said() -> None:
    items = placed([USER, DONE, {"role": "user", "content": "and?"}], OPENAI_CHAT, delivery(), sent=1)
    assert roles(items) == ["user", "assistant", "assistant", "tool", "user"]
    assert items[1] == DONE


def test_a_call_that_the_model_did_not_make_is_not_put_before_a_provider_that_refuses_it() -> None:
    items = placed([USER, DONE, {"role": "user", "content": "and?"}], GEMINI, delivery(), sent=1)
    assert roles(items) == ["user", "assistant", "user", "user"]


def test_nobody_speaks_twice_in_a_row_to_mistral() -> None:
    items = placed([USER, DONE, {"role": "user", "content": "and?"}], MISTRAL, delivery(), sent=1)
    assert roles(items) == ["user", "assistant", "user"]
    assert items[2]["content"].endswith("and?")
    assert "ended" in items[2]["content"]


def test_a_post_before_the_first_message_goes_into_the_first_text_for_mistral() -> None:
    (item,) = placed([USER], MISTRAL, NOTE)
    assert item["content"].startswith("[")
    assert item["content"].endswith("hi")


def test_no_person_speaks_behind_a_tool_to_mistral() -> None:
    sent = [USER, ASKS, TELLS]
    kinds: list[Delivery | Note] = [delivery(), NOTE]
    for what in kinds:
        assert roles(placed(sent, MISTRAL, what, sent=3)[3:]) == ["assistant", "tool"]
    (last,) = placed(sent, MISTRAL, NOTE, sent=3, awaits=False)[2:]
    assert "hurry" in last["content"], "nothing else is accepted there"


def test_without_the_tool_for_waiting_no_call_of_it_is_made_up() -> None:
    assert roles(placed([USER, ASKS, TELLS], OPENAI_CHAT, delivery(), sent=3, awaits=False)[3:]) == ["user"]


@pytest.mark.parametrize(
    ("provider", "form"),
    [(OPENAI_CHAT, ["assistant", "tool"]), (GEMINI, ["user"]), (MISTRAL, ["assistant", "tool"])],
)
def test_behind_a_provisional_message_at_the_end(provider: Provider, form: list[str]) -> None:
    items, shadow = [USER, ASKS, TELLS], Shadow(CHAT)
    shadow.keep(items, [Insertion(shadow.anchors(items)[-1], "after", items=(DONE,))])
    made = Placement(shadow, CHAT, Wording()).place([delivery()], items, provider)
    applied = shadow.apply(items, made)
    assert applied[:4] == [*items, DONE]
    assert roles(applied[4:]) == form


def test_a_pair_names_the_handles_and_brings_the_notes() -> None:
    *_, call, answer = placed([USER, ASKS, TELLS], OPENAI_CHAT, delivery(), NOTE, sent=3)
    (made,) = call["tool_calls"]
    assert made["function"]["name"] == "await_future"
    assert json.loads(made["function"]["arguments"]) == {"handles": ["$k7qz_1"]}
    assert answer["tool_call_id"] == made["id"]
    assert "hurry" in answer["content"]


LATE = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "async": True}
PENDING = {"type": "function_call_output", "call_id": "a", "output": "$k7qz_1 is running."}


def late_placed(*deliveries: Delivery | Note) -> list[Any]:
    shadow = Shadow(RESPONSES)
    placement = Placement(shadow, RESPONSES, Wording())
    items = [USER, LATE, PENDING]
    made = placement.omit(items, {"a"})
    made += placement.place(deliveries, items, OPENAI_RESPONSES, late={"a"})
    return shadow.apply(items, made)


def test_a_late_answer_stands_for_the_handle() -> None:
    items = late_placed(delivery("a"))
    assert items[:2] == [USER, LATE]
    assert items[2:] == [{"type": "function_call_output", "call_id": "a", "output": delivery().text}]


def test_what_else_is_delivered_is_not_lost_with_an_answer_that_is_left_out() -> None:
    assert "hurry" in json.dumps(late_placed(NOTE))
    assert "$k7qz_1 = f({}) ended" in json.dumps(late_placed(delivery("other")))


@pytest.mark.parametrize(
    "provider", [OPENAI_CHAT, GEMINI, MISTRAL, CHAT_COMPATIBLE], ids=lambda row: row.name
)
@given(st.data())
def test_wherever_they_go_the_request_stays_valid(provider: Provider, data: st.DataObject) -> None:
    turns = [[USER, ASKS, TELLS, DONE], [USER, DONE]]
    before = [item for turn in data.draw(st.lists(st.sampled_from(turns), max_size=2)) for item in turn]
    items = [*before, *data.draw(st.sampled_from([[USER], [USER, ASKS, TELLS]]))]
    sent = data.draw(st.integers(0, len(items)))
    all_kinds: list[Delivery | Note] = [delivery(), NOTE]
    what = data.draw(st.lists(st.sampled_from(all_kinds), min_size=1, max_size=2))
    result = placed(items, provider, *what, sent=sent, awaits=data.draw(st.booleans()))
    assert not check([CHAT.read(item) for item in result], provider), result
    assert all(one.text in json.dumps(result).replace("\\n", "\n") for one in what)
