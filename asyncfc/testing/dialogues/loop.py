"""Loop: the loop of `hand` with asyncfc between it and its model, as the adapters put it there."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from asyncfc.conversation.formats.base import Json, Reply, TextDelta
from asyncfc.conversation.transcript import CallAnswer
from asyncfc.dialogue import Dialogue
from asyncfc.exchange import Conversation, Exchange
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.plain import canonical_text
from asyncfc.incoming import CallReply
from asyncfc.session import Session
from asyncfc.streamed import Streamed
from asyncfc.testing.dialogues.drawn import Talk
from asyncfc.testing.dialogues.hand import FAILURES, Hand
from asyncfc.testing.dialogues.protocols import PROTOCOLS
from asyncfc.testing.dialogues.record import Heard, Kind, Record, Sent
from asyncfc.testing.dialogues.scene import FORGERY, SESSION_ID, Voice, World
from asyncfc.testing.dialogues.tape import Speaks, Tape
from asyncfc.testing.loop import Mode, run_virtual
from asyncfc.testing.models.model import Model, model_of
from asyncfc.testing.models.rejection import Rejected
from asyncfc.tools import Tool

_NUMBER = re.compile(r'"n": ?(\d+)')


class Wrapped(Hand):
    """The same loop with asyncfc between it and its model."""

    def __init__(
        self, talk: Talk, model: Speaks, voice: Voice, tools: Mapping[str, Tool], record: Record
    ) -> None:
        super().__init__(talk, model, voice, tools, record)
        manner = talk.manner
        self.session = Session(tools, grace=manner.grace, id=SESSION_ID, on_event=record.events.append)
        self.dialogue = Dialogue(
            self.session,
            final=manner.final,
            inline=("bare",) if manner.inline else (),
            note=not manner.bare,
            control=not manner.bare,
            relax="none" if manner.bare else "always",
        )
        self.conversation = Conversation(self.dialogue, self.format, owns_tools=manner.owns_tools)

    async def run(self) -> None:
        """Go through all turns of the user, and close."""
        async with self.session:
            await super().run()
            await self.session.finish()
        self.record.extra_messages = self.dialogue.extra_messages

    async def ask(self) -> Reply:
        """The next message of the model that is not provisional; what fails is tried again."""
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of calls that the loop ignores
                exchange = Exchange(self.conversation, self.body())
            try:
                return await (self._streamed if self.talk.manner.streamed else self._whole)(exchange)
            except (Rejected, *FAILURES) as error:
                exchange.failed(error)
                self.again(error)

    async def answers(self, reply: Reply) -> list[CallAnswer]:
        """What the calls are answered with; of those that it ignores, that it did."""
        if self.messages in self.talk.habits.ignores and not self.talk.manner.owns_tools:
            return [CallAnswer(made.call.id, "Denied.") for made in reply.calls]
        incoming = self.conversation.incoming
        assert incoming is not None
        incoming.take_all()
        given = await self.conversation.answers()
        replies = [
            await self.conversation.outcome(incoming, place) if incoming.is_inline(place) else one
            for place, one in enumerate(given)
        ]
        return [
            CallAnswer(one.call.id, "There is no such tool." if one.kind == "foreign" else _rendered(one))
            for one in replies
        ]

    async def _request(self, exchange: Exchange) -> tuple[Json, Sent]:
        if len(self.record.sent) in self.talk.habits.posts:
            self.session.post(f"Hurry up with {self.note}", "Ann")
        body = await exchange.request()
        sent = self.record.sends(json.loads(json.dumps(body)), fresh=self.fresh)
        return body, sent

    async def _whole(self, exchange: Exchange) -> Reply:
        while True:
            body, sent = await self._request(exchange)
            reply = await self.model(body)
            self.arrived(sent)
            answer = await exchange.replied(reply)
            got = None if answer is None else self.format.reply(answer)
            self._hears(sent, self.format.reply(reply), got)
            if got is not None:
                return got

    async def _streamed(self, exchange: Exchange) -> Reply:
        while True:
            body, sent = await self._request(exchange)
            reader, shown = self.format.reader(), self.format.reader()
            streamed = Streamed(reader, self.session.handles.may_mention, exchange.may_be_superseded)
            incoming = exchange.begin()
            seen: list[str] = []
            try:
                async for event in self.model.stream(body):
                    step = streamed.feed(event)
                    for call in step.sealed:
                        incoming.seal(call, known=self.talk.manner.owns_tools)
                    if step.ended:
                        self.arrived(sent)
                        exchange.ended(reader.reply())
                    seen += _texts(shown.feed, step.passed)
            except FAILURES:
                self.record.heard.append(Heard("broken", "".join(seen), ""))
                raise
            if not await exchange.concluded(reader.reply()):
                self._hears(sent, reader.reply(), None, "".join(seen))
                continue
            rest = _texts(shown.feed, streamed.rest(exchange.final_text))
            got = shown.reply()
            self._hears(sent, reader.reply(), got, "".join(seen))
            assert "".join([*seen, *rest]) == got.text, "what was shown is not what the loop got"
            return got

    def _hears(self, sent: Sent, came: Reply, got: Reply | None, shown: str = "") -> None:
        """A message has come; None: the loop does not get it, as it is provisional."""
        sent.reply = list(came.items) if got is None or got.items == came.items else []
        if came.cut is not None:
            self.record.cut |= {
                int(n) for made in came.calls for n in _NUMBER.findall(str(made.call.arguments))
            }
        kind: Kind = "provisional" if got is None else "calls" if got.calls else "final"
        self.record.heard.append(Heard(kind, shown, "" if got is None else got.text))


def _rendered(reply: CallReply) -> str:
    """What a loop makes of what its function gives or raises."""
    match reply.outcome:
        case Value() as value:
            return canonical_text(value.get())
        case Failure(error) if not reply.is_own_text:
            return f"Error: {type(error).__name__}: {error}"
    return reply.text


def _texts(feed: Callable[[Json], list[Any]], events: list[Json]) -> list[str]:
    return [part.text for event in events for part in feed(event) if isinstance(part, TextDelta)]


def hold(
    talk: Talk, *, seed: int = 0, mode: Mode = "fifo", wrapped: bool = True, tape: Tape | None = None
) -> Record:
    """Hold a conversation in virtual time.

    Args:
        talk: as drawn.
        seed: of the loop.
        mode: of the loop.
        wrapped: with asyncfc; else as the loop is without it.
        tape: takes down what the model says, or gives it again; then the tools do, too.

    Raises:
        AssertionError: the provider refuses a request.
    """
    record = Record(talk)

    async def main() -> None:
        world = World(FORGERY) if talk.forged else World("nothing")
        voice = Voice(talk.says, talk.manner.structured)
        model: Speaks = scripted(talk, voice)
        tools = world.tools()
        if tape is not None:
            model, tools = tape.model(model), tape.tools(tools)
        await (Wrapped if wrapped else Hand)(talk, model, voice, tools, record).run()
        record.ran, record.named = world.ran, voice.named

    run_virtual(main, seed=seed, mode=mode)
    return record


def scripted(talk: Talk, voice: Voice) -> Model:
    """The model of a talk, with a provider's rules."""
    protocol = PROTOCOLS[talk.manner.protocol]
    return model_of(
        voice,
        protocol.name,
        decode=1.0,
        repeat_ids=talk.manner.repeat_ids and not protocol.native,  # who answers late needs ids
        require=protocol.require,
        faults=talk.faults,
    )
