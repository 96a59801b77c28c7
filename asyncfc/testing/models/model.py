"""model_of: a scripted model in the same process, for virtual time."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from typing import Literal, TypeAlias

from asyncfc.testing.models.api import Api
from asyncfc.testing.models.chat_api import ChatApi
from asyncfc.testing.models.faults import Faults
from asyncfc.testing.models.gemini_api import GeminiApi
from asyncfc.testing.models.messages_api import MessagesApi
from asyncfc.testing.models.mind import Mind, Turn
from asyncfc.testing.models.responses_api import ResponsesApi
from asyncfc.testing.models.script import Json, Script

FormatName: TypeAlias = Literal["chat", "responses", "messages", "gemini"]

APIS: Mapping[FormatName, Callable[[], Api]] = {
    "chat": ChatApi,
    "responses": ResponsesApi,
    "messages": MessagesApi,
    "gemini": GeminiApi,
}


def model_of(
    script: Script,
    format: FormatName = "chat",
    *,
    decode: float = 0.0,
    repeat_ids: bool = False,
    require: Collection[str] = (),
    faults: Iterable[str | None] = (),
) -> Model:
    """A scripted model that is asked by a call.

    Args:
        script: what the model says.
        format: of requests and replies.
        decode: seconds per message, on the clock of the running loop; a stream spreads them over its events.
        repeat_ids: ids of calls start again in every message, as with Gemini and Ollama.
        require: rules of some providers, see `Requirement`.
        faults: what goes wrong with the requests, in order, see `Faults`.

    Raises:
        ValueError: unknown requirement or fault.
    """
    mind = Mind(script, APIS[format](), repeat_ids=repeat_ids, require=require, faults=Faults(faults))
    return Model(mind, decode)


class Model:
    """`await model(body)` gives a reply, `model.stream(body)` its events; see `model_of`."""

    def __init__(self, mind: Mind, decode: float) -> None:
        self._mind = mind
        self._decode = decode
        self.requests: list[Json] = []
        """All bodies, as they came."""
        self.replies: list[Json] = []
        """All messages of the model, also those that did not arrive."""

    async def __call__(self, body: Json) -> Json:
        """Ask for a message.

        Raises:
            Rejected: the provider would not take the request.
            ConnectionResetError: the fault of this request is "drop".
            json.JSONDecodeError: it is "malformed".
        """
        turn = self._hear(body)
        await self._wait_in_vain(turn)
        await asyncio.sleep(self._decode)
        if turn.fault is not None:
            _break(turn.fault.kind)
        return copy.deepcopy(turn.reply)

    async def stream(self, body: Json) -> AsyncGenerator[Json, None]:
        """Ask for a message, event by event; raises as a call does."""
        turn = self._hear(body)
        await self._wait_in_vain(turn)
        loop = asyncio.get_running_loop()
        begun, events = loop.time(), [data for _, data in turn.events if not isinstance(data, str)]
        for index, event in enumerate(events):
            if turn.breaks_before(index):
                _break(turn.fault.kind if turn.fault else "")
            await asyncio.sleep(begun + self._decode * (index + 1) / len(events) - loop.time())
            yield copy.deepcopy(event)

    def _hear(self, body: Json) -> Turn:
        self.requests.append(copy.deepcopy(body))
        turn = self._mind.hear(body)
        self.replies.append(turn.reply)
        return turn

    async def _wait_in_vain(self, turn: Turn) -> None:
        if turn.fault is not None and turn.fault.kind == "timeout":
            await asyncio.get_running_loop().create_future()


def _break(kind: str) -> None:
    """Fail as a client does whose connection breaks off."""
    if kind == "drop":
        raise ConnectionResetError("the server closed the connection")
    if kind == "malformed":
        json.loads('{"cut": ')
