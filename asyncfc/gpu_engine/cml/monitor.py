"""Monitor: reads a turn in CML, however its text falls into tokens.

    normal -[CALL]-> id -[HEAD]-> body -[END]-> normal
    normal -[TRAP]-> trap -[END]-> normal
    normal -<think>-> thinking -</think>-> normal

Only what the model has sampled is fed to it; what the runtime injects never is. So no text can pass for a
result here: there is no state for results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from asyncfc.gpu_engine.cml.markers import (
    CALL,
    END,
    HEAD,
    INERT_INTR,
    INTR,
    THINK,
    TRAP,
    UNTHINK,
    held_back,
)

_OPENING = re.compile("|".join(map(re.escape, (CALL, TRAP, THINK))))
_IN_ID = re.compile("|".join(map(re.escape, (HEAD, END, CALL, TRAP))))
_IN_BODY = re.compile("|".join(map(re.escape, (END, CALL, TRAP))))
_IN_NORMAL = (CALL, TRAP, INTR, THINK)
_IN_THOUGHT = (UNTHINK, INTR)
_ID = re.compile(r"[^\s\[\]]{1,64}")


@dataclass(frozen=True, slots=True)
class Text:
    """Words for people, layout included."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning; nothing in it counts."""

    text: str


@dataclass(frozen=True, slots=True)
class CmlCall:
    """A complete call; its code has not been read yet."""

    id: str
    code: str
    raw: str


@dataclass(frozen=True, slots=True)
class CmlTrap:
    """The model waits for what it has called."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A call that is none. `id`: what the model may have meant by it; `reason`: in words for the model."""

    raw: str
    reason: str
    id: str


Part: TypeAlias = Text | Thought | CmlCall | CmlTrap | Malformed
State: TypeAlias = Literal["normal", "thinking", "id", "body", "trap"]


class Monitor:
    """Reads one turn.

    State: `_held` is text that is not understood yet; in a block it is all of the block so far.

    Args:
        thinking: the prompt has begun a thought.
    """

    __slots__ = ("_head", "_held", "forged", "state")

    def __init__(self, *, thinking: bool = False) -> None:
        self.state: State = "thinking" if thinking else "normal"
        self.forged = 0
        """How often the model has written `[INTR]`; each stands as inert text instead."""
        self._held = ""
        self._head = 0  # where the code of the call begins in `_held`

    @property
    def clean(self) -> bool:
        """Whether an interrupt may enter: outside any block and thought, with nothing held back (G2)."""
        return self.state == "normal" and not self._held

    @property
    def closing(self) -> str:
        """What closes the block or thought that is open; "" if none is."""
        return {"normal": "", "thinking": UNTHINK}.get(self.state, END)

    def feed(self, text: str) -> list[Part]:
        """Take more text of the model; return what is certain by now."""
        self._held += text
        if INTR in self._held:  # what may become one is held back in every state
            self.forged += self._held.count(INTR)
            self._held = self._held.replace(INTR, INERT_INTR)
        parts: list[Part] = []
        while (found := self._next()) is not None:
            parts += found
        return _joined(parts)

    def finish(self) -> list[Part]:
        """The turn has ended: return what was held back, and a call that never ended as malformed."""
        held, state = self._held, self.state
        self._held, self.state = "", "normal"
        match state:
            case "id" | "body":
                return [Malformed(held, f"the turn ended before its {END}", _name(held))]
            case "thinking":
                return [Thought(held)] if held else []
            case "normal" if held:
                return [Text(held)]
        return []

    def _next(self) -> list[Part] | None:
        """The parts of the next step; None: no step can be made yet."""
        match self.state:
            case "normal":
                return self._words()
            case "thinking":
                return self._thought()
            case "id":
                return self._id()
            case "body":
                return self._body()
            case "trap":
                return self._trap()

    def _words(self) -> list[Part] | None:
        found = _OPENING.search(self._held)
        if found is None:
            text = self._let_go(_IN_NORMAL)
            return [Text(text)] if text else None
        text = self._held[: found.start()]
        marker = found[0]
        self.state = "id" if marker == CALL else "trap" if marker == TRAP else "thinking"
        self._held = self._held[found.end() if marker == THINK else found.start() :]
        return [Text(text)] if text else []

    def _thought(self) -> list[Part] | None:
        text, end, rest = self._held.partition(UNTHINK)
        if not end:
            text = self._let_go(_IN_THOUGHT)
            return [Thought(text)] if text else None
        self._held, self.state = rest, "normal"
        return [Thought(text)] if text else []

    def _id(self) -> list[Part] | None:
        found = _IN_ID.search(self._held, len(CALL))
        if found is None:
            return None
        if found[0] != HEAD:
            return self._broken(found, f"there is no {HEAD} in it")
        self._head, self.state = found.end(), "body"
        return []

    def _body(self) -> list[Part] | None:
        found = _IN_BODY.search(self._held, self._head)
        if found is None:
            return None
        if found[0] != END:
            return self._broken(found, f"{found[0]} came before its {END}")
        name = self._held[len(CALL) : self._head - len(HEAD)].strip()
        if not _ID.fullmatch(name):
            return self._broken(found, f"its id is {name[:80]!r}; expected one short word, such as c1")
        code = self._held[self._head : found.start()].strip()
        return [CmlCall(name, code, self._close(found.end()))]

    def _trap(self) -> list[Part] | None:
        rest = self._held[len(TRAP) :].lstrip()
        if END.startswith(rest[: len(END)]) and len(rest) < len(END):
            return None
        # A trap whose [END] is missing waits all the same.
        self._close(len(self._held) - len(rest) + (len(END) if rest.startswith(END) else 0))
        return [CmlTrap()]

    def _broken(self, found: re.Match[str], reason: str) -> list[Part]:
        """A call that is none; a marker that opens the next block belongs to that."""
        raw = self._close(found.end() if found[0] == END else found.start())
        return [Malformed(raw, reason, _name(raw))]

    def _close(self, end: int) -> str:
        raw, self._held = self._held[:end], self._held[end:]
        self.state = "normal"
        return raw

    def _let_go(self, delimiters: tuple[str, ...]) -> str:
        size = len(self._held) - held_back(self._held, delimiters)
        text, self._held = self._held[:size], self._held[size:]
        return text


def _name(raw: str) -> str:
    """What the model may have meant as the id of a broken call."""
    found = _ID.match(raw.removeprefix(CALL).lstrip())
    return found[0] if found else "?"


def _joined(parts: list[Part]) -> list[Part]:
    return list(_merge(parts))


def _merge(parts: list[Part]) -> Iterator[Part]:
    """Make one of neighbouring words of a kind."""
    last: Part | None = None
    for part in parts:
        if isinstance(last, Text | Thought) and type(part) is type(last):
            last = type(last)(last.text + part.text)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last
