"""Connection: which cluster this program is connected to, if it still is.

Ray starts or finds another cluster by itself when it is used after `ray.shutdown()`. Calls must not go there,
and what was under way on the old one is never heard of again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ray


class Connection(NamedTuple):
    """One `ray.init`."""

    cluster: str
    job: str


def connection() -> Connection | None:
    """The connection that there is now; None: there is none."""
    if not ray.is_initialized():
        return None
    context: Any = ray.get_runtime_context()
    return Connection(context.gcs_address, context.get_job_id())
