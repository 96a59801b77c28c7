"""A scripted host that works on hundreds of files: the same program with values, and with handles."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client

from asyncfc import Call, Session
from tests.adapters.mcp.memory import handle, text

EFFECTS: dict[str, dict[str, Any]] = {
    "write_file": {"writes": "fs:{path}"},
    "edit_file": {"writes": "fs:{path}"},
    "create_directory": {"writes": "fs:{path}"},
    "move_file": {"writes": ["fs:{source}", "fs:{destination}"]},
    "read_text_file": {"reads": "fs:{path}"},
    "list_directory": {"reads": "fs:{path}"},
}


@dataclass
class Step:
    """One call; strings with `{n}` in `arguments` mean the text of step n."""

    tool: str
    arguments: dict[str, Any]


def program(root: Path, seed: int, steps: int) -> list[Step]:
    """Random work that never fails when it is done step by step."""
    choose = random.Random(seed)
    folders = [f"{root}/d{n}" for n in range(4)]
    made = [Step("create_directory", {"path": folder}) for folder in folders]
    files: dict[str, str] = {}
    texts: list[int] = []
    for number in range(steps):
        kind = choose.choice(["write", "write", "copy", "read", "edit", "move", "list"])
        if kind == "write" or not files:
            path = f"{choose.choice(folders)}/f{choose.randrange(steps // 3)}.txt"
            made.append(Step("write_file", {"path": path, "content": f"old {number}\n"}))
            files[path] = "old"
        elif kind == "copy" and texts:
            path = f"{choose.choice(folders)}/c{number}.txt"
            source = choose.choice(texts)
            made.append(Step("write_file", {"path": path, "content": f"copy {number} of <{{{source}}}>\n"}))
            files[path] = "copy"
        elif kind == "edit" and "old" in files.values():
            path = choose.choice(sorted(one for one, kind in files.items() if kind == "old"))
            edit = {"oldText": "old", "newText": f"new {number}"}
            made.append(Step("edit_file", {"path": path, "edits": [edit]}))
            files[path] = "new"
        elif kind == "move":
            source_path = choose.choice(sorted(files))
            target = f"{choose.choice(folders)}/m{number}.txt"
            made.append(Step("move_file", {"source": source_path, "destination": target}))
            files[target] = files.pop(source_path)
        elif kind == "list":
            texts.append(len(made))
            made.append(Step("list_directory", {"path": choose.choice(folders)}))
        else:
            texts.append(len(made))
            made.append(Step("read_text_file", {"path": choose.choice(sorted(files))}))
    return made


async def run_steps(client: Client, steps: list[Step], show: Callable[[Any], str]) -> None:
    """Make the calls one after the other, with what `show` makes of the answers they need."""
    shown: dict[int, str] = {}
    for number, step in enumerate(steps):
        result = await client.call_tool(step.tool, _filled(step.arguments, shown))
        assert not result.is_error, (step, text(result))
        shown[number] = show(result)


async def run_messages(session: Session, steps: list[Step], size: int) -> int:
    """Make the calls in messages of so many: what one needs of its own message it names by `$this_k`.

    Returns how many did.
    """
    shown: dict[int, str] = {}
    named = 0
    for first in range(0, len(steps), size):
        message = steps[first : first + size]
        here = {first + k: f"${{this_{k + 1}}}" for k in range(len(message))}
        calls = [
            Call(f"c{first + k}", step.tool, _filled(step.arguments, shown | here))
            for k, step in enumerate(message)
        ]
        named += sum("${this_" in str(call.arguments) for call in calls)
        for number, answer in enumerate(await session.submit(calls), first):
            shown[number] = f"${{{str(answer.future)[1:]}}}"
    return named


def value(result: Any) -> str:
    """What a program of today uses: the text."""
    return text(result)


def braced(result: Any) -> str:
    """What a model writes into a text: the handle, or the value where it came at once."""
    return f"${{{handle(result)[1:]}}}" if text(result).startswith("$") else text(result)


def _filled(arguments: Any, shown: dict[int, str]) -> Any:
    if isinstance(arguments, dict):
        return {key: _filled(item, shown) for key, item in arguments.items()}
    if isinstance(arguments, list):
        return [_filled(item, shown) for item in arguments]
    if isinstance(arguments, str) and "<{" in arguments:
        before, rest = arguments.split("<{", 1)
        number, after = rest.split("}>", 1)
        return f"{before}<{shown[int(number)]}>{after}"
    return arguments


def tree(root: Path) -> dict[str, str]:
    """All files below a folder, and what is in them."""
    return {
        str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()
    }
