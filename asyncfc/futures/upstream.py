"""Upstream: the failure of a call whose input has no value (DESIGN F1)."""

from __future__ import annotations

from asyncfc.errors import RootCause, UpstreamFailed
from asyncfc.futures.future import Future
from asyncfc.futures.outcome import Failure


def upstream_failed(failed: Future, name: str) -> UpstreamFailed:
    """The error of a call that needs a future without a value; its root is the first to blame.

    Args:
        failed: has settled without a value.
        name: of the call that needs it, for the message.
    """
    error = failed.outcome.error if isinstance(failed.outcome, Failure) else None
    if isinstance(error, UpstreamFailed):
        root = error.root
    else:
        root = RootCause(failed.call_id, failed.tool, failed.handle, error)
    reason = type(root.error or failed.outcome).__name__
    return UpstreamFailed(
        f"{name} did not run: it needs the result of {root.tool} ({root.handle or root.call_id}), which has "
        f"none ({reason})",
        root,
    )
