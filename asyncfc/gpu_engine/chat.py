"""Chat: one conversation on the engine. The model decodes on while its tools run.

    prompt -> message -> answers (handles) -> message -> ... -> final answer

Answers are injected as soon as they are known, which with handles is at once. Nothing stops the model but a
dereference: `await_future`, a handle in what people read, or the end of a message while outcomes are unseen
(DESIGN G4).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.dialects.parts import AnsweredCall
from asyncfc.gpu_engine.events import Done, Event, Injected, Reason, Substituted
from asyncfc.gpu_engine.hearing import Ear, Heard
from asyncfc.gpu_engine.port import Answer, Conversation, Json, Message, Told
from asyncfc.gpu_engine.rows import Row
from asyncfc.gpu_engine.trapping import trapped, unsettled


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How one conversation is decoded.

    Args:
        inject: `turn`: calls are answered when the message has ended, as chat templates write it. `call`:
            each call right where it is complete, in a tool turn of its own, which ends the message.
        in_place: an answer with a handle, behind which no token has been taken yet, is replaced by the
            outcome as soon as that is there (DESIGN G3).
        max_new_tokens: of one message.
        max_messages: of the model.

    Raises:
        DeclarationError: one is written wrongly.
    """

    inject: Literal["turn", "call"] = "turn"
    in_place: bool = False
    max_new_tokens: int = 4_096
    max_messages: int = 100

    def __post_init__(self) -> None:
        check_setting("inject", self.inject, ("turn", "call"))
        check_limits(self.max_new_tokens, self.max_messages)


@dataclass(slots=True)
class _Tail:
    """Answers at the end of the context, as long as no token has been taken behind them."""

    message: Message
    answers: list[Answer]
    start: int
    entries: list[Json]
    """Their entries in the transcript."""
    ended: bool
    behind: list[int] = field(default_factory=list)
    """Tokens that were injected behind them."""

    @property
    def has_news(self) -> bool:
        """Whether one of them could be an outcome by now."""
        return any(one.future is not None and one.future.settled and not one.settled for one in self.answers)


class _Full(Exception):
    """What is to be injected does not fit into the context."""


