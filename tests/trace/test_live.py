from __future__ import annotations

import asyncio
import io
from typing import Any

from rich.console import Console

from asyncfc import Call, Session
from asyncfc.trace.live import LiveView
from tests.trace.runs import converse, play


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _shown(view: LiveView, now: float) -> list[str]:
    console = _console(terminal=False)
    console.print(view.picture(now))
    return [line.rstrip() for line in _text(console).splitlines()]


def test_it_says_what_runs_what_waits_and_why() -> None:
    view = LiveView(_console(terminal=True), tick=None)
    seen: list[list[str]] = []

    async def look(session: Session) -> None:
        talk = asyncio.ensure_future(converse(session))
        await asyncio.sleep(1.25)
        seen.append(_shown(view, 1.25))
        await talk

    play(look, on_event=view)
    tag = seen[0][1].split()[2][:-1]
    assert [" ".join(line.split()) for line in seen[0]] == [
        "1 running, 3 waiting; settled: none; saved 0.0 s",
        f"▶ find {tag}1 0.8 s",
        f"… find {tag}2 waits for a slot (tool:find)",
        f"… book {tag}3 waits for the value of find ({tag}1)",
        f"… mail {tag}4 waits for the value of find ({tag}2)",
    ]


def test_on_a_terminal_it_draws_and_ends_with_the_figures() -> None:
    console = _console(terminal=True)
    with LiveView(console, tick=None) as view:
        play(on_event=view)
    assert "0 running, 0 waiting; settled: 1 failure, 3 value; saved 2.2 s" in _text(console)


def test_it_is_quiet_where_there_is_no_terminal() -> None:
    console = _console(terminal=False)
    with LiveView(console, tick=None) as view:
        play(on_event=view)
    assert _text(console) == ""


def test_clocks_move_while_nothing_happens() -> None:
    console = _console(terminal=True)

    async def slow(session: Session) -> None:
        await session.submit([Call("c1", "book", {"flight": "x"})])
        await asyncio.sleep(1.9)

    with LiveView(console, tick=0.25) as view:
        play(slow, on_event=view)
    assert "1.8 s" in _text(console)
    assert "0.2 s" in _text(console) or "0.3 s" in _text(console)


def test_only_so_many_rows_are_shown() -> None:
    view = LiveView(_console(terminal=True), rows=2, tick=None)
    seen: list[list[str]] = []

    async def many(session: Session) -> None:
        calls: list[Any] = [Call(f"c{n}", "book", {"flight": f"{n}"}) for n in range(5)]
        await session.submit(calls)
        await asyncio.sleep(0)
        seen.append(_shown(view, 0.0))

    play(many, on_event=view)
    assert seen[0][-1].strip() == "and 3 more"
    assert len(seen[0]) == 4
