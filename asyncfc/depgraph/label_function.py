"""Label functions: labels that are computed from the arguments, where no template can say them.

A label function is the user's code. Whatever it does wrong, the root stands in for its labels: claiming
too much never changes a result, only timing (DESIGN E1).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from asyncfc.depgraph.resource import (
    FILES,
    ROOT,
    Label,
    check_text,
    parse_label,
    path_components,
    split_scheme,
)
from asyncfc.depgraph.template import MOST_LABELS, Resolve
from asyncfc.errors import DeclarationError

LabelsOf: TypeAlias = Callable[..., str | Iterable[str]]
"""From the arguments of a call, by name, to the labels that it touches; none of them is touching nothing."""

_log = logging.getLogger("asyncfc")


class Complaint:
    """Logs the first thing that goes wrong in the label functions of a tool, and no other."""

    __slots__ = ("_made", "_tool")

    def __init__(self, tool: str) -> None:
        self._tool = tool
        self._made = False

    def make(self, function: str, error: Exception) -> None:
        """Log what the function did wrong."""
        if self._made:
            return
        self._made = True
        _log.warning(
            "tool %r: the label function %s gave no labels for a call, which is therefore ordered as if it "
            "touched everything; this is logged once per tool",
            self._tool,
            function,
            exc_info=error,
        )


@dataclass(frozen=True, slots=True)
class LabelFunction:
    """Stands where a `Template` can stand; made by `make`, asked by `bind`."""

    function: LabelsOf
    text: str
    """The function's name, for messages."""
    holes: tuple[str, ...]
    """The arguments that it is called with, each once."""
    needs_all: bool
    """It is called with every other argument of the call too: those of a tool that takes any."""
    resolve: Resolve | None
    complaint: Complaint = field(repr=False, compare=False)

    @classmethod
    def make(
        cls,
        function: LabelsOf,
        *,
        complaint: Complaint,
        parameters: Collection[str] | None = None,
        resolve: Resolve | None = None,
    ) -> LabelFunction:
        """Read which arguments the function needs: those that it names, or with `**` all that there are.

        Args:
            function: the function as declared.
            complaint: shared by the label functions of one tool.
            parameters: the parameters that the tool has; None if it takes any.
            resolve: applied to each path that the function returns, before it is parsed.

        Raises:
            DeclarationError: the function is async, or needs an argument that the tool does not have.
        """
        text = label_text(function)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationError(f"label function {text} is async; labels are needed at once, so use `def`")
        named, takes_any = _read_signature(text, function)
        if parameters is None:
            return cls(function, text, tuple(named), takes_any, resolve, complaint)
        for name, required in named.items():
            if required and name not in parameters:
                known = ", ".join(map(repr, sorted(parameters))) or "none"
                raise DeclarationError(
                    f"label function {text}: no parameter {name!r} to call it with; "
                    f"the tool's parameters: {known}"
                )
        holes = tuple(name for name in parameters if takes_any or name in named)
        return cls(function, text, holes, False, resolve, complaint)

    @property
    def is_static(self) -> bool:
        """Never: what the function returns is not known before it is asked."""
        return False

    def bind(
        self, arguments: Mapping[str, Any], unresolved: Collection[str] = (), untold: Collection[str] = ()
    ) -> tuple[Label, ...]:
        """Return the labels for the arguments of one call. Never raises.

        The root stands in for them while an argument that the function needs is `unresolved` or `untold`
        (see `EffectSpec.bind`), and where the function raises or returns what is no label.
        """
        if self._lacks(unresolved) or self._lacks(untold):
            return (ROOT,)
        try:
            return self._labels(self.function(**self._copied(arguments)))
        except Exception as error:  # whatever the user's function does wrong: the root is always sound
            self.complaint.make(self.text, error)
            return (ROOT,)

    def _lacks(self, unknown: Collection[str]) -> bool:
        return any(self.needs_all or name in self.holes for name in unknown)

    def _copied(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of what the function gets, because the tool gets the arguments themselves."""
        from asyncfc.futures.plain import copy_json  # here, since its package loads asyncio

        wanted = arguments if self.needs_all else {n: arguments[n] for n in self.holes if n in arguments}
        copied: dict[str, Any] = copy_json(dict(wanted))
        return copied

    def _labels(self, returned: str | Iterable[str]) -> tuple[Label, ...]:
        texts = [returned] if isinstance(returned, str) else list(islice(returned, MOST_LABELS + 1))
        if len(texts) > MOST_LABELS:
            raise DeclarationError(f"more than {MOST_LABELS} labels; return what they have in common")
        return tuple(dict.fromkeys(map(self._label, texts)))

    def _label(self, text: Any) -> Label:
        if not isinstance(text, str):
            raise DeclarationError(f"{text!r} is no label; a label function returns text, or several texts")
        scheme, path = split_scheme(text)
        if scheme != FILES or self.resolve is None:
            return parse_label(text)
        check_text(text)
        return (FILES, *path_components(self.resolve(path)))


def label_text(label: str | LabelsOf) -> str:
    """Return how messages name a declared label: its template, or the function's name."""
    return label if isinstance(label, str) else getattr(label, "__qualname__", None) or repr(label)


def _read_signature(text: str, function: LabelsOf) -> tuple[dict[str, bool], bool]:
    """Return the arguments that it names, each with whether it must have it, and whether it takes others."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some that are not written in Python
        return {}, True
    named: dict[str, bool] = {}
    takes_any = False
    for parameter in parameters:
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            named[parameter.name] = required
        elif parameter.kind is parameter.POSITIONAL_ONLY and required:
            raise DeclarationError(
                f"label function {text}: {parameter.name!r} cannot be passed by name, as arguments are"
            )
    return named, takes_any
