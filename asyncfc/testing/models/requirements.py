"""Requirements: rules that only some providers have, and that a scripted model can be given on top."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from asyncfc.testing.models.rejection import need
from asyncfc.testing.models.script import View

Requirement: TypeAlias = Literal["own calls", "no user after tool", "user first", "no user after user"]
"""`own calls`: a call that the model did not make is refused (Gemini 3 signs its calls). `no user after
tool`: Mistral. `user first`, `no user after user`: chat templates of many local models."""


def check_names(require: Collection[str]) -> None:
    """Refuse unknown requirements.

    Raises:
        ValueError: with those that there are.
    """
    unknown = set(require) - set(get_args(Requirement))
    if unknown:
        raise ValueError(f"no requirement {sorted(unknown)}; there are {get_args(Requirement)}")


def check_view(view: View, require: Collection[str]) -> None:
    """Reject a conversation that breaks one of the rules."""
    pairs = list(pairwise(message.role for message in view.messages))
    if "own calls" in require:
        foreign = [call.name for m in view.messages if not m.issued for call in m.calls]
        need(not foreign, f"Function call is missing a thought_signature in functionCall parts: {foreign}")
    if "no user after tool" in require:
        need(("tool", "user") not in pairs, "Unexpected role 'user' after role 'tool'")
    if "user first" in require:
        first = view.messages[0].role if view.messages else None
        need(first == "user", f"Conversation must start with a user message, not {first!r}")
    if "no user after user" in require:
        need(("user", "user") not in pairs, "Conversation roles must alternate user/assistant/user/...")
