"""OpenAI: Chat Completions and Responses, synchronous or not, streamed or not.

from asyncfc.adapters.openai import wrap

client, tools = wrap(OpenAI(), tools)

That is all that changes in a hand-written loop: it goes on calling `tools[name](**arguments)`. It works with
every server that speaks the protocol, through the SDK's `base_url`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from asyncfc.errors import DeclarationError

try:
    from openai import AsyncOpenAI, OpenAI
except ImportError as error:
    raise ImportError(
        "asyncfc.adapters.openai needs the OpenAI SDK: pip install 'asyncfc[openai]'"
    ) from error

from asyncfc.adapters.wrapped import Tools, Wrapped
from asyncfc.adapters.wrapping import wrap_client
from asyncfc.conversation.formats.chat import CHAT
from asyncfc.conversation.formats.responses import RESPONSES

ClientT = TypeVar("ClientT", OpenAI, AsyncOpenAI)

FORMATS = {"/chat/completions": CHAT, "/responses": RESPONSES}


def wrap(client: ClientT, tools: Tools, **settings: Any) -> Wrapped[ClientT]:
    """Make the tool calls of a loop asynchronous. One wrapped client is one conversation.

    Args:
        client: of the SDK; it is what sends, and stays as it is.
        tools: the functions that the loop calls: by name, or a list of them.
        settings: of the conversation (see `Dialogue`: `final`, `inline`, `note`, `control`, `pipelining`,
            `relax`, `provider`, `max_extra_messages`) and of its session (see `Session`: `effects`, `grace`,
            `limits`, ...). `grace` is `"auto"` if nothing is said.

    Returns:
        the client and the functions to use instead.

    Raises:
        DeclarationError: no client of this SDK, or a setting written wrongly.
    """
    if not isinstance(client, OpenAI | AsyncOpenAI):
        raise DeclarationError(f"{client!r} is no client of the OpenAI SDK; expected OpenAI or AsyncOpenAI")
    return wrap_client(client, tools, FORMATS, settings)
