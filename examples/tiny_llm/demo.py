"""`python -m examples.tiny_llm.demo`: a real transformer and slow tools, with and without futures.

The model in the box, trained on synchronous transcripts only, decodes the same task twice. First every
answer is a value, and decoding stops for each tool. Then every answer is a handle: the model passes it on,
goes on, and is trapped only where people would read a handle.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text as Rich
from transformers import AutoModelForCausalLM, AutoTokenizer

from asyncfc import Session, Tool
from asyncfc.conversation.wording import Wording
from asyncfc.gpu_engine import Called, Done, Engine, Event, Injected, Resumed, Substituted, Text, Trapped
from asyncfc.trace.trace import Trace
from examples.tiny_llm.language import Task, task, tools

MODEL = Path(__file__).parent / "first"
PAGE = Path("build") / "timeline.html"
WIDTH = 64
"""Characters of a timeline."""


@dataclass
class Run:
    """What happened in one run. Times are in seconds from its start."""

    title: str
    start: float = 0.0
    end: float = 0.0
    lines: list[Rich] = field(default_factory=list)
    bars: list[tuple[str, float, float]] = field(default_factory=list)
    """What a tool did: its name, from when, until when."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When decoding stood still."""
    text: str = ""
    trace: Trace = field(default_factory=Trace)


def slow(tool: Callable[..., Any], seconds: float, run: Run) -> Tool:
    """The tool, taking so long, and writing down when it ran."""

    @functools.wraps(tool)
    async def slowed(**arguments: Any) -> Any:
        begin = time.monotonic()
        await asyncio.sleep(seconds)
        run.bars.append((tool.__name__, begin - run.start, time.monotonic() - run.start))
        return tool(**arguments)

    return Tool(slowed, effects="pure")


def tell(run: Run, event: Event) -> None:
    """Write down what an event says, for people."""
    match event:
        case Called(tool=name, arguments=arguments):
            shown = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
            run.lines.append(Rich(f"call    {name} {shown}", "cyan"))
        case Injected(text=text):
            run.lines += [Rich(f"answer  {line}", "yellow") for line in text.splitlines()]
        case Trapped(at=at, handles=handles):
            run.waits.append((at - run.start, at - run.start))
            run.lines.append(Rich(f"trapped {' '.join(handles)}", "red"))
        case Resumed(at=at):
            run.waits[-1] = (run.waits[-1][0], at - run.start)
        case Substituted(handle=handle, text=text):
            run.lines.append(Rich(f"value   {text} for {handle}", "magenta"))
        case Done(text=text):
            run.text = text
            run.lines += [Rich(f"says    {line}", "bold green") for line in text.splitlines()]
        case Text():
            pass


async def play(engine: Engine, wanted: Task, seconds: float, run: Run, grace: float) -> Run:
    """Decode the task once."""
    run.start = time.monotonic()
    made = [slow(tool, seconds, run) for tool in tools(wanted)]
    wording = Wording(placeholder="{handle}")  # so small a model reads no sentences
    async with Session(made, id="demo", grace=grace, wording=wording, on_event=run.trace) as session:
        chat = engine.chat(wanted.messages, session, note=False, final="substitute", max_new_tokens=600)
        async with aclosing(chat):
            async for event in chat:
                tell(run, event)
        run.end = time.monotonic() - run.start
        engine.release(session)
    return run


def timeline(run: Run, scale: float) -> Rich:
    """The run as bars, all runs to one scale (seconds per character)."""

    def bar(spans: Iterable[tuple[float, float]], mark: str, style: str) -> Rich:
        cells = [" "] * WIDTH
        for begin, end in spans:
            for place in range(int(begin / scale), max(int(begin / scale) + 1, round(end / scale))):
                cells[min(place, WIDTH - 1)] = mark
        return Rich("".join(cells), style)

    lanes = [("model", bar(_decoding(run), "█", "green"))]
    lanes += [(name, bar([(begin, end)], "▒", "cyan")) for name, begin, end in sorted(run.bars, key=_begin)]
    drawn = Rich()
    for name, cells in lanes:
        drawn.append(f"{name:<12} ").append(cells).append("\n")
    return drawn.append(f"{run.title}: {run.end:.2f} s", "bold")


def _begin(bar: tuple[str, float, float]) -> float:
    return bar[1]


def _decoding(run: Run) -> list[tuple[float, float]]:
    """When decoding did not stand still."""
    edges = [0.0, *(edge for wait in run.waits for edge in wait), run.end]
    return list(zip(edges[::2], edges[1::2], strict=True))


@asynccontextmanager
async def engine_of(folder: Path) -> AsyncIterator[Engine]:
    """The engine on the model of a folder."""
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with Engine(model, AutoTokenizer.from_pretrained(folder), slots=1, context_tokens=2_048) as engine:
        yield engine


async def main(seed: int, seconds: float) -> bool:
    """Play the task of this seed both ways and show them side by side; whether both answers are right."""
    wanted = task(seed)
    async with engine_of(MODEL) as engine:
        await play(engine, wanted, 0.0, Run("warm-up"), 0.0)
        without = await play(engine, wanted, seconds, Run("without futures"), 1e9)
        with_them = await play(engine, wanted, seconds, Run("with futures"), 0.0)
    console = Console(width=max(Console().width, 150))
    console.print(Panel(wanted.text, title=f"the task; each tool takes {seconds:g} s"))
    runs = (without, with_them)
    console.print(Columns([Panel(Rich("\n").join(run.lines), title=run.title, width=74) for run in runs]))
    scale = max(run.end for run in runs) / WIDTH
    for run in runs:
        console.print(timeline(run, scale), "")
    PAGE.parent.mkdir(exist_ok=True)
    with_them.trace.timeline(PAGE)
    console.print(
        f"{with_them.trace.report}\nThe whole of it, to look at in a browser: {PAGE}\n", highlight=False
    )
    right = all(wanted.check(run.text) for run in runs)
    console.print(f"{without.end / with_them.end:.2f} times as fast; both answers right: {right}")
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=3, help="of the task")
    parser.add_argument("--seconds", type=float, default=0.5, help="that each tool takes")
    given = parser.parse_args()
    raise SystemExit(0 if asyncio.run(main(given.seed, given.seconds)) else 1)
