"""References: finding handles in the arguments of a call, and putting values in their place.

Finding happens once, when the call is registered; substitution once, when its inputs have settled. What
was put in is never looked at again, so no value can forge a reference (DESIGN V2, H2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncfc.errors import BadArguments, BadReference, InternalError, UnresolvedPath
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar, Path, show_path
from asyncfc.futures.mention import Lookup, Reference, mentions, split_text
from asyncfc.futures.outcome import Value
from asyncfc.futures.plain import CONTAINERS, canonical_text, safe_text, size_of
from asyncfc.futures.projection import MAX_DEPTH
from asyncfc.futures.schema import admits_only_strings
from asyncfc.futures.store import parse_container

__all__ = ["Lookup", "Reference", "Site", "futures_of", "needs_elsewhere", "scan", "split_text", "substitute"]

MAX_CHARS = 50_000_000
"""Characters that all references of one call may insert together."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the arguments that holds one reference as a whole, or text with some inside."""

    location: Path
    parts: tuple[str | Reference, ...]
    whole: bool


def futures_of(sites: Iterable[Site]) -> tuple[Future, ...]:
    """Return the futures that the sites refer to, each once, in the order of the arguments."""
    references = (part for site in sites for part in site.parts if isinstance(part, Reference))
    return tuple(dict.fromkeys(reference.future for reference in references))


def needs_elsewhere(site: Site) -> bool:
    """Whether a value that the site refers to lies outside of this process."""
    outcomes = (future.outcome for future in futures_of((site,)))
    return any(isinstance(outcome, Value) and outcome.elsewhere for outcome in outcomes)


# --- find ---------------------------------------------------------------------------------------------


def scan(
    arguments: Mapping[str, Any], grammar: HandleGrammar, lookup: Lookup
) -> tuple[dict[str, Any], tuple[Site, ...]]:
    """Copy the arguments and find the references in them, in one walk.

    The containers of the copy are new, so that the submitter may change theirs. In it escapes are undone,
    and references stand as they were written. A `Future` among the arguments counts as a reference.

    Raises:
        UnknownHandle: from `lookup`; nothing may run then.
        BadReference: a handle in a key, or in a form that cannot be read.
        BadArguments: more than 200 containers inside each other.
    """
    scanner = _Scanner(grammar, lookup)
    return scanner.mapping(arguments, ()), tuple(scanner.sites)


_ATOMS = frozenset((int, float, bool, type(None)))


class _Scanner:
    """One walk over the arguments of one call."""

    __slots__ = ("_grammar", "_lookup", "_sigil", "sites")

    def __init__(self, grammar: HandleGrammar, lookup: Lookup) -> None:
        self._grammar = grammar
        self._lookup = lookup
        self._sigil = grammar.sigil
        self.sites: list[Site] = []

    def mapping(self, value: Mapping[Any, Any], location: Path) -> dict[Any, Any]:
        copy: dict[Any, Any] = {}
        sigil = self._sigil
        for key, item in value.items():
            if type(key) is not str or sigil in key:
                key = self._key(key, location)  # noqa: PLW2901  # the key with its escapes undone
            kind = type(item)
            if kind in _ATOMS or (kind is str and sigil not in item):
                copy[key] = item
            else:
                copy[key] = self._item(item, (*location, key))
        if len(copy) != len(value):
            raise BadReference(f"two keys {_at(location)} are the same without their escapes")
        return copy

    def _item(self, value: Any, location: Path) -> Any:
        if isinstance(value, str):
            return self._text(value, location) if self._sigil in value else value
        if isinstance(value, Future):
            return self._future(value, location)
        if isinstance(value, dict):
            self._check_depth(location)
            return self.mapping(value, location)
        if isinstance(value, list) or type(value) is tuple:
            self._check_depth(location)
            return self._sequence(value, location)
        return value  # an object that a program passes; no model writes one

    def _sequence(self, value: list[Any] | tuple[Any, ...], location: Path) -> list[Any] | tuple[Any, ...]:
        copy = [
            item if type(item) in _ATOMS else self._item(item, (*location, index))
            for index, item in enumerate(value)
        ]
        return tuple(copy) if type(value) is tuple else copy

    def _check_depth(self, location: Path) -> None:
        if len(location) >= MAX_DEPTH:
            raise BadArguments(
                f"the arguments hold more than {MAX_DEPTH} containers inside each other {_at(location[:3])}"
            )

    def _future(self, future: Future, location: Path) -> str:
        text = str(future)
        self.sites.append(Site(location, (Reference(future, (), text),), whole=True))
        return text

    def _text(self, text: str, location: Path) -> str:
        parts = split_text(text, self._grammar, self._lookup)
        whole = len(parts) == 1 and isinstance(parts[0], Reference)
        if whole or len(parts) > 1:
            self.sites.append(Site(location, parts, whole))
            return text
        return str(parts[0])

    def _key(self, key: Any, location: Path) -> Any:
        if isinstance(key, str) and not mentions(key, self._grammar):
            (literal,) = split_text(key, self._grammar, self._lookup)  # refuses one that touches a word (P21)
            return literal
        if isinstance(key, str | Future):
            raise BadReference(
                f"the key {safe_text(key, 80)!r} {_at(location)} holds a handle, but keys are not replaced. "
                f"Use the key itself; if plain text is meant, put one more {self._sigil} before the handle"
            )
        return key


