"""`python -m benchmarks.page`: how the timeline page does with many calls, in a real browser.

A run of that many calls is made on virtual time and written as a page, which Chromium opens without a
screen:

`open_s`        from the start of the navigation to the first complete drawing, by the page's own mark
`frames_per_s`  while the mouse wheel scrolls and zooms through all of it, in rows or packed: the worse
`bytes`         of the file

The last line is one JSON object. It fails if the page takes 2 s to open, or draws fewer than 30 frames per
second.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncfc import Answer, Call, Session, Tool, tool
from asyncfc.testing.loop import run_virtual
from asyncfc.trace.trace import Trace

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST_OPEN_S = 2.0
LEAST_FRAMES = 30.0
WHEELS = 60
"""Wheel events of each kind."""

app = typer.Typer(add_completion=False)


def browser_path(env: Mapping[str, str] = os.environ) -> str | None:
    """Return where Chromium is: as `CHROMIUM` names it, else on the PATH; None if there is none."""
    named = env.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((found for name in BROWSERS if (found := shutil.which(name, path=env.get("PATH")))), None)


def tools(chance: random.Random) -> list[Tool]:
    """Return tools that take their time, with different effects; some of their calls fail."""

    async def work(least: float, most: float, failing: float) -> None:
        await asyncio.sleep(chance.uniform(least, most))
        if chance.random() < failing:
            raise ConnectionError("the other side hung up")

    @tool(pure=True)
    async def search(query: str) -> dict[str, Any]:
        """Look something up."""
        await work(0.2, 2.5, 0.03)
        return {"query": query, "hits": [{"id": f"doc{chance.randrange(1000)}", "score": chance.random()}]}

    @tool(reads="fs:{path}")
    async def read_file(path: str) -> str:
        """Read a file."""
        await work(0.05, 0.4, 0.02)
        return f"text of {path}"

    @tool(writes="fs:{path}")
    async def write_file(path: str, text: str) -> str:
        """Write a file."""
        await work(0.1, 0.6, 0.01)
        return f"{len(text)} characters into {path}"

    @tool(pure=True, timeout=4.0)
    async def summarize(text: str) -> str:
        """Say it in fewer words."""
        await work(1.0, 4.3, 0.0)
        return text[:40]

    @tool(writes="mail", level="irreversible")
    async def send_mail(to: str, text: str) -> str:
        """Send a message to somebody."""
        await work(0.3, 0.9, 0.05)
        return f"sent to {to}"

    @tool
    async def run_tests() -> str:
        """Run all tests; nothing is known about what they touch."""
        await work(1.0, 3.0, 0.2)
        return "all passed"

    return [search, read_file, write_file, summarize, send_mail, run_tests]


def calls_of(chance: random.Random, names: Iterator[str], count: int, handles: Sequence[str]) -> list[Call]:
    """Return the calls of one message; some pass on results of earlier ones, by handle."""
    calls = []
    for _ in range(count):
        path = f"/src/part{chance.randrange(12)}.py"
        given = chance.choice(handles) if handles and chance.random() < 0.5 else "what is known"
        name, arguments = chance.choices(
            (
                ("search", {"query": f"weather in {chance.choice(('London', 'Rome', 'Bern'))}"}),
                ("read_file", {"path": path}),
                ("write_file", {"path": path, "text": given}),
                ("summarize", {"text": given}),
                ("send_mail", {"to": "ada@example.org", "text": given}),
                ("run_tests", {}),
            ),
            weights=(30, 25, 14, 22, 3, 0.6),
        )[0]
        calls.append(Call(next(names), name, arguments))
    return calls


async def conversation(calls: int, seed: int) -> Trace:
    """Let a made-up model make so many calls, in messages of one to six, and return the trace."""
    chance = random.Random(seed)
    names = (f"call_{number}" for number in range(1, calls + 1))
    made = 0
    async with Session(tools(chance), id="benchmark", trace=True, limits={"tool:search": 3}) as session:
        recent: list[Answer] = []
        while made < calls:
            with session.sampling():
                await asyncio.sleep(chance.uniform(0.3, 1.2))
            count = min(calls - made, chance.choice((1, 2, 3, 4, 6)))
            made += count
            handles = [str(answer.future) for answer in recent[-6:]]
            recent += await session.submit(calls_of(chance, names, count, handles))
            if chance.random() < 0.04:
                session.cancel(recent[-1].future)
            if chance.random() < 0.15:
                await session.await_future()
        with session.sampling():
            await asyncio.sleep(0.5)
        await session.await_future()
        return session.trace


def make(calls: int, seed: int = 0) -> Trace:
    """Return the trace of a run of so many calls."""
    return run_virtual(lambda: conversation(calls, seed))


FRAMES = """() => {
  const run = window.counted = { frames: 0, from: performance.now() };
  const count = () => {
    if (window.counted !== run) return;  // the next one has begun
    run.frames += 1;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
}"""
RATE = "() => window.counted.frames / ((performance.now() - window.counted.from) / 1000)"
TURN = """([x, y, dx, dy, ctrl, shift]) => new Promise((done) => {
  const at = document.elementFromPoint(x, y);
  const more = { clientX: x, clientY: y, deltaX: dx, deltaY: dy, ctrlKey: ctrl, shiftKey: shift };
  const event = new WheelEvent("wheel", { bubbles: true, cancelable: true, ...more });
  // A browser scrolls by itself for real wheels only.
  if (at.dispatchEvent(event)) document.getElementById("scroller").scrollTop += dy;
  requestAnimationFrame(() => done());
})"""


def frames(page: Page) -> float:
    """Return the frames per second while everything is scrolled, zoomed and panned through."""
    height = page.evaluate("document.getElementById('stage').clientHeight")
    page.evaluate(FRAMES)
    for step in range(WHEELS):
        page.evaluate(TURN, [700, 600, 0, height / WHEELS, False, False])
        page.evaluate(TURN, [700, 600, 0, -60 if step % 20 < 10 else 60, True, False])
        page.evaluate(TURN, [700, 600, 0, 80 if step % 12 < 6 else -80, False, True])
    rate: float = page.evaluate(RATE)
    return rate


def measure(path: Path, browser: str) -> dict[str, Any]:
    """Open a page and return what it does; see the module."""
    from playwright.sync_api import sync_playwright

    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=args)
        try:
            page = chromium.new_page(viewport={"width": 1440, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_function("window.asyncfcTimeline && window.asyncfcTimeline.ready")
            opened = page.evaluate("performance.getEntriesByName('asyncfc:drawn')[0].startTime") / 1000
            rates = {}
            for mode in ("packed", "rows"):
                page.evaluate("(packed) => window.asyncfcTimeline.pack(packed)", mode == "packed")
                rates[mode] = frames(page)
                print(f"page: {mode}: {rates[mode]:.1f} frames/s", file=sys.stderr)
            return {
                "open_s": round(opened, 3),
                "frames_per_s": round(min(rates.values()), 1),
                "bytes": path.stat().st_size,
                "chromium": chromium.version,
            }
        finally:
            chromium.close()


def missed(result: Mapping[str, Any]) -> list[str]:
    """Say which targets a result misses."""
    found = []
    if result["open_s"] >= MOST_OPEN_S:
        found.append(f"it takes {result['open_s']} s to open; it must take less than {MOST_OPEN_S} s")
    if result["frames_per_s"] < LEAST_FRAMES:
        found.append(f"it draws {result['frames_per_s']} frames/s; it must draw {LEAST_FRAMES:.0f}")
    return found


@app.command(help=__doc__)
def main(
    calls: Annotated[int, typer.Option(min=1, help="How many calls the run has.")] = 5000,
    out: Annotated[Path | None, typer.Option(help="Keep the page there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")] = False,
) -> None:
    """Make a run, open its page, measure, judge."""
    browser = browser_path()
    if browser is None:
        print(
            "page: no Chromium was found; install one (`make peers`) or name it in CHROMIUM", file=sys.stderr
        )
        raise typer.Exit(2)
    print(f"page: a run of {calls:,} calls", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "timeline.html" if out is None else out.absolute()
        make(calls).timeline(path)
        result = {"calls": calls, **measure(path, browser)}
    faults = missed(result)
    for fault in faults:
        print(f"page: {fault}", file=sys.stderr)
    if not as_json:
        for name, value in result.items():
            print(f"{name:<14} {value}")
    print(json.dumps(result))
    raise typer.Exit(bool(faults))


if __name__ == "__main__":
    app()
