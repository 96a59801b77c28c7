"""Engine: decoding that does not stop for tools. The public face of `asyncfc.gpu_engine`.

    engine = Engine(model, tokenizer)
    async with Session([search, write_file]) as session:
        async for event in engine.chat([{"role": "user", "content": "..."}], session):
            ...

Several conversations decode in one batch; run them with `asyncio.gather`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import ReferenceType, ref

from asyncfc.errors import EngineError
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.chat import Chat, ChatSettings, check_setting
from asyncfc.gpu_engine.cml.chat import CmlChat, CmlSettings
from asyncfc.gpu_engine.cml.wording import prepared as cml_prepared
from asyncfc.gpu_engine.cml.wording import system_note as cml_note
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.events import Done, Event
from asyncfc.gpu_engine.keeping import Keeping
from asyncfc.gpu_engine.model import CausalModel
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.port import Conversation, Json
from asyncfc.gpu_engine.rows import Row, Rows
from asyncfc.gpu_engine.runner import TorchRunner, free_memory_blocks
from asyncfc.gpu_engine.sequence import GREEDY, Sampling
from asyncfc.gpu_engine.sessions import Session, conversation_of, open_session
from asyncfc.gpu_engine.stepping import in_thread, on_clock

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OF_CHAT = ("protocol", "inject", "in_place", "trap", "sampling", "max_new_tokens", "max_messages")
"""The settings of `chat` that are neither the dialogue's nor the session's."""


class Engine:
    """A causal language model of Hugging Face that decodes many conversations in one batch.

    Args:
        model: unmodified; on the device and in the dtype in which it is to run.
        tokenizer: of the model, with a chat template.
        slots: conversations that decode at a time; those that are trapped need none.
        context_tokens: that the KV pool holds, over all conversations; None: what fits beside the model.
        block_size: positions per block of the pool; a CPU is slower with smaller ones.
        budget: positions that one step computes at most; longer prompts are computed in chunks.
        dialect: how the model writes calls, if neither its tokenizer nor its type say so; see `Dialect`.
        chat_template: instead of the tokenizer's.
        keeping: what it costs to bring back the KV of a trapped row.
        seconds: decode on the clock of the event loop, each step taking as long as this says: for
            simulations in virtual time. None: in a thread, as fast as it goes.

    Raises:
        UnsupportedModel: the model, the tokenizer or its template cannot work; says why.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        slots: int = 16,
        context_tokens: int | None = None,
        block_size: int = 32,
        budget: int = 512,
        dialect: str | None = None,
        chat_template: str | None = None,
        keeping: Keeping | None = None,
        seconds: Callable[[Plan], float] | None = None,
    ) -> None:
        self.dialect = Dialect(
            tokenizer,
            family=dialect,
            model_type=model.config.model_type,
            chat_template=chat_template,
        )
        self._model = CausalModel(model)
        if context_tokens is None:
            blocks = free_memory_blocks(self._model, block_size=block_size)
        else:
            blocks = -(-context_tokens // block_size)
        self._runner = TorchRunner(self._model, blocks=blocks, block_size=block_size)
        self.core = Core(
            self._runner,
            BlockPool(blocks, block_size),
            slots=slots,
            budget=max(budget, slots),
            keeping=keeping,
            max_tokens=self._model.max_positions,
            clock=time.monotonic if seconds is None else _loop_time,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="asyncfc-torch")
        step = in_thread(self._runner, self._thread) if seconds is None else on_clock(self._runner, seconds)
        self._rows = Rows(self.core, step)
        # Rows of sessions by weak references, which know when a session is gone; `_gone` has these then.
        self._kept: dict[ReferenceType[Session], Row] = {}
        self._gone: list[ReferenceType[Session]] = []
        self._talking: set[int] = set()
        self._closed = False

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        session: Session,
        *,
        protocol: Literal["tools", "cml"] = "tools",
        inject: Literal["turn", "call"] = "turn",
        in_place: bool = False,
        trap: Literal["all", "any"] = "all",
        sampling: Sampling = GREEDY,
        max_new_tokens: int = 4_096,
        max_messages: int = 100,
        **settings: Any,
    ) -> AsyncGenerator[Event, None]:
        """Decode until the model is done; its calls run in the session meanwhile.

        Decoding does not wait for who reads the events. The last one is `Done`; its `messages`, with the
        user's next ones appended, are those of the next turn in the same session. What they have in common
        with the turn before is not computed again.

        Args:
            messages: as chat templates take them.
            session: that runs the calls. Answers are held for its `grace`.
            protocol: how the model calls: `tools`, as its chat template says, or `cml`, AsyncLM's
                in-context protocol, for models that know it.
            inject: when calls are answered: at the end of a message (`turn`), or each right away (`call`).
            in_place: see `ChatSettings`.
            trap: which results a trap of CML waits for.
            sampling: how tokens are chosen.
            max_new_tokens: of one message.
            max_messages: that the model may write.
            **settings: of the `Dialogue`, such as `final`, `control`, `note`.

        Raises:
            EngineError: the conversation is too long, the engine is closed, or a step failed.
            DeclarationError: there is no such setting, or it is written wrongly.
        """
        if self._closed:
            raise EngineError("the engine is closed; it takes no more conversations")
        check_setting("protocol", protocol, ("tools", "cml"))
        chat_settings: ChatSettings | CmlSettings
        if protocol == "cml":
            settings = {"control": False, **settings}
            chat_settings = CmlSettings(trap, None, max_new_tokens, max_messages)
        else:
            # With a message for each call, `$this_1` could name nothing.
            settings = {**({"pipelining": False} if inject == "call" else {}), **settings}
            chat_settings = ChatSettings(inject, in_place, max_new_tokens, max_messages)
        conversation = conversation_of(session, settings)
        if id(session) in self._talking:
            raise EngineError(f"session {session.id} has a turn under way on this engine; one at a time")
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._talking.add(id(session))
        talk = asyncio.create_task(
            self._talk(messages, session, conversation, sampling, chat_settings, queue.put_nowait)
        )
        talk.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await talk
        finally:
            talk.cancel()
            try:
                await asyncio.wait([talk])
                await self._rows.rest()
            finally:
                self._talking.discard(id(session))

    def run(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Iterable[Any] | Mapping[str, Any],
        *,
        on_event: Callable[[Event], object] | None = None,
        **settings: Any,
    ) -> Done:
        """The same for programs without an event loop: one conversation, with a session of its own.

        Args:
            messages: as chat templates take them.
            tools: functions or `Tool`s; a mapping gives the names.
            on_event: gets the events as they come.
            **settings: of `chat`, of the `Dialogue` and of the `Session`.

        Raises:
            Exception: what `chat` raises, and what making the session does.
        """

        async def whole() -> Done:
            made, of_chat = open_session(tools, settings, of_chat=OF_CHAT)
            async with made as session, aclosing(self.chat(messages, session, **of_chat)) as events:
                async for event in events:
                    if on_event is not None:
                        on_event(event)
                    if isinstance(event, Done):
                        return event
            raise AssertionError("a conversation ends with Done")

        return asyncio.run(whole())

    def release(self, session: Session) -> None:
        """Forget what was computed for a session; its next turn computes it again."""
        row = self._kept.pop(ref(session), None)
        if row is not None:
            row.close()

    def close(self) -> None:
        """Give the model back as it was, and the memory of the KV pool free."""
        self._closed = True
        for row in self._kept.values():
            row.close()
        self._kept.clear()
        self._thread.shutdown(wait=True)
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _talk(
        self,
        messages: Sequence[Mapping[str, Any]],
        session: Session,
        conversation: Conversation,
        sampling: Sampling,
        settings: ChatSettings | CmlSettings,
        emit: Callable[[Event], object],
    ) -> None:
        if isinstance(settings, CmlSettings):
            note = "" if conversation.note is None else cml_note(conversation.tools)
            prompt = self.dialect.prompt(cml_prepared(messages, note))
        else:
            prompt = self.dialect.prompt(prepared(messages, conversation), conversation.tools)
        banned = sampling.banned | frozenset(self.dialect.forbidden_ids)
        row = self._row(session, prompt, replace(sampling, banned=banned))
        chat: Chat | CmlChat
        if isinstance(settings, CmlSettings):
            chat = CmlChat(conversation, self.dialect, row, messages, settings, emit)
        else:
            chat = Chat(conversation, self.dialect, row, messages, settings, emit)
        try:
            done = await chat.run()
        except BaseException:
            row.close()
            raise
        self._kept[ref(session, self._gone.append)] = row
        emit(done)

    def _row(self, session: Session, prompt: list[int], sampling: Sampling) -> Row:
        """The row of the turn before, cut back to what both have in common; or a new one."""
        while self._gone:  # a session may go in any thread, a row only in this one
            left = self._kept.pop(self._gone.pop(), None)
            if left is not None:
                left.close()
        row = self._kept.pop(ref(session), None)
        if row is None:
            return self._rows.open(prompt, sampling)
        same = _common_prefix(row.tokens, prompt)
        row.sequence.sampling = sampling
        try:
            row.replace(same, len(row), prompt[same:])
        except EngineError:
            row.close()
            raise
        return row


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def prepared(messages: Sequence[Mapping[str, Any]], conversation: Conversation) -> list[Json]:
    """The messages as the model reads them: no live handle in users' words, the note in the system prompt."""
    made = [dict(message) for message in messages]
    for message in made:
        if message.get("role") in ("user", "system"):
            message["content"] = _inert(message.get("content"), conversation)
    note = conversation.note
    if note is None:
        return made
    if not made or made[0].get("role") != "system":
        return [{"role": "system", "content": note}, *made]
    said = made[0]["content"]
    more = [{"type": "text", "text": note}]
    made[0]["content"] = [*said, *more] if isinstance(said, list) else f"{said}\n\n{note}"
    return made


def _inert(content: Any, conversation: Conversation) -> Any:
    """A content, a text or a list of parts, in which nothing reads as a live handle."""
    if isinstance(content, str):
        return conversation.escape(content)
    if isinstance(content, list):
        return [
            {**part, "text": conversation.escape(part["text"])} if isinstance(part.get("text"), str) else part
            for part in content
        ]
    return content


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same
