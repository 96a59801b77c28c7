"""Templates: labels with holes, `fs:/srv/{path}`, filled from the arguments of a call.

Parsed once, at declaration. What cannot be filled is claimed by the template's static prefix: claiming
too much never changes a result, only timing (DESIGN E1, E2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, product, takewhile
from math import prod
from pathlib import PurePath
from typing import Any, TypeAlias

from asyncfc.depgraph.resource import (
    FILES,
    PATH_SEPARATOR,
    ROOT,
    SEPARATOR,
    Label,
    check_text,
    normal,
    path_components,
    split_scheme,
)
from asyncfc.errors import DeclarationError

MOST_LABELS = 256
"""A template that the arguments of a call fill in more ways than this is claimed by its prefix."""

Resolve: TypeAlias = Callable[[str], str]
"""Maps a path as the call writes it to the path that it stands for: symlinks, working directory, case."""

Part: TypeAlias = str | int
"""Literal text, or a hole: its index in `Template.holes`."""

Segment: TypeAlias = tuple[Part, ...]
"""What makes up one component; in a path, all that stands between two slashes."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[^{}]+|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """A label with holes `{argument}`; made by `parse`, filled by `bind`.

    A bound label lies within `prefix`, with one exception: without `resolve`, a path leads out of it if
    the value of a hole that stands alone between slashes is absolute, or if `..` climbs (DESIGN S3).
    """

    text: str
    prefix: Label
    """What stands before the first component that has a hole. With `resolve`, which may lead anywhere,
    the whole file store."""
    holes: tuple[str, ...]
    """The arguments that fill it, each once."""
    segments: tuple[Segment, ...]
    is_path: bool
    resolve: Resolve | None

    @classmethod
    def parse(
        cls, text: str, *, parameters: Collection[str] | None = None, resolve: Resolve | None = None
    ) -> Template:
        """Parse a declared label. `{{` and `}}` are literal braces.

        Args:
            text: the label as declared, for example `fs:/out/{name}.txt`.
            parameters: the parameters that the tool has; None if it takes any.
            resolve: applied to each path, static text included, before it is parsed.

        Raises:
            DeclarationError: the label is malformed, or a hole names no parameter.
        """
        if text == "*":
            return cls(text, ROOT, (), (), is_path=False, resolve=None)
        check_text(text)
        scheme, rest = split_scheme(text)
        is_path = scheme == FILES
        holes, parts = _parse_parts(text, rest)
        _check_holes(text, holes, parameters)
        segments = _split(parts, PATH_SEPARATOR if is_path else SEPARATOR)
        if is_path:
            _check_climbs(text, segments)
            prefix = _path_prefix(segments) if resolve is None else (FILES,)
            return cls(text, prefix, holes, tuple(segments), is_path=True, resolve=resolve)
        segments = [segment for segment in ((scheme or "",), *segments) if segment not in ((), ("",))]
        if not segments:
            raise DeclarationError(f"label {text!r} names nothing; write '*' if you mean everything")
        return cls(text, _prefix(segments), holes, tuple(segments), is_path=False, resolve=None)

    @property
    def is_static(self) -> bool:
        """Whether it names one label, `prefix`, whatever the arguments."""
        return not self.holes and self.resolve is None

    def bind(
        self, arguments: Mapping[str, Any], unresolved: Collection[str] = (), untold: Collection[str] = ()
    ) -> tuple[Label, ...]:
        """Return the labels that the arguments of one call make of it, at least one. Never raises.

        A list, tuple or set means one label per element. The static prefix stands in for a value that is
        missing, None, empty or of a type that does not fit, and for an argument named in `unresolved`,
        whose label is checked again when it is known. One in `untold` is not, so that its path may lead
        anywhere.
        """
        if self.is_static:
            return (self.prefix,)
        if self.is_path and any(hole in untold for hole in self.holes):
            return ((FILES,),)
        choices = [
            (None,) if hole in unresolved or hole in untold else _texts(arguments.get(hole), self.is_path)
            for hole in self.holes
        ]
        if prod(map(len, choices)) > MOST_LABELS:
            return (self._stand_in(chain.from_iterable(choices)),)
        return tuple(dict.fromkeys(self._fill(texts) for texts in product(*choices)))

    def _fill(self, texts: tuple[str | None, ...]) -> Label:
        """Return the label for one text per hole; None is a value that is not known or does not fit."""
        known = [text for text in texts if text is not None]
        if len(known) < len(texts):
            return self._stand_in(known)
        components = ["".join(_part_text(part, known) for part in segment) for segment in self.segments]
        if not self.is_path:
            return tuple(map(normal, components))
        path = _join(self.segments, components)
        if self.resolve is None:
            return (FILES, *path_components(path))
        try:
            return (FILES, *path_components(self.resolve(path)))
        except Exception:  # whatever the user's function does wrong: the prefix is always sound
            return self.prefix

    def _stand_in(self, texts: Iterable[str | None]) -> Label:
        """Return the prefix, or the whole file store if one of the known values may lead out of it."""
        if self.is_path and any(text is not None and _may_lead_out(text) for text in texts):
            return (FILES,)
        return self.prefix


# --- parsing --------------------------------------------------------------------------------------


def _parse_parts(text: str, rest: str) -> tuple[tuple[str, ...], list[Part]]:
    holes: dict[str, int] = {}
    parts: list[Part] = []
    for token in _TOKEN.finditer(rest):
        if token[1] is not None:
            parts.append(holes.setdefault(token[1], len(holes)))
        elif token[0] in ("{", "}"):
            raise DeclarationError(
                f"label {text!r} has a lone '{token[0]}'; a hole is '{{argument}}', "
                f"a literal brace is written twice"
            )
        else:
            parts.append({"{{": "{", "}}": "}"}.get(token[0], token[0]))
    return tuple(holes), parts


def _check_holes(text: str, holes: tuple[str, ...], parameters: Collection[str] | None) -> None:
    for hole in holes:
        if parameters is not None and hole not in parameters:
            known = ", ".join(map(repr, sorted(parameters))) or "none"
            raise DeclarationError(
                f"label {text!r}: no parameter {hole!r} to fill the hole; the tool's parameters: {known}"
            )


def _check_climbs(text: str, segments: list[Segment]) -> None:
    """Refuse `..` after a hole: what the path then lies under is not known before the call."""
    holed = False
    for segment in segments:
        if holed and segment == ("..",):
            raise DeclarationError(
                f"label {text!r} has '..' after a hole; declare the directory that it leads to"
            )
        holed = holed or _has_hole(segment)


def _split(parts: list[Part], separator: re.Pattern[str]) -> list[Segment]:
    """Cut the literal parts at the separators; what touches without one is one segment."""
    segments: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, int):
            segments[-1].append(part)
            continue
        first, *others = separator.split(part)
        segments[-1] += [first] if first else []
        segments += [[other] if other else [] for other in others]
    return [tuple(segment) for segment in segments]


def _has_hole(segment: Segment) -> bool:
    return any(isinstance(part, int) for part in segment)


def _static_texts(segments: list[Segment]) -> list[str]:
    static = takewhile(lambda segment: not _has_hole(segment), segments)
    return ["".join(map(str, segment)) for segment in static]


def _prefix(segments: list[Segment]) -> Label:
    return tuple(map(normal, _static_texts(segments)))


def _path_prefix(segments: list[Segment]) -> Label:
    return (FILES, *path_components("/".join(_static_texts(segments))))


# --- filling --------------------------------------------------------------------------------------


def _texts(value: Any, is_path: bool) -> tuple[str | None, ...]:
    """Return the texts that a value puts into a hole, at least one; None for one that does not fit."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(_text(element, is_path) for element in value) or (None,)
    return (_text(value, is_path),)


def _text(value: Any, is_path: bool) -> str | None:
    if isinstance(value, str):
        return str.__str__(value) or None
    if is_path:
        return value.as_posix() if isinstance(value, PurePath) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7.0 and 7 are one key to a tool, so they are one label
    try:
        return json.dumps(value) if isinstance(value, (bool, int, float)) else None
    except ValueError:  # an int with more digits than Python turns into text
        return None


def _part_text(part: Part, texts: list[str]) -> str:
    return part if isinstance(part, str) else texts[part]


def _join(segments: tuple[Segment, ...], components: list[str]) -> str:
    """Join like `os.path.join`: an absolute value of a hole that stands alone replaces what is before it."""
    joined: list[str] = []
    for segment, component in zip(segments, components, strict=True):
        if component.startswith("/") and len(segment) == 1 and isinstance(segment[0], int):
            joined.clear()
        joined.append(component)
    return "/".join(joined)


def _may_lead_out(text: str) -> bool:
    """Whether a value may take a path out of what stands before it, alone or with text glued to it."""
    return text.startswith("/") or any(step and not step.strip(".") for step in text.split("/"))
