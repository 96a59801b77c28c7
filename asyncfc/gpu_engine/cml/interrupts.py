"""Interrupts: which outcomes wait to be told, and how they are written."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from asyncfc.errors import CallError, ValueDropped
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.plain import encodable, safe_text, shorten
from asyncfc.gpu_engine.cml.markers import END, HEAD, INTR, inert
from asyncfc.gpu_engine.port import Answer

MAX_ERROR_CHARS = 2_000
_NO_ID = re.compile(r"[\s\[\]]+")


@dataclass(frozen=True, slots=True)
class Interrupt:
    """What the model is told of one call."""

    id: str
    value: str
    future: Future | None = None
    """Whose outcome it is; None: no call of the graph."""

    @property
    def text(self) -> str:
        """As it stands in the context; nothing in the value reads as a marker."""
        return f"{INTR} {self.id} {HEAD} {inert(self.value)} {END}"


def error_value(message: str) -> str:
    """A failure, as the value of an interrupt."""
    return json.dumps({"error": shorten(message, MAX_ERROR_CHARS)}, ensure_ascii=False)


@dataclass(slots=True, eq=False)
class Made:
    """A call that was made.

    Args:
        id: by which the model knows it.
        future: its outcome; None: a control call, whose answer is all there is.
        answering: gives the session's answer; what that holds back is not told before. None: it was given.
    """

    id: str
    future: Future | None
    answering: asyncio.Future[list[Answer]] | None = None

    @property
    def held(self) -> bool:
        """Whether the session has not answered yet."""
        return self.answering is not None and not self.answering.done()

    @property
    def over(self) -> bool:
        """Whether it can be told."""
        return not self.held and (self.future is None or self.future.settled)


class Interrupts:
    """The calls of one conversation, and what is to be told of them: first over, first told.

    State: `made` has all calls by id; `_open` those that are not over, `_waiting` what is to be told.

    Args:
        grammar: how handles are written; the model knows calls by their ids instead.
        max_chars: of a value; None: all of it.
    """

    def __init__(self, grammar: HandleGrammar, *, max_chars: int | None = None) -> None:
        self.made: dict[str, Made] = {}
        self._grammar = grammar
        self._max_chars = max_chars
        self._open: dict[Made, None] = {}
        self._waiting: list[Made | Interrupt] = []

    @property
    def handles(self) -> dict[str, str | None]:
        """What stands for the result of each call in arguments, by id."""
        return {name: None if made.future is None else made.future.handle for name, made in self.made.items()}

    @property
    def ready(self) -> bool:
        """Whether something can be told now."""
        return bool(self._waiting)

    @property
    def pending(self) -> list[Made]:
        """The calls that cannot be told yet, oldest first."""
        return list(self._open)

    def add(self, made: Made) -> None:
        """A call was made."""
        self.made[made.id] = made
        self._open[made] = None
        if made.answering is not None:
            made.answering.add_done_callback(lambda _: self._look(made))
        if made.future is not None:
            made.future.add_done_callback(lambda _: self._look(made))

    def adopt(self, owed: Iterable[Future]) -> None:
        """Calls that the model is owed from elsewhere, such as an earlier turn, are told here, too."""
        mine = {made.future for made in self.made.values()}
        for future in owed:
            if future.shown and future not in mine:  # what was never shown is not the model's
                self.add(Made(self._free_id(future.call_id), future))

    def refuse(self, id: str, error: str) -> None:
        """A call was not made; the model is told why."""
        self._waiting.append(Interrupt(id, error_value(error)))

    def take(self) -> list[Interrupt]:
        """All that can be told, first settled first; each once."""
        waiting, self._waiting = self._waiting, []
        return [one if isinstance(one, Interrupt) else self._interrupt(one) for one in waiting]

    def has_more_than(self, owed: Iterable[Future]) -> bool:
        """Whether something can be told that the session does not owe, so that nobody else would tell it."""
        others: set[Future | None] = set(owed)
        return any(one.future not in others for one in self._waiting)

    def _look(self, made: Made) -> None:
        if made.over and made in self._open:
            del self._open[made]
            self._waiting.append(made)

    def _interrupt(self, made: Made) -> Interrupt:
        return Interrupt(made.id, self._value(made), made.future)

    def _value(self, made: Made) -> str:
        """What is told of a call; raises what the session raised instead of answering."""
        names = {str(each.future.handle): name for name, each in self.made.items() if each.future is not None}
        answers = [] if made.answering is None else made.answering.result()
        if made.future is not None and made.future.outcome is not None:
            return value_of(made.future.outcome, names, self._grammar, self._max_chars)
        return renamed(answers[0].text, names, self._grammar)

    def _free_id(self, wanted: str) -> str:
        name = _NO_ID.sub("_", wanted) or "call"
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        return next(each for each in names if each not in self.made)


def value_of(
    outcome: Outcome, names: Mapping[str, str], grammar: HandleGrammar, max_chars: int | None = None
) -> str:
    """The text of an outcome, as the value of an interrupt.

    Args:
        outcome: what became of the call.
        names: the ids of calls by their handles, which the model does not know.
        grammar: how handles are written.
        max_chars: of a value; None: all of it.
    """
    if isinstance(outcome, Value):
        try:
            text = encodable(outcome.text())
        except ValueDropped as dropped:
            outcome = Failure(dropped)
        else:
            return text if max_chars is None else shorten(text, max_chars)
    if not isinstance(outcome, Failure):
        return error_value(f"{type(outcome).__name__}: {renamed(outcome.reason, names, grammar)}")
    message = encodable(safe_text(outcome.error, MAX_ERROR_CHARS))
    if isinstance(outcome.error, CallError):
        message = renamed(message, names, grammar)
    return error_value(f"{type(outcome.error).__name__}: {message}")


def renamed(text: str, names: Mapping[str, str], grammar: HandleGrammar) -> str:
    """A text of the runtime with ids in place of handles."""
    return grammar.mention.sub(lambda found: names.get(found[0], found[0]), text)
