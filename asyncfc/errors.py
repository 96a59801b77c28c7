"""The whole exception tree. Imports nothing, so that every module may import it.

Two families. A `CallError` is the *outcome* of one call: it reaches whoever asks for that call and
nobody else. Everything else is raised at the edge, to the program that made the mistake.
"""

from __future__ import annotations

from dataclasses import dataclass


class AsyncFCError(Exception):
    """Base of everything that asyncfc raises on its own account."""


# --- raised at the edge ---------------------------------------------------------------------------


class DeclarationError(AsyncFCError):
    """A tool, an effect declaration, a limit or a setting is written wrongly."""


class SessionClosed(AsyncFCError):
    """A call was submitted to a session (or a message) that no longer takes any."""


class TranscriptError(AsyncFCError):
    """A message was committed or answered twice, or answered before it was complete."""


class NotSettled(AsyncFCError):
    """The outcome of a future was read before it was known."""


class CallCancelled(AsyncFCError):
    """Raised by awaiting a future whose call was cancelled or whose message was withdrawn."""


class CallWithheld(AsyncFCError):
    """Raised by awaiting a future whose call was withheld: it did not run."""


class EngineError(AsyncFCError):
    """The decode engine was asked for something that it cannot do."""


class UnsupportedModel(EngineError):
    """The decode engine cannot run this model, tokenizer or chat template exactly; says why."""


class TraceError(AsyncFCError):
    """A file holds no trace that can be read."""


class InternalError(AsyncFCError):
    """A bug in asyncfc itself, never the user's. Please report it."""


# --- outcomes of one call ---------------------------------------------------------------------------


class CallError(AsyncFCError):
    """A call that failed for a reason other than its tool's own exception."""


class UnknownTool(CallError):
    """The model called a tool that the session does not have."""


class BadArguments(CallError):
    """The arguments are not an object, or a parameter is missing, unknown or of a wrong type."""


class UnknownHandle(CallError):
    """A handle that names nothing here: invented, foreign, not yet shown, or the call's own.

    One answer for all of these, so that handles cannot be probed (DESIGN H3).
    """


class BadReference(CallError):
    """A handle in a place or form in which it cannot be replaced by its value."""


class UnresolvedPath(CallError):
    """The path behind a handle does not exist in the value."""


class ValueDropped(CallError):
    """A handle whose value is no longer kept, to stay within `max_retained_bytes` (DESIGN V3)."""


class ProjectionError(CallError):
    """The result of a tool has no JSON form for a structural reason: cycle, depth, key collision."""


class EffectEscape(CallError):
    """A label, once its template could be filled, lay outside the claim that stood for it."""


class ToolTimeout(CallError):
    """The tool's work did not end within its declared timeout."""


class ToolAbandoned(CallError):
    """The tool's work was asked to stop, accepted, and did not (DESIGN F2)."""


class ResourceQuarantined(CallError):
    """Work that was given up still holds a resource that this call needs; it did not run (DESIGN F2)."""


class ToolUnavailable(CallError):
    """The last calls of the tool failed, one after the other; this call did not run (its circuit breaker)."""


class WouldDeadlock(CallError):
    """A tool waits for a call that waits for that tool's own call."""


class DuplicateCall(CallError):
    """The same tool with the same arguments is running already; this call did not run."""


@dataclass(frozen=True, slots=True)
class RootCause:
    """The first error behind an upstream failure: which call it was, and what it raised."""

    call_id: str
    tool: str
    handle: str | None
    error: BaseException | None
    """The exception; None where the root was cancelled or withheld rather than failed."""


class UpstreamFailed(CallError):
    """A data input failed, was cancelled or was withheld, so this call never ran (DESIGN F1).

    `root` names the first call to blame, however long the chain between.
    """

    def __init__(self, message: str, root: RootCause) -> None:
        super().__init__(message)
        self.root = root


class WorkerLost(CallError):
    """The process that was to run a call died; the message says whether the call may have run."""


class ToolFailed(CallError):
    """A tool raised an exception in another process that cannot be pickled; the message names it."""


class NotTransferable(CallError):
    """The function, an argument or the result of a call cannot cross between processes."""
