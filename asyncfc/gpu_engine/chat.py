"""Chat: one conversation on the engine. The model decodes on while its tools run.

    prompt -> message -> answers (handles) -> message -> ... -> final answer

A message is decoded token by token. A complete call is sealed at once, so that reads start while the model
still writes. Its answers are injected as soon as they are known, which with handles is at once. Nothing
here stops the model but a dereference: `await_future`, a handle in what people read, or the end of a
message while outcomes are unseen (DESIGN G4).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Value
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.dialects.parts import AnsweredCall, Malformed, Part, Sealed
from asyncfc.gpu_engine.dialects.parts import Text as Words
from asyncfc.gpu_engine.dialects.reader import Reader
from asyncfc.gpu_engine.events import (
    Called,
    Done,
    Event,
    Injected,
    Reason,
    Resumed,
    Substituted,
    Text,
    Thought,
    Trapped,
)
from asyncfc.gpu_engine.port import Answer, Conversation, Json, Message, Told
from asyncfc.gpu_engine.rows import TICKS, Row
from asyncfc.gpu_engine.speech import Speech

_T = TypeVar("_T")
Why: TypeAlias = Literal["answer", "await", "end"]

MAX_FILLED_CHARS = 2_000
"""A value that stands for a handle in an answer goes into the context up to this length; people get it
whole."""


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
    """

    inject: Literal["turn", "call"] = "turn"
    in_place: bool = False
    max_new_tokens: int = 4_096
    max_messages: int = 100


@dataclass(slots=True)
class _Heard:
    """One message of the model while it is decoded."""

    message: Message
    reader: Reader
    text: str = ""
    """For people, with handles in it."""
    shown: str = ""
    """What people have read."""
    calls: list[Json] = field(default_factory=list)
    cut: str | None = None
    ended: bool = False
    """It ended with the token with which the chat template ends such a message."""
    used: int = 0
    """How much of the reader's raw text is settled: before it, no handle is substituted any more."""


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


