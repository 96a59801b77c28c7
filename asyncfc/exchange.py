"""Exchange: one request of a loop, and as many messages of the model as it takes.

It knows requests and replies as JSON objects, through a `Format`, and sends nothing itself:

    exchange = Exchange(conversation, body)
    while True:
        reply = send(await exchange.request())   # if that fails: exchange.failed(error)
        answer = await exchange.replied(reply)
        if answer is not None:                   # None: outcomes are to be delivered; ask again
            return answer
"""

from __future__ import annotations

import asyncio
import json
import warnings
from contextlib import ExitStack, suppress

from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.formats.base import Format, Json, Reply
from asyncfc.conversation.placement import Placement
from asyncfc.conversation.providers import Provider
from asyncfc.conversation.shadow import Insertion, Shadow
from asyncfc.dialogue import Dialogue
from asyncfc.errors import TranscriptError
from asyncfc.incoming import CallReply, Incoming


class Conversation:
    """What the exchanges of one conversation share.

    State: `_answering` gives the answers to the newest message of the model, `incoming`, once somebody has
    asked for them, and `_waiting` of these wait. `_own_texts` are the texts of asyncfc that calls were
    answered with, rather than with the tool's own result, by their ids; `late` are the calls that the
    provider lets be answered late and that were answered with a handle.

    Args:
        dialogue: its protocol.
        format: of the provider.
        owns_tools: calls of tools that the session does not have are answered here, too, with an error.
    """

    def __init__(self, dialogue: Dialogue, format: Format, *, owns_tools: bool = False) -> None:
        self.dialogue = dialogue
        self.session = dialogue.session
        self.format = format
        self.shadow = Shadow(format)
        awaits = bool(dialogue.controls)
        self.placement = Placement(self.shadow, format, self.session.wording, awaits=awaits)
        self.incoming: Incoming | None = None
        self.left: Incoming | None = None
        """The message before, if the loop has not made all calls of it that have run."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """The session's, since the first message of the model."""
        self.under_way: Exchange | None = None
        self.owns_tools = owns_tools
        self._own_texts: dict[str, set[str]] = {}
        self.late: set[str] = set()
        self._answering: asyncio.Task[list[CallReply]] | None = None
        self._waiting = 0

    def provider(self, body: Json) -> Provider:
        """Whose rules hold for a request."""
        return self.dialogue.provider or self.format.provider(body)

    def require_free(self) -> None:
        """Refuse what may not happen while a request is under way.

        Raises:
            TranscriptError: one is.
        """
        if self.under_way is not None:
            raise TranscriptError(
                "a request of this conversation is under way already; wrap a client for each conversation, "
                "and read a streamed reply to its end, or close it, before the next request"
            )

    @property
    def receiving(self) -> Incoming | None:
        """The message of the model that has begun and not ended."""
        return None if self.under_way is None else self.under_way.incoming

    def received(self, incoming: Incoming) -> None:
        """A message of the model has ended."""
        self.incoming, self._answering = incoming, None

    async def answers(self) -> list[CallReply]:
        """The answers to the newest message of the model, one per call, in order; always the same."""
        assert self.incoming is not None
        if self._answering is None:
            self._answering = asyncio.ensure_future(self._answer(self.incoming))
        self._waiting += 1
        try:
            return await asyncio.shield(self._answering)
        finally:
            self._waiting -= 1

    def ready_answers(self) -> list[CallReply]:
        """The same answers, for who cannot wait: they were asked for before.

        Raises:
            TranscriptError: nobody has.
        """
        if self._answering is None or not self._answering.done():
            raise TranscriptError(
                "the answers to the newest message are not there yet; read the reply to its end"
            )
        return self._answering.result()

    def leave(self) -> None:
        """The loop asks the model again: calls that it has not made by now are not made any more."""
        incoming, self.incoming = self.incoming, None
        if incoming is None:
            return
        if self._answering is not None and not self._waiting:  # else it would tell nobody what it waits for
            self._answering.cancel()
        if self.owns_tools and self._answering is not None:
            incoming.take_all()
        ignored = [call.tool for call in incoming.leave()]
        self.left = incoming if ignored else None
        if ignored:
            warnings.warn(
                f"the loop did not ask for the results of {ignored}, which asyncfc has run: call the tools "
                "through what wrap() returned, or name in inline= those that the loop may refuse to call",
                RuntimeWarning,
                stacklevel=2,
            )

    async def _answer(self, incoming: Incoming) -> list[CallReply]:
        replies = await incoming.answers(direct=self.dialogue.exhausted)
        for reply in replies:
            if reply.is_own_text:
                self.note_own(reply)
            if reply.native and reply.kind == "call" and reply.outcome is None:
                self.late.add(reply.call.id)
        return replies

    async def outcome(self, incoming: Incoming, place: int) -> CallReply:
        """The loop makes an inline call of a message: let it run, and wait for its outcome."""
        reply = await incoming.outcome(place)
        if reply.is_own_text:
            self.note_own(reply)
        return reply

    def note_own(self, reply: CallReply) -> None:
        """The text of a reply is asyncfc's: handles in it are to be read as such."""
        if reply.text:
            self._own_texts.setdefault(reply.call.id, set()).add(reply.text)

    def is_own(self, text: str, call_id: str | None) -> bool:
        """Whether the answer to a call holds a text of asyncfc, as it is or in JSON of the loop's making.

        The id alone does not tell, as ids may repeat.
        """
        owns = () if call_id is None else self._own_texts.get(call_id, ())
        return text in owns or any(
            form in text for own in owns for form in (own, _in_json(own), json.dumps(own)[1:-1])
        )


