"""Journal: a trace as a file of JSON lines, one event each, that can be read while it grows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, get_args

from asyncfc.errors import TraceError
from asyncfc.trace.events import Event, Kind

VERSION = 1
KINDS = frozenset(get_args(Kind))
REQUIRED: Mapping[str, frozenset[str]] = {
    "sealed": frozenset(
        {"tool", "call_id", "level", "arguments", "parent", "needs", "gates", "data", "effects"}
    ),
    "committed": frozenset({"tool", "call_id", "handle", "message"}),
    "started": frozenset({"arguments"}),
    "settled": frozenset({"outcome"}),
    "answered": frozenset({"held_s"}),
    "unordered": frozenset({"older"}),
    "sampling": frozenset({"request"}),
    "sampled": frozenset({"request", "ok"}),
    "waiting": frozenset({"wait", "futures"}),
    "waited": frozenset({"wait"}),
}
"""What of an event's data is read."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose trace it is, and when it began."""

    session: str
    epoch: float
    """Seconds since 1970 at which the loop's clock showed `t`."""
    t: float


class Journal:
    """A file that events are written to as they come.

    Args:
        path: of the file, which is made anew.
        header: its first line.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header) -> None:
        self._file: TextIO = Path(path).open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 (see close)
        first = {"asyncfc": VERSION, "session": header.session, "epoch": header.epoch, "t": header.t}
        self._file.write(json.dumps(first) + "\n")

    def write(self, event: Event) -> None:
        """Append one event, of plain JSON."""
        self._file.write(line_of(event))

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()


def line_of(event: Event) -> str:
    """Return an event as a line of JSON."""
    line = {"t": event.t, "kind": event.kind, "call": event.call, "data": event.data}
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def read(path: str | os.PathLike[str]) -> tuple[Header, list[Event]]:
    """Read a journal. A last line that is cut off is left out: a run may have ended in the middle of it.

    Raises:
        TraceError: it is no journal, or of another version; the message names the line.
        OSError: the file cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise TraceError(f"{os.fspath(path)} is no trace: it is no text in UTF-8") from error
    header = _header(path, lines[0] if lines else "")
    events = []
    for number, line in enumerate(lines[1:], 2):
        try:
            events.append(_event(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            name = os.fspath(path)
            raise TraceError(f"{name}, line {number}: expected an event, not {line[:80]!r}") from error

    return header, events


def _header(path: str | os.PathLike[str], line: str) -> Header:
    try:
        first = json.loads(line)
        version = first["asyncfc"]
        header = Header(str(first["session"]), float(first["epoch"]), float(first["t"]))
    except (ValueError, KeyError, TypeError) as error:
        raise TraceError(
            f"{os.fspath(path)} is no trace: its first line is {line[:80]!r}. "
            'Session(..., trace="run.jsonl") writes one'
        ) from error
    if version != VERSION:
        raise TraceError(f"{os.fspath(path)} is of version {version}; this release reads version {VERSION}")
    return header


def _event(line: Mapping[str, Any]) -> Event:
    if line["kind"] not in KINDS:
        raise ValueError(line["kind"])
    event = Event(float(line["t"]), line["kind"], int(line["call"]), dict(line["data"]))
    if not REQUIRED.get(event.kind, frozenset()) <= event.data.keys():
        raise KeyError(event.kind)
    return event


def write(path: str | os.PathLike[str], header: Header, events: Iterable[Event]) -> None:
    """Write a whole journal."""
    journal = Journal(path, header)
    try:
        for event in events:
            journal.write(event)
    finally:
        journal.close()
