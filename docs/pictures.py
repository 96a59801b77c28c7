"""Make the pictures of the README and the docs, from real runs: `python docs/pictures.py`.

Most come from the pages themselves: after a block that follows `<!-- picture: NAME -->`, the page's `trace`
is drawn as `docs/pictures/NAME.svg`. Two more runs are here. All clocks are virtual, so the pictures are
always the same.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import runpy
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from asyncfc import Session, run
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import model_of
from asyncfc.trace.picture import picture
from asyncfc.trace.trace import Trace

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = (DOCS / "concepts.md", DOCS / "trace.md")
_BLOCK = re.compile(r"^(?:<!-- picture: (\S+) -->\n)?```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def of_page(page: Path) -> Iterator[tuple[str, Trace]]:
    """Run the blocks of a page as its reader would, and give the traces that are to be drawn."""
    names: dict[str, Any] = {"__name__": f"docs.{page.stem}"}
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        name, line = match[1], text.count("\n", 0, match.start(2))
        source = "\n" * line + match[2]  # so that a traceback names the line of the page
        code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, names)  # noqa: S307 (the pages are ours)
        if inspect.iscoroutine(result):
            run_virtual(result)
        if name:
            yield name, names["trace"]


async def loop() -> Trace:
    """The run of `examples/openai_loop.py`: messages of 0.2 s, tools of 0.5 s."""

    async def find_flight(city: str) -> str:
        await asyncio.sleep(0.5)
        return f"LX340 to {city}"

    async def find_weather(city: str) -> str:
        await asyncio.sleep(0.5)
        return f"rain in {city}"

    async def book(flight: str, note: str) -> str:
        await asyncio.sleep(0.5)
        return f"booked {flight}, {note}"

    example = runpy.run_path(str(ROOT / "examples" / "openai_loop.py"))
    scripted, trace = model_of(example["script"], decode=0.2), Trace()

    async def model(messages: list[Any], tools: list[Any]) -> Any:
        return await scripted({"model": "m", "messages": messages, "tools": tools})

    question = {"role": "user", "content": "Book the cheapest flight to London, and note the weather there."}
    tools: list[Any] = [find_flight, find_weather, book]
    await run(model, [question], tools, effects={"find_*": "read"}, on_event=trace)
    return trace


def trap() -> Trace:
    """A task of the model in the box, by the engine: 20 ms for a token, tools of 2 s."""
    from benchmarks.tiny import BARE, MAX_NEW_TOKENS, engine, slow
    from examples.tiny_llm.language import task, tools

    wanted = task(3)

    async def wait(_: str, arguments: dict[str, Any]) -> None:
        await asyncio.sleep(2)

    async def converse() -> Trace:
        async with Session(slow(tools(wanted), wait), id="docs", wording=BARE, trace=True) as session:
            chat = decoder.chat(
                wanted.messages, session, note=False, final="substitute", max_new_tokens=MAX_NEW_TOKENS
            )
            async with aclosing(chat):
                async for _ in chat:
                    pass
        return session.trace

    with engine("first", slots=1, seconds=lambda _: 0.02) as decoder:
        return run_virtual(converse())


def pictures() -> Iterator[tuple[str, str]]:
    """Give all of them: the name of the file, and what is in it."""
    runs = [one for page in PAGES for one in of_page(page)]
    for name, trace in [("loop", run_virtual(loop())), ("trap", trap()), *runs]:
        yield f"{name}.svg", picture(trace.report)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    folder = DOCS / "pictures"
    folder.mkdir(exist_ok=True)
    for file, text in pictures():
        (folder / file).write_text(text, encoding="utf-8")
        print(file)
