"""What was put into a request stands in every later one, at the same place and in the same bytes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.shadow import Insertion, Shadow

Json = dict[str, Any]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def asks(call_id: str, arguments: str = "{}") -> Json:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def tells(call_id: str, text: str = "value") -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


TALK = [user("hi"), asks("a"), tells("a"), asks("b"), tells("b")]


def shadow_with(items: list[Json], *insertions: tuple[int, Insertion | Json]) -> Shadow:
    """A shadow of a request that succeeded, with items behind those of these indices."""
    shadow = Shadow(CHAT)
    anchors = shadow.anchors(items)
    made = [
        one if isinstance(one, Insertion) else Insertion(anchors[index], "after", items=(one,))
        for index, one in insertions
    ]
    shadow.keep(items, made)
    return shadow


def test_an_insertion_whose_item_is_gone_is_gone_too() -> None:
    shadow = shadow_with(TALK, (2, user("note")))
    assert shadow.apply(TALK[3:]) == TALK[3:]


def test_an_insertion_is_found_again_behind_its_item_wherever_that_stands() -> None:
    shadow = shadow_with(TALK, (2, user("note")))
    assert shadow.apply(TALK) == [*TALK[:3], user("note"), *TALK[3:]]
    assert shadow.apply(TALK[1:]) == [*TALK[1:3], user("note"), *TALK[3:]]


def test_insertions_at_one_item_keep_the_order_in_which_they_were_made() -> None:
    shadow = shadow_with(TALK, (4, user("one")), (4, user("two")))
    assert shadow.apply(TALK)[-2:] == [user("one"), user("two")]


def test_an_answer_grows_and_the_text_of_a_person_gets_something_before_it() -> None:
    items = [*TALK, user("and?")]
    anchors = Shadow(CHAT).anchors(items)
    more = [Insertion(anchors[4], "extend", text=" more"), Insertion(anchors[5], "prefix", text="late: ")]
    assert Shadow(CHAT).apply(items, more)[4:] == [tells("b", "value more"), user("late: and?")]
    assert items[4:] == [tells("b"), user("and?")], "nothing of the loop's own is changed"


def test_what_is_left_out_leaves_what_stands_behind_it() -> None:
    anchor = Shadow(CHAT).anchors(TALK)[4]
    more = [Insertion(anchor, "omit"), Insertion(anchor, "after", items=(user("late"),))]
    assert Shadow(CHAT).apply(TALK, more) == [*TALK[:4], user("late")]


def test_repeated_ids_with_equal_arguments_are_told_apart_by_their_number() -> None:
    items = [user("hi"), asks("0"), tells("0", "one"), asks("0"), tells("0", "two")]
    shadow = shadow_with(items, (4, user("behind the second")))
    assert shadow.apply(items) == [*items, user("behind the second")]


def test_where_equals_were_trimmed_the_last_of_them_is_meant() -> None:
    items = [user("hi"), asks("0"), tells("0"), asks("0"), tells("0")]
    shadow = shadow_with(items, (4, user("note")))
    assert shadow.apply(items[3:]) == [*items[3:], user("note")]


def test_repeated_ids_with_other_arguments_are_other_calls() -> None:
    items = [user("hi"), asks("0", '{"x":1}'), tells("0"), asks("0", '{"x":2}'), tells("0")]
    shadow = shadow_with(items[:3], (2, user("note")))
    assert shadow.apply(items[3:]) == items[3:]


def test_items_that_say_nothing_are_known_by_all_that_they_hold() -> None:
    def thinks(number: int) -> Json:
        return {"type": "reasoning", "id": f"rs_{number}", "summary": []}

    shadow = Shadow(RESPONSES)
    shadow.keep([thinks(1)], ())
    assert not shadow.was_sent(shadow.anchors([thinks(2)])[0])
    assert shadow.was_sent(shadow.anchors([thinks(1)])[0])


def test_a_text_whose_formatting_changes_is_the_same_item() -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "x"}}]}
    shadow = shadow_with([marked], (0, user("note")))
    assert shadow.apply([user("hi")]) == [user("hi"), user("note")]


def test_only_what_a_request_held_that_succeeded_was_sent() -> None:
    shadow = shadow_with(TALK[:3])
    sent = [shadow.was_sent(anchor) for anchor in shadow.anchors(TALK)]
    assert sent == [True, True, True, False, False]


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(0, 5))
def test_a_longer_list_begins_as_the_shorter_one_did(places: list[int], more: int) -> None:
    shadow = shadow_with(TALK, *((place, user(f"note {n}")) for n, place in enumerate(places)))
    before = [json.dumps(item) for item in shadow.apply(TALK)]
    longer = [*TALK, *(user(f"more {n}") for n in range(more))]
    assert [json.dumps(item) for item in shadow.apply(longer)][: len(before)] == before
