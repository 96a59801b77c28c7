"""Every text that the model sees, in one place (DESIGN D8), each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncfc.errors import CallError
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value

MAX_ERROR_CHARS = 2000
"""An error text goes into a prompt: it is bounded, and holds no traceback."""


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
    # handle, tool, arguments, text. Self-contained, because the placeholder may have been trimmed.
    delivery: str = "{handle} = {tool}({arguments}) has ended:\n{text}"

    def outcome(self, outcome: Outcome, *, tool: str, handle: str, escape: Callable[[str], str]) -> str:
        """The text of an outcome, as the answer to its call.

        Args:
            outcome: what became of the call.
            tool: its tool.
            handle: its handle.
            escape: makes handle-shaped text inert; applied to what comes from tools (DESIGN H2), not to
                our own errors, which name handles on purpose.
        """
        match outcome:
            case Value(stored):
                return escape(stored.text())
            case Failure(CallError() as error):
                return self.failure.format(kind=type(error).__name__, message=_message(error))
            case Failure(error):
                return self.failure.format(kind=type(error).__name__, message=escape(_message(error)))
            case Cancelled(reason):
                return self.cancelled.format(tool=tool, handle=handle, reason=reason)
            case _:
                return self.withheld.format(tool=tool, handle=handle, reason=outcome.reason)


def _message(error: BaseException) -> str:
    """Bounded text of an exception; one whose `str()` raises is named by that."""
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its text could not be made: {type(broken).__name__})"
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}... ({len(text)} characters)"
