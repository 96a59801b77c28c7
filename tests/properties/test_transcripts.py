"""P17 to P21: whatever model and loop do and whatever fails between them, what is sent is in order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.testing.dialogues import judges
from asyncfc.testing.dialogues.agents import let_run
from asyncfc.testing.dialogues.drawn import (
    KEEPING,
    Manner,
    Talk,
    habits,
    manners,
    talks,
    talks_without_handles,
)
from asyncfc.testing.dialogues.loop import hold
from asyncfc.testing.dialogues.record import Record
from asyncfc.testing.dialogues.tape import Replay, Tape

pytestmark = pytest.mark.slow

CHAT = manners(protocol="chat", structured=False, owns_tools=True)


def lines(record: Record) -> list[str]:
    """The requests, byte for byte."""
    return [json.dumps(sent.body, ensure_ascii=False) for sent in record.sent]


def what_happened(record: Record) -> list[tuple[Any, ...]]:
    return [(event.t, event.kind, event.call, repr(event.data)) for event in record.events]


@given(talks())
def test_P17_P18_P21_every_request_is_valid_and_monotone_and_every_outcome_is_told_once(talk: Talk) -> None:
    judges.judge(hold(talk))


@given(talks(manners(streamed=True, final="deliver"), habits(**KEEPING)))
def test_P18_what_was_streamed_and_sent_stays_as_it_is(talk: Talk) -> None:
    judges.judge(hold(talk))


@given(talks(), st.integers(0, 2**16))
def test_P17_holds_in_whatever_order_the_loop_turns(talk: Talk, seed: int) -> None:
    judges.judge(hold(talk, seed=seed, mode="shuffled"))


@given(talks_without_handles())
def test_P19_within_grace_all_is_as_without_asyncfc(talk: Talk) -> None:
    record, plain = hold(talk), hold(talk, wrapped=False)
    assert record.appended == plain.appended
    assert lines(record) == lines(plain)


@given(talks())
def test_P20_the_same_seed_gives_the_same_run(talk: Talk) -> None:
    first, second = hold(talk, seed=7, mode="shuffled"), hold(talk, seed=7, mode="shuffled")
    assert what_happened(first) == what_happened(second)
    assert lines(first) == lines(second)


@given(talks())
def test_P20_the_events_and_the_words_of_the_model_give_the_same_transcript(talk: Talk) -> None:
    tape = Tape()
    first = hold(talk, tape=tape)
    again = hold(talk, tape=Replay(tape.takes, first.events))
    assert lines(first) == lines(again)
    assert first.heard == again.heard


@given(talks(CHAT, habits(turns=1, posts=frozenset(), ignores=frozenset(), **KEEPING)), st.booleans())
def test_the_same_holds_of_what_run_does(talk: Talk, is_cut: bool) -> None:
    record = let_run(replace(talk, faults=(None, "length") if is_cut else ()))
    judges.judge(record)
    assert not judges.faults_of(record, record.items)


def test_the_conversations_reach_what_they_are_about() -> None:
    reached: set[str] = set()

    @given(talks(st.builds(Manner, streamed=st.booleans())))
    def look(talk: Talk) -> None:
        record = hold(talk)
        reached.update(event.kind for event in record.events)
        reached.update(heard.kind for heard in record.heard)
        reached.update("retry" for sent in record.sent if not sent.succeeded)

    look()
    kinds = {"delivered", "seen", "withdrawn", "answered", "cancel"}
    assert reached >= kinds | {"provisional", "final", "calls", "broken", "retry"}
