"""Whatever comes in, the formats read it without raising, and change nothing of it."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfc.conversation.formats.base import Ended, Format, ToolSchema
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.formats.messages import MESSAGES
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.transcript import Entry
from asyncfc.errors import TranscriptError

FORMATS = pytest.mark.parametrize(
    "format", [CHAT, RESPONSES, MESSAGES], ids=["chat", "responses", "messages"]
)
KEYS = """
    role content type text refusal tool_calls tool_call_id function custom name arguments input id index
    delta choices message finish_reason output call_id status caller async item output_index content_index
    response part error content_block stop_reason partial_json tool_use_id thinking tools parameters
    input_schema strict instructions system messages usage source data
"""
WORDS = """
    user assistant system developer tool text refusal output_text input_text message function
    function_call custom custom_tool_call function_call_output reasoning thinking tool_use tool_result
    document search_result stop length tool_calls end_turn max_tokens completed incomplete
    content_block_start content_block_delta content_block_stop message_delta message_stop error text_delta
    input_json_delta citations_delta response.output_item.added response.output_item.done
    response.output_text.delta response.output_text.done response.content_part.done
    response.function_call_arguments.delta response.completed response.failed
"""
leaves = st.sampled_from([None, True, 0, 1, 2.5, "", "$ab12_1", *WORDS.split()])
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(KEYS.split()), values, max_size=5)


def shout(text: str, _: str | None = None) -> str:
    return text + "!"


@FORMATS
@settings(max_examples=50)
@given(item=values)
def test_no_item_raises_and_none_is_changed(format: Format, item: Any) -> None:
    before = deepcopy(item)
    assert isinstance(format.read(item), Entry)
    assert format.map_texts(item, lambda text, _: text) is item
    format.map_texts(item, shout)
    with suppress(TranscriptError):
        assert format.extend(item, "more") != item
    assert item == before


@FORMATS
@given(body=bodies)
def test_no_body_raises_and_none_is_changed(format: Format, body: dict[str, Any]) -> None:
    before = deepcopy(body)
    new = ToolSchema("new", "", {"type": "object"}, strict=True)
    format.provider(body), format.is_structured(body)
    assert format.messages(format.with_messages(body, format.messages(body))) == format.messages(body)
    assert "a note" in str(format.with_note(body, "a note"))
    names = format.tool_names(format.with_tools(body, lambda tool: replace(tool, strict=True), [new]))
    assert names == ([*format.tool_names(body), "new"] if format.tool_names(body) else [])
    assert format.with_text(body, lambda text: text) is body
    format.with_text(body, shout)
    format.reply(body)
    assert body == before


@FORMATS
@settings(max_examples=50)
@given(events=st.lists(bodies, max_size=5))
def test_no_stream_raises_and_none_is_changed(format: Format, events: list[dict[str, Any]]) -> None:
    before = deepcopy(events)
    reader = format.reader()
    parts = [part for event in events for part in reader.feed(event)]
    assert parts.count(Ended()) <= 1
    assert (reader.reply().cut is None) <= (Ended() in parts)
    assert reader.rewrite(events, lambda text: text) == events
    reader.rewrite(events, shout)
    assert events == before
