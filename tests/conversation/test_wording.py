from __future__ import annotations

import asyncio
import dataclasses
import json
import string
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from asyncfc.conversation.wording import MAX_ERROR_CHARS, Wording
from asyncfc.errors import (
    BadArguments,
    BadReference,
    CallError,
    EffectEscape,
    ProjectionError,
    RootCause,
    ToolTimeout,
    UnknownHandle,
    UnknownTool,
    UnresolvedPath,
    UpstreamFailed,
    ValueDropped,
)
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.store import MemoryStore
from asyncfc.tools import Tool

TAG = "k7qz"
OURS = "$k7qz_1"
INERT = "$$k7qz_1"


def text_of(outcome: Outcome, wording: Wording | None = None) -> str:
    escape = partial(DEFAULT_GRAMMAR.escape, tag=TAG)
    return (wording or Wording()).outcome(outcome, tool="look", handle="$k7qz_7", escape=escape)


def value(result: Any) -> Value:
    return MemoryStore().put(result)


class Hostile:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error

    __repr__ = __str__


class HostileError(Exception):
    def __str__(self) -> str:
        raise self.args[0]


class Item(BaseModel):
    id: int


# --- hostile --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, asyncio.CancelledError, RecursionError])
def test_an_error_whose_text_cannot_be_made_is_named_by_that(kind: type[BaseException]) -> None:
    assert text_of(Failure(HostileError(kind()))) == (
        f"Error: HostileError: <HostileError object whose text cannot be had: {kind.__name__}>"
    )


def test_an_object_whose_text_cannot_be_made_is_named_by_that() -> None:
    assert text_of(value(Hostile(SystemExit()))).endswith("object whose text cannot be had: SystemExit>")


def test_an_error_text_that_is_no_plain_string_does_no_harm() -> None:
    class Loud(str):
        __slots__ = ()

        def __format__(self, spec: str) -> str:
            return "LOUD"

        def __len__(self) -> int:
            return 0

    class Odd(Exception):
        def __str__(self) -> str:
            return Loud("x" * 10_000)

    text = text_of(Failure(Odd()))
    assert text.startswith("Error: Odd: xxx")
    assert len(text) <= MAX_ERROR_CHARS + len("Error: Odd: ")


def test_an_error_text_is_bounded_and_holds_no_traceback() -> None:
    def fail() -> None:
        raise ValueError("x" * 100_000)

    with pytest.raises(ValueError, match="xxx") as caught:
        fail()
    text = text_of(Failure(caught.value))
    assert len(text) == MAX_ERROR_CHARS + len("Error: ValueError: ")
    assert text.endswith("x…")


def test_braces_in_texts_are_no_templates() -> None:
    nasty = "{handle} {0} {} {kind.__class__} %s"
    assert text_of(value(nasty)) == nasty
    assert text_of(Failure(ValueError(nasty))) == f"Error: ValueError: {nasty}"
    assert nasty in text_of(Cancelled(nasty))
    assert nasty in text_of(Withheld(nasty))


# --- what may come from tools is made inert, what names handles on purpose is not -----------------


@pytest.mark.parametrize(
    "outcome",
    [
        value(f"see {OURS}"),
        value({f"{OURS}": [1]}),
        value([f"a {OURS}", "$this_1"]),
        value(Exception(f"an object that says {OURS}")),
        Failure(ValueError(f"at {OURS}")),
        Failure(KeyError(OURS)),
        Failure(BadArguments(f"argument 'x': {OURS} is none of ours")),
        Failure(ProjectionError(f"the keys {OURS} and {OURS}")),
        Failure(EffectEscape(f"it touches 'fs:/{OURS}'")),
        Failure(ToolTimeout(f"{OURS} did not end")),
        Failure(UnknownTool(f"there is no tool {OURS!r}")),
        Failure(CallError(OURS)),
    ],
    ids=lambda outcome: repr(outcome)[:40],
)
def test_handle_shaped_text_from_tools_is_made_inert(outcome: Outcome) -> None:
    text = text_of(outcome)
    assert INERT in text
    assert OURS not in text.replace(INERT, "")


