"""Markers: which tokens are structure, and which of them a model must never write (DESIGN G5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from asyncfc.gpu_engine.dialects.bodies import deepseek
from asyncfc.gpu_engine.dialects.families import Family

OF_OTHERS = frozenset(
    {
        *("<tool_response>", "</tool_response>", "<|tool_response_start|>", "<|tool_response_end|>"),
        *("<tool_response|>", "<tools>", "</tools>", "<|tool>", "<tool|>", "<|python_result|>"),
        *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        *("<|im_start|>", "<start_of_turn>", "<|turn>", "<|system|>", "<|user|>", "<|assistant|>"),
        *(
            "<|observation|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|header_start|>",
            "<|header_end|>",
        ),
        *(deepseek(role) for role in ("User", "Assistant")),
        *(deepseek(f"tool {what} {edge}") for what in ("outputs", "output") for edge in ("begin", "end")),
    }
)
"""Tokens that open, close or write turns of the system, of users and of tools, or hand over to the model."""


def control_tokens(tokenizer: Any, family: Family, chat_template: str) -> dict[str, int]:
    """Return the tokens that are structure rather than text, with their ids.

    That is every special token, and of the other added tokens those that are spelled like tags and occur in
    the chat template or the format (many tokenizers have `<tool_call>` as an ordinary added token).
    """
    known = chat_template + "".join(_delimiters(family)) + "".join((*OF_OTHERS, *family.needs, *family.stops))
    return {
        token.content: number
        for number, token in tokenizer.added_tokens_decoder.items()
        if len(token.content) > 1
        and (token.special or (token.content[0] in "<[" and token.content.strip() in known))
    }


def needed(control: Iterable[str], family: Family) -> set[str]:
    """Return the tokens that a model needs inside a turn, for calls and thoughts."""
    delimiters = "".join(_delimiters(family))
    return {token for token in control if token in delimiters or token in family.needs}


def forbidden_tokens(
    control: Mapping[str, int], own: str, others: str, inside: Collection[str], stops: Collection[int]
) -> tuple[int, ...]:
    """Return the ids that a model must not sample inside a turn.

    Args:
        control: see `control_tokens`.
        own: a turn of the model as the chat template writes it, with calls.
        others: everything else that the chat template writes.
        inside: see `needed`.
        stops: ids that end a turn; where one of them opens a tool's turn, the runtime writes the rest of it.
    """
    return tuple(
        sorted(
            number
            for token, number in control.items()
            if (token in OF_OTHERS or token in others)
            and not (token in own or token in inside or number in stops)
        )
    )


def _delimiters(family: Family) -> list[str]:
    """The delimiters of the format, as near to plain text as their patterns are."""
    return [
        pattern.pattern.replace("\\", "")
        for field in family.template.fields.values()
        for pattern in (field.open_re, field.close_re)
        if pattern is not None
    ]
