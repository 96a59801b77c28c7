"""Callables: the functions of a hand-written loop, answered from the session.

The loop goes on calling them as before, by the names and arguments that the model wrote. By then the calls
run already: they began when the model's message came in. What the loop gets is the tool's own result or
exception, if it was there within the grace, else a text with the handle.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, Protocol, Self

from asyncfc.conversation.control import AWAIT_FUTURE, CANCEL_FUTURE
from asyncfc.errors import CallError, TranscriptError
from asyncfc.exchange import Conversation
from asyncfc.execution.threads import MAILBOX
from asyncfc.futures.outcome import Failure, Value
from asyncfc.futures.plain import safe_text
from asyncfc.incoming import CallReply, Incoming
from asyncfc.session import Session
from asyncfc.signature import is_async


class PendingText(str):
    """What stands for a result that is not there yet: a text with its handle, for the model.

    A program that computes with it would compute with the placeholder, so that it refuses to be taken
    for the result: by a key, an attribute or item by item.
    """

    __slots__ = ("tool",)

    tool: str

    def __new__(cls, text: str, tool: str) -> Self:
        """Make one for the call of a tool."""
        pending = super().__new__(cls, text)
        pending.tool = tool
        return pending

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # of str: for copies
        return str(self), self.tool

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(self._hint(f".{name}"))

    def __getitem__(self, key: Any) -> str:
        if not isinstance(key, slice):
            raise TypeError(self._hint(f"[{key!r}]"))
        return super().__getitem__(key)

    def __iter__(self) -> NoReturn:
        raise TypeError(self._hint(" item by item"))

    def _hint(self, what: str) -> str:
        return (
            f"the result of {self.tool} was asked for{what}, but the call still runs: {str(self)!r}. If the "
            f"program itself reads what {self.tool} returns, wrap it with inline={{{self.tool!r}}}"
        )


class _Taken(NamedTuple):
    """A call of the model that the loop makes."""

    conversation: Conversation
    incoming: Incoming
    place: int
    changed: bool = False
    """With other arguments: it takes the place of the model's call."""


