"""LiteLLM: completions whose calls work in the background."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import litellm
from litellm.tool_loop import ToolLoopMaxRoundsExceeded
from litellm.types.utils import ModelResponseStream

from asyncfc.adapters.callables import Callables
from asyncfc.adapters.hosts import FromThread, OnLoop, through
from asyncfc.adapters.litellm.talk import Blocking, Chunks, Library, Talk, Waiting
from asyncfc.adapters.wrapped import Tools, Wrapped, like, new_dialogue
from asyncfc.blocking import BlockingSession
from asyncfc.errors import DeclarationError

MAX_ROUNDS: Final = 10
"""Messages of the model in a loop, if nothing is said."""


def wrap(completion: Callable[..., Any], tools: Tools, **settings: Any) -> Wrapped[Any]:
    """Make the tool calls of a loop asynchronous. One wrapped function is one conversation.

    Args:
        completion: `litellm.completion` or `litellm.acompletion`, or that of a `Router`.
        tools: the functions that the loop calls: by name, or a list of them.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` if nothing is said.

    Returns:
        the two functions to use instead. When the conversation is over, close it: `with wrapped.session`, or
        `wrapped.close()`.

    Raises:
        DeclarationError: no function, or a setting written wrongly.
    """
    if not callable(completion):
        raise DeclarationError(
            f"{completion!r} cannot be called; expected litellm.completion or litellm.acompletion"
        )
    asynchronous = inspect.iscoroutinefunction(completion)
    session, dialogue = new_dialogue(tools, settings, blocking=not asynchronous)
    blocking = session if isinstance(session, BlockingSession) else None
    library = Library(
        send=_sends(completion, asynchronous),
        refusal=litellm.BadRequestError,
        stream=Waiting if asynchronous else Blocking,
        chunk=ModelResponseStream,
    )
    talk = Talk(FromThread(blocking) if blocking else OnLoop(), library, dialogue)
    callables = Callables(lambda: talk.conversation, dialogue.session, blocking)
    talk.must_be_ready = callables.must_be_ready
    wrapped = AsyncCompletion(completion, talk) if asynchronous else Completion(completion, talk)
    return Wrapped(wrapped, like(tools, callables.by_name()), session, dialogue)


def _sends(completion: Callable[..., Any], asynchronous: bool) -> Callable[..., Awaitable[Any]]:
    async def send(**arguments: Any) -> Any:
        return await completion(**arguments) if asynchronous else completion(**arguments)

    return send


class Completion:
    """`litellm.completion`, with the same arguments and results."""

    def __init__(self, completion: Callable[..., Any], talk: Talk) -> None:
        self._signature = inspect.signature(completion)
        self._talk = talk

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask for a message of the model; with `stream=True` for its chunks."""
        reply = through(self._talk.take(_named(self._signature, args, kwargs)))
        return _each(reply) if isinstance(reply, Chunks) else reply

    def run_tool_loop(
        self,
        *,
        model: str,
        messages: Sequence[Any],
        tools: Sequence[Any],
        execute_tool: Callable[[Any], Any],
        max_rounds: int = MAX_ROUNDS,
        **more: Any,
    ) -> str | None:
        """`litellm.run_tool_loop`, with the same arguments and results.

        Raises:
            ToolLoopMaxRoundsExceeded: the model has not come to an end after so many messages.
        """
        history = list(messages)
        for left in reversed(range(max_rounds)):
            message = self(model=model, messages=history, tools=list(tools), **more).choices[0].message
            if not message.tool_calls:
                return _text(message)
            if left:
                history += [message, *(execute_tool(call) for call in message.tool_calls)]
        raise ToolLoopMaxRoundsExceeded(max_rounds)


class AsyncCompletion:
    """`litellm.acompletion`, with the same arguments and results."""

    def __init__(self, completion: Callable[..., Any], talk: Talk) -> None:
        self._signature = inspect.signature(completion)
        self._talk = talk

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask for a message of the model; with `stream=True` for its chunks."""
        reply = await self._talk.take(_named(self._signature, args, kwargs))
        return _aeach(reply) if isinstance(reply, Chunks) else reply

    async def run_tool_loop(
        self,
        *,
        model: str,
        messages: Sequence[Any],
        tools: Sequence[Any],
        execute_tool: Callable[[Any], Awaitable[Any]],
        max_rounds: int = MAX_ROUNDS,
        **more: Any,
    ) -> str | None:
        """`litellm.arun_tool_loop`, with the same arguments and results.

        Raises:
            ToolLoopMaxRoundsExceeded: the model has not come to an end after so many messages.
        """
        history = list(messages)
        for left in reversed(range(max_rounds)):
            reply = await self(model=model, messages=history, tools=list(tools), **more)
            message = reply.choices[0].message
            if not message.tool_calls:
                return _text(message)
            if left:
                history += [message, *[await execute_tool(call) for call in message.tool_calls]]
        raise ToolLoopMaxRoundsExceeded(max_rounds)


def _named(signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name."""
    names = [name for name, one in signature.parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _text(message: Any) -> str | None:
    content: str | None = message.content
    return content


def _each(chunks: Chunks) -> Any:
    """The chunks of a synchronous stream."""
    try:
        while (chunk := through(chunks.next())) is not None:
            yield chunk
    finally:
        through(chunks.close())


async def _aeach(chunks: Chunks) -> Any:
    """The chunks of an asynchronous stream."""
    try:
        while (chunk := await chunks.next()) is not None:
            yield chunk
    finally:
        await chunks.close()
