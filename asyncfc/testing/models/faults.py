"""Faults: what goes wrong with a request, besides the request itself."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from asyncfc.testing.models.rejection import Rejected
from asyncfc.testing.models.script import Emit

_MESSAGES = {
    400: "The request was invalid.",
    401: "Incorrect API key provided.",
    429: "Rate limit reached for requests.",
    500: "The server had an error while processing your request.",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; `number` is the status of HTTP, or how many events of a stream come before it."""

    kind: Literal["status", "timeout", "drop", "malformed", "length"]
    number: int = 0

    def raise_status(self) -> None:
        """Reject the request, if that is the fault."""
        if self.kind == "status":
            raise Rejected(_MESSAGES[self.number], status=self.number)


class Faults:
    """Faults in order, one for each request; None and the end of the list are none.

    Args:
        written: `"400"`, `"401"`, `"429"`, `"500"`, `"timeout"` (no reply), `"drop"` (the connection ends
            before the reply), `"drop after N events"`, `"malformed"` (what comes is no JSON; in a stream
            after 2 events), `"length"` (the message is cut off in the middle), or None.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, written: Iterable[str | None]) -> None:
        self._left = deque(_read(text) for text in written)

    def next(self) -> Fault | None:
        """The fault of this request."""
        return self._left.popleft() if self._left else None


def _read(written: str | None) -> Fault | None:
    if written is None:
        return None
    if written.isdecimal() and int(written) in _MESSAGES:
        return Fault("status", int(written))
    if found := re.fullmatch(r"drop after (\d+) events?", written):
        return Fault("drop", int(found[1]))
    if written not in {"timeout", "drop", "malformed", "length"}:
        raise ValueError(f"no fault {written!r}; see Faults")
    return Fault(written, 2 if written == "malformed" else 0)  # type: ignore[arg-type]  # one of the literals above


def cut_short(emit: Emit) -> Emit:
    """The message, cut off by the token limit in the middle of its last part."""
    if not emit.calls:
        return replace(emit, text=emit.text[: len(emit.text) // 2], stop="length")
    *whole, last = emit.asks()
    half = replace(last, arguments=last.text[: len(last.text) // 2])
    return replace(emit, calls=[*whole, half], stop="length")
