"""Mentions: the references in one text that the model wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from asyncfc.errors import BadReference, UnknownHandle
from asyncfc.futures.future import Future
from asyncfc.futures.handle import HandleGrammar, Path, number_of, read_path

Lookup: TypeAlias = Callable[[str, int, str], Future]
"""The future that a tag and a number name; the text is the handle as written. Raises `UnknownHandle`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A handle in the arguments, with the path behind it."""

    future: Future
    path: Path
    text: str
    """As it was written, for messages."""
    meant: str | None = None
    """The form with braces, where text that looks like a path follows a handle inside a string."""


def mentions(text: str, grammar: HandleGrammar) -> bool:
    """Whether a handle of any session stands in the text where it would be a reference."""
    return any(
        not match[1] and (match[2] or grammar.stands_alone(text, *match.span()))
        for match in grammar.mention.finditer(text)
    )


def split_text(text: str, grammar: HandleGrammar, lookup: Lookup) -> tuple[str | Reference, ...]:
    """Split a text into references and the literal text between them, escapes undone.

    A reference that is the whole text comes alone, and only such a one has a path without braces.

    Raises:
        UnknownHandle: from `lookup`.
        BadReference: braces around a handle with something that is no path, or an endless one.
    """
    match = grammar.mention.match(text)
    if match and not match[1]:
        path, end = read_path(text, match.end())
        if text[end:] == ("}" if match[2] else ""):
            return (Reference(_named(match, grammar, lookup), path, text),)
    return _split_inside(text, grammar, lookup)


def _split_inside(text: str, grammar: HandleGrammar, lookup: Lookup) -> tuple[str | Reference, ...]:
    parts: list[str | Reference] = []
    literal: list[str] = []
    done = 0
    for match in grammar.mention.finditer(text):
        start, end = match.span()
        if start < done:
            continue  # inside a quoted key of the path before
        if match[1]:
            literal.append(text[done:start])
            done = start + len(grammar.sigil)
            continue
        if match[2]:
            reference = _braced(match, grammar, lookup)
            end = start + len(reference.text)
        elif grammar.stands_alone(text, start, end):
            reference = _bare(match, grammar, lookup)
        else:
            _refuse_glued(match, grammar, lookup)
            continue
        literal.append(text[done:start])
        parts += filter(None, ("".join(literal), reference))
        literal.clear()
        done = end
    literal.append(text[done:])
    rest = "".join(literal)
    return tuple(parts) if parts and not rest else (*parts, rest)


def _named(match: re.Match[str], grammar: HandleGrammar, lookup: Lookup) -> Future:
    return lookup(match[3], number_of(match[4]), f"{grammar.sigil}{match[3]}{grammar.separator}{match[4]}")


def _refuse_glued(match: re.Match[str], grammar: HandleGrammar, lookup: Lookup) -> None:
    """Refuse a known handle that is part of a longer word: left as it is, it would reach the tool (P21)."""
    try:
        _named(match, grammar, lookup)
    except UnknownHandle:
        return  # names nothing here, so it is text
    handle = match[0]
    around = match.string[max(0, match.start() - 20) : match.end() + 20]
    raise BadReference(
        f"{handle} touches a letter, digit or _ in {around!r}: "
        f"write {grammar.sigil}{{{handle[len(grammar.sigil) :]}}}, with braces; if plain text is meant, "
        f"put one more {grammar.sigil} before it"
    )


def _braced(match: re.Match[str], grammar: HandleGrammar, lookup: Lookup) -> Reference:
    future = _named(match, grammar, lookup)
    text, start = match.string, match.start()
    path, end = read_path(text, match.end())
    if text[end : end + 1] != "}":
        raise BadReference(
            f"cannot read {text[start : end + 20]!r} after {text[start:end]!r}: expected .name, [0] or "
            f'["a key"], or }} at the end. If plain text is meant, put one more {grammar.sigil} before it'
        )
    return Reference(future, path, text[start : end + 1])


def _bare(match: re.Match[str], grammar: HandleGrammar, lookup: Lookup) -> Reference:
    handle = match[0]
    following = match.string[match.end() : match.end() + 200]
    meant = None
    if _PATH_LIKE.match(following):
        _, length = read_path(following)
        meant = f"{grammar.sigil}{{{handle[len(grammar.sigil) :]}{following[:length]}}}"
    return Reference(_named(match, grammar, lookup), (), handle, meant)


_PATH_LIKE = re.compile(r"""\.[^\W\d]|\[(?:-?[0-9]+\]|["'])""")
"""What looks like a path rather than like punctuation or a fraction."""
