"""Protocols: the providers that a conversation may be held with, and their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncfc.conversation.formats.base import Format, Json
from asyncfc.conversation.formats.chat import CHAT, Chat
from asyncfc.conversation.formats.messages import MESSAGES
from asyncfc.conversation.formats.responses import RESPONSES
from asyncfc.conversation.providers import GEMINI, MISTRAL, Provider
from asyncfc.testing.models.model import FormatName


class ChatOf(Chat):
    """Chat Completions as another provider takes them."""

    def __init__(self, row: Provider) -> None:
        self._row = row

    def provider(self, body: Json) -> Provider:  # noqa: ARG002 - one row for all
        """The row of the table."""
        return self._row


@dataclass(frozen=True, slots=True)
class Protocol:
    """A provider: how it is spoken to, and what its server asks for on top."""

    format: Format
    name: FormatName
    require: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else stands in a request."""
    native: bool = False
    """Its tools are marked as asynchronous."""


# The ids of the calls are the scripted model's own, so their length is nothing to check.
_MISTRAL = ChatOf(replace(MISTRAL, id_length=None))
PROTOCOLS: Mapping[str, Protocol] = {
    "chat": Protocol(CHAT, "chat"),
    "mistral": Protocol(_MISTRAL, "chat", ("no user after tool", "no user after user")),
    "gemini": Protocol(ChatOf(GEMINI), "chat", ("own calls", "user first")),
    "responses": Protocol(RESPONSES, "responses"),
    "reasoning": Protocol(RESPONSES, "responses", extra={"reasoning": {"effort": "low"}}),
    "native": Protocol(RESPONSES, "responses", native=True),
    "messages": Protocol(MESSAGES, "messages"),
    "thinking": Protocol(
        MESSAGES, "messages", extra={"thinking": {"type": "enabled", "budget_tokens": 1024}}
    ),
}
"""By the name that is drawn."""


_FORM = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}


def body_of(
    protocol: Protocol, items: list[Any], tools: Mapping[str, Json], *, structured: bool = False
) -> Json:
    """A request as a loop makes it; `tools` are the schemas by name."""
    body: Json = {"model": "m", **protocol.extra}
    declared = [_declared(protocol, name, schema) for name, schema in tools.items()]
    if protocol.name == "chat":
        body |= {"messages": list(items), "tools": declared}
        form: Json = {"response_format": {"type": "json_schema", "json_schema": _FORM}}
    elif protocol.name == "responses":
        body |= {"input": list(items), "tools": declared}
        form = {"text": {"format": _FORM}}
    else:
        body |= {"max_tokens": 4096, "messages": list(items), "tools": declared}
        form = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    return {**body, **form} if structured else body


def _declared(protocol: Protocol, name: str, schema: Json) -> Json:
    about: Json = {"name": name, "description": f"To {name}."}
    if protocol.name == "chat":
        return {"type": "function", "function": {**about, "parameters": schema}}
    if protocol.name == "responses":
        late = {"async": True} if protocol.native else {}
        return {"type": "function", **about, "parameters": schema, "strict": False, **late}
    return {**about, "input_schema": schema}
