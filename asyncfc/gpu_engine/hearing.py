"""Hearing: one message of the model, token by token, from the generation prompt to its end.

A complete call is sealed at once, so that reads start while the model still writes. A handle in what people
read is a dereference: the row is trapped until the value is there, which then takes the handle's place in
the text and, at the tail, in the context (DESIGN G3, G4).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncfc.futures.future import wait_settled
from asyncfc.futures.outcome import Value
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.dialects.parts import Malformed, Part, Sealed, Thought
from asyncfc.gpu_engine.dialects.parts import Text as Words
from asyncfc.gpu_engine.dialects.reader import Reader
from asyncfc.gpu_engine.events import Called, Event, Substituted, Text
from asyncfc.gpu_engine.events import Thought as Thinking
from asyncfc.gpu_engine.port import Conversation, Json, Message
from asyncfc.gpu_engine.rows import Row
from asyncfc.gpu_engine.speech import Speech
from asyncfc.gpu_engine.trapping import trapped, unsettled

MAX_FILLED_CHARS = 2_000
"""A value that stands for a handle in an answer goes into the context up to this length; people get it
whole."""


@dataclass(slots=True)
class Heard:
    """One message of the model."""

    number: int
    """Counted from 1."""
    message: Message
    reader: Reader
    speech: Speech
    text: str = ""
    """For people, with handles in it."""
    shown: str = ""
    """What people have read: values in place of the handles."""
    context: str = ""
    """What stands in the context: values where they were substituted, and text of tools inert."""
    calls: list[Json] = field(default_factory=list)
    cut: str | None = None
    """Why it is not complete, if it is not."""
    ended: bool = False
    """Its last token is the one with which the chat template ends such a message."""
    used: int = 0
    """How much of the reader's raw text has been taken in: before it, no handle is substituted any more."""
    sampled: int = 0

    @property
    def entry(self) -> Json:
        """As chat templates take it."""
        entry: Json = {"role": "assistant", "content": self.context}
        return {**entry, "tool_calls": self.calls} if self.calls else entry


