"""Effects: what a tool reads and writes, and the claim that one call holds on it.

Undeclared means everything (DESIGN E1): a tool that says nothing runs alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from asyncfc.depgraph.label_function import Complaint, LabelFunction, LabelsOf, label_text
from asyncfc.depgraph.resource import ROOT, Label, is_within, overlaps
from asyncfc.depgraph.template import Resolve, Template
from asyncfc.errors import DeclarationError

__all__ = [
    "EVERYTHING",
    "NO_CLAIM",
    "UNDECLARED",
    "Claim",
    "Conflict",
    "EffectSpec",
    "LabelFunction",
    "LabelsOf",
    "Level",
    "Resolve",
    "Template",
    "conflict",
    "covers",
    "uncovered",
]

Level: TypeAlias = Literal["read", "write", "irreversible"]
"""How early a call may run (DESIGN E4): as soon as its inputs are there; after its message has committed;
only if the model knew what it would have known in a synchronous run."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The labels that one call reads and writes, in normal form. Build it with `make`."""

    reads: tuple[Label, ...]
    """Sorted, each once, none within a label of `writes`: read and written counts as written."""
    writes: tuple[Label, ...]
    """Sorted, each once."""

    @classmethod
    def make(cls, reads: Iterable[Label], writes: Iterable[Label]) -> Claim:
        """Return the claim in normal form."""
        written = tuple(sorted(set(writes)))
        only_read = (label for label in set(reads) if not _is_within_any(label, written))
        return cls(tuple(sorted(only_read)), written)


NO_CLAIM = Claim((), ())
"""The claim of a pure call: it conflicts with nothing."""

EVERYTHING = Claim((), (ROOT,))
"""The claim of a barrier: it conflicts with all but pure calls."""


class Conflict(NamedTuple):
    """Why a newer call is ordered after an older one."""

    kind: Literal["RAW", "WAR", "WAW"]
    """What the newer call does, after what the older one does: read after write, and so on."""
    label: Label
    """The newer call's label."""


def conflict(older: Claim, newer: Claim) -> Conflict | None:
    """Return the first conflict between two claims, in the order of the newer's writes and then reads."""
    return next(_conflicts(older, newer), None)


def _conflicts(older: Claim, newer: Claim) -> Iterator[Conflict]:
    for label in newer.writes:
        if _overlaps_any(label, older.writes):
            yield Conflict("WAW", label)
        elif _overlaps_any(label, older.reads):
            yield Conflict("WAR", label)
    for label in newer.reads:
        if _overlaps_any(label, older.writes):
            yield Conflict("RAW", label)


def covers(outer: Claim, inner: Claim) -> bool:
    """Whether whoever conflicts with `inner` also conflicts with `outer`."""
    return uncovered(outer, inner) is None


def uncovered(outer: Claim, inner: Claim) -> Label | None:
    """Return the first label of `inner` that `outer` lacks, writes first; None if there is none.

    A write must lie within a write of `outer`; a read within a write or a read.
    """
    for label in inner.writes:
        if not _is_within_any(label, outer.writes):
            return label
    for label in inner.reads:
        if not _is_within_any(label, outer.writes) and not _is_within_any(label, outer.reads):
            return label
    return None


def _overlaps_any(label: Label, others: tuple[Label, ...]) -> bool:
    return any(overlaps(label, other) for other in others)


