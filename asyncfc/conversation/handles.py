"""Handles in the texts of a conversation: what the model says to people, who cannot read them (D5, P21)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from asyncfc.conversation.wording import Wording
from asyncfc.errors import BadReference, UnknownHandle, UnresolvedPath, ValueDropped
from asyncfc.futures.future import Future, wait_settled
from asyncfc.futures.handle import MAX_PATH_CHARS, Path, number_of, read_path
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.plain import canonical_text, encodable
from asyncfc.futures.reference import MAX_CHARS, futures_of, scan, substitute
from asyncfc.futures.retention import Dropped
from asyncfc.futures.store import parse_container
from asyncfc.futures.table import FutureTable
from asyncfc.futures.upstream import upstream_failed


class Handles:
    """The handles of one session in the texts of its conversation. They may be read in any thread."""

    def __init__(self, table: FutureTable, wording: Wording) -> None:
        self._table = table
        self._wording = wording

    @property
    def any_shown(self) -> bool:
        """Whether there are any."""
        return len(self._table) > 0

    def mentioned(self, text: str) -> list[Future]:
        """The known futures whose handles stand in a text, each once, in order; escaped ones do not count."""
        found = (_known(match, self._table) for match in self._table.grammar.mention.finditer(text))
        return list(dict.fromkeys(future for future in found if future is not None))

    def may_mention(self, text: str) -> bool:
        """Whether a handle of this session stands in a text, escaped or not, or may begin at its end."""
        return self.any_shown and self._table.grammar.may_mention(text, self._table.tag)

    def escape(self, text: str) -> str:
        """A text of a person or a tool for the model: what reads as a handle in it is inert (DESIGN H2)."""
        return self._table.grammar.escape(text, self._table.tag)

    async def resolve(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call that others make, once the handles in them have values, with these.

        Raises:
            UnknownHandle, BadReference: a handle that was never shown, or that does not fit where it stands.
            UpstreamFailed: what a handle stands for has no value.
            UnresolvedPath: the value has no such part.
        """
        scanned, sites = scan(dict(arguments), self._table.grammar, self._table.lookup)
        needed = sorted(futures_of(sites), key=lambda future: future.order)
        await wait_settled(needed)
        for future in needed:
            if not isinstance(future.outcome, Value):
                raise upstream_failed(future, "the call")
        return substitute(scanned, sites) if sites else scanned

    def fill(self, text: str) -> str:
        """A final answer of the model, as people read it: the value in place of each known handle.

        Where there is no value, or no such part of it, the text says so and names the tool. Escapes are
        undone, and handles of other conversations stay. Since nobody is left to correct it, what would be
        refused in an argument is taken as it is meant most likely: a handle that touches a word is
        replaced all the same.
        """
        grammar = self._table.grammar
        filler = _Filler(self._wording)
        parts: list[str] = []
        done = 0
        for match in grammar.mention.finditer(text):
            if match.start() < done:
                continue  # inside a quoted key of the path before
            future = _known(match, self._table)
            if match[1]:
                parts.append(text[done : match.start()])
                done = match.start() + len(grammar.sigil)
            elif future is not None:
                value, end = filler.replace(future, match)
                parts += (text[done : match.start()], value)
                done = end
        return "".join((*parts, text[done:]))


def _known(match: re.Match[str], table: FutureTable) -> Future | None:
    try:
        return None if match[1] else table.lookup(match[3], number_of(match[4]))
    except UnknownHandle:
        return None


class _Filler:
    """Makes the texts for one final answer, and counts what it inserts."""

    __slots__ = ("_room", "_wording")

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._room = MAX_CHARS

    def replace(self, future: Future, match: re.Match[str]) -> tuple[str, int]:
        """What stands for a mention, and where the mention ends."""
        text, end = match.string, match.end()
        path, length = _read(text[end : end + MAX_PATH_CHARS])
        if match[2] and text.startswith("}", end + length):
            return self._value(future, path), end + length + 1
        is_all = match.start() == 0 and end + length == len(text)
        if path and (is_all or _has_parts(future.outcome)):  # else it is a full stop, and what follows
            return self._value(future, path), end + length
        return self._value(future, ()), end

    def _value(self, future: Future, path: Path) -> str:
        outcome = future.outcome
        if not isinstance(outcome, Value):
            return self._wording.missing(future.tool, outcome)
        try:
            text = encodable(canonical_text(outcome.at(path)) if path else outcome.text())
        except ValueDropped as dropped:
            return self._wording.missing(future.tool, Failure(dropped))
        except UnresolvedPath:
            return self._wording.missing(future.tool, outcome)
        self._room -= len(text)
        if self._room < 0:
            return self._wording.unavailable.format(tool=future.tool, reason=self._wording.because_too_long)
        return text


def _read(text: str) -> tuple[Path, int]:
    try:
        return read_path(text)
    except BadReference:  # an endless one
        return (), 0


def _has_parts(outcome: Outcome | None) -> bool:
    """Whether a path can lead into a value: text may hold an object or array, too."""
    if not isinstance(outcome, Value) or outcome.is_artifact or isinstance(outcome, Dropped):
        return False
    value = outcome.get()
    return isinstance(parse_container(value) if isinstance(value, str) else value, dict | list)