def _at(location: Path) -> str:
    return f"in the argument {show_path(location).removeprefix('.')}" if location else "of the arguments"


# --- substitute ---------------------------------------------------------------------------------------


def substitute(
    arguments: Mapping[str, Any], sites: Iterable[Site], schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a copy of the scanned arguments with the values in place of the references.

    A whole reference becomes the JSON value itself, or its canonical text where the schema admits only
    strings (null stays null); inside a longer text it becomes canonical text. Every referenced future must
    have a value.

    Raises:
        UnresolvedPath: a path does not exist in its value.
        BadReference: an artifact where only text or a part of it fits, a path without braces inside a
            text, or more text than one call may be given.
        InternalError: a future has no value yet; a call must not start before.
    """
    filler = _Filler(schema)
    inserts: dict[Any, Any] = {}
    for site in sites:
        inner = inserts
        for step in site.location[:-1]:
            inner = inner.setdefault(step, {})
        inner[site.location[-1]] = _Insert(filler.value(site))
    return {key: _fill(item, inserts.get(key, _NOTHING)) for key, item in arguments.items()}


@dataclass(frozen=True, slots=True)
class _Insert:
    """Marks a value that is finished; the walk does not go on inside it."""

    value: Any


_NOTHING: dict[Any, Any] = {}


def _fill(value: Any, inserts: _Insert | dict[Any, Any]) -> Any:
    """Copy the value with the inserts, a tree of the same shape, in their places."""
    if isinstance(inserts, _Insert):
        return inserts.value
    kind = type(value)
    if kind is dict:
        return {key: _fill(item, inserts.get(key, _NOTHING)) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(_fill(item, inserts.get(index, _NOTHING)) for index, item in enumerate(value))
    return value


class _Filler:
    """Makes the values for the sites of one call, and counts what it inserts."""

    __slots__ = ("_copied", "_room", "_schema")

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        self._schema = schema
        self._room = MAX_CHARS
        self._copied: set[Future] = set()

    def value(self, site: Site) -> Any:
        if not site.whole:
            return "".join(part if isinstance(part, str) else self._inside(part) for part in site.parts)
        (reference,) = site.parts
        assert isinstance(reference, Reference)
        return self._whole(reference, site.location)

    def _whole(self, reference: Reference, location: Path) -> Any:
        stored = _value_of(reference)
        value = _part(reference, stored)
        if stored.is_artifact or value is None or type(value) is str:
            return value
        if self._schema is not None and admits_only_strings(self._schema, location):
            return self._counted(canonical_text(value), reference)
        if type(value) in CONTAINERS:
            if reference.future in self._copied:  # once is what any call may do; many times is a bomb
                self._spend(size_of(value), reference)
            self._copied.add(reference.future)
        return value

    def _inside(self, reference: Reference) -> str:
        stored = _value_of(reference)
        if stored.is_artifact:
            raise BadReference(
                f"{reference.text} stands inside a text, but what {reference.future.tool!r} returned has no "
                "JSON form. Pass it as a whole argument"
            )
        value = _part(reference, stored)
        if reference.meant is not None and _is_container(value):
            raise BadReference(
                f"{reference.text} inside a text is followed by what looks like a path: "
                f"write {reference.meant}, with braces"
            )
        return self._counted(canonical_text(value), reference)

    def _counted(self, text: str, reference: Reference) -> str:
        self._spend(len(text), reference)
        return text

    def _spend(self, chars: int, reference: Reference) -> None:
        self._room -= chars
        if self._room < 0:
            raise BadReference(
                f"{reference.text} is too large here: the references of one call may insert {MAX_CHARS} "
                "characters in all. Refer to a part of it"
            )


def _value_of(reference: Reference) -> Value:
    outcome = reference.future.outcome
    if not isinstance(outcome, Value):
        raise InternalError(f"{reference.text} was to be replaced, but {reference.future!r} has no value")
    return outcome


def _part(reference: Reference, stored: Value) -> Any:
    """A copy of what the reference leads to."""
    if not reference.path:
        return stored.get()
    if stored.is_artifact:
        raise BadReference(
            f"{reference.text} has a path, but what {reference.future.tool!r} returned has no JSON form and "
            "no parts. Pass it as a whole"
        )
    try:
        return stored.at(reference.path)
    except UnresolvedPath as error:
        raise UnresolvedPath(f"{reference.text}: {error}") from None


def _is_container(value: Any) -> bool:
    """Whether a path can lead into the value: text may hold an object or array, too."""
    return isinstance(parse_container(value) if isinstance(value, str) else value, dict | list)
