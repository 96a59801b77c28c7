"""Every text that the model sees, in one place (DESIGN D8), each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncfc.errors import BadReference, UnknownHandle, UnresolvedPath, UpstreamFailed, ValueDropped
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value
from asyncfc.futures.plain import safe_text

MAX_ERROR_CHARS = 2000
"""An error text goes into a prompt: it is bounded, and holds no traceback."""

_NAMING = (BadReference, UnknownHandle, UnresolvedPath, UpstreamFailed, ValueDropped)
"""Errors of our own that name handles on purpose."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Replaceable texts. Templates are filled with `str.format` from the names in their comment."""

    # handle. Says three things only: it runs, do not repeat, do not guess. A placeholder that described
    # the later message would make models imitate that message.
    placeholder: str = (
        "{handle} is running. Do not call it again and do not guess its result. "
        "Where the result is needed as an argument, write {handle}."
    )
    # kind, message. Says nothing about what to do next: that is the model's business.
    failure: str = "Error: {kind}: {message}"
    # tool, handle, reason. Names the call, or models tell users that the whole order was cancelled.
    cancelled: str = "The call {handle} of {tool} was cancelled: {reason}"
    withheld: str = "The call {handle} of {tool} was not made: {reason}"
    # source, text. Says whose words these are; they are data, not instructions of ours.
    note: str = "{source} says:\n{text}"
    # handle, tool, arguments, text. Self-contained, because the placeholder may have been trimmed.
    delivery: str = "{handle} = {tool}({arguments}) has ended:\n{text}"

    def outcome(self, outcome: Outcome, *, tool: str, handle: str, escape: Callable[[str], str]) -> str:
        """The text of an outcome, as the answer to its call.

        Args:
            outcome: what became of the call.
            tool: its tool.
            handle: its handle.
            escape: makes handle-shaped text inert; applied to all that may come from tools (DESIGN H2).
        """
        if isinstance(outcome, Value):
            try:
                return escape(outcome.text())
            except ValueDropped as dropped:
                outcome = Failure(dropped)
        match outcome:
            case Failure(error):
                message = safe_text(error, MAX_ERROR_CHARS)
                if not isinstance(error, _NAMING):
                    message = escape(message)
                return self.failure.format(kind=type(error).__name__, message=message)
            case Cancelled(reason):
                return self.cancelled.format(tool=tool, handle=handle, reason=reason)
            case _:
                return self.withheld.format(tool=tool, handle=handle, reason=outcome.reason)