class Runs(Protocol):
    """Something that runs a coroutine function on the session's loop, from another thread."""

    def run(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run it and wait for its result."""


class Callables:
    """The functions of one loop.

    Args:
        conversation: gives the conversation whose message is the newest.
        session: that has the tools.
        blocking: of a synchronous client: runs coroutines on the session's loop. None: the loop of the
            program is the session's.
    """

    def __init__(
        self,
        conversation: Callable[[], Conversation | None],
        session: Session,
        blocking: Runs | None = None,
    ) -> None:
        self._conversation = conversation
        self._session = session
        self._tools = session.tools
        self._blocking = blocking
        self._lock = threading.Lock()  # a loop may make its calls from several threads

    @property
    def must_be_ready(self) -> bool:
        """Whether the loop cannot wait when it makes a call: then answers must be there before it does."""
        return self._blocking is None and not all(tool.is_async for tool in self._tools.values())

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """The functions by name, those for waiting and cancelling among them."""
        made = {name: self._function(name, tool.function) for name, tool in self._tools.items()}
        asynchronous = self._blocking is None and any(tool.is_async for tool in self._tools.values())
        for name in (AWAIT_FUTURE, CANCEL_FUTURE):
            made.setdefault(name, self._control(name, _asynchronous_control if asynchronous else _control))
        return made

    def _control(self, name: str, stand_in: Callable[..., Any]) -> Callable[..., Any]:
        """What a loop calls when the model waits or cancels; named as the model does."""
        made = self._function(name, stand_in)
        made.__name__ = made.__qualname__ = name
        return made

    def _function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if is_async(function):

            @functools.wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                if self._blocking is None:
                    return await self._make(name, args, kwargs)
                return await asyncio.to_thread(self._blocking.run, self._make, name, args, kwargs)

        else:

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                if self._blocking is None:
                    return self._make_at_once(name, args, kwargs)
                return self._blocking.run(self._make, name, args, kwargs)

        return call

    async def _make(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call: one of the model's, or else one of the program's own."""
        arguments = self._named(name, args, kwargs)
        return await self._perform(name, arguments, self._take(name, arguments))

    async def _perform(self, name: str, arguments: dict[str, Any], taken: _Taken | None) -> Any:
        if taken is not None and taken.changed:
            taken.incoming.give_up(taken.place)
        if taken is None or taken.changed:
            return await self._session_of(name).call(name, arguments)
        try:
            reply = await self._reply(taken)
        except BaseException:  # the loop waits no longer: what the call brings is delivered later
            taken.incoming.let_go(taken.place)
            raise
        return _given(reply)

    async def _reply(self, taken: _Taken) -> CallReply:
        if taken.incoming.is_inline(taken.place):
            return await taken.conversation.outcome(taken.incoming, taken.place)
        return (await taken.conversation.answers())[taken.place]

    def _make_at_once(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for a synchronous function whose session has the loop of the program.

        Called on that loop it cannot wait, so the answers are there already; in another thread, it can.
        """
        arguments = self._named(name, args, kwargs)
        taken = self._take(name, arguments)
        if taken is not None and not taken.incoming.is_inline(taken.place):
            return _given(taken.conversation.ready_answers()[taken.place])
        conversation = self._conversation()
        loop = None if conversation is None else conversation.loop
        if loop is not None and loop is not _running_loop():
            done = asyncio.run_coroutine_threadsafe(self._perform(name, arguments, taken), loop)
            mailbox = MAILBOX.get()
            if mailbox is not None:  # of a tool, whose synchronous children run in the thread that waits here
                mailbox.run_until(done)
            return done.result()
        if taken is not None:
            taken.incoming.give_up(taken.place)
        self._require_nothing_to_wait_for(name, arguments)
        return self._tools[name].function(*args, **kwargs)

    def _require_nothing_to_wait_for(self, name: str, arguments: dict[str, Any]) -> None:
        session = self._session_of(name)
        written = json.dumps(arguments, ensure_ascii=False, default=repr)
        if session.owed or session.handles.escape(written) != written:
            raise TranscriptError(
                f"{name} is synchronous and was called on the running loop, where it cannot wait for the "
                "calls before it, or for the values of handles in its arguments; make it async, or call "
                "it in a thread (asyncio.to_thread)"
            )

    def _take(self, name: str, arguments: dict[str, Any]) -> _Taken | None:
        """The call of the model that this is; None if the program, or one of its tools, makes it itself."""
        conversation = self._conversation()
        if conversation is None or self._session.inside:
            return None
        incoming = conversation.incoming
        if incoming is None:
            self._require_not_sealed(conversation, name, arguments)
            self._require_not_left(conversation, name, arguments)
            return None
        with self._lock:
            open_places = incoming.open_places(name)
            place = next((n for n in open_places if self._same(name, incoming.arguments(n), arguments)), None)
            if place is not None:
                incoming.taken.add(place)
                return _Taken(conversation, incoming, place)
            if not open_places:
                self._require_not_left(conversation, name, arguments)
                return None
            first = open_places[0]
            if not incoming.is_inline(first):
                raise TranscriptError(
                    f"{name} was called with {_short(arguments)}, but the model called it with "
                    f"{_short(incoming.arguments(first))}, and that call runs already; if the loop changes "
                    f"arguments, wrap it with inline={{{name!r}}}"
                )
            incoming.taken.add(first)
        return _Taken(conversation, incoming, first, changed=True)

    def _require_not_left(self, conversation: Conversation, name: str, arguments: dict[str, Any]) -> None:
        """Refuse a call of the message before: it has run, and would run twice."""
        left = conversation.left
        asked = () if left is None else (left.arguments(place) for place in left.open_places(name))
        if any(self._same(name, one, arguments) for one in asked):
            raise TranscriptError(
                f"{name} was called after another request to the model; the call of it in the message before "
                "runs already, and what it brings is delivered. Make the calls of a message before the next "
                "request, and other requests by a client that is not wrapped"
            )

    def _require_not_sealed(self, conversation: Conversation, name: str, arguments: dict[str, Any]) -> None:
        """Refuse a call of a message that is still being read: its writes must not run yet."""
        incoming = conversation.receiving
        if incoming is None:
            return
        asked = (incoming.arguments(place) for place in incoming.open_places(name))
        if any(self._same(name, one, arguments) for one in asked):
            raise TranscriptError(
                f"{name} was called before the message of the model that asks for it has ended; read the "
                "stream to its end first"
            )

    def _same(self, name: str, asked: Any, given: dict[str, Any]) -> bool:
        """Whether these are the arguments that the model wrote, if need be with the tool's own defaults."""
        tool = self._tools.get(name)
        if not isinstance(asked, dict):
            return False
        try:
            return bool(asked == given or (tool and {**tool.defaults, **asked} == {**tool.defaults, **given}))
        except Exception:  # an array, say, does not say in one word whether it is equal
            return False

    def _named(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, as the model writes them."""
        tool = self._tools.get(name)
        if not args or tool is None:
            return kwargs
        bound = inspect.signature(tool.function).bind(*args, **kwargs)
        named: dict[str, Any] = {}
        for parameter, value in bound.arguments.items():
            is_rest = bound.signature.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD
            named |= value if is_rest else {parameter: value}
        return named

    def _session_of(self, name: str) -> Session:
        if name not in self._tools:
            raise TranscriptError(f"{name} is for the model; a program awaits futures with the session's own")
        return self._session


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _control() -> str:
    """For the model only: see the schema that its requests carry."""
    raise AssertionError("what a loop gets of it wraps this and never calls it")


async def _asynchronous_control() -> str:
    """For the model only: see the schema that its requests carry."""
    raise AssertionError("what a loop gets of it wraps this and never calls it")


def _given(reply: CallReply) -> Any:
    """What a loop gets for a call: the result, the tool's own exception, or a text for the model."""
    answer = reply.answer
    if answer is None:
        return reply.text
    match reply.outcome:  # when it was answered: the future may know more since
        case None:
            return PendingText(answer.text, reply.call.tool)
        case Value() as value:
            return value.get() if answer.value is None else answer.value
        case Failure(error) as failure if not isinstance(error, CallError):
            failure.unwrap()
    return answer.text


def _short(arguments: Any) -> str:
    return safe_text(json.dumps(arguments, ensure_ascii=False, default=repr), 200)
