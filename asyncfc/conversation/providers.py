"""Providers: what each API allows in a transcript, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from asyncfc.errors import DeclarationError

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider, in one mode, allows. The names of the fields say what is allowed.

    A row is what the provider's documentation and error messages say; the source stands at the row.
    """

    name: str
    late_outputs: bool = False
    """The answer to a call that is marked as asynchronous may come in a later request."""
    synthetic_calls: Literal["yes", "without thinking", "no"] = "yes"
    """Calls that the model did not make itself may stand in the transcript."""
    user_after_tool: bool = True
    """A message of the user may follow the answers of tools directly."""
    user_after_user: bool = True
    """Two messages of the user may follow each other."""
    first_must_be_user: bool = False
    """The first message, the system's apart, is the user's."""
    system_anywhere: bool = False
    """A system message may stand behind the first message of user, model or tool."""
    calls_after_assistant: bool = True
    """A message with calls may follow another message of the model directly."""
    split_messages: bool = False
    """One message of the model may be spread over several entries, its calls not only in the last."""
    id_length: int | None = None
    """The ids of calls are exactly so many letters and digits; None if they are any text."""


# "An assistant message with 'tool_calls' must be followed by tool messages responding to each
# 'tool_call_id'." Everything else is free: any role first, system or developer messages in any place.
OPENAI_CHAT = Provider("openai chat", system_anywhere=True)

# A call marked `async` may be answered in a later request (guide "Async tool calling"); "No tool output found
# for function call" for all others. A message is a run of items. "Item 'fc_...' of type 'function_call' was
# provided without its required 'reasoning' item" goes by the item's own id, so a call that the model did not
# make carries a `call_id` and no `id`.
OPENAI_RESPONSES = Provider("openai responses", late_outputs=True, system_anywhere=True, split_messages=True)

# "`tool_use` ids were found without `tool_result` blocks immediately after"; "first message must use the
# "user" role". Consecutive messages of one role are combined (Messages API reference), so two of the user are
# fine, and so is a message of the model in several parts. Since Claude Opus 4.8, system messages may stand
# among the others (guide "Mid-conversation system messages").
ANTHROPIC = Provider(
    "anthropic",
    synthetic_calls="without thinking",
    first_must_be_user=True,
    system_anywhere=True,
    split_messages=True,
)

# "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the
# lastmost set of `tool_use` and `tool_result` blocks)": signed, so nobody but the model can write one.
ANTHROPIC_THINKING = replace(ANTHROPIC, name="anthropic with thinking", synthetic_calls="no")

# "Function call is missing a thought_signature in functionCall parts" (Gemini 3): only the model's own calls
# are signed; the documented way round the check is discouraged. "Please ensure that function call turn comes
# immediately after a user turn or after a function response turn": not first, not after its own text.
GEMINI = Provider("gemini", synthetic_calls="no", first_must_be_user=True, calls_after_assistant=False)

# "Unexpected role 'user' after role 'tool'" (code 3230), and no system message there either. "Tool call id
# was ... but must be a-z, A-Z, 0-9, with a length of 9". The hosted API takes two messages of the user in a
# row; the templates that its models have on other servers refuse them: "conversation roles must alternate".
MISTRAL = Provider("mistral", user_after_tool=False, user_after_user=False, id_length=9)

# Ollama, vLLM, SGLang, llama.cpp: what the model's own chat template takes. Nothing is checked but by the
# templates; several of them raise "System message must be at the beginning". Mistral's models are as strict
# there as at home: they have the row above.
CHAT_COMPATIBLE = Provider("chat-compatible")

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        row.name: row
        for row in (
            OPENAI_CHAT,
            OPENAI_RESPONSES,
            ANTHROPIC,
            ANTHROPIC_THINKING,
            GEMINI,
            MISTRAL,
            CHAT_COMPATIBLE,
        )
    }
)
"""The table, by name."""


def provider_of(name: str) -> Provider:
    """The row of a name.

    Raises:
        DeclarationError: there is none.
    """
    if name not in PROVIDERS:
        raise DeclarationError(f"there is no provider {name!r}; they are {', '.join(map(repr, PROVIDERS))}")
    return PROVIDERS[name]


DeliveryForm: TypeAlias = Literal["piggyback", "pair", "note"]


def delivery_form(
    provider: Provider, last: Role | None, thinking: bool, *, before: Role | None = "assistant"
) -> DeliveryForm:
    """In which form outcomes go into the next request (DESIGN D3), the answers to native calls apart.

    `piggyback`: behind the text of the last answer, which has not been sent yet. `pair`: a call that the
    model did not make, and its answer. `note`: a quoted text in the user's role, where nothing else fits.
    Behind the model's message, pair and note are the end of the request. Where the last entry is the user's,
    they go in front of it; and a note to a provider that takes no two messages of the user in a row goes
    into that entry, before the user's text.

    Args:
        provider: the row of the table.
        last: the role of the request's last entry, None if there is none.
        thinking: the request has the model think.
        before: where `last` is the user: the role of the entry in front of it, None if there is none.
    """
    if last == "tool":
        return "piggyback"
    return "pair" if _pair_fits(provider, last, thinking, before) else "note"


def _pair_fits(provider: Provider, last: Role | None, thinking: bool, before: Role | None) -> bool:
    if provider.synthetic_calls == "no" or (thinking and provider.synthetic_calls == "without thinking"):
        return False
    if last == "user" and not provider.user_after_tool:
        return False
    ahead = before if last == "user" else last
    if ahead in {None, "system"}:
        return not provider.first_must_be_user
    return ahead != "assistant" or provider.calls_after_assistant
