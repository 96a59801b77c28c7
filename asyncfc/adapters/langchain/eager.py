"""Eager: the calls of a message while it is streamed (DESIGN O3).

A callback handler hears what the model says, and is in effect for one request to it. It makes nothing
stream that would not be streamed without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import ToolCall, ToolCallChunk, tool_call_chunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from asyncfc.adapters.langchain.conversation import Conversation
from asyncfc.attached import Begun


@contextmanager
def watching(conversation: Conversation) -> Iterator[None]:
    """Around a request to the model: calls of eager tools start while its message is streamed."""
    if not conversation.has_eager:
        yield
        return
    config = ensure_config()
    watch = Watch(conversation, config, copy_context())
    token = var_child_runnable_config.set(_heard_by(watch, config))
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _heard_by(watch: Watch, config: RunnableConfig) -> RunnableConfig:
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        manager = callbacks.copy()
        manager.add_handler(watch, inherit=True)
        return {**config, "callbacks": manager}
    return {**config, "callbacks": [*(callbacks or ()), watch]}


class Watch(BaseCallbackHandler):
    """Hears one request to the model: the newest run of a model that belongs to it.

    - `_parent`: the run that asks the model; what runs deeper inside is none of its business.

    Args:
        conversation: gets the calls.
        config: of that run, for the tools.
        context: of it, for the tools.
    """

    run_inline = True  # in the order in which the model says it

    def __init__(self, conversation: Conversation, config: RunnableConfig, context: Context) -> None:
        self._conversation = conversation
        self._config = config
        self._context = context
        self._parent: UUID | None = getattr(config.get("callbacks"), "parent_run_id", None)
        self._run: UUID | None = None
        self._pieces = Pieces()
        self._begun: Begun | None = None

    def on_chat_model_start(
        self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **__: Any
    ) -> None:
        """The model is asked; if it was before, that has come to nothing."""
        if parent_run_id == self._parent:
            self._run, self._pieces = run_id, Pieces()
            if self._begun is not None:
                self._begun = None
                self._conversation.here(self._conversation.drop_message)

    def on_llm_new_token(self, *_: Any, chunk: Any = None, run_id: UUID, **__: Any) -> None:
        """A piece of its message."""
        message = getattr(chunk, "message", None)
        if run_id == self._run and isinstance(message, AIMessageChunk):
            for made in self._pieces.feed(message.tool_call_chunks):
                self._conversation.here(self._seal, made)

    def _seal(self, made: ToolCall) -> None:
        if self._begun is None:
            self._begun = self._conversation.begin_message()
        self._conversation.seal(self._begun, made, self._config, self._context)


class Pieces:
    """The pieces of the calls of one message. A call is complete when the next one begins."""

    def __init__(self) -> None:
        self._open: list[ToolCallChunk] = []

    def feed(self, pieces: Sequence[ToolCallChunk]) -> list[ToolCall]:
        """Take the next pieces.

        Returns:
            the calls that are complete now, as the complete message will have them.
        """
        complete: list[ToolCall] = []
        for piece in pieces:
            index = piece["index"]  # without one, it is a whole call
            if self._open and (index is None or index != self._open[0]["index"]):
                complete += _joined(self._open)
                self._open = []
            self._open.append(piece)
        return complete


def _joined(pieces: Sequence[ToolCallChunk]) -> list[ToolCall]:
    """The call of these pieces; none if it cannot be read, as LangChain then does not count it."""
    whole = tool_call_chunk(
        name="".join(piece["name"] or "" for piece in pieces),
        args="".join(piece["args"] or "" for piece in pieces),
        id=next((piece["id"] for piece in pieces if piece["id"]), None),
        index=pieces[0]["index"],
    )
    return AIMessageChunk(content="", tool_call_chunks=[whole]).tool_calls
