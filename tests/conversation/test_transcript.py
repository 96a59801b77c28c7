"""What a provider takes as a transcript, and in which form late outcomes go into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncfc.conversation.providers import (
    ANTHROPIC,
    ANTHROPIC_THINKING,
    CHAT_COMPATIBLE,
    GEMINI,
    MISTRAL,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    PROVIDERS,
    Provider,
    Role,
    delivery_form,
)
from asyncfc.conversation.transcript import CallAnswer, Entry, check, require_valid
from asyncfc.errors import TranscriptError
from asyncfc.futures.call import Call

SYSTEM = Entry("system", "Be brief.")
USER = Entry("user", "Hello?")
TEXT = Entry("assistant", "Well.")


def calls(*ids: str) -> Entry:
    return Entry("assistant", calls=tuple(Call(name, "look", "{}") for name in ids))


def answers(*ids: str) -> Entry:
    return Entry("tool", answers=tuple(CallAnswer(name, "ok") for name in ids))


def faults_of(*entries: Entry, provider: Provider = OPENAI_CHAT) -> list[str]:
    return check(entries, provider)


def test_a_call_without_an_answer_is_named() -> None:
    [fault] = faults_of(USER, calls("a", "b"), answers("b"), USER)
    assert fault.startswith("entry 1: call 'a' has no answer before entry 3 (user)")


def test_a_call_at_the_end_must_have_been_answered() -> None:
    [fault] = faults_of(USER, calls("a"))
    assert "before the end of the request" in fault


def test_a_second_answer_is_named_with_the_first() -> None:
    [fault] = faults_of(USER, calls("a"), answers("a"), answers("a"))
    assert fault == "entry 3: call 'a' is answered a second time; entry 2 answers it"


def test_an_answer_after_something_else_comes_too_late() -> None:
    missing, late = faults_of(USER, calls("a"), USER, answers("a"))
    assert "'a' has no answer before entry 2" in missing
    assert late == "entry 3: an answer to call 'a' of entry 1 comes too late"


def test_an_answer_before_its_call_answers_none() -> None:
    none, missing = faults_of(USER, answers("a"), calls("a"))
    assert none == "entry 1: an answer to call 'a', which no message before it made"
    assert missing.startswith("entry 2")


def test_an_answer_must_be_a_text() -> None:
    broken = Entry("tool", answers=(CallAnswer("a", None),))  # type: ignore[arg-type]
    assert faults_of(USER, calls("a"), broken) == [
        "entry 2: the answer to call 'a' is of the Python type NoneType; expected a text"
    ]


def test_two_calls_of_one_message_have_different_ids() -> None:
    assert (
        "two calls of one message have the id 'a'" in faults_of(USER, calls("a", "a"), answers("a", "a"))[0]
    )


def test_calls_without_ids_are_answered_by_their_number() -> None:
    assert faults_of(USER, calls("", ""), answers("", "")) == []
    assert len(faults_of(USER, calls("", ""), answers(""))) == 1
    assert len(faults_of(USER, calls("", ""), answers("", "", ""))) == 1


def test_equal_ids_in_different_messages_are_different_calls() -> None:
    once = [calls("call_0"), answers("call_0")]
    assert faults_of(USER, *once, *once, TEXT, USER, *once) == []
    assert faults_of(USER, *once, calls("call_0"), provider=OPENAI_RESPONSES) == []
    assert len(faults_of(USER, *once, calls("call_0"))) == 1


def test_an_outcome_may_come_late_where_the_provider_says_so_but_once() -> None:
    late = [USER, calls("a"), TEXT, USER, answers("a")]
    assert faults_of(*late, provider=OPENAI_RESPONSES) == []
    assert faults_of(USER, calls("a"), provider=OPENAI_RESPONSES) == []
    assert "second time" in faults_of(*late, answers("a"), provider=OPENAI_RESPONSES)[0]
    assert "no message before it" in faults_of(USER, answers("a"), calls("a"), provider=OPENAI_RESPONSES)[0]


def test_a_message_of_the_model_may_be_spread_over_entries_where_the_provider_says_so() -> None:
    spread = [
        USER,
        TEXT,
        calls("a"),
        Entry("assistant", "And this.", thinking=True),
        calls("b"),
        answers("a", "b"),
    ]
    assert faults_of(*spread, provider=OPENAI_RESPONSES) == []
    assert faults_of(*spread, provider=ANTHROPIC) == []
    assert "'a' has no answer before entry 3 (assistant)" in faults_of(*spread, provider=OPENAI_CHAT)[0]


def test_a_spread_message_has_each_id_once() -> None:
    doubled = [USER, calls("a"), calls("a"), answers("a", "a")]
    assert "two calls of one message" in faults_of(*doubled, provider=ANTHROPIC)[0]
    assert "two calls of one message" in faults_of(*doubled, provider=OPENAI_RESPONSES)[0]


@pytest.mark.parametrize(
    ("provider", "entries", "culprit"),
    [
        (ANTHROPIC, [TEXT, USER], "entry 0: the first message is of role assistant"),
        (GEMINI, [SYSTEM, calls("a"), answers("a")], "entry 1: the first message is of role assistant"),
        (
            MISTRAL,
            [USER, calls("a23456789"), answers("a23456789"), USER],
            "entry 3: the user directly after a tool",
        ),
        (MISTRAL, [USER, USER], "entry 1: the user directly after the user"),
        (
            MISTRAL,
            [USER, calls("call_1"), answers("call_1")],
            "entry 1: call id 'call_1'; expected 9 letters",
        ),
        (MISTRAL, [USER, calls("call_6789"), answers("call_6789")], "entry 1: call id 'call_6789'"),
        (GEMINI, [USER, TEXT, calls("a"), answers("a")], "entry 2: calls directly after another message"),
        (CHAT_COMPATIBLE, [SYSTEM, USER, SYSTEM], "entry 2: a system message after the start"),
        (
            CHAT_COMPATIBLE,
            [Entry("user", calls=(Call("a", "t", ""),))],
            "entry 0: calls in a message of role user",
        ),
        (
            OPENAI_CHAT,
            [calls("a"), replace(answers("a"), role="user")],
            "entry 1: answers in a message of role user",
        ),
    ],
)
def test_what_a_provider_refuses_is_named(provider: Provider, entries: list[Entry], culprit: str) -> None:
    faults = check(entries, provider)
    assert faults
    assert any(fault.startswith(culprit) for fault in faults)


def test_system_messages_may_come_first_for_all() -> None:
    for provider in PROVIDERS.values():
        assert check([SYSTEM, SYSTEM, USER], provider) == []
    assert check([USER, SYSTEM, TEXT, SYSTEM], OPENAI_CHAT) == []


def test_the_error_names_the_provider_and_the_first_faults() -> None:
    require_valid([USER, calls("a"), answers("a")], OPENAI_CHAT)
    with pytest.raises(TranscriptError, match=r"openai chat: entry 1: call 'c0' .*'c4' .*; and 2 more$"):
        require_valid([USER, calls(*(f"c{number}" for number in range(7)))], OPENAI_CHAT)


# --- properties -----------------------------------------------------------------------------------


@st.composite
def rounds(draw: st.DrawFn, provider: Provider, last_id: int) -> list[Entry]:
    """A message of the model with calls, their answers, and what may follow those."""
    count = draw(st.integers(1, 3))
    repeated = draw(st.booleans())
    ids = [f"id{(0 if repeated else last_id * 3) + number:07d}" for number in range(count)]
    answered = draw(st.permutations(ids))
    cut = draw(st.integers(0, count))
    spread = provider.split_messages and draw(st.booleans())
    made = (
        [calls(*ids)]
        if not spread
        else [Entry("assistant", "Hm.", thinking=True), *(calls(name) for name in ids)]
    )
    return [*made, *(answers(*part) for part in (answered[:cut], answered[cut:]) if part)]


@st.composite
def transcripts(draw: st.DrawFn, provider: Provider) -> list[Entry]:
    entries = [SYSTEM] * draw(st.integers(0, 2)) + [USER]
    for number in range(draw(st.integers(1, 4))):
        if provider.calls_after_assistant and draw(st.booleans()):
            entries.append(TEXT)
        entries += draw(rounds(provider, number))
        if draw(st.booleans()):
            entries += [TEXT, USER]
        elif provider.user_after_tool and draw(st.booleans()):
            entries.append(USER)
    return entries


providers = st.sampled_from(list(PROVIDERS.values()))


@given(st.data(), providers)
def test_valid_transcripts_pass(data: st.DataObject, provider: Provider) -> None:
    assert check(data.draw(transcripts(provider)), provider) == []


def without(entry: Entry, place: int) -> list[Entry]:
    kept = entry.answers[:place] + entry.answers[place + 1 :]
    return [replace(entry, answers=kept)] if kept else []


def drop(entries: Sequence[Entry], at: int, place: int) -> list[Entry]:
    return [*entries[:at], *without(entries[at], place), *entries[at + 1 :]]


def double(entries: Sequence[Entry], at: int, place: int) -> list[Entry]:
    again = replace(entries[at], answers=(entries[at].answers[place],))
    return [*entries[: at + 1], again, *entries[at + 1 :]]


def move_before_its_message(entries: Sequence[Entry], at: int, place: int) -> list[Entry]:
    start = at
    while entries[start - 1].role in {"tool", "assistant"} and not (
        entries[start].role == "assistant" and entries[start - 1].role == "tool"
    ):
        start -= 1
    moved = replace(entries[at], answers=(entries[at].answers[place],))
    return [*entries[:start], moved, *drop(entries, at, place)[start:]]


def rename(entries: Sequence[Entry], at: int, place: int) -> list[Entry]:
    renamed = [*entries[at].answers]
    renamed[place] = CallAnswer("nobody", "ok")
    return [*entries[:at], replace(entries[at], answers=tuple(renamed)), *entries[at + 1 :]]


def interrupt(entries: Sequence[Entry], at: int, place: int) -> list[Entry]:
    return [*entries[:at], USER, *entries[at:]]


FOUND_EVERYWHERE = (double, move_before_its_message, rename)


@pytest.mark.parametrize("mutate", [*FOUND_EVERYWHERE, drop, interrupt])
@given(data=st.data())
def test_each_single_mutation_is_found(
    data: st.DataObject, mutate: Callable[[Sequence[Entry], int, int], list[Entry]]
) -> None:
    provider = data.draw(providers)
    assume(mutate in FOUND_EVERYWHERE or not provider.late_outputs)
    entries = data.draw(transcripts(provider))
    at = data.draw(st.sampled_from([n for n, entry in enumerate(entries) if entry.answers]))
    place = data.draw(st.integers(0, len(entries[at].answers) - 1))
    assert check(mutate(entries, at, place), provider)


# --- the form of a delivery -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "last", "thinking", "form"),
    [
        (OPENAI_CHAT, "tool", False, "piggyback"),
        (MISTRAL, "tool", False, "piggyback"),
        (OPENAI_CHAT, "assistant", False, "pair"),
        (OPENAI_CHAT, "user", True, "pair"),
        (OPENAI_RESPONSES, "user", True, "pair"),
        (ANTHROPIC, "assistant", False, "pair"),
        (ANTHROPIC, "assistant", True, "note"),
        (ANTHROPIC, None, False, "note"),
        (ANTHROPIC_THINKING, "user", False, "note"),
        (GEMINI, "user", False, "note"),
        (MISTRAL, "assistant", False, "pair"),
        (MISTRAL, "user", False, "note"),
        (CHAT_COMPATIBLE, "user", False, "pair"),
    ],
)
def test_the_form_is_the_first_that_the_provider_allows(
    provider: Provider, last: Role | None, thinking: bool, form: str
) -> None:
    assert delivery_form(provider, last, thinking) == form


def test_no_pair_stands_first_where_the_user_must() -> None:
    assert delivery_form(ANTHROPIC, "user", thinking=False, before=None) == "note"
    assert delivery_form(ANTHROPIC, "user", thinking=False, before="system") == "note"
    assert delivery_form(OPENAI_CHAT, "user", thinking=False, before="system") == "pair"


def test_no_pair_stands_behind_the_model_where_calls_may_not() -> None:
    strict = replace(CHAT_COMPATIBLE, calls_after_assistant=False)
    assert delivery_form(strict, "assistant", thinking=False) == "note"
    assert delivery_form(strict, "user", thinking=False, before="assistant") == "note"
    assert delivery_form(strict, "user", thinking=False, before="tool") == "pair"


def deliver(entries: list[Entry], form: str, provider: Provider) -> list[Entry]:
    """The request with a delivery in the form that was chosen, put where `delivery_form` says."""
    asked = "x" * (provider.id_length or 12)
    at = len(entries) - 1 if entries[-1].role == "user" else len(entries)
    if form == "pair":
        return [*entries[:at], calls(asked), answers(asked), *entries[at:]]
    if form == "note" and (at == len(entries) or provider.user_after_user):
        return [*entries[:at], Entry("user", "[results]"), *entries[at:]]
    return entries  # in the text of the last entry


@given(st.data(), providers, st.sampled_from([(), (TEXT,), (TEXT, USER)]))
def test_a_valid_transcript_stays_valid_with_a_delivery(
    data: st.DataObject, provider: Provider, end: tuple[Entry, ...]
) -> None:
    entries = [*data.draw(transcripts(provider)), *end]
    assume(check(entries, provider) == [])
    form = delivery_form(provider, entries[-1].role, thinking=False, before=entries[-2].role)
    assert check(deliver(entries, form, provider), provider) == []
