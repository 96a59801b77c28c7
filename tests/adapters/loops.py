"""Hand-written loops over the SDKs, as users write them: the same story for every API, streamed or not."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI
from openai.resources import chat, responses

from asyncfc import Tool, tool
from asyncfc.adapters import anthropic as for_anthropic
from asyncfc.adapters import openai as for_openai
from asyncfc.testing.models import ModelServer, Script

Json: TypeAlias = dict[str, Any]
APIS = ("chat", "responses", "messages")
LOADED = (chat, responses)
"""Here, so that no test pays for what the SDK imports late."""
GO: list[Any] = [{"role": "user", "content": "go"}]
PATIENT = 60.0
"""A grace within which every tool here is done."""


class Ask(NamedTuple):
    """A call of the model."""

    id: str
    name: str
    arguments: Json


class Said(NamedTuple):
    """A message of the model."""

    text: str
    calls: list[Ask]
    items: list[Any]
    shown: list[str]
    """The text as it came, piece by piece, if streamed."""


# --- tools ---


@tool(pure=True)
def search(text: str) -> list[str]:
    """Search."""
    return [text, f"{text}!"]


@tool(pure=True)
def fetch(url: str) -> str:
    """Fetch."""
    return f"page of {url}"


@tool(writes=["notes"])
def note(text: str) -> str:
    """Write down."""
    return f"noted {text}"


class Gate:
    """A tool that does not end before it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.began = threading.Event()
        self.calls: list[str] = []

    def open(self, emit: Any) -> Callable[[Any], Any]:
        """A step of a script that opens the gate, and says something."""

        def step(view: Any) -> Any:
            self.opened.set()
            return emit(view) if callable(emit) else emit

        return step

    def tool(self, name: str = "slow", **effects: Any) -> Tool:
        """The tool."""

        def slow(text: str) -> str:
            self.calls.append(text)
            self.began.set()
            assert self.opened.wait(10)
            return f"result {text}"

        return Tool(slow, name=name, effects=effects or "pure", description="Slow.")


# --- clients ---


def new_client(server: ModelServer, api: str, *, asynchronous: bool = False, **options: Any) -> Any:
    options = {"api_key": "k", "max_retries": 0, **options}
    if api == "messages":
        return (AsyncAnthropic if asynchronous else Anthropic)(base_url=server.url, **options)
    return (AsyncOpenAI if asynchronous else OpenAI)(base_url=f"{server.url}/v1", **options)


def wrap(client: Any, tools: Any, **settings: Any) -> Any:
    """A `Wrapped`, whose session is of one kind or the other."""
    if isinstance(client, Anthropic | AsyncAnthropic):
        return for_anthropic.wrap(client, tools, **settings)
    return for_openai.wrap(client, tools, **settings)


@contextmanager
def wrapped(
    script: Script,
    api: str,
    tools: Any,
    *,
    server: Json | None = None,
    client: Json | None = None,
    **settings: Any,
) -> Iterator[tuple[ModelServer, Any]]:
    """A synchronous client of a scripted server, wrapped."""
    with ModelServer(script, **server or {}) as running:
        made = wrap(new_client(running, api, **client or {}), tools, **settings)
        with made.client:
            yield running, made


# --- what each API calls things ---


def schemas_of(api: str, tools: Iterable[Any]) -> list[Any]:
    functions = [
        {"name": tool.name, "description": tool.description, "parameters": tool.schema} for tool in tools
    ]
    if api == "chat":
        return [{"type": "function", "function": function} for function in functions]
    if api == "responses":
        return [{"type": "function", "strict": False, **function} for function in functions]
    return [
        {"name": one["name"], "description": one["description"], "input_schema": one["parameters"]}
        for one in functions
    ]


def request_of(api: str, messages: Sequence[Any], tools: Iterable[Any], **more: Any) -> Json:
    body: Json = {"model": "m", "tools": schemas_of(api, tools), **more}
    body["input" if api == "responses" else "messages"] = list(messages)
    if api == "messages":
        body.setdefault("max_tokens", 4096)
    if not body["tools"]:
        del body["tools"]
    return body


def surface(client: Any, api: str) -> Any:
    return (
        client.chat.completions
        if api == "chat"
        else client.responses
        if api == "responses"
        else client.messages
    )


