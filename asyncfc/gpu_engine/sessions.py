"""Sessions: the engine's port, made of a `Session`. The only module of the engine that knows one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from asyncfc.conversation.delivery import Delivery
from asyncfc.conversation.formats.base import ReplyCall, ToolSchema
from asyncfc.dialogue import Dialogue, split_settings
from asyncfc.errors import DeclarationError
from asyncfc.futures.call import Call
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.gpu_engine.port import Answer, Json, Message, Told
from asyncfc.incoming import CallReply, Incoming
from asyncfc.session import Session

__all__ = ["Session", "SessionConversation", "SessionMessage", "conversation_of", "open_session"]


class SessionMessage:
    """One message of the model, of a session."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self.incoming: Incoming = dialogue.begin()

    def seal(self, call_id: str, tool: str, arguments: str | Mapping[str, Any]) -> Future | None:
        """See the port; a tool that the session does not have is answered with an error."""
        return self.incoming.seal(ReplyCall(Call(call_id, tool, arguments)), known=True)

    def complete(self) -> None:
        """See the port."""
        self.incoming.complete()

    def cut(self, reason: str) -> None:
        """See the port."""
        self.incoming.cut(reason)

    async def answers(self) -> list[Answer]:
        """See the port; an inline call's answer waits for its outcome."""
        self.incoming.take_all()
        replies = await self.incoming.answers(direct=self._dialogue.exhausted)
        return [_answer(await self._outcome(place, reply)) for place, reply in enumerate(replies)]

    async def answer_again(self, answers: Sequence[Answer]) -> list[Answer]:
        """See the port."""
        return [
            _answer(await self.incoming.answer(place, together=True)) if _is_news(answer) else answer
            for place, answer in enumerate(answers)
        ]

    async def _outcome(self, place: int, reply: CallReply) -> CallReply:
        return await self.incoming.outcome(place) if self.incoming.is_inline(place) else reply


class SessionConversation:
    """One conversation of a session.

    Args:
        dialogue: its protocol.
    """

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._session = dialogue.session

    @property
    def note(self) -> str | None:
        """See the port."""
        return self._dialogue.note if self._session.tools else None

    @property
    def tools(self) -> list[Json]:
        """See the port."""
        own = [
            ToolSchema(tool.name, tool.description, tool.schema, strict=False)
            for tool in self._session.tools.values()
        ]
        schemas = [*map(self._dialogue.adapt, own), *self._dialogue.controls] if own else []
        return [_declared(schema) for schema in schemas]

    @property
    def grammar(self) -> HandleGrammar:
        """See the port."""
        return self._session.grammar

    @property
    def owed(self) -> list[Future]:
        """See the port."""
        return self._session.owed

    def begin(self) -> SessionMessage:
        """See the port."""
        return SessionMessage(self._dialogue)

    def broke(self, message: Message) -> None:
        """See the port."""
        assert isinstance(message, SessionMessage)
        broken = message.incoming.broken()
        if broken.is_open:
            broken.withdraw("decoding broke off")

    async def room(self) -> None:
        """See the port."""
        await self._session.room()

    @contextmanager
    def sampling(self) -> Iterator[list[Told]]:
        """See the port."""
        with self._session.sampling() as deliveries:
            yield [Told(one.handle if isinstance(one, Delivery) else None, one.text) for one in deliveries]

    def pausing(self) -> AbstractContextManager[None]:
        """See the port."""
        return self._session.pausing()

    def mentioned(self, text: str) -> list[Future]:
        """See the port."""
        return self._session.handles.mentioned(text)

    def may_mention(self, text: str) -> bool:
        """See the port."""
        return self._session.handles.may_mention(text)

    def fill(self, text: str) -> str:
        """See the port."""
        return self._session.handles.fill(text)

    def escape(self, text: str) -> str:
        """See the port."""
        return self._session.handles.escape(text)

    async def wait_for(self, futures: Sequence[Future]) -> None:
        """See the port."""
        await self._session.wait_for(futures)

    def tell(self, future: Future) -> None:
        """See the port."""
        self._session.told(future)

    async def must_go_on(self, text: str) -> bool:
        """See the port."""
        return await self._dialogue.must_go_on(text)


def conversation_of(session: Session, settings: Mapping[str, Any]) -> SessionConversation:
    """The engine's port to a session.

    Args:
        session: that runs the calls.
        settings: of the `Dialogue`.

    Raises:
        DeclarationError: there is no such setting, or it is written wrongly.
    """
    of_dialogue, of_session = split_settings(settings)
    misplaced = sorted(of_session.keys() & settings.keys())
    if misplaced:
        raise DeclarationError(f"{misplaced} are settings of the Session; pass them where you make it")
    return SessionConversation(Dialogue(session, **of_dialogue))


def open_session(
    tools: Iterable[Any] | Mapping[str, Any], settings: Mapping[str, Any], *, of_chat: Collection[str]
) -> tuple[Session, dict[str, Any]]:
    """A session for one conversation, and the settings that are not its own.

    Args:
        tools: functions or `Tool`s; a mapping gives the names.
        settings: of the session, of the `Dialogue`, and those named in `of_chat`.
        of_chat: names of the engine's own settings.

    Raises:
        DeclarationError: there is no such setting, or it or a tool is written wrongly.
    """
    others = {name: value for name, value in settings.items() if name not in of_chat}
    of_dialogue, of_session = split_settings({"grace": 0, **others})
    rest = {name: value for name, value in settings.items() if name in of_chat}
    return Session(tools, **of_session), {**rest, **of_dialogue}


def _is_news(answer: Answer) -> bool:
    return answer.future is not None and answer.future.settled and not answer.settled


def _answer(reply: CallReply) -> Answer:
    future = None if reply.answer is None else reply.answer.future
    settled = future is None or reply.outcome is not None
    return Answer(reply.call.id, reply.call.tool, reply.call.arguments, reply.text, future, settled)


def _declared(schema: ToolSchema) -> Json:
    function = {"name": schema.name, "description": schema.description, "parameters": schema.parameters}
    return {"type": "function", "function": function}
