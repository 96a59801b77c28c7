"""Anthropic: the Messages API, synchronous or not, streamed or not.

from asyncfc.adapters.anthropic import wrap

client, tools = wrap(Anthropic(), tools)

That is all that changes in a hand-written loop: it goes on calling `tools[name](**arguments)`, and the SDK
helpers that stream or parse work as before.
"""

from __future__ import annotations

from typing import Any, TypeVar

from asyncfc.errors import DeclarationError

try:
    from anthropic import Anthropic, AsyncAnthropic
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.anthropic needs the Anthropic SDK: pip install 'asyncfc[anthropic]'"
    ) from error

from asyncfc.adapters.wrapped import Tools, Wrapped
from asyncfc.adapters.wrapping import wrap_client
from asyncfc.conversation.formats.messages import MESSAGES

ClientT = TypeVar("ClientT", Anthropic, AsyncAnthropic)

FORMATS = {"/messages": MESSAGES}


def wrap(client: ClientT, tools: Tools, **settings: Any) -> Wrapped[ClientT]:
    """Make the tool calls of a loop asynchronous. One wrapped client is one conversation.

    Args:
        client: of the SDK; it is what sends, and stays as it is.
        tools: the functions that the loop calls: by name, or a list of them.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`, `limits`,
            ...). `grace` is `"auto"` if nothing is said.

    Returns:
        the client and the functions to use instead.

    Raises:
        DeclarationError: no client of this SDK, or a setting written wrongly.
    """
    if not isinstance(client, Anthropic | AsyncAnthropic):
        raise DeclarationError(
            f"{client!r} is no client of the Anthropic SDK; expected Anthropic or AsyncAnthropic"
        )
    return wrap_client(client, tools, FORMATS, settings)
