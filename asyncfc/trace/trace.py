"""Trace: all that has happened in a session, append-only, and everything that can be made of it.

What writes a file raises OSError if it cannot.
"""

from __future__ import annotations

import html
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from asyncfc.errors import DeclarationError
from asyncfc.trace import journal
from asyncfc.trace.events import Event, Kind, Listener, Parts, emitter
from asyncfc.trace.journal import Header, Journal
from asyncfc.trace.plain import plain, plain_now
from asyncfc.trace.record import Record, record_of
from asyncfc.trace.report import Report

_log = logging.getLogger("asyncfc")


class Trace:
    """What has happened. It is a listener, so that `Session(on_event=Trace())` records, too.

    Args:
        session: the id of the session.
        path: of a file to which each event is written as it comes; `asyncfc trace` and `load` read it.
    """

    def __init__(self, session: str = "", path: str | os.PathLike[str] | None = None) -> None:
        self._events: list[Event] = []
        self.kept: list[Parts] = []
        """The parts of the events that nobody has looked at yet."""
        self.lighten: Callable[[Kind, Mapping[str, Any]], Mapping[str, Any]] = plain_now
        # Event loops tell the time by the monotonic clock, all but virtual ones.
        self._header = Header(session, time.time(), time.monotonic())
        self._path = path
        self._journal: Journal | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a trace from its file.

        Raises:
            TraceError: the file is no trace.
            OSError: the file cannot be read.
        """
        header, events = journal.read(path)
        trace = cls(header.session)
        trace._header, trace._events = header, events
        return trace

    def __call__(self, event: Event) -> None:
        """Record one event."""
        self.kept.append((event.t, event.kind, event.call, plain_now(event.kind, event.data)))
        if self._path is not None:
            self._write(self._path)

    def _write(self, path: str | os.PathLike[str]) -> None:
        """Append to the file; if that fails it is logged, and the run goes on without the file."""
        try:
            if self._journal is None:
                self._journal = Journal(path, self.header)
            self._journal.write(self._finished()[-1])
        except Exception:
            _log.exception("the trace is no longer written to %s", os.fspath(path))
            self.close()

    def _finished(self) -> list[Event]:
        """All events; those of which only the parts were kept are made now."""
        parts = self.kept[:]  # it may grow meanwhile, in another thread
        del self.kept[: len(parts)]
        for t, kind, call, data in parts:
            self._events.append(Event(t, kind, call, plain(kind, data)))
        return self._events

    def close(self) -> None:
        """Write no more to the file; what still happens is recorded in memory only."""
        self._path = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def has_file(self) -> bool:
        """Whether each event is written to a file as it comes."""
        return self._path is not None

    @property
    def session(self) -> str:
        """The id of the session."""
        return self._header.session

    @property
    def header(self) -> Header:
        """Whose it is, and which time of the clock was which time of the day."""
        return self._header

    @property
    def events(self) -> Sequence[Event]:
        """All of them, oldest first, their data as bounded JSON."""
        return tuple(self._finished())

    @property
    def record(self) -> Record:
        """What they say about each call and each message, so far."""
        return record_of(self._finished())

    @property
    def report(self) -> Report:
        """What it comes to, so far."""
        return Report(self.record)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file of JSON lines, for `asyncfc trace` and `load`.

        Raises:
            OSError: the file cannot be written.
        """
        journal.write(path, self.header, self._finished())

    def timeline(self, path: str | os.PathLike[str]) -> None:
        """Write the timeline: one HTML file that needs no network."""
        from asyncfc.trace.page import page

        _write(path, page(self.report, self.session))

    def picture(self, path: str | os.PathLike[str]) -> None:
        """Write a short run as an SVG: one by one above what happened."""
        from asyncfc.trace.picture import picture

        _write(path, picture(self.report))

    def perfetto(self, path: str | os.PathLike[str]) -> None:
        """Write it for ui.perfetto.dev, as JSON."""
        from asyncfc.trace.perfetto import perfetto

        _write(path, json.dumps(perfetto(self.report, self.session), allow_nan=False))

    def mermaid(self, path: str | os.PathLike[str]) -> None:
        """Write the graph of the calls for Mermaid."""
        from asyncfc.trace.graphs import mermaid

        _write(path, mermaid(self.report))

    def dot(self, path: str | os.PathLike[str]) -> None:
        """Write the graph of the calls for Graphviz."""
        from asyncfc.trace.graphs import dot

        _write(path, dot(self.report))

    def _repr_html_(self) -> str:
        """The timeline in a notebook."""
        from asyncfc.trace.page import page

        source = html.escape(page(self.report, self.session), quote=True)
        return f'<iframe srcdoc="{source}" style="width:100%;height:520px;border:0"></iframe>'


def trace_of(wanted: Any, session: str) -> Trace | None:
    """Return the trace that a setting asks for: none, one in memory, or one with a file of that path.

    Raises:
        DeclarationError: it is none of these.
    """
    if not isinstance(wanted, bool | str | os.PathLike):
        raise DeclarationError(f"trace={wanted!r}: expected True, False or the path of a file to write")
    return Trace(session, None if wanted is True else wanted) if wanted is not False else None


def emitter_of(on_event: Listener | None, trace: Trace | None) -> Callable[..., None] | None:
    """Return what tells of all that happens; None if nobody listens."""
    listeners = [] if on_event is None else [on_event]
    if trace is not None and trace.has_file:  # each event is written as it comes
        return emitter([trace, *listeners])
    return emitter(listeners, trace) if listeners or trace is not None else None


def _write(path: str | os.PathLike[str], text: str) -> None:
    # Half a surrogate pair, which a model may write, is no character that a file can hold.
    Path(path).write_text(text, encoding="utf-8", errors="backslashreplace")
