"""Shadow: what was put into requests and does not stand in the list of messages that they are made from.

A loop that keeps its own list knows nothing of what was added to its requests. The model has read it,
so it must stand in every later request at the same place, byte for byte (DESIGN D4). The shadow keeps it,
each piece anchored to the item that it follows. If that item is gone, because the loop trims or summarises
its list, so is the piece: it has been seen, as the item had been.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from asyncfc.conversation.formats.base import Format
from asyncfc.conversation.transcript import Entry

Key: TypeAlias = tuple[str, ...]


class Anchor(NamedTuple):
    """An item of a list of messages, found again in later lists."""

    key: Key
    """What it is: of an answer the call (id, tool, raw arguments), of all else what it says."""
    nth: int
    """Which one of those that are equal, counted from 0: some providers' ids repeat."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """One piece: a text behind an item's last answer or before its own, items after it, or that it is out."""

    anchor: Anchor
    form: Literal["extend", "prefix", "after", "omit"]
    text: str = ""
    items: tuple[Any, ...] = ()


class Shadow:
    """The insertions of one conversation, in the order in which they were made."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self._insertions: list[Insertion] = []
        self._sent: Counter[Key] = Counter()
        self._read: tuple[Sequence[Any], list[Anchor]] = ((), [])

    def __len__(self) -> int:
        return len(self._insertions)

    def anchors(self, items: Sequence[Any]) -> list[Anchor]:
        """One per item; asked again for the same list, it is not read again."""
        if self._read[0] is not items:
            self._read = (items, anchors([self._format.read(item) for item in items], items))
        return self._read[1]

    def was_sent(self, anchor: Anchor) -> bool:
        """Whether a request that succeeded held this item; then it must not change any more."""
        return anchor.nth < self._sent[anchor.key]

    def behind(self, anchor: Anchor) -> list[Any]:
        """What stands behind an item already."""
        return [item for one in self._insertions if one.anchor == anchor for item in one.items]

    def apply(self, items: Sequence[Any], more: Iterable[Insertion] = (), *, since: int = 0) -> list[Any]:
        """The items with everything in its place.

        Args:
            items: of the loop's own list.
            more: insertions that are not kept yet, behind those that are.
            since: leave out the first so many: the provider keeps what they are part of.
        """
        places = _Places(self.anchors(items))
        found: dict[int, list[Insertion]] = {}
        for insertion in (*self._insertions[since:], *more):
            place = places.find(insertion.anchor)
            if place is not None:
                found.setdefault(place, []).append(insertion)
        applied: list[Any] = []
        for place, item in enumerate(items):
            applied += self._applied(item, found.get(place, ()))
        return applied

    def keep(self, items: Sequence[Any], insertions: Iterable[Insertion]) -> None:
        """A request made from these items, with these new insertions, has succeeded."""
        self._insertions += insertions
        for anchor in self.anchors(items):
            self._sent[anchor.key] = max(self._sent[anchor.key], anchor.nth + 1)

    def _applied(self, item: Any, insertions: Iterable[Insertion]) -> list[Any]:
        here: list[Any] = [item]
        after: list[Any] = []
        for insertion in insertions:
            match insertion.form:
                case "omit":
                    here = []
                case "after":
                    after += insertion.items
                case "extend":
                    here = [self._format.extend(one, insertion.text) for one in here]
                case "prefix":
                    here = [self._format.map_texts(one, _before(insertion.text)) for one in here]
        return here + after


def _before(prefix: str) -> Callable[[str, str | None], str]:
    """Put a text before the first one."""
    rest = [prefix]
    return lambda text, _: (rest.pop() if rest else "") + text


class _Places:
    """Where each item of a list stands, by what it is."""

    def __init__(self, listed: Iterable[Anchor]) -> None:
        self._by_key: dict[Key, list[int]] = {}
        for place, anchor in enumerate(listed):
            self._by_key.setdefault(anchor.key, []).append(place)

    def find(self, anchor: Anchor) -> int | None:
        """The same item; the last of its equals if some of them were trimmed; None if all of them were."""
        places = self._by_key.get(anchor.key)
        return None if places is None else places[min(anchor.nth, len(places) - 1)]


def anchors(entries: Sequence[Entry], items: Sequence[Any]) -> list[Anchor]:
    """One per entry; the items that they were read from tell those apart that say nothing."""
    counts: Counter[Key] = Counter()
    calls: dict[str, Key] = {}
    found = []
    for entry, item in zip(entries, items, strict=True):
        for call in entry.calls:
            calls[call.id] = (call.id, call.tool, _digest(str(call.arguments)))
        if entry.answers:
            key: Key = (
                "tool",
                *(part for answer in entry.answers for part in _called(answer.call_id, calls)),
            )
        elif entry.calls:
            key = (entry.role, *(part for call in entry.calls for part in calls[call.id]))
        else:
            key = (entry.role, _digest(entry.text or json.dumps(item, default=repr)))
        found.append(Anchor(key, counts[key]))
        counts[key] += 1
    return found


def _called(call_id: str, calls: dict[str, Key]) -> Key:
    return calls.get(call_id, (call_id,))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
