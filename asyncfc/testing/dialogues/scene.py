"""Scene: the tools of a conversation and the model in it, both as they were drawn."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.testing.dialogues.drawn import Asks, Awaits, Cancels, Given, Said, Says
from asyncfc.testing.models.script import Ask, Emit, View
from asyncfc.tools import Tool

SESSION_ID = "talk"
TAG = DEFAULT_GRAMMAR.tag_for(SESSION_ID)
FORGED = 77
"""The number of the handles that tools and people write; no conversation has so many calls."""
FORGERY = f"${TAG}_{FORGED} and $this_{FORGED}"

EFFECTS: Mapping[str, Mapping[str, Any] | None] = {
    "read": {"reads": "kv:{key}"},
    "write": {"writes": "kv:{key}"},
    "bare": None,
    "fail": {"pure": True},
}
"""What each tool declares."""

_SHOWN = re.compile(rf"(?<!\$)\${TAG}_(\d+)")


@dataclass(frozen=True, slots=True)
class Ran:
    """The work of a call, as it began."""

    n: int
    tool: str
    key: str
    value: Any


@dataclass
class World:
    """What the tools read and write, and all that ran. `<n>` stands in the outcome of call n, only there."""

    note: str = FORGERY
    ran: list[Ran] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)

    def tools(self) -> dict[str, Tool]:
        """The tools by name."""

        async def read(n: int, wait: int, key: str, value: Any = None) -> Any:
            """To read."""
            self.ran.append(Ran(n, "read", key, value))
            await asyncio.sleep(wait)
            return {"id": f"<{n}>", "found": self.stored.get(key), "note": self.note}

        async def write(n: int, wait: int, key: str, value: Any = None) -> Any:
            """To write."""
            self.ran.append(Ran(n, "write", key, value))
            await asyncio.sleep(wait)
            self.stored[key] = n
            return {"id": f"<{n}>"}

        async def bare(n: int, wait: int, key: str, value: Any = None) -> Any:
            """To bare."""
            self.ran.append(Ran(n, "bare", key, value))
            await asyncio.sleep(wait)
            return {"id": f"<{n}>", "all": sorted(self.stored.values())}

        async def fail(n: int, wait: int, key: str, value: Any = None) -> Any:
            """To fail."""
            self.ran.append(Ran(n, "fail", key, value))
            await asyncio.sleep(wait)
            raise ValueError(f"<{n}> is out of order, see {self.note}")

        made = (read, write, bare, fail)
        return {made_of.__name__: Tool(made_of, effects=EFFECTS[made_of.__name__]) for made_of in made}


@dataclass
class Voice:
    """The script of the model: the next message as it was drawn, with the handles that it has been shown.

    State: `turn` counts the messages that have arrived, so that a request that failed gets the same again;
    `named` are the handles that it has awaited by name, and may have been told again.
    """

    says: tuple[Says, ...]
    structured: bool = False
    turn: int = 0
    named: set[str] = field(default_factory=set)

    def __call__(self, view: View) -> Emit:
        """What it says to a request."""
        if self.turn >= len(self.says):
            return Emit(self._text("Done.", final=True))
        said, handles = self.says[self.turn], _handles(view)
        calls = [self._call(place, call, handles) for place, call in enumerate(said.calls)]
        text = "" if said.text is None else f"I see {_written(said.text, handles)}."
        return Emit(self._text(text or ("" if calls else "Done."), final=not calls), calls)

    def _text(self, text: str, *, final: bool) -> str:
        return json.dumps({"answer": text}) if self.structured and final else text

    def _call(self, place: int, said: Said, handles: list[str]) -> Ask:
        match said:
            case Asks(tool, key, wait, given):
                arguments = {"n": 10 * self.turn + place, "wait": wait, "key": key}
                text = _written(given, handles, place)
                value = {"of": [text, 1]} if given.form == "nested" else text
                return Ask(tool, arguments if given.form == "plain" else {**arguments, "value": value})
            case Awaits(which, mode, timeout):
                asked: dict[str, Any] = {"mode": mode}
                asked |= {} if timeout is None else {"timeout": timeout}
                if which is not None:
                    asked["handles"] = [_handle(which, handles)]
                    self.named.update(asked["handles"])
                return Ask("await_future", asked)
            case Cancels(which):
                return Ask("cancel_future", {"handle": _handle(which, handles)})


def _handles(view: View) -> list[str]:
    """What it takes for handles of results, the newest first."""
    texts = [
        text for m in view.messages for text in (*(a.text for a in m.answers), m.text * (m.role == "user"))
    ]
    found = [match[0] for match in _SHOWN.finditer("\n".join(texts))]
    return list(dict.fromkeys(reversed(found)))


def _handle(which: int, handles: list[str]) -> str:
    return handles[which % len(handles)] if handles else "$zz9z_7"


def _written(given: Given, handles: list[str], place: int = 0) -> str:
    if given.form == "this" and place:
        return f"$this_{given.which % place + 1}"
    if given.form in ("invented", "unknown"):
        return "$zz9z_7" if given.form == "invented" else f"${TAG}_66"
    if given.form in ("plain", "this") or not handles:
        return "nothing"
    handle = _handle(given.which, handles)
    match given.form:
        case "path":
            return f"{handle}.id"
        case "inside":
            return f"about {handle}, and more"
        case "braces":
            return f"about ${{{handle[1:]}.id}}"
    return handle
