"""Labels: hierarchical names of what tools touch, such as `fs:/srv/a.txt` or `db.users`.

A label stands for itself and everything below it. Two spellings of one resource must give one label:
a missed alias would silently void the order (DESIGN E2).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

from asyncfc.errors import DeclarationError

Label: TypeAlias = tuple[str, ...]
"""Components from the root down, each non-empty and NFC-normalised."""

ROOT: Label = ()
"""Everything; written `*`."""

FILES = "fs"
"""The scheme whose labels are paths."""

SEPARATOR = re.compile(r"[./]")
"""What parts the components of a label that is no path."""

PATH_SEPARATOR = re.compile("/")
"""The same for paths."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+-]*):")
_UNCLEAR = re.compile(r"[%*./:\x00-\x1f\x7f-\x9f]")
_UNCLEAR_IN_PATH = re.compile(r"[%/\x00-\x1f\x7f-\x9f]")


def parse_label(text: str) -> Label:
    """Return the label that `text` writes (DESIGN E2).

    `*` is the root. A `scheme:` in front is the first component, so `db:users` is `db.users`. After
    `fs:` comes a path: split on `/` only; `.`, `..` and empty components are resolved by their text,
    and `..` stops at the root of the store. Relative and absolute are the same: `fs:a` is `fs:/a`. A
    tool whose relative paths start elsewhere, in a working directory that moves, needs `resolve=`; where
    calls move it, a wider label (DESIGN S3). All other labels are split on `.` and `/`. Case counts.

    Raises:
        DeclarationError: the label is empty, is padded with blanks, or has control characters or a `*`
            inside.
    """
    if text == "*":
        return ROOT
    check_text(text)
    scheme, rest = split_scheme(text)
    if scheme == FILES:
        return (FILES, *path_components(rest))
    components = [scheme or "", *SEPARATOR.split(rest)]
    label = tuple(normal(component) for component in components if component)
    if not label:
        raise DeclarationError(f"label {text!r} names nothing; write '*' if you mean everything")
    return label


def check_text(text: str) -> None:
    """Raise `DeclarationError` if `text` cannot be a label for a reason that needs no parsing."""
    if not text or text != text.strip():
        raise DeclarationError(f"label {text!r} is empty or padded with blanks; write for example 'db.users'")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise DeclarationError(f"label {text!r} has control characters; remove them")
    if "*" in text:
        # Taken literally it would overlap nothing that its author had in mind.
        raise DeclarationError(
            f"label {text!r} has a '*' inside; a label covers all that is below it, so end it before the '*'"
        )


def split_scheme(text: str) -> tuple[str | None, str]:
    """Return the scheme, without its colon, or None, and the rest of the text."""
    match = _SCHEME.match(text)
    return (match[1], text[match.end() :]) if match else (None, text)


def path_components(path: str) -> Label:
    """Return the components of a path, with `.`, `..` and empty ones resolved by their text."""
    components: list[str] = []
    for component in path.split("/"):
        if component == "..":
            del components[-1:]  # at the root of the store it stays there
        elif component not in ("", "."):
            components.append(normal(component))
    return tuple(components)


def normal(component: str) -> str:
    """Return the one form (NFC) of a component that several sequences of code points may spell."""
    return unicodedata.normalize("NFC", component)


def overlaps(a: Label, b: Label) -> bool:
    """Whether the two are the same label, or one is an ancestor of the other."""
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def is_within(label: Label, prefix: Label) -> bool:
    """Whether `label` is `prefix` or a descendant of it."""
    return label[: len(prefix)] == prefix


def show_label(label: Label) -> str:
    """Return the label as text for messages; different labels give different texts.

    Separators inside a component, which only values of holes bring in, are percent-escaped. `parse_label`
    does not undo that: it reads back what was shown only where nothing had to be escaped.
    """
    if label == ROOT:
        return "*"
    if label[0] == FILES:
        return f"{FILES}:/" + "/".join(_escaped(_UNCLEAR_IN_PATH, component) for component in label[1:])
    return ".".join(_escaped(_UNCLEAR, component) for component in label)


def _escaped(unclear: re.Pattern[str], component: str) -> str:
    return unclear.sub(lambda match: f"%{ord(match[0]):02X}", component)
