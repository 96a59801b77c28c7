"""Which arguments are earlier results: found by value, then written as handles.

An argument depends on the latest earlier result that holds an equal value of the same type, or, if
none does, on the latest whose text stands exactly once inside the longer argument; not if the user has
said the value, since a model then copies it from there. A match may be a coincidence: the replay gives
the same results all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncfc.futures.handle import DEFAULT_GRAMMAR, Path, show_path
from asyncfc.futures.outcome import Outcome, Value
from asyncfc.futures.projection import canonical_text
from benchmarks.bfcl.data import Case

_SIGIL = DEFAULT_GRAMMAR.sigil
_SMALL_INT = 10  # smaller numbers and shorter strings are equal by chance too often
_MIN_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Dependency:
    """An argument, or a stretch of one, that equals a part of the result of an earlier call."""

    location: Path
    """Where in the arguments."""
    producer: int
    """The earlier call, by its place in the case."""
    path: Path
    """Where in its result."""
    span: tuple[int, int] | None
    """The stretch of a longer string that it makes up; None if it is the whole argument."""


@dataclass(slots=True)
class _Result:
    """The leaves of one earlier result. Of equal leaves the last counts."""

    producer: int
    paths: dict[tuple[type, Any], Path] = field(default_factory=dict)
    texts: dict[str, Path] = field(default_factory=dict)


def dependencies(case: Case, outcomes: Sequence[Outcome]) -> list[tuple[Dependency, ...]]:
    """The dependencies of each call, given the outcomes of a sequential run."""
    results: list[_Result] = []  # latest first
    said = ""
    found = []
    place = 0
    for turn in case.turns:
        said += "\n".join(turn.user).lower() + "\n"
        for call in turn.calls:
            found.append(tuple(_of_call(call.arguments, results, said)))
            results.insert(0, _index(place, outcomes[place]))
            place += 1
    return found


def with_handles(
    arguments: Mapping[str, Any], found: Sequence[Dependency], handle: Callable[[int], str]
) -> dict[str, Any]:
    """A copy of the arguments in which every dependency is written as a reference.

    Args:
        arguments: the literal arguments; containers are copied.
        found: the dependencies of this call.
        handle: gives the handle of an earlier call.
    """
    by_location = {dependency.location: dependency for dependency in found}

    def copy(value: Any, location: Path) -> Any:
        if isinstance(value, Mapping):
            return {key: copy(item, (*location, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [copy(item, (*location, index)) for index, item in enumerate(value)]
        dependency = by_location.get(location)
        if dependency is None:
            return value
        reference = handle(dependency.producer) + show_path(dependency.path)
        if dependency.span is None:
            return reference
        start, end = dependency.span
        return f"{value[:start]}{_SIGIL}{{{reference.removeprefix(_SIGIL)}}}{value[end:]}"

    return {key: copy(item, (key,)) for key, item in arguments.items()}


def _of_call(arguments: Mapping[str, Any], results: Sequence[_Result], said: str) -> Iterator[Dependency]:
    for location, value in _leaves(arguments):
        if not _telling(value):
            continue
        whole = next((r for r in results if (type(value), value) in r.paths), None)
        if whole is not None:
            if not _said(value, said):
                yield Dependency(location, whole.producer, whole.paths[type(value), value], None)
        elif isinstance(value, str):
            yield from _contained(value, location, results, said)


def _contained(text: str, location: Path, results: Sequence[_Result], said: str) -> Iterator[Dependency]:
    """The latest result, and of that the longest text, that a longer argument contains once."""
    for result in results:
        inside = [part for part in result.texts if len(part) < len(text) and text.count(part) == 1]
        usable = [part for part in inside if not _said(part, said) and not _escaped(text, part)]
        if usable:
            part = max(reversed(usable), key=len)
            start = text.index(part)
            yield Dependency(location, result.producer, result.texts[part], (start, start + len(part)))
            return


def _index(producer: int, outcome: Outcome) -> _Result:
    result = _Result(producer)
    if isinstance(outcome, Value) and not outcome.is_artifact:
        for path, value in _leaves(outcome.get()):
            if _telling(value):
                result.paths[type(value), value] = path
                text = canonical_text(value)
                if len(text) >= _MIN_LENGTH:
                    result.texts[text] = path
    return result


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _telling(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= _MIN_LENGTH
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SMALL_INT


def _escaped(text: str, part: str) -> bool:
    """Whether a sigil stands before the part: written there, a reference would read as its own escape."""
    return text[: text.index(part)].endswith(_SIGIL)


def _said(value: Any, said: str) -> bool:
    """Whether the user's text so far, in lower case, has the value in one of its spellings."""
    spellings = {canonical_text(value).lower()}
    if isinstance(value, float) and value.is_integer():
        spellings.add(str(int(value)))  # the user says 500 where the model writes 500.0
    return any(spelling in said for spelling in spellings)