def _is_within_any(label: Label, prefixes: tuple[Label, ...]) -> bool:
    return any(is_within(label, prefix) for prefix in prefixes)


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """The declared effects of a tool; `bind` turns them into the claim of one call."""

    reads: tuple[Template | LabelFunction, ...]
    writes: tuple[Template | LabelFunction, ...]
    level: Level
    declared: bool = True
    """False if the tool said nothing, so that its labels are only the safe default."""
    parameters: frozenset[str] = field(init=False)
    """The arguments that some label needs, as far as they are known by name; see `needs`."""
    needs_all: bool = field(init=False)
    """Whether some label needs every argument of the call, under whatever name."""
    _static: Claim | None = field(init=False, repr=False, compare=False)
    """The claim of every call, if it is always the same."""

    def __post_init__(self) -> None:
        labels = (*self.reads, *self.writes)
        static = all(label.is_static for label in labels)
        needs_all = any(isinstance(label, LabelFunction) and label.needs_all for label in labels)
        object.__setattr__(self, "parameters", frozenset(hole for label in labels for hole in label.holes))
        object.__setattr__(self, "needs_all", needs_all)
        object.__setattr__(self, "_static", self._bind({}, (), ()) if static else None)

    @classmethod
    def declare(
        cls,
        tool: str,
        *,
        reads: Iterable[str | LabelsOf] = (),
        writes: Iterable[str | LabelsOf] = (),
        pure: bool = False,
        level: Level | None = None,
        parameters: Collection[str] | None = None,
        resolve: Resolve | None = None,
    ) -> EffectSpec:
        """Return the effects that a declaration stands for (DESIGN E1, E4).

        Args:
            tool: the tool's name, for messages.
            reads: label templates, and functions that return labels.
            writes: the same.
            pure: there are no effects at all.
            level: None for `read` where nothing is written, else `write`.
            parameters: the tool's parameters, which holes and label functions may name; None if it
                takes any.
            resolve: see `Template.parse`.

        Raises:
            DeclarationError: a label is malformed, or the parts contradict each other.
        """
        reads, writes = tuple(reads), tuple(writes)
        _check_consistent(tool, reads, writes, pure=pure, level=level)
        if pure:
            return cls((), (), "read")
        if not reads and not writes:
            if level is None:
                return UNDECLARED
            reads, writes = ("*",), () if level == "read" else ("*",)
        parse = partial(_parse, tool, complaint=Complaint(tool), parameters=parameters, resolve=resolve)
        return cls(parse("reads", reads), parse("writes", writes), level or ("write" if writes else "read"))

    @property
    def pure(self) -> bool:
        """Whether the tool has no effects."""
        return not self.reads and not self.writes

    def needs(self, names: Iterable[str]) -> list[str]:
        """Return those of the arguments that some label needs, in the order given."""
        return [name for name in names if self.needs_all or name in self.parameters]

    def bind(
        self, arguments: Mapping[str, Any], unresolved: Collection[str] = (), untold: Collection[str] = ()
    ) -> Claim:
        """Return the claim of one call. Never raises.

        Args:
            arguments: the bound arguments, defaults applied, references substituted where known.
            unresolved: names of arguments that still hold references without a value.
            untold: names of arguments whose final value is known only when the call starts.
        """
        return self._bind(arguments, unresolved, untold) if self._static is None else self._static

    def _bind(
        self, arguments: Mapping[str, Any], unresolved: Collection[str], untold: Collection[str]
    ) -> Claim:
        def bound(labels: tuple[Template | LabelFunction, ...]) -> Iterator[Label]:
            return (each for label in labels for each in label.bind(arguments, unresolved, untold))

        return Claim.make(bound(self.reads), bound(self.writes))


def _parse(
    tool: str,
    field_name: str,
    labels: tuple[str | LabelsOf, ...],
    *,
    complaint: Complaint,
    parameters: Collection[str] | None,
    resolve: Resolve | None,
) -> tuple[Template | LabelFunction, ...]:
    def parse(label: str | LabelsOf) -> Template | LabelFunction:
        if isinstance(label, str):
            return Template.parse(label, parameters=parameters, resolve=resolve)
        return LabelFunction.make(label, complaint=complaint, parameters=parameters, resolve=resolve)

    try:
        return tuple(map(parse, labels))
    except DeclarationError as error:
        raise DeclarationError(f"tool {tool!r}: field {field_name!r}: {error}") from None


def _check_consistent(
    tool: str,
    reads: tuple[str | LabelsOf, ...],
    writes: tuple[str | LabelsOf, ...],
    *,
    pure: bool,
    level: Level | None,
) -> None:
    if pure and (reads or writes):
        raise DeclarationError(f"tool {tool!r}: pure means no effects, but it names labels; drop one of them")
    if pure and level not in (None, "read"):
        raise DeclarationError(
            f"tool {tool!r}: pure means no effects, but level is {level!r}; drop one of them"
        )
    if level == "read" and writes:
        raise DeclarationError(
            f"tool {tool!r}: level 'read' but writes {', '.join(map(label_text, writes))}; drop one of them"
        )


UNDECLARED = EffectSpec((Template.parse("*"),), (Template.parse("*"),), "write", declared=False)
"""The safe default: reads and writes everything."""