class Chat:
    """One conversation.

    State: `_messages` is the transcript, `_tail` the answers that may still be replaced in place.

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
        self._written = 0
        self._extra = 0
        self._sampled = 0
        self._injected = 0
        self._calls = sum(len(message.get("tool_calls") or ()) for message in messages)

    async def run(self) -> Done:
        """Decode until the model is done."""
        while True:
            heard = await self._hear()
            if heard.cut is not None:
                return self._done(heard, "length")
            if heard.calls:
                await self._answer(heard)
            elif await self._must_go_on(heard):
                self._extra += 1
                self._put(self._dialect.continued(ended=heard.ended))
            else:
                return self._done(heard, "stop")
            if self._written >= self._settings.max_messages:
                return self._done(heard, "max_messages")

    # --- one message --------------------------------------------------------------------------------------

    async def _hear(self) -> _Heard:
        """Decode one message; what is due is told before it."""
        self._written += 1
        with self._conversation.sampling() as told:
            self._tell(told)
            message = self._conversation.begin()
            try:
                reader = self._dialect.reader(self._row.tokens, self._conversation.tools)
                heard = _Heard(message, reader)
                await self._decode(heard)
            except BaseException:
                self._conversation.broke(message)
                raise
            if heard.cut is None:
                message.complete()
            else:
                message.cut(heard.cut)
        entry: Json = {"role": "assistant", "content": heard.text}
        self._messages.append({**entry, "tool_calls": heard.calls} if heard.calls else entry)
        return heard

    async def _decode(self, heard: _Heard) -> None:
        known = self._conversation
        speech = Speech(known.grammar, known.may_mention, lambda text: bool(known.mentioned(text)))
        count = 0
        while not heard.reader.ended:
            if count >= self._settings.max_new_tokens or self._row.room <= 0:
                heard.cut = f"it was cut off after {count} tokens"
                break
            token = await self._sample(first=count == 0)
            count += 1
            for part in heard.reader.feed(token):
                await self._take(part, heard, speech)
            if self._settings.inject == "call" and heard.calls and not heard.reader.critical:
                break
        for part in heard.reader.finish():
            if heard.cut is None or isinstance(part, Words):  # a call that was cut off is none
                await self._take(part, heard, speech)
        await self._say("", heard, speech, final=True)
        self._end(heard)

    def _end(self, heard: _Heard) -> None:
        """An end that the chat template writes otherwise is taken back, and written as it does."""
        end = heard.reader.end
        if end is not None:
            heard.ended = self._dialect.kept(end, calls=bool(heard.calls))
            if not heard.ended:
                self._row.replace(len(self._row) - 1, len(self._row), [])

    async def _sample(self, *, first: bool) -> int:
        """The next token; at first as often as answers behind which it stands become outcomes (G3)."""
        token = await self._row.sample()
        while first and await self._settled_in_place():
            token = await self._row.sample()
        self._tail = None
        self._sampled += 1
        return token

    async def _take(self, part: Part, heard: _Heard, speech: Speech) -> None:
        match part:
            case Words(text):
                await self._say(text, heard, speech)
            case Sealed(name, arguments):
                self._seal(heard, name, arguments)
            case Malformed(raw, _, name):  # such arguments are none: the answer says what is wrong with them
                self._seal(heard, name or _name_in(raw), raw)
            case _:
                self._emit(Thought(self._clock(), part.text))

    def _seal(self, heard: _Heard, name: str, arguments: str | Mapping[str, Any]) -> None:
        call_id = f"call{self._calls:05d}"  # nine letters and digits: what the strictest template accepts
        self._calls += 1
        heard.message.seal(call_id, name, arguments)
        function = {"name": name, "arguments": arguments}
        heard.calls.append({"id": call_id, "type": "function", "function": function})
        self._emit(Called(self._clock(), call_id, name, arguments))

    # --- what people read ---------------------------------------------------------------------------------

    async def _say(self, text: str, heard: _Heard, speech: Speech, *, final: bool = False) -> None:
        for piece in speech.feed(text, final=final):
            heard.text += piece.text
            if piece.is_mention:
                await self._dereference(piece.text, heard)
            else:
                self._show(self._conversation.fill(piece.text), heard)

    def _show(self, text: str, heard: _Heard) -> None:
        heard.shown += text
        self._emit(Text(self._clock(), text, self._written))

    async def _dereference(self, mention: str, heard: _Heard) -> None:
        """A handle in what people read: wait for its value, which takes its place, here and there."""
        conversation = self._conversation
        futures = conversation.mentioned(mention)
        await self._trap("answer", _unsettled(futures), self._settled(futures))
        # With something behind it, a path is one only where the value has parts, as in the middle of a text.
        filled = conversation.fill(f"{mention}\n")[:-1]
        if all(isinstance(future.outcome, Value) for future in futures):
            self._substitute(mention, filled, heard)
            for future in futures:
                conversation.tell(future)
        self._show(filled, heard)

    def _substitute(self, mention: str, filled: str, heard: _Heard) -> None:
        """Put the value in the place of the handle at the tail of the context (G3)."""
        if len(filled) > MAX_FILLED_CHARS:
            return
        raw, ends = heard.reader.text, heard.reader.ends
        start = raw.find(mention, heard.used)
        if start < 0:  # the dialect writes text in another form than people read it
            return
        index = next(n for n, end in enumerate(ends) if end > start)  # of the token in which it begins
        before = raw[max(heard.used, ends[index - 1] if index else 0) : start]
        heard.used = start + len(mention)
        value, behind = self._dialect.encode(before + filled), self._dialect.encode(raw[heard.used :])
        stop = len(self._row) - heard.reader.ended  # the end of the turn stays
        self._row.replace(stop - (len(ends) - index), stop, [*value, *behind])
        ends[index:] = [heard.used] * len(value) + [len(raw)] * len(behind)
        self._emit(Substituted(self._clock(), mention, filled, len(value)))

    # --- between messages ---------------------------------------------------------------------------------

    def _tell(self, told: Sequence[Told]) -> None:
        """What is due, each in a turn of its kind, with the generation prompt behind."""
        outcomes = [one for one in told if one.handle is not None]
        if outcomes:
            handles = [str(one.handle) for one in outcomes]
            text = "\n\n".join(one.text for one in outcomes)
            tokens = self._dialect.awaited(handles, text, self._row.tokens)
            self._put(tokens, behind=True)
            self._messages += _await_pair(f"call{self._calls:05d}", handles, text)
            self._calls += 1
            self._emit(Injected(self._clock(), "outcomes", text, len(tokens)))
        for one in told:
            if one.handle is None:
                tokens = self._dialect.said(one.text, ended=False)
                self._put(tokens, behind=True)
                self._messages.append({"role": "user", "content": one.text})
                self._emit(Injected(self._clock(), "note", one.text, len(tokens)))

    async def _answer(self, heard: _Heard) -> None:
        """Inject the answers to a message; the row is trapped while one of them is waited for."""
        answers = await self._trap("await", _unsettled(self._conversation.owed), heard.message.answers())
        entries = [_tool_entry(one.call_id, one.tool, one.text) for one in answers]
        self._tail = _Tail(heard.message, answers, len(self._row), entries, heard.ended)
        tokens = self._answer_tokens(answers, ended=heard.ended)
        self._put(tokens)
        self._messages += entries
        text = "\n".join(one.text for one in answers)
        self._emit(Injected(self._clock(), "answers", text, len(tokens)))

    async def _settled_in_place(self) -> bool:
        """Put outcomes in the place of handles that the model has not read yet (G3)."""
        tail = self._tail
        if tail is None or not self._settings.in_place:
            return False
        if not any(one.future is not None and one.future.settled and not one.settled for one in tail.answers):
            return False
        answers = await tail.message.answer_again(tail.answers)
        tokens = self._answer_tokens(answers, ended=tail.ended)
        self._row.replace(tail.start, len(self._row), [*tokens, *tail.behind])
        for entry, before, answer in zip(tail.entries, tail.answers, answers, strict=True):
            entry["content"] = answer.text
            if answer.settled and not before.settled and answer.future is not None:
                self._emit(Substituted(self._clock(), str(answer.future.handle), answer.text, len(tokens)))
        tail.answers = answers
        return True

    def _answer_tokens(self, answers: Sequence[Answer], *, ended: bool) -> list[int]:
        calls = [AnsweredCall(one.call_id, one.tool, one.arguments, one.text) for one in answers]
        return self._dialect.answers(calls, ended=ended)

    async def _must_go_on(self, heard: _Heard) -> bool:
        return await self._trap(
            "end", _unsettled(self._conversation.owed), self._conversation.must_go_on(heard.text)
        )

    # --- small things -------------------------------------------------------------------------------------

    def _put(self, tokens: list[int], *, behind: bool = False) -> None:
        self._row.append(tokens)
        self._injected += len(tokens)
        if behind and self._tail is not None:
            self._tail.behind += tokens

    async def _settled(self, futures: Sequence[Future]) -> None:
        while _unsettled(futures):  # a post ends a wait, too, but brings no value
            await self._conversation.wait_for(futures)

    async def _trap(self, why: Why, futures: Sequence[Future], waiting: Coroutine[Any, Any, _T]) -> _T:
        """Wait, and tell of it if it takes any time: the row is trapped, as nobody asks it for a token."""
        task = asyncio.ensure_future(waiting)
        for _ in range(TICKS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
        start = self._clock()
        self._emit(Trapped(start, why, tuple(str(future.handle) for future in futures)))
        result = await task
        self._emit(Resumed(self._clock(), self._clock() - start))
        return result

    def _done(self, heard: _Heard, reason: Reason) -> Done:
        text = heard.shown
        if not heard.calls:
            self._messages[-1] = {**self._messages[-1], "content": text}
        return Done(
            self._clock(),
            text,
            self._messages,
            reason,
            self._written,
            self._extra,
            self._sampled,
            self._injected,
        )


def _name_in(raw: str) -> str:
    """The name in a call that cannot be read; if there is none, what there is, for the answer to quote."""
    found = re.search(r'"name"\s*:\s*"([^"]+)"', raw)
    return raw.strip() if found is None else found[1]


def _await_pair(call_id: str, handles: list[str], text: str) -> list[Json]:
    function = {"name": "await_future", "arguments": {"handles": handles}}
    call = {"id": call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        _tool_entry(call_id, "await_future", text),
    ]


def _tool_entry(call_id: str, tool: str, text: str) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "name": tool, "content": text}


def _unsettled(futures: Sequence[Future]) -> list[Future]:
    return [future for future in futures if not future.settled]