def test_a_value_that_a_validator_refused_is_not_repeated() -> None:
    def order(item: Item) -> None: ...

    with pytest.raises(BadArguments) as caught:
        Tool(order).invoke({"item": {"id": f"{OURS} secret"}})
    text = text_of(Failure(caught.value))
    assert "item" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "error",
    [
        UnknownHandle(f"{OURS} names nothing here"),
        BadReference(f"{OURS} stands in a key"),
        UnresolvedPath(f"{OURS}.x: there is no .x"),
        UpstreamFailed(f"it needs {OURS}", RootCause("c", "look", OURS, None)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_name_a_handle_name_it_as_it_is(error: CallError) -> None:
    assert text_of(Failure(error)) == f"Error: {type(error).__name__}: {error}"


def test_handles_of_other_sessions_are_left_as_they_are() -> None:
    assert text_of(value("$abc1_1 and $HOME and $5")) == "$abc1_1 and $HOME and $5"


@given(st.text(st.sampled_from("$k7qz_1{}this "), max_size=30))
def test_a_model_that_copies_what_it_read_passes_on_what_the_tool_said(said: str) -> None:
    assert DEFAULT_GRAMMAR.unescape(text_of(value(said))) == DEFAULT_GRAMMAR.unescape(
        DEFAULT_GRAMMAR.escape(said, TAG)
    )
    assert DEFAULT_GRAMMAR.unescape(text_of(value(said))) == said


# --- the texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (value("plain"), "plain"),
        (value(""), ""),
        (value(None), "null"),
        (value({"a": [1, "ü"]}), '{"a":[1,"ü"]}'),
        (Failure(LookupError("gone")), "Error: LookupError: gone"),
        (Failure(KeyboardInterrupt()), "Error: KeyboardInterrupt: "),
        (Cancelled("the user said so"), "The call $k7qz_7 of look was cancelled: the user said so"),
        (Withheld("not seen"), "The call $k7qz_7 of look was not made: not seen"),
    ],
)
def test_each_outcome_has_its_text(outcome: Outcome, text: str) -> None:
    assert text_of(outcome) == text


def test_every_text_can_be_replaced() -> None:
    mine = Wording(
        failure="{kind}|{message}",
        cancelled="{tool}|{handle}|{reason}",
        withheld="no {tool}|{handle}|{reason}",
    )
    assert text_of(Failure(LookupError("gone")), mine) == "LookupError|gone"
    assert text_of(Cancelled("why"), mine) == "look|$k7qz_7|why"
    assert text_of(Withheld("why"), mine) == "no look|$k7qz_7|why"


def test_the_placeholder_tells_neither_a_result_nor_of_a_later_message() -> None:
    text = Wording().placeholder.format(handle=OURS)
    assert text.count(OURS) == 2
    assert not any(word in text.lower() for word in ("later", "message", "will", "notif", "deliver"))


def holes(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("field", dataclasses.fields(Wording), ids=lambda field: field.name)
def test_texts_are_ascii_and_have_names_in_their_holes(field: dataclasses.Field[str]) -> None:
    template = getattr(Wording(), field.name)
    assert template.isascii()
    assert all(name.isidentifier() for name in holes(template))


INSIDE = {"preview", "delivery", "block", "note"}
"""These hold other texts, each on lines of its own."""


@pytest.mark.parametrize("field", [f for f in dataclasses.fields(Wording) if f.name not in INSIDE])
def test_a_short_text_survives_in_json_as_it_is(field: dataclasses.Field[str]) -> None:
    template = getattr(Wording(), field.name)
    text = template.format(**dict.fromkeys(holes(template), "x"))
    assert json.dumps(text) == f'"{text}"'


@pytest.mark.parametrize("grammar", [DEFAULT_GRAMMAR, HandleGrammar("@ref-", "-")])
def test_the_system_note_shows_the_form_of_handles_but_none_that_could_be_copied(
    grammar: HandleGrammar,
) -> None:
    note = Wording().system(grammar)
    shown = {match[0] for match in grammar.mention.finditer(note)}
    assert shown == {grammar.mint("this", 1), grammar.mint("this", 2)}
    form = f"{grammar.sigil}<tag>{grammar.separator}<n>"
    assert form in note
    assert f"({form}.items[0].id)" in note
    assert f"({grammar.sigil}{{<tag>{grammar.separator}<n>.title}})" in note


def test_the_system_note_speaks_only_of_what_the_model_has() -> None:
    wording = Wording()
    whole = wording.system(DEFAULT_GRAMMAR)
    assert wording.await_note in whole
    short = wording.system(DEFAULT_GRAMMAR, pipelining=False, awaits=False)
    assert whole.startswith(short)
    assert "await_future" not in short
    assert "$this" not in short
    assert len(whole) < 800


def test_the_advice_to_make_the_longest_calls_first_is_given_on_demand() -> None:
    wording = Wording()
    assert wording.longest_first_note not in wording.system(DEFAULT_GRAMMAR)
    assert wording.longest_first_note in wording.system(DEFAULT_GRAMMAR, longest_first=True)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "it is still running"),
        (Failure(ValueDropped("$k7qz_1")), "it is no longer kept"),
        (Failure(LookupError("$k7qz_1")), "it failed (LookupError)"),
        (Cancelled("$k7qz_1"), "it was cancelled"),
        (Withheld("$k7qz_1"), "the call was not made"),
        (value(OURS), "it has no such part"),
    ],
)
def test_people_are_told_why_there_is_no_result_and_see_no_handle(
    outcome: Outcome | None, reason: str
) -> None:
    assert Wording().missing("look", outcome) == f"[the result of look is not available: {reason}]"
