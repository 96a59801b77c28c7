"""Wording: what the model of a host is told, where that differs from a loop that asyncfc sits in.

The proxy cannot write into the conversation: outcomes come with the answer to a later call, or are asked
for. Nobody tells it when a turn ends, so that the model itself has to ask before it concludes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asyncfc.conversation.wording import Wording

_DEFAULT = Wording()

PROXY_WORDING = replace(
    _DEFAULT,
    # Hosts may not show instructions, so that the placeholder alone has to say all that is needed.
    placeholder=_DEFAULT.placeholder + " Before your final answer, call await_future.",
    system_note=_DEFAULT.system_note.replace(
        "come to you by themselves, with a later message", "come with the answer to a later call"
    ),
    await_note=(
        "Call await_future if your next step needs to know a value, and before your final answer as long as "
        "calls are running."
    ),
)


def instructions(note: str | None, servers: Iterable[tuple[str, str | None]]) -> str:
    """What the host gets as the instructions of the proxy: the note, then those of each server."""
    parts = [note or ""]
    parts += [f"[{name}]\n{text}" for name, text in servers if text]
    return "\n\n".join(filter(None, parts))