class Ear:
    """Hears the messages of one conversation.

    Args:
        conversation: the session's side.
        dialect: the model's format.
        row: that the model writes.
        max_new_tokens: of one message.
        stops_at_calls: a message ends with its first call, or with those that are written as one.
        emit: gets the events.
        ids: of the calls.
    """

    def __init__(
        self,
        conversation: Conversation,
        dialect: Dialect,
        row: Row,
        *,
        max_new_tokens: int,
        stops_at_calls: bool,
        emit: Callable[[Event], object],
        ids: Iterator[str],
    ) -> None:
        self._conversation = conversation
        self._dialect = dialect
        self._row = row
        self._most = max_new_tokens
        self._stops_at_calls = stops_at_calls
        self._emit = emit
        self._ids = ids
        self._clock = asyncio.get_running_loop().time

    async def hear(self, number: int, message: Message, sample: Callable[[Heard], Awaitable[int]]) -> Heard:
        """Decode the next message.

        Args:
            number: of the message.
            message: of the session, for its calls.
            sample: gives the next token.
        """
        known = self._conversation
        speech = Speech(known.grammar, known.may_mention, lambda text: bool(known.mentioned(text)))
        heard = Heard(number, message, self._dialect.reader(self._row.tokens, known.tools), speech)
        while not heard.reader.ended:
            if heard.sampled >= self._most or self._row.room <= 0:
                heard.cut = f"it was cut off after {heard.sampled} tokens"
                break
            token = await sample(heard)
            heard.sampled += 1
            for part in heard.reader.feed(token):
                await self._take(part, heard)
            if self._stops_at_calls and heard.calls and not heard.reader.critical:
                break
        await self._end(heard)
        return heard

    async def _end(self, heard: Heard) -> None:
        for part in heard.reader.finish():
            if heard.cut is None or isinstance(part, Words | Thought):  # a call that was cut off is none
                await self._take(part, heard)
        await self._say("", heard, final=True)
        end = heard.reader.end
        if end is not None:
            heard.ended = self._dialect.kept(end, calls=bool(heard.calls))
            if not heard.ended:  # the chat template writes another one there
                self._row.replace(len(self._row) - 1, len(self._row), [])

    async def _take(self, part: Part, heard: Heard) -> None:
        match part:
            case Words(text):
                await self._say(text, heard)
                return
            case Thought(text):
                self._emit(Thinking(self._clock(), text))
            case Sealed(name, arguments):
                self._seal(heard, name, arguments)
            case Malformed(raw, _, name):  # such arguments are none: the answer says what is wrong with them
                self._seal(heard, name or _name_in(raw), raw)
        # What was held back stands before this part: no longer at the tail, and nothing joins it.
        heard.used = len(heard.reader.text)
        await self._say("", heard, final=True)

    def _seal(self, heard: Heard, name: str, arguments: str | Mapping[str, Any]) -> None:
        call_id = next(self._ids)
        heard.message.seal(call_id, name, arguments)
        function = {"name": name, "arguments": arguments}
        heard.calls.append({"id": call_id, "type": "function", "function": function})
        self._emit(Called(self._clock(), call_id, name, arguments))

    # --- what people read ---------------------------------------------------------------------------------

    async def _say(self, text: str, heard: Heard, *, final: bool = False) -> None:
        for piece in heard.speech.feed(text, final=final):
            heard.text += piece.text
            start = heard.reader.text.find(piece.text, heard.used)  # not as people read it: -1
            if piece.is_mention:
                await self._dereference(piece.text, start, heard)
            else:
                heard.context += piece.text
                self._show(self._conversation.fill(piece.text), heard)
            if start >= 0:
                heard.used = start + len(piece.text)

    def _show(self, text: str, heard: Heard) -> None:
        heard.shown += text
        self._emit(Text(self._clock(), text, heard.number))

    async def _dereference(self, mention: str, start: int, heard: Heard) -> None:
        conversation = self._conversation
        futures = conversation.mentioned(mention)
        waiting = wait_settled(futures)
        await trapped(waiting, "answer", unsettled(futures), self._emit, conversation.pausing)
        # With something behind it, a path is one only where the value has parts, as in the middle of a text.
        filled = conversation.fill(f"{mention}\n")[:-1]
        has_value = all(isinstance(future.outcome, Value) for future in futures)
        inert = conversation.escape(filled)
        if has_value and self._substitute(mention, inert, start, heard):
            heard.context += inert
            if conversation.grammar.parse(
                mention.replace("{", "").replace("}", "")
            ):  # no path: the whole value
                for future in futures:
                    conversation.tell(future)
        else:  # a failure is yet to be delivered, and so is what could not be put there
            heard.context += mention
        self._show(filled, heard)

    def _substitute(self, mention: str, value: str, start: int, heard: Heard) -> bool:
        """Put the value in the place of the handle at the tail of the context, if it can be (G3)."""
        raw, ends = heard.reader.text, heard.reader.ends
        if start < 0 or len(value) > MAX_FILLED_CHARS:
            return False
        index = next(n for n, end in enumerate(ends) if end > start)  # of the token in which it begins
        before = raw[max(heard.used, ends[index - 1] if index else 0) : start]
        stop = start + len(mention)
        first, behind = self._dialect.encode(before + value), self._dialect.encode(raw[stop:])
        end = len(self._row) - heard.reader.ended  # the end of the turn stays
        begin = end - (len(ends) - index)
        if len(first) + len(behind) - (end - begin) > self._row.room:
            return False
        self._row.replace(begin, end, [*first, *behind])
        ends[index:] = [stop] * len(first) + [len(raw)] * len(behind)
        self._emit(Substituted(self._clock(), mention, value, len(first)))
        return True


def _name_in(raw: str) -> str:
    """The name in a call that cannot be read; if there is none, what there is, for the answer to quote."""
    found = re.search(r'"name"\s*:\s*"([^"]+)"', raw)
    return raw.strip() if found is None else found[1]
