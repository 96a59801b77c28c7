"""Signature: what a function takes, as far as it can be told without calling it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

from asyncfc.errors import DeclarationError

_NAMED = (
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.POSITIONAL_ONLY,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function that have names, in order."""

    parameters: dict[str, inspect.Parameter]
    annotations: dict[str, Any]
    """Resolved; a parameter without an annotation, or with one that cannot be resolved, is missing."""
    required: frozenset[str]
    defaults: dict[str, Any]
    positional: tuple[str, ...]
    """Those that cannot be passed by name."""
    takes_any: bool
    """Whether it takes arguments of any other name, too."""

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any]) -> Signature:
        """What the JSON schema of an arguments object admits, all by name."""
        required = frozenset(schema.get("required") or ())
        properties = schema.get("properties") or {}
        defaults = {
            name: part["default"]
            for name, part in properties.items()
            if name not in required and isinstance(part, Mapping) and "default" in part
        }
        # One for all, because Python takes only some names, and asyncfc nothing from it but that it is there.
        parameter = inspect.Parameter("any", inspect.Parameter.KEYWORD_ONLY)
        takes_any = schema.get("additionalProperties") is not False
        return cls(dict.fromkeys(properties, parameter), {}, required, defaults, (), takes_any)

    @classmethod
    def of(cls, function: Callable[..., Any], tool: str) -> Signature:
        """Read the signature.

        Raises:
            DeclarationError: naming the tool, if the function has none that can be read.
        """
        try:
            found = inspect.signature(function).parameters
        except (TypeError, ValueError) as error:
            raise DeclarationError(
                f"tool {tool!r}: no readable signature ({error}); wrap it in a function"
            ) from error
        named = {name: parameter for name, parameter in found.items() if parameter.kind in _NAMED}
        empty = inspect.Parameter.empty
        return cls(
            parameters=named,
            annotations=_annotations(function, named),
            required=frozenset(n for n, p in named.items() if p.default is empty),
            defaults={n: p.default for n, p in named.items() if p.default is not empty},
            positional=tuple(n for n, p in named.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY),
            takes_any=any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found.values()),
        )


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside all `partial`s."""
    while isinstance(function, partial):
        function = function.func
    return function


def name_of(function: Callable[..., Any]) -> str:
    """The function's own name, or that of its class.

    Raises:
        DeclarationError: it has none.
    """
    inner = innermost(function)
    name: str = getattr(inner, "__name__", None) or type(inner).__name__
    if name == "<lambda>":
        raise DeclarationError(f"{function!r} has no name of its own; pass name=..., or a mapping of tools")
    return name


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call of it runs on the loop: a coroutine function, or an async generator."""
    inner = innermost(function)
    return any(
        inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)
        for code in (inner, type(inner).__call__)
    )


def _annotations(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved annotations; a parameter whose annotation cannot be resolved is missing."""
    target: Any = innermost(function)
    if not inspect.isroutine(target):
        target = target.__init__ if inspect.isclass(target) else type(target).__call__
    try:
        hints = get_type_hints(target, include_extras=True)
    except Exception:  # a name that does not exist here: a forward reference, a TYPE_CHECKING import
        hints = _one_by_one(target)
    return {n: hint for n, hint in hints.items() if n in parameters and hint is not inspect.Parameter.empty}


def _one_by_one(target: Any) -> dict[str, Any]:
    """The annotations that can be resolved: one that cannot costs the others nothing."""
    names = getattr(inspect.unwrap(target), "__globals__", {})
    hints: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        one = SimpleNamespace(__annotations__={name: annotation})
        with suppress(Exception):
            hints |= get_type_hints(one, names, include_extras=True)
    return hints


def is_model(annotation: Any) -> bool:
    """Whether a pydantic model occurs in the annotation (asked without importing pydantic)."""
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    return any(is_model(part) for part in get_args(annotation))


def return_annotation(function: Callable[..., Any]) -> Any:
    """What a function says it returns; of a generator, a list of what it yields; None if it says nothing."""
    target: Any = innermost(function)
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        returned = get_type_hints(target, include_extras=True).get("return")
    except Exception:  # as in _annotations
        return None
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        items = get_args(returned)
        return list[items[0]] if items else None  # type: ignore[valid-type]
    return returned