class Exchange:
    """One request of a loop.

    State: `_fresh` is what the request under way inserts, `_answered_late` the ids of late
    calls that it answers. `_since` is how many insertions are older, where the provider keeps these.

    Args:
        conversation: that it belongs to.
        body: the request as the loop made it.

    Raises:
        TranscriptError: another request of the conversation is under way.
    """

    def __init__(self, conversation: Conversation, body: Json) -> None:
        conversation.require_free()
        self._conversation = conversation
        self._body = body
        self._fresh: list[Insertion] = []
        self._answered_late: set[str] = set()
        self._request = ExitStack()
        self._since = len(conversation.shadow) if conversation.format.continues(body) else 0
        self.incoming: Incoming | None = None
        """The message of the model that has begun and not ended."""
        items = conversation.format.messages(body)
        self._items = [conversation.format.map_texts(item, self._inert) for item in items]
        conversation.leave()
        conversation.under_way = self

    async def request(self) -> Json:
        """The request to send, as soon as there is room: deliveries in it, handles explained and admitted.

        It is equal to what the loop made if there is nothing to add.
        """
        self._conversation.under_way = self
        try:
            await self._conversation.session.room()
            deliveries = self._request.enter_context(self._conversation.session.sampling())
            return self._composed(deliveries)
        except BaseException as error:
            self.failed(error)
            raise

    def failed(self, error: BaseException) -> None:
        """The request failed, or its reply broke off: nothing of it has been seen."""
        request, self._request = self._request, ExitStack()
        with suppress(type(error)):
            request.__exit__(type(error), error, error.__traceback__)
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            self._conversation.dialogue.broke(incoming)
        self.over()

    def begin(self) -> Incoming:
        """The reply begins: its calls are sealed one by one."""
        self.incoming = self._conversation.dialogue.begin()
        self._conversation.loop = asyncio.get_running_loop()  # before any call of the message can run
        return self.incoming

    def ended(self, reply: Reply) -> None:
        """The reply is there, its calls sealed: the request has been seen, and the calls may run."""
        self._request.close()
        self._conversation.late -= self._answered_late
        self._conversation.shadow.keep(self._items, self._fresh)
        self._fresh = []
        incoming, self.incoming = self.incoming, None
        assert incoming is not None
        if reply.cut is None:
            incoming.complete()
        else:
            incoming.cut(reply.cut, reply.calls)
        self._conversation.received(incoming)

    async def concluded(self, reply: Reply) -> bool:
        """Whether the reply is the one that the loop gets. If not, ask again with `request`."""
        try:
            go_on = (
                not reply.calls
                and reply.final
                and await self._conversation.dialogue.must_go_on(reply.text, structured=self.structured)
            )
        except BaseException:
            self.over()
            raise
        if go_on:
            shadow = self._conversation.shadow
            shadow.keep((), [Insertion(shadow.anchors(self._items)[-1], "after", items=reply.items)])
        else:
            self.over()
        return not go_on

    async def replied(self, body: Json) -> Json | None:
        """The reply that the loop gets, or None: outcomes must be delivered first, ask again."""
        reply = self._conversation.format.reply(body)
        incoming = self.begin()
        for call in reply.calls:
            incoming.seal(call, known=self._conversation.owns_tools)
        self.ended(reply)
        if not await self.concluded(reply):
            return None
        return body if reply.calls else self._conversation.format.with_text(body, self.final_text)

    def refused(self, complaint: str) -> bool:
        """The provider refused the request: whether to send it again, with fewer schemas relaxed (S27).

        Args:
            complaint: the provider's words.
        """
        names = self._conversation.format.tool_names(self._body)
        return self._conversation.dialogue.refused(complaint, names)

    @property
    def may_be_superseded(self) -> bool:
        """Whether the reply, if it has no calls, may not be what the loop gets, or not in these words."""
        dialogue = self._conversation.dialogue
        return dialogue.may_be_provisional or (self.structured and dialogue.session.handles.any_shown)

    @property
    def structured(self) -> bool:
        """Whether the final text is to be JSON of some form."""
        return self._conversation.format.is_structured(self._body)

    def final_text(self, text: str) -> str:
        """A text of the final message without handles."""
        return self._conversation.dialogue.final_text(text, structured=self.structured)

    def _composed(self, deliveries: list[Delivery | Note]) -> Json:
        written, dialogue = self._conversation.format, self._conversation.dialogue
        provider = self._conversation.provider(self._body)
        if not self._items and deliveries:
            return written.with_messages(self._body, self._conversation.placement.alone(deliveries))
        late = self._late()
        self._answered_late = set()
        self._fresh = self._conversation.placement.omit(self._items, late)
        if deliveries:
            self._fresh += self._conversation.placement.place(deliveries, self._items, provider, late=late)
            self._answered_late = {one.call_id for one in deliveries if isinstance(one, Delivery)}
        items = self._conversation.shadow.apply(self._items, self._fresh, since=self._since)
        body = written.with_messages(self._body, items)
        body = written.with_tools(body, dialogue.adapt, dialogue.controls)
        if dialogue.note is not None and written.tool_names(body):
            body = written.with_note(body, dialogue.note)
        return body

    def _late(self) -> set[str]:
        """The calls to be answered late: not those whose mark the loop has lost, or that it has dropped."""
        late, reads = self._conversation.late, self._conversation.format
        entries = [reads.read(item) for item in self._items] if late else []
        marked, plain = (
            {call.id for entry in entries if entry.late is is_late for call in entry.calls}
            for is_late in (True, False)
        )
        return late - plain if reads.continues(self._body) else late & marked

    def _inert(self, text: str, call_id: str | None) -> str:
        """A text of a person or a tool, with what looks like a handle of this session made inert (H2)."""
        escaped = self._conversation.session.handles.escape(text)
        return text if escaped == text or self._conversation.is_own(text, call_id) else escaped

    def over(self) -> None:
        """The loop has its reply, or an error."""
        if self._conversation.under_way is self:
            self._conversation.under_way = None


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
