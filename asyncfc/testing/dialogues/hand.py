"""Hand: an agent loop as people write it by hand, with its habits, over a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from asyncfc.conversation.formats.base import Json, Reply
from asyncfc.conversation.transcript import CallAnswer, Entry
from asyncfc.futures.call import Call
from asyncfc.futures.plain import canonical_text
from asyncfc.testing.dialogues.drawn import Talk
from asyncfc.testing.dialogues.protocols import PROTOCOLS, body_of
from asyncfc.testing.dialogues.record import Heard, Record, Sent
from asyncfc.testing.dialogues.scene import FORGERY, Voice
from asyncfc.testing.dialogues.tape import Speaks
from asyncfc.testing.models.rejection import Rejected
from asyncfc.tools import Tool

FAILURES = (ConnectionResetError, json.JSONDecodeError)
"""What a client raises when its connection breaks."""
_TRY_AGAIN = (429, 500)


class Hand:
    """The loop without asyncfc: it calls each tool itself, one after the other.

    Args:
        talk: what the loop does; the model and the tools follow it, too.
        model: answers requests.
        voice: its script.
        tools: by name.
        record: what comes of it is noted here.
    """

    def __init__(
        self, talk: Talk, model: Speaks, voice: Voice, tools: Mapping[str, Tool], record: Record
    ) -> None:
        self.talk = talk
        self.model = model
        self.voice = voice
        self.tools = tools
        self.record = record
        self.protocol = PROTOCOLS[talk.manner.protocol]
        self.format = self.protocol.format
        self.items: list[Any] = []
        self.fresh = True
        self.messages = 0
        self._schemas = {name: tool.schema for name, tool in tools.items()}
        self.note = FORGERY if talk.forged else "nothing"

    async def run(self) -> None:
        """Go through all turns of the user."""
        for turn in range(self.talk.habits.turns):
            if turn:
                await asyncio.sleep(self.talk.habits.pause)
                self._between()
            text = f"Do {turn}, and see {self.note}"
            if turn and self.talk.habits.between == "summarise":
                text = f"So far: a lot. {text}"
            self._append(self.format.write(Entry("user", text=text)))
            await self._turn()
        self.record.items = self.items

    async def _turn(self) -> None:
        while True:
            self._trim(self.talk.habits.trims)
            reply = await self.ask()
            self._append(list(reply.items))
            if not reply.calls:
                return
            answers = await self.answers(reply)
            self._append(self.format.write(Entry("tool", answers=tuple(answers))))
            self.messages += 1

    def body(self) -> Json:
        """The next request."""
        return body_of(self.protocol, self.items, self._schemas, structured=self.talk.manner.structured)

    async def ask(self) -> Reply:
        """The next message of the model; what fails is tried again."""
        while True:
            body = self.body()
            sent = self.sends(body)
            try:
                reply = await self._heard(body)
            except (Rejected, *FAILURES) as error:
                self.again(error)
                continue
            self.arrived(sent)
            sent.reply = list(reply.items)
            self.record.heard.append(Heard("calls" if reply.calls else "final", "", reply.text))
            return reply

    async def answers(self, reply: Reply) -> list[CallAnswer]:
        """What the calls come to, rendered as asyncfc does it."""
        return [CallAnswer(made.call.id, await self._call(made.call)) for made in reply.calls]

    async def _call(self, call: Call) -> str:
        try:
            return canonical_text(await self.tools[call.tool].function(**json.loads(str(call.arguments))))
        except Exception as error:
            return f"Error: {type(error).__name__}: {error}"

    async def _heard(self, body: Json) -> Reply:
        if not self.talk.manner.streamed:
            return self.format.reply(await self.model(body))
        reader = self.format.reader()
        async for event in self.model.stream(body):
            reader.feed(event)
        return reader.reply()

    def sends(self, body: Json) -> Sent:
        """A request goes out."""
        return self.record.sends(body, fresh=self.fresh)

    def arrived(self, sent: Sent) -> None:
        """The reply to a request is there."""
        sent.succeeded, self.fresh = True, False
        self.voice.turn += 1

    def again(self, error: BaseException) -> None:
        """Go on after a fault of the server; one of the request is a fault of ours."""
        if isinstance(error, Rejected) and error.status not in _TRY_AGAIN:
            raise AssertionError(f"the provider refuses a request: {error}") from error
        if self.talk.habits.trims is not None:
            self._trim(1)  # it may have been too long

    def _append(self, items: list[Any]) -> None:
        self.items = [*self.items, *items]
        self.record.appended += items

    def _trim(self, most: int | None) -> None:
        if most is None or len(self.items) <= most:
            return
        cuts = [place for place in range(1, len(self.items)) if self._may_begin(place)]
        kept = [place for place in cuts if len(self.items) - place >= min(most, 2)]
        near = [place for place in kept if len(self.items) - place <= most]
        if near or kept:
            self.items = self.items[near[0] if near else kept[-1] :]
            self.fresh = True

    def _may_begin(self, place: int) -> bool:
        """Whether a list may begin with this item: not within a message, and answers need their calls."""
        before, entry = (self.format.read(item) for item in self.items[place - 1 : place + 1])
        if self.format.provider(self.body_row).first_must_be_user or self.protocol.require:
            return entry.role == "user"
        return entry.role == "user" or (entry.role == "assistant" and before.role != "assistant")

    @property
    def body_row(self) -> Json:
        """A body by which the provider is known."""
        return {"messages": self.items, **self.protocol.extra}

    def _between(self) -> None:
        match self.talk.habits.between:
            case "summarise":
                self.items, self.fresh = [], True
            case "fork":
                users = [n for n, item in enumerate(self.items) if self.format.read(item).role == "user"]
                self.items, self.fresh = self.items[: users[-1] if users else 0], True
            case "nothing":
                pass
