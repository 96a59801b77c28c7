"""Judges: what must hold of every conversation. Each raises `AssertionError` with a witness."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.transcript import check
from asyncfc.futures.outcome import Outcome, Value
from asyncfc.testing.dialogues.record import Record
from asyncfc.testing.dialogues.scene import FORGED, TAG
from asyncfc.testing.models.model import APIS

_HANDLE = re.compile(rf"\$+\{{?(?:{TAG}|this)_(\d+)")
_FORGERY = re.compile(rf"(?<!\$)\$\{{?(?:{TAG}|this)_{FORGED}(?!\d)")
_UNKNOWN = (66, FORGED)
MOST_EXTRA = 8
"""The messages that a model is asked for only because outcomes were unseen, by default."""


def valid(record: Record) -> None:
    """P17: what is sent is valid by our own rules; the scripted model has judged it by the provider's."""
    for number, sent in enumerate(record.sent):
        items = record.protocol.format.messages(sent.body)
        faults = faults_of(record, items)
        assert not faults, (number, faults, items)


def faults_of(record: Record, items: list[Any]) -> list[str]:
    """What is wrong with a list of messages."""
    written = record.protocol.format
    row = written.provider({**record.protocol.extra, "messages": items})
    return check([written.read(item) for item in items], row)


def monotone(record: Record) -> None:
    """P18: a request begins with all that the one before held, byte for byte, and the model's reply to it."""
    for before, now in pairwise(record.accepted):
        if now.fresh:
            continue
        old, new = (_lines(record, sent.body) for sent in (before, now))
        assert new[: len(old)] == old, (old, new)
        reply = [_line(item) for item in before.reply]
        assert new[len(old) : len(old) + len(reply)] == reply, (reply, new[len(old) :])


def told_once(record: Record) -> None:
    """D5: every outcome reaches the model, in an answer or a delivery, and not two times."""
    for order, handle in _committed(record).items():
        outcome = _settled(record).get(order)
        if outcome is None or handle in record.named:
            continue
        if isinstance(outcome, Value):
            mark = outcome.get()["id"]
            counts = [
                sum(text.count(mark) for _, text in _read(record, sent.body)) for sent in record.accepted
            ]
            assert max(counts, default=0) <= 1, (f"{handle} is told more than once", mark, counts)
        heads = [_headings(record, sent.body, handle) for sent in record.accepted]
        assert max(heads, default=0) <= 1, (f"{handle} is delivered more than once", heads)
        if _must_be_told(record, order, outcome):
            assert _is_told(record, order, handle, outcome), f"{handle} is never told: {outcome}"


def no_handles(record: Record) -> None:
    """P21: no handle of the conversation reaches a tool, or a person who reads the final answer."""
    for ran in record.ran:
        assert not _real(json.dumps(ran.value)), f"a handle in the arguments of a call: {ran}"
    for heard in record.heard:
        if heard.kind == "final":
            assert not _real(heard.text), f"a handle in the final answer: {heard.text}"
            if record.talk.manner.structured and "length" not in record.talk.faults:
                assert isinstance(json.loads(heard.text or "{}"), dict)


def inert(record: Record) -> None:
    """H2: what tools and people write is no handle to the model; the texts of asyncfc are as they are."""
    for sent in record.sent:
        for source, text in _read(record, sent.body):
            assert not _FORGERY.search(text), (f"what {source} says can be taken for a handle", text)
            assert f"$${TAG}_" not in re.sub(rf"\$\$+{TAG}_{FORGED}", "", text), ("own text escaped", text)


def never_retracted(record: Record) -> None:
    """What a person has read in a stream stays: it is the beginning of what the loop gets."""
    for heard in record.heard:
        if heard.kind == "provisional":
            assert not heard.shown, f"a provisional text was shown: {heard.shown}"
        elif heard.kind != "broken":
            assert heard.text.startswith(heard.shown), heard
        if heard.kind == "final":
            assert not _real(heard.shown), f"a handle was shown: {heard.shown}"


def cut_messages_do_nothing(record: Record) -> None:
    """O3: the calls of a message that was cut off never run, reads apart."""
    for ran in record.ran:
        assert ran.n not in record.cut or ran.tool in ("read", "fail"), f"{ran} of a message that was cut off"


def answered_with_handles(record: Record) -> None:
    """E5: an await does not wait for what is behind it, so that every call is answered with its handle."""
    for event in record.events:
        if event.kind == "answered":
            assert " is running" in event.data["text"], (
                f"call {event.call} was waited for: {event.data['text']}"
            )


ALL = (valid, monotone, told_once, no_handles, inert, never_retracted, cut_messages_do_nothing)
"""What holds of every conversation."""


def judge(record: Record) -> None:
    """All of them."""
    for law in ALL:
        law(record)


# --- reading a record ---------------------------------------------------------------------------------------


def _lines(record: Record, body: Json) -> list[str]:
    return [_line(item) for item in record.protocol.format.messages(body)]


def _line(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False)


def _read(record: Record, body: Json) -> Iterator[tuple[str, str]]:
    """What the model reads of tools and people: who says it, and the text."""
    for message in APIS[record.protocol.name]().messages(json.loads(json.dumps(body))):
        if message.role in ("tool", "user"):
            yield from ((f"tool {answer.name}", answer.text) for answer in message.answers)
            yield "user", message.text


def _headings(record: Record, body: Json, handle: str) -> int:
    heading = f"{handle} = "
    return sum(text.count(heading) for source, text in _read(record, body))


def _committed(record: Record) -> dict[int, str]:
    return {event.call: event.data["handle"] for event in record.events if event.kind == "committed"}


def _settled(record: Record) -> dict[int, Outcome]:
    return {event.call: event.data["outcome"] for event in record.events if event.kind == "settled"}


def _must_be_told(record: Record, order: int, outcome: Outcome) -> bool:
    """Whether the model must have been told by the end."""
    manner = record.talk.manner
    # An inline call that the loop never makes need not be told.
    if manner.inline and (record.talk.habits.ignores or not isinstance(outcome, Value)):
        return False
    settled_at = next(event.t for event in record.events if (event.kind, event.call) == ("settled", order))
    if record.accepted and settled_at < record.accepted[-1].at:
        return True
    if manner.final == "open" or record.extra_messages >= MOST_EXTRA:
        return False
    return manner.final == "deliver" or not isinstance(outcome, Value)


def _is_told(record: Record, order: int, handle: str, outcome: Outcome) -> bool:
    texts = [text for sent in record.accepted for _, text in _read(record, sent.body)]
    if isinstance(outcome, Value):
        return any(outcome.get()["id"] in text for text in texts)
    answered = [
        event.data["text"] for event in record.events if (event.kind, event.call) == ("answered", order)
    ]
    told = [text for text in answered if not text.startswith(f"{handle} is running")]
    return any(f"{handle} = " in text for text in texts) or any(one in text for one in told for text in texts)


def _real(text: str) -> bool:
    """Whether a handle stands in a text that is one of this conversation."""
    return any(int(match[1]) not in _UNKNOWN for match in _HANDLE.finditer(text))