class Chat:
    """One conversation.

    State: `_messages` is the transcript, `_tail` the answers that may still be replaced in place, `_shown`
    what people have read of the newest message.

    Args:
        conversation: the session's side.
        dialect: the model's format.
        row: whose last tokens are a generation prompt.
        messages: of the prompt.
        settings: see there.
        emit: gets the events.
    """

    def __init__(
        self,
        conversation: Conversation,
        dialect: Dialect,
        row: Row,
        messages: Sequence[Mapping[str, Any]],
        settings: ChatSettings,
        emit: Callable[[Event], object],
    ) -> None:
        self._conversation = conversation
        self._dialect = dialect
        self._row = row
        self._messages: list[Json] = [dict(message) for message in messages]
        self._settings = settings
        self._emit = emit
        self._clock = asyncio.get_running_loop().time
        self._tail: _Tail | None = None
        self._shown = ""
        self._written = 0
        self._extra = 0
        self._sampled = 0
        self._injected = 0
        # Nine letters and digits: what the strictest template accepts.
        made = sum(len(message.get("tool_calls") or ()) for message in messages)
        self._ids = (f"call{number:05d}" for number in itertools.count(made))
        self._ear = Ear(
            conversation,
            dialect,
            row,
            max_new_tokens=settings.max_new_tokens,
            stops_at_calls=settings.inject == "call",
            emit=emit,
            ids=self._ids,
        )

    async def run(self) -> Done:
        """Decode until the model is done."""
        try:
            return await self._run()
        except _Full:
            return self._done("length")

    async def _run(self) -> Done:
        while True:
            heard = await self._hear()
            if heard.cut is not None:
                self._messages += [_tool_entry(one) for one in await heard.message.answers() if heard.calls]
                return self._done("length")
            if heard.calls:
                await self._answer(heard)
            elif await self._must_go_on(heard):
                self._extra += 1
                self._put(self._dialect.continued(ended=heard.ended))
            else:
                return self._done("stop")
            if self._written >= self._settings.max_messages:
                return self._done("max_messages")

    async def _hear(self) -> Heard:
        """Decode one message; what is due is told before it."""
        while await self._settled_in_place():
            pass  # what has taken the place of its handle is not due
        self._written += 1
        await self._conversation.room()
        with self._conversation.sampling() as told:
            self._tell(told)
            message = self._conversation.begin()
            try:
                heard = await self._ear.hear(self._written, message, self._sample)
            except BaseException:
                self._conversation.broke(message)
                raise
            if heard.cut is None:
                message.complete()
            else:
                message.cut(heard.cut)
        self._shown = heard.shown
        self._sampled += heard.sampled
        self._messages.append(heard.entry)
        return heard

    async def _sample(self, heard: Heard) -> int:
        """The next token; the first one again as often as answers before it become outcomes (G3)."""
        token = await self._row.sample()
        while heard.sampled == 0 and await self._settled_in_place(taken=False):
            token = await self._row.sample()
        self._tail = None
        return token

    # --- between messages ---------------------------------------------------------------------------------

    def _tell(self, told: Sequence[Told]) -> None:
        """What is due, each in a turn of its kind, with the generation prompt behind."""
        outcomes = [one for one in told if one.handle is not None]
        if outcomes:
            handles = [str(one.handle) for one in outcomes]
            text = "\n\n".join(one.text for one in outcomes)
            tokens = self._dialect.awaited(handles, text, self._row.tokens)
            self._put(tokens, behind=True)
            self._messages += _await_pair(next(self._ids), handles, text)
            self._emit(Injected(self._clock(), "outcomes", text, len(tokens)))
        for one in told:
            if one.handle is None:
                tokens = self._dialect.said(one.text, ended=False)
                self._put(tokens, behind=True)
                # As it was posted: the next turn makes it inert again.
                said = self._conversation.grammar.unescape(one.text)
                self._messages.append({"role": "user", "content": said})
                self._emit(Injected(self._clock(), "note", one.text, len(tokens)))

    async def _answer(self, heard: Heard) -> None:
        """Inject the answers to a message; the row is trapped while one of them is waited for."""
        waiting = heard.message.answers()
        answers = await trapped(waiting, "await", unsettled(self._conversation.owed), self._emit)
        entries = [_tool_entry(one) for one in answers]
        self._tail = _Tail(heard.message, answers, len(self._row), entries, heard.ended)
        tokens = self._answer_tokens(answers, ended=heard.ended)
        self._put(tokens)
        self._messages += entries
        text = "\n".join(one.text for one in answers)
        self._emit(Injected(self._clock(), "answers", text, len(tokens)))

    async def _settled_in_place(self, *, taken: bool = True) -> bool:
        """Put outcomes in the place of handles that the model has not read yet (G3).

        Args:
            taken: every token of the row counts; else the last one was sampled and goes.
        """
        tail = self._tail
        if tail is None or not self._settings.in_place or not tail.has_news:
            return False
        answers = await tail.message.answer_again(tail.answers)
        tokens = [*self._answer_tokens(answers, ended=tail.ended), *tail.behind]
        before = len(self._row) - (not taken)
        if tail.start + len(tokens) - before > self._row.room:
            raise _Full
        self._row.replace(tail.start, len(self._row), tokens)
        self._injected += len(self._row) - before
        for entry, old, new in zip(tail.entries, tail.answers, answers, strict=True):
            entry["content"] = new.text
            if new.settled and not old.settled and new.future is not None:
                self._emit(Substituted(self._clock(), str(new.future.handle), new.text, len(tokens)))
        tail.answers = answers
        return True

    def _answer_tokens(self, answers: Sequence[Answer], *, ended: bool) -> list[int]:
        calls = [AnsweredCall(one.call_id, one.tool, one.arguments, one.text) for one in answers]
        return self._dialect.answers(calls, ended=ended)

    async def _must_go_on(self, heard: Heard) -> bool:
        waiting = self._conversation.must_go_on(heard.text)
        return await trapped(waiting, "end", unsettled(self._conversation.owed), self._emit)

    def _put(self, tokens: list[int], *, behind: bool = False) -> None:
        if len(tokens) > self._row.room:
            raise _Full
        self._row.append(tokens)
        self._injected += len(tokens)
        if behind and self._tail is not None:
            self._tail.behind += tokens

    def _done(self, reason: Reason) -> Done:
        return Done(
            self._clock(),
            self._shown,
            self._messages,
            reason,
            self._written,
            self._extra,
            self._sampled,
            self._injected,
        )


def check_setting(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a setting that is none of those allowed.

    Raises:
        DeclarationError: it is not.
    """
    if value not in allowed:
        raise DeclarationError(f"{name} is {value!r}; expected one of {', '.join(map(repr, allowed))}")


def check_limits(max_new_tokens: int, max_messages: int) -> None:
    """Refuse limits under which nothing could be said.

    Raises:
        DeclarationError: one is below 1.
    """
    for name, value in (("max_new_tokens", max_new_tokens), ("max_messages", max_messages)):
        if value < 1:
            raise DeclarationError(f"{name} is {value}; expected at least 1")


def _await_pair(call_id: str, handles: list[str], text: str) -> list[Json]:
    function = {"name": "await_future", "arguments": {"handles": handles}}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "name": "await_future", "content": text},
    ]


def _tool_entry(answer: Answer) -> Json:
    return {"role": "tool", "tool_call_id": answer.call_id, "name": answer.tool, "content": answer.text}
