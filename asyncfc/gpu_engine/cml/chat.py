"""CmlChat: one conversation in CML. The model calls, goes on, and is interrupted with results.

    prompt -> one long turn: words, calls, interrupts, traps -> end

Each call is a message of its own of the session, made where its block ends. Between any two tokens outside
a block, all outcomes that are there by then are injected as interrupts. The model waits only where it says
so (a trap), or where it ends its turn while outcomes are untold: then the end is taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from asyncfc.gpu_engine.chat import check_limits, check_setting
from asyncfc.gpu_engine.cml.code import BadCode, ToolCall, read_code
from asyncfc.gpu_engine.cml.interrupts import Interrupts, Made
from asyncfc.gpu_engine.cml.markers import THINK, Markup, inert
from asyncfc.gpu_engine.cml.monitor import CmlCall, CmlTrap, Malformed, Monitor, Part, Thought
from asyncfc.gpu_engine.cml.monitor import Text as Words
from asyncfc.gpu_engine.cml.prose import Prose
from asyncfc.gpu_engine.cml.stretch import Stretch
from asyncfc.gpu_engine.cml.wording import NO_CALL, TAKEN, parameters_of
from asyncfc.gpu_engine.events import Called, Done, Event, Injected, Reason, Text, Why
from asyncfc.gpu_engine.events import Thought as Thinking
from asyncfc.gpu_engine.port import Conversation, Json, Told
from asyncfc.gpu_engine.rows import Row
from asyncfc.gpu_engine.trapping import trapped

_T = TypeVar("_T")
Next: TypeAlias = Literal["interrupt", "trap", "end", "length", "stop"]


class Format(Protocol):
    """What CML needs of a dialect."""

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a turn."""

    def encode(self, text: str) -> list[int]:
        """Tokens of plain text in the middle of a turn; no special token arises from it."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones as they are spelled."""

    def token_id(self, text: str) -> int | None:
        """The one token that is spelled like this, if there is one."""

    def said(self, text: str, *, ended: bool) -> list[int]:
        """A turn of a user behind one of the model, with the generation prompt."""


@dataclass(frozen=True, slots=True)
class CmlSettings:
    """How one conversation in CML is decoded.

    Args:
        trap: when a trap is over: when `all` calls have settled, or `any` that is untold.
        max_value_chars: of a value that the model is shown; None: all of it. Other calls get it whole.
        max_new_tokens: that the model may sample before it ends its turn.
        max_messages: how often it may end its turn.

    Raises:
        DeclarationError: one is written wrongly.
    """

    trap: Literal["all", "any"] = "all"
    max_value_chars: int | None = None
    max_new_tokens: int = 4_096
    max_messages: int = 100

    def __post_init__(self) -> None:
        check_setting("trap", self.trap, ("all", "any"))
        check_limits(self.max_new_tokens, self.max_messages)


