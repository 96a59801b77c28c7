"""Ids of calls in Gemini's messages, which often have none: which answer belongs to which call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.formats.common import as_list, as_object, as_text, map_list, put


def parts_of(content: Any) -> list[Any]:
    """The parts of a content."""
    return as_list(as_object(content).get("parts"))


def is_call(part: Any) -> bool:
    """Whether a part is a client tool call."""
    return isinstance(as_object(part).get("functionCall"), Mapping)


def is_answer(part: Any) -> bool:
    """Whether a part answers a client tool call."""
    return isinstance(as_object(part).get("functionResponse"), Mapping)


class Ids:
    """The ids of the calls of one message, or of its answers.

    Gemini names the tool in calls and answers alike; ids of its own it gives since version 3 only, and not
    everywhere. So an id here is the tool's name, and behind it Gemini's id, or else how many of that name
    came before.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def next(self, about: Mapping[str, Any]) -> str:
        """The id of a `functionCall`, or of the call that a `functionResponse` answers."""
        name, given = as_text(about.get("name")), as_text(about.get("id"))
        if not given:
            self._counts[name] += 1
        return f"{name}:{given or self._counts[name]}"


def given_id(call_id: str) -> Json:
    """Gemini's own part of such an id, if there is one, as a field."""
    _, _, given = call_id.rpartition(":")
    return {} if not given or given.isdecimal() else {"id": given}


def with_ids(items: list[Any]) -> list[Any]:
    """The contents, each answer without an id with that of the call before it that it answers.

    Google's SDK leaves it out where it makes the calls itself: then names and order tell.
    """
    waiting: list[Mapping[str, Any]] = []
    answering = False
    found = []
    for item in items:
        if as_object(item).get("role") == "model":
            waiting = [] if answering else waiting
            waiting += [part["functionCall"] for part in parts_of(item) if is_call(part)]
            answering = False
            found.append(item)
        else:
            answering = True
            found.append(_identified(item, waiting))
    return found


class _Restored(str):
    """An id that an answer gets back here, so that it is known whose it is."""

    __slots__ = ()


def _identified(item: Any, waiting: list[Mapping[str, Any]]) -> Any:
    """A content with the ids of its answers; the very same if it has them."""

    def of_answer(about: Mapping[str, Any]) -> Mapping[str, Any]:
        name, given = about.get("name"), about.get("id")
        call = next((c for c in waiting if c.get("name") == name and given in (None, c.get("id"))), None)
        if call is not None:
            waiting.remove(call)
        lost = call is not None and not given and as_text(call.get("id"))
        return {**about, "id": _Restored(lost)} if lost else about

    return _map_answers(item, of_answer)


def without_restored(item: Any) -> Any:
    """A content as the loop made it, as to ids."""

    def of_answer(about: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(about.get("id"), _Restored):
            return about
        return {key: value for key, value in about.items() if key != "id"}

    return _map_answers(item, of_answer)


def _map_answers(item: Any, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
    """A content with each `functionResponse` changed; the very same if none was."""

    def of_part(part: Any) -> Any:
        return put(part, "functionResponse", change(part["functionResponse"])) if is_answer(part) else part

    parts = as_object(item).get("parts")
    return item if parts is None else put(item, "parts", map_list(parts, of_part))
