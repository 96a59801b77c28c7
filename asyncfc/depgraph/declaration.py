"""The one written form of what a tool declares: decorator keywords, dict, TOML and JSON alike.

Imports pydantic, so it is imported where a declaration is read, not with `asyncfc.depgraph.effects`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from asyncfc.depgraph.effects import EffectSpec, LabelsOf, Level, Resolve
from asyncfc.errors import DeclarationError

_WORDS: dict[str, dict[str, Any]] = {"pure": {"pure": True}, "read": {"level": "read"}}
"""The declarations that are one word."""


def _label(raw: Any) -> Any:
    if isinstance(raw, str) or callable(raw):
        return raw
    raise ValueError("Input should be a label or a function that returns labels")


def _label_list(raw: Any) -> Any:
    if isinstance(raw, str) or callable(raw):
        return (raw,)
    if isinstance(raw, (set, frozenset)):
        return tuple(sorted(raw, key=str))
    if isinstance(raw, (list, tuple)):
        return tuple(raw)
    raise ValueError("Input should be a label or a list of labels")


Label = Annotated[str | LabelsOf, PlainValidator(_label)]
Labels = Annotated[tuple[Label, ...], BeforeValidator(_label_list)]


class Breaker(BaseModel):
    """When calls of a tool that keeps failing are not even begun (a circuit breaker)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    failures: Annotated[int, Field(ge=1)]
    """So many in a row open it."""
    rest: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Seconds for which no call begins then; the next one after that is a trial."""


class Declaration(BaseModel):
    """What a tool declares, apart from its function. Usually read by `parse_declaration`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    reads: Labels = ()
    """Label templates, and functions from the arguments of a call to labels; one alone is a list of one."""
    writes: Labels = ()
    pure: bool = False
    """No effects at all."""
    level: Level | None = None
    idempotent: bool = False
    """It may run twice (DESIGN F3)."""
    retries: Annotated[int, Field(ge=0)] = 0
    """How often a call that failed is tried again; for tools that only read, or are idempotent."""
    breaker: Breaker | None = None
    thread: Literal["worker", "pool", "caller"] | None = None
    """Where a sync tool runs."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds, from the start of the work (DESIGN F2)."""
    abandon_after: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds for which work may go on after it was asked to stop; default: the timeout, at least 5."""
    on_abandon: Literal["quarantine", "release"] = "quarantine"
    """What then becomes of its claims: conflicting calls fail until it ends, or go on."""

    def spec(
        self, tool: str, parameters: Collection[str] | None, resolve: Resolve | None = None
    ) -> EffectSpec:
        """Return the effects; for arguments and errors see `EffectSpec.declare`."""
        return EffectSpec.declare(
            tool,
            reads=self.reads,
            writes=self.writes,
            pure=self.pure,
            level=self.level,
            parameters=parameters,
            resolve=resolve,
        )


def parse_declaration(raw: Any, *, tool: str, place: str | None = None) -> Declaration:
    """Read a declaration: a mapping of the fields of `Declaration`, or the word `pure` or `read`.

    None for a field means the same as leaving it out. Labels are not parsed yet: `Declaration.spec` does
    that, with the tool's parameters at hand.

    Args:
        raw: the declaration as written.
        tool: the tool's name.
        place: where it is written, for messages; None: at the tool itself.

    Raises:
        DeclarationError: naming the place, the field and what was expected there.
    """
    place = place or f"tool {tool!r}"
    if isinstance(raw, Declaration):
        return raw
    fields = _WORDS.get(raw) if isinstance(raw, str) else raw
    if not isinstance(fields, Mapping):
        raise DeclarationError(
            f"{place}: effects are 'pure', 'read' or a mapping such as {{'reads': ['db.users']}}, got {raw!r}"
        )
    unset = {name for name in Declaration.model_fields if fields.get(name, ()) is None}
    try:
        return Declaration.model_validate({name: fields[name] for name in fields if name not in unset})
    except ValidationError as error:
        problems = "; ".join(_explain(details) for details in error.errors(include_url=False))
        raise DeclarationError(f"{place}: {problems}") from None


def _explain(details: Mapping[str, Any]) -> str:
    field = ".".join(map(str, details["loc"]))
    if details["type"] == "extra_forbidden":
        return f"unknown field {field!r} in its effects; the fields are {', '.join(Declaration.model_fields)}"
    expected = details["msg"].removeprefix("Value error, ")
    return f"field {field!r}: {expected}, got {details['input']!r}"