class CmlChat:
    """One conversation in CML.

    State: `_stretch` are the tokens sampled since the last injection, `_raw` the text of the turn before
    them; `_ended`: the end of the turn is the last token, and may still be taken back.

    Args:
        conversation: the session's side.
        dialect: the model's tokens.
        row: whose last tokens are a generation prompt.
        messages: of the prompt.
        settings: see there.
        emit: gets the events.
    """

    def __init__(
        self,
        conversation: Conversation,
        dialect: Format,
        row: Row,
        messages: Sequence[Mapping[str, Any]],
        settings: CmlSettings,
        emit: Callable[[Event], object],
    ) -> None:
        self._conversation = conversation
        self._dialect = dialect
        self._row = row
        self._messages: list[Json] = [dict(message) for message in messages]
        self._settings = settings
        self._emit = emit
        self._clock = asyncio.get_running_loop().time
        self._markup = Markup(dialect.encode, dialect.token_id)
        self._interrupts = Interrupts(conversation.grammar, max_chars=settings.max_value_chars)
        self._parameters = parameters_of(conversation.tools)
        self._begin()
        self._ended = False
        self._closing = ""
        self._trapped = False
        self._said = ""
        self._written = 1
        self._extra = 0
        self._count = 0
        self._sampled = 0
        self._injected = 0

    async def run(self) -> Done:
        """Decode until the model is done."""
        sequence = self._row.sequence
        sequence.sampling = replace(
            sequence.sampling, banned=sequence.sampling.banned | self._markup.forbidden
        )
        try:
            while True:
                match await self._go_on():
                    case "trap":
                        await self._wait_for_calls()
                    case "end":
                        if not await self._must_go_on():
                            return self._done("stop")
                        if self._written >= self._settings.max_messages:
                            return self._done("max_messages")
                        self._supersede()
                    case "stop" | "length" as reason:
                        return self._done(reason)
        finally:
            await self._let_go()

    # --- decoding -----------------------------------------------------------------------------------------

    async def _go_on(self) -> Next:
        """Tell what can be told, then decode until there is more to tell, or to wait for."""
        await self._conversation.room()
        self._interrupt()
        with self._conversation.sampling() as told:
            self._tell(told)
            return "stop" if self._ended else await self._decode()

    async def _decode(self) -> Next:
        while self._count < self._settings.max_new_tokens and self._row.room > 0:
            token = await self._row.sample()
            self._count += 1
            self._sampled += 1
            if token in self._dialect.stop_ids:
                await self._end()
                return "end"
            await self._hear(token)
            if self._monitor.clean and not self._stretch.pending:
                if self._trapped:
                    return "trap"
                if self._interrupts.ready:
                    return "interrupt"
        for part in [*self._monitor.feed(self._stretch.finish()), *self._monitor.finish()]:
            if isinstance(part, Words | Thought):  # a call that was cut off is none
                await self._take(part)
        return "length"

    async def _hear(self, token: int) -> None:
        forged = self._monitor.forged
        parts = self._monitor.feed(self._stretch.add(token))
        if self._monitor.forged > forged:
            self._take_back()
        for part in parts:
            await self._take(part)

    def _take_back(self) -> None:
        """The model has spelled `[INTR]`: only the runtime writes that (DESIGN G5)."""
        size = len(self._row.tokens)
        count, tokens = self._stretch.take_back(self._dialect.encode, self._row.tokens)
        self._row.replace(size - count, size, tokens)

    async def _end(self) -> None:
        """The model has ended its turn; an open block is closed if the end is taken back."""
        self._ended = True
        parts = self._monitor.feed(self._stretch.finish())
        self._closing = self._monitor.closing
        for part in [*parts, *self._monitor.finish()]:
            await self._take(part)

    async def _take(self, part: Part) -> None:
        if isinstance(part, Words):
            text = self._prose.feed(part.text)
            if text:
                self._emit(Text(self._clock(), text, self._written))
            return
        self._prose.gap()
        match part:
            case Thought(text):
                self._emit(Thinking(self._clock(), text))
            case CmlCall():
                await self._call(part)
            case CmlTrap():
                self._trapped = True
            case Malformed(_, reason, id):
                self._interrupts.refuse(id, NO_CALL.format(reason=reason))

    # --- calls --------------------------------------------------------------------------------------------

    async def _call(self, part: CmlCall) -> None:
        if part.id in self._interrupts.made:
            self._interrupts.refuse(part.id, TAKEN.format(id=part.id))
            return
        conversation = self._conversation
        try:
            call = read_code(part.code, self._interrupts.handles, conversation.grammar, self._parameters.get)
        except BadCode as error:
            self._interrupts.refuse(part.id, NO_CALL.format(reason=error))
            return
        await self._answered([self._interrupts.made[name] for name in call.uses])
        self._make(part.id, call)

    def _make(self, id: str, call: ToolCall) -> None:
        conversation = self._conversation
        message = conversation.begin()
        try:
            future = message.seal(id, call.tool, call.arguments)
            message.complete()
        except BaseException:
            conversation.broke(message)
            raise
        self._interrupts.add(Made(id, future, asyncio.ensure_future(message.answers())))
        self._emit(Called(self._clock(), id, call.tool, call.arguments))

    async def _answered(self, calls: Sequence[Made]) -> None:
        """Wait until the session has answered calls: until then their handles are not valid (DESIGN H1)."""
        held = [made for made in calls if made.held]
        if held:
            await self._trap("await", held, _wait(held, "all", _answered))

    # --- telling ------------------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """Inject all that can be told, together."""
        conversation = self._conversation
        self._interrupts.adopt(conversation.owed)
        told = self._interrupts.take()
        if not told:
            return
        closing = self._closing if self._ended else ""
        tokens = [self._markup.tokens(one.text) for one in told]
        self._put([*self._markup.tokens(closing), *(token for each in tokens for token in each)])
        self._raw += closing + "".join(one.text for one in told)
        for one, each in zip(told, tokens, strict=True):
            if one.future is not None:
                conversation.tell(one.future)
            self._emit(Injected(self._clock(), "interrupt", one.text, len(each)))

    def _tell(self, told: Sequence[Told]) -> None:
        """Texts from elsewhere, each in a turn of its own; the model's turn ends in front of it."""
        for one in told:
            assert one.handle is None, "outcomes were told as interrupts"
            tokens = self._dialect.said(inert(one.text), ended=False)
            self._put(tokens)
            if self._raw:
                self._messages.append({"role": "assistant", "content": self._raw})
                self._supersede()
            self._messages.append({"role": "user", "content": one.text})
            self._begin()
            self._emit(Injected(self._clock(), "note", one.text, len(tokens)))

    def _begin(self) -> None:
        """A turn of the model begins."""
        before = self._row.tokens
        self._raw = ""
        self._prose = Prose()
        self._stretch = Stretch(self._dialect.decode, before)
        self._monitor = Monitor(thinking=self._dialect.decode(before[-8:]).rstrip().endswith(THINK))

    def _supersede(self) -> None:
        """What the model has said so far is not its last message."""
        self._said = self._prose.text or self._said
        self._prose = Prose()
        self._written += 1
        self._count = 0

    def _put(self, tokens: list[int]) -> None:
        """Inject tokens; the end of the turn gives way to them (DESIGN G3)."""
        size = len(self._row.tokens)
        if self._ended:
            self._row.replace(size - 1, size, tokens)
        else:
            self._row.append(tokens)
        self._ended = False
        self._injected += len(tokens)
        self._raw += self._stretch.text
        self._stretch = Stretch(self._dialect.decode, self._row.tokens)

    # --- waiting ------------------------------------------------------------------------------------------

    async def _wait_for_calls(self) -> None:
        """The model waits; with nothing to wait for it goes on."""
        self._trapped = False
        pending, until = self._interrupts.pending, self._settings.trap
        if pending and not (until == "any" and self._interrupts.ready):
            await self._trap("await", pending, _wait(pending, until, self._over))

    async def _over(self, made: Made) -> None:
        """Wait until a call can be told, or something was posted."""
        if made.future is not None:
            await self._conversation.wait_for([made.future])
        await _answered(made)

    async def _must_go_on(self) -> bool:
        """The model has ended its turn: whether that is taken back, as there is more to tell."""
        self._trapped = False
        pending = self._interrupts.pending
        must = await self._trap("end", pending, self._more_to_tell(pending))
        self._extra += must
        return must

    async def _more_to_tell(self, pending: Sequence[Made]) -> bool:
        await _wait(pending, "all", _answered)
        must = await self._conversation.must_go_on(self._prose.text)
        return must or self._interrupts.has_more_than(self._conversation.owed)

    async def _trap(self, why: Why, calls: Sequence[Made], waiting: Coroutine[Any, Any, _T]) -> _T:
        futures = [made.future for made in calls if made.future is not None]
        return await trapped(waiting, why, futures, self._emit, self._conversation.pausing)

    async def _let_go(self) -> None:
        """The conversation is over; what the session has not answered yet it owes from now on."""
        held = [made.answering for made in self._interrupts.made.values() if made.answering is not None]
        for answering in held:
            answering.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    def _done(self, reason: Reason) -> Done:
        self._messages.append({"role": "assistant", "content": self._raw + self._stretch.text})
        return Done(
            self._clock(),
            self._prose.text or self._said,
            self._messages,
            reason,
            self._written,
            self._extra,
            self._sampled,
            self._injected,
        )


async def _answered(made: Made) -> None:
    if made.answering is not None:
        await asyncio.wait([made.answering])


async def _wait(
    calls: Sequence[Made], until: Literal["all", "any"], over: Callable[[Made], Coroutine[Any, Any, None]]
) -> None:
    """Wait until all of the calls are over, or any one."""
    waits = [asyncio.ensure_future(over(made)) for made in calls]
    when = asyncio.ALL_COMPLETED if until == "all" else asyncio.FIRST_COMPLETED
    try:
        if waits:
            await asyncio.wait(waits, return_when=when)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
