"""What of a streamed message is passed on, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.formats.base import TextDelta
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.streamed import Step, Streamed

Json = dict[str, Any]
TAG = DEFAULT_GRAMMAR.tag_for("x")


def chunk(text: str | None = None, *, call: Json | None = None, finish: str | None = None) -> Json:
    delta: Json = {} if text is None else {"content": text}
    delta |= {} if call is None else {"tool_calls": [call]}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def streamed(*, holding: bool = False) -> Streamed:
    return Streamed(CHAT.reader(), lambda text: DEFAULT_GRAMMAR.may_mention(text, TAG), holding)


def fed(one: Streamed, *events: Json) -> list[Step]:
    return [one.feed(event) for event in events]


def passed(steps: list[Step]) -> list[Json]:
    return [event for step in steps for event in step.passed]


def shown(events: list[Json]) -> str:
    reader = CHAT.reader()
    parts = [part for event in events for part in reader.feed(event)]
    return "".join(part.text for part in parts if isinstance(part, TextDelta))


def test_a_text_that_may_be_superseded_is_held_back_to_its_end() -> None:
    one = streamed(holding=True)
    events = [chunk("All "), chunk("done."), chunk(finish="stop")]
    steps = fed(one, *events)
    assert passed(steps) == []
    assert steps[-1].ended
    assert one.rest(str) == events


def test_it_goes_on_as_it_came_once_a_call_begins() -> None:
    events = [chunk("See: "), chunk(f"${TAG}_1"), chunk(call=CALL), chunk(finish="tool_calls")]
    steps = fed(streamed(holding=True), *events)
    assert passed(steps) == events
    assert [call.call.id for step in steps for call in step.sealed] == ["a"]


def test_a_handle_is_held_back_and_all_behind_it() -> None:
    one = streamed()
    steps = fed(
        one, chunk("It is "), chunk("$"), chunk(f"{TAG}_"), chunk("1, "), chunk("so"), chunk(finish="stop")
    )
    assert shown(passed(steps)) == "It is "
    assert shown(one.rest(lambda text: text.replace(f"${TAG}_1", "42"))) == "42, so"


def test_what_only_looks_like_the_beginning_of_a_handle_is_passed_on_with_what_follows() -> None:
    steps = fed(streamed(), chunk("It costs $"), chunk("5"), chunk(finish="stop"))
    assert shown(steps[0].passed) == ""
    assert shown(passed(steps)) == "It costs $5"


@pytest.mark.parametrize("holding", [False, True])
@given(st.data())
def test_however_it_is_cut_into_pieces_no_handle_is_shown_and_nothing_is_lost(
    holding: bool, data: st.DataObject
) -> None:
    parts = st.sampled_from(["a ", "$", f"${TAG}_1", f"${{{TAG}_1.x}}", "$zz9z_1", "ü", "{", f"$${TAG}_2"])
    text = "".join(data.draw(st.lists(parts, max_size=6)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    one = streamed(holding=holding)
    before = passed(fed(one, *map(chunk, pieces), chunk(finish="stop")))
    assert not DEFAULT_GRAMMAR.may_mention(shown(before), TAG)
    assert shown(before) + shown(one.rest(str)) == text