def answer_items(api: str, answers: Sequence[tuple[str, str]]) -> list[Any]:
    if api == "chat":
        return [{"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in answers]
    if api == "responses":
        return [
            {"type": "function_call_output", "call_id": call_id, "output": text} for call_id, text in answers
        ]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in answers]
    return [{"role": "user", "content": results}]


def answers_in(body: Json) -> list[str]:
    """The texts of all tool answers in a request."""
    texts: list[str] = []
    for item in body.get("messages") or body.get("input") or ():
        if item.get("role") == "tool":
            texts.append(item["content"])
        elif item.get("type") == "function_call_output":
            texts.append(item["output"])
        elif isinstance(item.get("content"), list):
            texts += [part["content"] for part in item["content"] if part.get("type") == "tool_result"]
    return texts


def _plain(thing: Any) -> Json:
    dumped: Json = thing.model_dump(exclude_none=True, exclude={"parsed", "parsed_arguments"}, warnings=False)
    for call in dumped.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    dumped.pop("parsed_arguments", None)
    for part in dumped.get("content") or () if isinstance(dumped.get("content"), list) else ():
        part.pop("parsed", None)
        part.pop("parsed_output", None)
    if not dumped.get("tool_calls", True):
        del dumped["tool_calls"]
    return dumped


def read(api: str, reply: Any, shown: Sequence[str] = ()) -> Said:
    if api == "chat":
        message = reply.choices[0].message
        calls = [Ask(c.id, c.function.name, _loads(c.function.arguments)) for c in message.tool_calls or ()]
        return Said(message.content or "", calls, [_plain(message)], list(shown))
    if api == "responses":
        made = [item for item in reply.output if item.type == "function_call"]
        calls = [Ask(item.call_id, item.name, _loads(item.arguments)) for item in made]
        return Said(reply.output_text, calls, [_plain(item) for item in reply.output], list(shown))
    blocks = [block for block in reply.content if block.type == "tool_use"]
    calls = [Ask(block.id, block.name, block.input) for block in blocks]
    text = "".join(block.text for block in reply.content if block.type == "text")
    item = {"role": "assistant", "content": [_plain(block) for block in reply.content]}
    return Said(text, calls, [item], list(shown))


def _loads(arguments: str) -> Json:
    try:
        loaded: Json = json.loads(arguments)
    except ValueError:
        return {}
    return loaded


_DELTA = {"chat": "content.delta", "responses": "response.output_text.delta", "messages": "text"}


def _delta(api: str, event: Any) -> list[str]:
    if event.type != _DELTA[api]:
        return []
    return [event.text if api == "messages" else event.delta]


def _final(api: str, stream: Any) -> Any:
    names = {"chat": "final_completion", "responses": "final_response", "messages": "final_message"}
    return getattr(stream, f"get_{names[api]}")()


def ask(client: Any, api: str, *, stream: bool = False, **body: Any) -> Said:
    """Ask for one message."""
    if not stream:
        return read(api, surface(client, api).create(**body))
    with surface(client, api).stream(**body) as events:
        shown = [text for event in events for text in _delta(api, event)]
        return read(api, _final(api, events), shown)


async def ask_async(client: Any, api: str, *, stream: bool = False, **body: Any) -> Said:
    if not stream:
        return read(api, await surface(client, api).create(**body))
    async with surface(client, api).stream(**body) as events:
        shown = [text async for event in events for text in _delta(api, event)]
        return read(api, await _final(api, events), shown)


# --- the loops ---


def text_of(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result)


def loop(
    client: Any,
    api: str,
    tools: Mapping[str, Callable[..., Any]],
    messages: list[Any],
    schemas: Collection[Any],
    *,
    stream: bool = False,
    **more: Any,
) -> Said:
    """What a user writes: ask, call the tools, ask again, until the model calls none. Extends `messages`."""
    while True:
        said = ask(client, api, stream=stream, **request_of(api, messages, schemas, **more))
        messages += said.items
        if not said.calls:
            return said
        given = [(call.id, text_of(tools[call.name](**call.arguments))) for call in said.calls]
        messages += answer_items(api, given)


async def loop_async(
    client: Any,
    api: str,
    tools: Mapping[str, Callable[..., Any]],
    messages: list[Any],
    schemas: Collection[Any],
    *,
    stream: bool = False,
    **more: Any,
) -> Said:
    while True:
        said = await ask_async(client, api, stream=stream, **request_of(api, messages, schemas, **more))
        messages += said.items
        if not said.calls:
            return said
        given = []
        for call in said.calls:
            result = tools[call.name](**call.arguments)
            given.append((call.id, text_of(await result if inspect.isawaitable(result) else result)))
        messages += answer_items(api, given)
