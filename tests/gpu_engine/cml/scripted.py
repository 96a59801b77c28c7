"""A model that says what it is told to, on a row without an engine, in tokens of any size.

    script = "[CALL] c1 [HEAD] get(key=1) [END][TRAP][END]", lambda told: f"It is {told['c1']}."
    played = play(*script, tools=[get])

Every token costs one second of virtual time.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

from asyncfc.gpu_engine.cml.chat import CmlChat, CmlSettings
from asyncfc.gpu_engine.events import Done, Event, Injected
from asyncfc.gpu_engine.rows import Row
from asyncfc.gpu_engine.sequence import Sequence as Tokens
from asyncfc.gpu_engine.sessions import conversation_of
from asyncfc.session import Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool

PROMPT = "user: go\nassistant: "
STOP = "\0"
"""The end of the turn, inside a script."""
STEP = 1.0
"""Seconds that a token takes."""
INTERRUPT = re.compile(r"\[INTR\] (\S+) \[HEAD\] (.*?) \[END\]", re.DOTALL)
BLOCK = re.compile(r"\[CALL\].*?\[END\]|\[TRAP\]\s*\[END\]|<think>.*?</think>", re.DOTALL)
OPENINGS = ("[CALL]", "[TRAP]", "[INTR]", "<think>")

Told: TypeAlias = Mapping[str, str]
Piece: TypeAlias = "str | Callable[[Told], str]"
_T = TypeVar("_T")


class Format:
    """Tokens are texts of any size; with `specials` those are one token each, as in a real vocabulary."""

    def __init__(self, specials: Iterable[str] = ()) -> None:
        self.texts = [STOP]
        self.stop_ids = frozenset({0})
        self.specials = {text: self.token(text) for text in specials}

    def token(self, text: str) -> int:
        """The token that is spelled like this."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def encode(self, text: str) -> list[int]:
        """Character by character, so that no special token arises."""
        return [self.token(char) for char in text]

    def decode(self, tokens: Sequence[int]) -> str:
        """All of them as they are spelled."""
        return "".join(self.texts[token] for token in tokens)

    def token_id(self, text: str) -> int | None:
        """Of a special token."""
        return self.specials.get(text)

    def said(self, text: str, *, ended: bool) -> list[int]:
        """A turn of a user."""
        return self.encode(("" if ended else STOP) + f"user: {text}\nassistant: ")


class ScriptedRow:
    """A row whose model follows a script.

    Args:
        format: the tokens.
        script: pieces of text; a function makes one of what the model has been told by then.
        cut: how many characters the next token takes, given the text to come.
        room: how many tokens fit.
    """

    def __init__(self, format: Format, script: Sequence[Piece], cut: Callable[[str], int], room: int) -> None:
        self.format = format
        self.sequence = Tokens(0, format.encode(PROMPT))
        self.changes: list[str] = []
        """What the model had written when something was injected, each time."""
        self.written = ""
        self._script = list(script)
        self._cut = cut
        self._size = len(self.sequence) + room
        self._coming = ""

    @property
    def tokens(self) -> list[int]:
        return self.sequence.tokens

    @property
    def room(self) -> int:
        return self._size - len(self.sequence)

    @property
    def turn(self) -> str:
        """What stands behind the prompt."""
        return self.format.decode(self.tokens)[len(PROMPT) :]

    async def sample(self) -> int:
        await asyncio.sleep(STEP)
        text = self._next()
        self.written += text
        token = self.format.token(text)
        self.sequence.append_sampled(token)
        return token

    def append(self, tokens: Sequence[int]) -> None:
        self.changes.append(self.written)
        self.sequence.append_forced(tokens)

    def replace(self, start: int, stop: int, tokens: Sequence[int]) -> None:
        if "[!INTR]" not in self.format.decode(tokens):  # else a marker was taken back
            self.changes.append(self.written)
        self.sequence.replace(start, stop, tokens)

    def _next(self) -> str:
        while not self._coming:
            if not self._script:
                return STOP
            piece = self._script.pop(0)
            self._coming = piece if isinstance(piece, str) else piece(dict(told_in(self.turn)))
        before, stop, _ = self._coming.partition(STOP)
        if stop and not before:
            size = 1
        else:
            special = next((text for text in self.format.specials if before.startswith(text)), None)
            size = len(special) if special else max(1, min(self._cut(before), len(before)))
        text, self._coming = self._coming[:size], self._coming[size:]
        return text


def told_in(text: str) -> list[tuple[str, str]]:
    """The interrupts in a text: ids and values."""
    return INTERRUPT.findall(text)


def is_clean(written: str) -> bool:
    """Whether what the model has written ends outside all blocks and thoughts, and in no half delimiter."""
    rest = BLOCK.sub(" ", written)
    halves = (opening[:size] for opening in OPENINGS for size in range(1, len(opening)))
    return not any(opening in rest for opening in OPENINGS) and not rest.endswith(tuple(halves))


def sized(size: int) -> Callable[[str], int]:
    """All tokens of one size."""
    return lambda _: size


def jumbled(seed: int, most: int = 12) -> Callable[[str], int]:
    """Tokens of random sizes."""
    rng = random.Random(seed)
    return lambda _: rng.randint(1, most)


@dataclass(slots=True)
class Played:
    """How a conversation went."""

    done: Done
    row: ScriptedRow
    events: list[Event] = field(default_factory=list)

    @property
    def turn(self) -> str:
        return self.row.turn

    @property
    def told(self) -> list[tuple[str, str]]:
        return told_in(self.row.turn)

    @property
    def told_ids(self) -> list[str]:
        return [each for each, _ in self.told]

    @property
    def injected(self) -> list[Injected]:
        return self.of(Injected)

    def of(self, kind: type[_T]) -> list[_T]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


async def converse(
    session: Session,
    *script: Piece,
    format: Format | None = None,
    cut: Callable[[str], int] | None = None,
    room: int = 10_000,
    cml: CmlSettings | None = None,
    messages: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "go"},),
    **settings: Any,
) -> Played:
    """One turn in a session; settings are the dialogue's."""
    row = ScriptedRow(format or Format(), script, cut or sized(1), room)
    conversation = conversation_of(session, {"control": False, **settings})
    events: list[Event] = []
    chat = CmlChat(conversation, row.format, cast("Row", row), messages, cml or CmlSettings(), events.append)
    return Played(await chat.run(), row, events)


@asynccontextmanager
async def opened(tools: Any, **settings: Any) -> AsyncIterator[Session]:
    """A session that keeps to what tools declare."""
    async with Session(tools, id="cml", **settings) as session:
        yield session


def play(*script: Piece, tools: Any, session: Mapping[str, Any] | None = None, **settings: Any) -> Played:
    """One turn in a session of its own, on virtual time."""

    async def main() -> Played:
        async with opened(tools, **(session or {})) as made:
            return await converse(made, *script, **settings)

    return run_virtual(main)


class Clock:
    """Tools that take so long, and what they were called with.

    - `calls`: tool and resolved arguments, in order of starts; `ends`: the values in the order of ends.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[Any] = []

    def tool(
        self, name: str, value: Callable[..., Any], seconds: Callable[..., float], **effects: Any
    ) -> Any:
        """A tool that takes any keyword arguments; pure unless effects are given."""

        async def perform(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            await asyncio.sleep(seconds(**arguments))
            result = value(**arguments)
            if isinstance(result, BaseException):
                raise result
            self.ends.append(result)
            return result

        return Tool(perform, name=name, effects=effects or {"pure": True})
