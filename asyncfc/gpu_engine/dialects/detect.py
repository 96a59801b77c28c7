"""Which family of tool-call formats a model belongs to."""

from __future__ import annotations

from typing import Any

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.families import FAMILIES, Family
from asyncfc.gpu_engine.dialects.own_template import of_tokenizer

FAMILY_NAMES = tuple(family.name for family in FAMILIES)


def detect(tokenizer: Any, chat_template: str, *, family: str | None, model_type: str | None) -> Family:
    """Return the family: the one that is named, the tokenizer's own, or what the chat template shows.

    What the chat template writes counts more than `model_type`, since models are trained anew on other
    formats than those of their architecture.

    Raises:
        DeclarationError: there is no such family, or none can be told.
    """
    if family is not None:
        if family not in FAMILY_NAMES:
            raise DeclarationError(f"there is no family {family!r}; there are {', '.join(FAMILY_NAMES)}")
        return next(each for each in FAMILIES if each.name == family)
    if isinstance(own := getattr(tokenizer, "response_template", None), dict):
        return of_tokenizer(own)
    for each in FAMILIES:
        if any(all(mark in chat_template for mark in marks) for marks in each.marks):
            return each
    for each in FAMILIES:
        if model_type in each.models:
            return each
    raise DeclarationError(
        f"neither the chat template nor the model type {model_type!r} tells in which format the model writes "
        f"tool calls; pass family=, one of {', '.join(FAMILY_NAMES)}"
    )
