"""The models of the OpenAI Agents SDK, listened to: what goes in, and what comes out of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agents import Model, ModelProvider, ModelResponse
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseStreamEvent,
)
from pydantic import TypeAdapter

from asyncfc.conversation.control import AWAIT_FUTURE
from asyncfc.conversation.formats.base import Json, Reply
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.providers import OPENAI_RESPONSES
from asyncfc.conversation.shadow import Insertion

if TYPE_CHECKING:
    from asyncfc.adapters.openai_agents.talk import Talk

_HELD_BACK = frozenset({"message", "reasoning"})
"""Items of a message that does not go on by itself."""
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Provider(ModelProvider):
    """A provider whose models are listened to."""

    def __init__(self, inner: ModelProvider, talk: Talk) -> None:
        self._inner = inner
        self._talk = talk

    def get_model(self, model_name: str | None) -> Model:
        """See `ModelProvider.get_model`."""
        return Listening(self._inner.get_model(model_name), self._talk)

    async def aclose(self) -> None:
        """See `ModelProvider.aclose`."""
        await self._inner.aclose()


class _Request:
    """One request to the model: what it brings, until it is seen."""

    def __init__(
        self,
        talk: Talk,
        instructions: str | None,
        given: Any,
        tools: Sequence[Any],
    ) -> None:
        self._talk = talk
        self._sampling = ExitStack()
        deliveries = self._sampling.enter_context(talk.attached.sampling())
        plain = RESPONSES.messages({"input": given})
        self._items = [self._inert(item) for item in plain]
        self._fresh: list[Insertion] = []
        if deliveries and self._items:
            self._fresh = talk.placement.place(deliveries, self._items, OPENAI_RESPONSES)
        since = len(talk.shadow) if talk.server_side else 0
        items = talk.shadow.apply(self._items, self._fresh, since=since)
        if deliveries and not self._items:
            items = talk.placement.alone(deliveries)
        self.input: Any = given if items == plain else items
        note = talk.dialogue.note if any(tool.name in talk.session.tools for tool in tools) else None
        self.instructions = "\n\n".join(filter(None, (instructions, note))) or None

    def _inert(self, item: Any) -> Any:
        """A text of a person with what looks like a handle of this session made inert (DESIGN H2)."""
        if RESPONSES.read(item).role != "user":
            return item
        return RESPONSES.map_texts(item, lambda text, _: self._talk.session.handles.escape(text))

    def seen(self) -> None:
        """The model has answered."""
        self._sampling.close()
        self._talk.shadow.keep(self._items, self._fresh)

    def superseded(self, output: Sequence[Any]) -> None:
        """What the model said was not its last word: it stands behind all else in the next request."""
        if self._items:
            items = tuple(RESPONSES.reply({"output": [_dumped(item) for item in output]}).items)
            shadow = self._talk.shadow
            shadow.keep((), [Insertion(shadow.anchors(self._items)[-1], "after", items=items)])

    def failed(self, error: BaseException) -> None:
        """It has not: nothing of the request has been seen."""
        sampling, self._sampling = self._sampling, ExitStack()
        with suppress(type(error)):
            sampling.__exit__(type(error), error, error.__traceback__)


class Listening(Model):
    """A model of the SDK: deliveries go in, and its calls are registered in the order of its message (O1)."""

    def __init__(self, inner: Model, talk: Talk) -> None:
        self._inner = inner
        self._talk = talk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _cleanup_on_run_end(self, owner: object) -> None:
        await self._inner._cleanup_on_run_end(owner)  # noqa: SLF001  # the runner's own call

    async def close(self) -> None:
        """See `Model.close`."""
        await self._inner.close()

    def get_retry_advice(self, request: Any) -> Any:
        """See `Model.get_retry_advice`."""
        return self._inner.get_retry_advice(request)

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: Any,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any,
    ) -> ModelResponse:
        """See `Model.get_response`."""
        given, usage = input, None
        while True:
            await self._talk.session.room()
            request = _Request(self._talk, system_instructions, given, tools)
            try:
                response = await self._inner.get_response(
                    system_instructions=request.instructions,
                    input=request.input,
                    model_settings=model_settings,
                    tools=tools,
                    output_schema=output_schema,
                    handoffs=handoffs,
                    tracing=tracing,
                    previous_response_id=previous_response_id,
                    conversation_id=conversation_id,
                    prompt=prompt,
                )
            except BaseException as error:
                request.failed(error)
                raise
            request.seen()
            if usage is not None:
                response.usage.add(usage)
            output = await self._heard(response.output, structured=_is_structured(output_schema))
            if output is not None:
                return replace(response, output=output)
            request.superseded(response.output)
            usage = response.usage
            if self._talk.server_side:
                given, previous_response_id = [], response.response_id if conversation_id is None else None

    async def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: Any,
        tools: list[Any],
        output_schema: Any,
        handoffs: list[Any],
        tracing: Any,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any,
    ) -> AsyncIterator[Any]:
        """See `Model.stream_response`. A text that may not be meant for people is not let through at once."""
        asked = input
        while True:
            await self._talk.session.room()
            request = _Request(self._talk, system_instructions, asked, tools)
            holds = self._talk.dialogue.may_be_provisional or self._talk.session.handles.any_shown
            held: list[Any] = []
            last: ResponseCompletedEvent | None = None
            try:
                stream: Any = self._inner.stream_response(
                    request.instructions,
                    request.input,
                    model_settings,
                    tools,
                    output_schema,
                    handoffs,
                    tracing,
                    previous_response_id=previous_response_id,
                    conversation_id=conversation_id,
                    prompt=prompt,
                )
                async with aclosing(stream) as events:
                    async for event in events:
                        if isinstance(event, ResponseCompletedEvent):
                            last = event
                        elif holds:
                            held.append(event)
                        else:
                            yield event
            except BaseException as error:
                request.failed(error)
                raise
            if last is None:
                request.failed(RuntimeError("the stream ended before its message"))
                return
            request.seen()
            given = last.response.output or [e.item for e in held if e.type == "response.output_item.done"]
            output = await self._heard(given, structured=_is_structured(output_schema))
            if output is not None:
                for event in self._told(held, given, output):
                    yield event
                yield last.model_copy(
                    update={"response": last.response.model_copy(update={"output": output})}
                )
                return
            request.superseded(given)
            if self._talk.server_side:
                asked, previous_response_id = [], None if conversation_id else last.response.id

    def _told(self, held: list[Any], given: list[Any], output: list[Any]) -> list[Any]:
        """The events that people may see, of those that were held."""
        if any(_is_call_of_ours(item) for item in output[len(output) - 1 :]) and output[-1] not in given:
            return []
        if output == given:
            return held
        reader, dumped = RESPONSES.reader(), [_dumped(event) for event in held]
        for event in dumped:
            reader.feed(event)
        return [
            _EVENT.validate_python(event) for event in reader.rewrite(dumped, self._talk.dialogue.final_text)
        ]

    async def _heard(self, output: list[Any], *, structured: bool) -> list[Any] | None:
        """A message as the SDK gets it; None: the provider is to be told outcomes first, and asked again."""
        talk = self._talk
        reply: Reply = RESPONSES.reply({"output": [_dumped(item) for item in output], "status": "completed"})
        if reply.calls:
            output = [await self._resolved(item) for item in output]
            talk.received(RESPONSES.reply({"output": [_dumped(item) for item in output]}).calls)
            return output
        if not all(item.type in _HELD_BACK for item in output):
            return output
        if not await talk.dialogue.must_go_on(reply.text, structured=structured):
            change = _changed(lambda text: talk.dialogue.final_text(text, structured=structured))
            return [change(item) for item in output]
        if talk.server_side or not talk.dialogue.controls:
            return None
        handles = [future.handle for future in talk.session.owed]
        call = talk.awaiting(handles)
        kept = [item for item in output if not (structured and item.type == "message")]
        talk.received(RESPONSES.reply({"output": [_dumped(call)]}).calls)
        return [*kept, call]

    async def _resolved(self, item: Any) -> Any:
        """An item with values in place of handles, if it is a call whose arguments the SDK looks at."""
        if not isinstance(item, ResponseFunctionToolCall) or not self._talk.must_be_resolved(item.name):
            return item
        (sealed,) = RESPONSES.reply({"output": [_dumped(item)]}).calls
        values = await self._talk.resolved(sealed.call)
        return item if values is None else item.model_copy(update={"arguments": values})


def _changed(change: Callable[[str], str]) -> Callable[[Any], Any]:
    """Change the texts of a message of the model."""

    def part(given: Any) -> Any:
        if not isinstance(given, ResponseOutputText):
            return given
        text = change(given.text)
        return given if text == given.text else given.model_copy(update={"text": text})

    def item(given: Any) -> Any:
        if not isinstance(given, ResponseOutputMessage):
            return given
        return given.model_copy(update={"content": [part(one) for one in given.content]})

    return item


def _is_call_of_ours(item: Any) -> bool:
    return isinstance(item, ResponseFunctionToolCall) and item.name == AWAIT_FUTURE


def _is_structured(output_schema: Any) -> bool:
    return output_schema is not None and not output_schema.is_plain_text()


def _dumped(item: Any) -> Json:
    dumped: Json = item if isinstance(item, dict) else item.model_dump(exclude_unset=True, by_alias=True)
    return dumped
