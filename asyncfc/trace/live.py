"""Live: what runs, what waits and why, in the terminal, while it happens."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asyncfc.trace.events import Event
from asyncfc.trace.plain import plain_event
from asyncfc.trace.record import CallRecord, Reader
from asyncfc.trace.report import Report

REFRESH = 0.1
"""Seconds between two pictures, at least."""


class LiveView:
    """A listener that draws: `with LiveView() as live:` around `Session(tools, on_event=live)`.

    If the console is no terminal it draws nothing.

    Args:
        console: of rich; default: standard error.
        rows: calls that are shown at most; the others are counted.
        tick: seconds after which the clocks in the picture move even if nothing happens; None: never.
    """

    def __init__(self, console: Console | None = None, *, rows: int = 12, tick: float | None = 0.25) -> None:
        self._console = console or Console(stderr=True)
        self._rows = rows
        self._tick = tick
        self._reader = Reader()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self._drawn = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._live.is_started:
            self._live.update(self.picture(self._reader.record.span[1]), refresh=True)
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take the next event of a session."""
        self._reader.read(plain_event(event))
        if self._live.is_started and event.t - self._drawn >= REFRESH:
            self._draw()

    def _draw(self) -> None:
        loop = asyncio.get_running_loop()
        self._drawn = loop.time()
        self._live.update(self.picture(self._drawn), refresh=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._tick is not None and self._open():
            self._timer = loop.call_later(self._tick, self._draw)

    def _open(self) -> list[CallRecord]:
        return [call for call in self._reader.record.calls.values() if call.settled is None]

    def picture(self, now: float) -> RenderableType:
        """Return what there is to see at a time of the loop's clock: figures, and a row per open call."""
        report = Report(self._reader.record)
        calls = self._open()
        running = sum(call.started is not None for call in calls)
        table = Table.grid(padding=(0, 2))
        for call in calls[: self._rows]:
            table.add_row(*self._row(report, call, now))
        if len(calls) > self._rows:
            table.add_row(f"and {len(calls) - self._rows:,} more")
        settled = {kind: count for kind, count in report.outcomes.items() if kind != "open"}
        ended = ", ".join(f"{count} {kind}" for kind, count in sorted(settled.items())) or "none"
        head = f"{running} running, {len(calls) - running} waiting; settled: {ended}; "
        head += f"saved {report.saving:.1f} s"
        return Group(Text(head, style="bold"), table)

    @staticmethod
    def _row(report: Report, call: CallRecord, now: float) -> tuple[Text, Text, Text]:
        name = Text(call.handle or call.call_id or "", style="dim")
        if call.started is not None:
            return Text(f"▶ {call.tool}", style="green"), name, Text(f"{now - call.started:.1f} s")
        waits = report.waits_until(call.order, now)
        why = report.cause(waits[-1]) if waits else "about to start"
        return Text(f"… {call.tool}", style="yellow"), name, Text(f"waits {why}", style="dim")
