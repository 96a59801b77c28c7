"""Code: the call inside a CML block, read into a tool name and JSON arguments. Nothing is ever evaluated.

    get_x(key="abc", n=[1, c1.id], other=c2)

A name is an earlier call; it stands for that call's result, with a path for a part of it. In the arguments
it becomes the handle of that call, so that the session orders the two as it does everywhere else.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from asyncfc.errors import CallError
from asyncfc.futures.handle import HandleGrammar, Path, show_path
from asyncfc.futures.plain import shorten
from asyncfc.gpu_engine.cml.markers import original

MAX_CODE_CHARS = 100_000
MAX_QUOTED_CHARS = 60
"""Of the model's own words in an error."""

_TOOL = re.compile(r"\s*([\w.-]+)\s*(?=\()")
_WORDS = {"true": True, "false": False, "null": None}
_STAND_IN = "f"

Parameters: TypeAlias = Callable[[str], Sequence[str] | None]
"""The parameters of a tool in their order; None: there is no such tool."""


class BadCode(CallError):
    """The code of a call in CML cannot be read; the message says where and what was expected."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the code of a call asks for.

    `arguments`: JSON, with handles where results of earlier calls belong; `uses`: the ids of these calls.
    """

    tool: str
    arguments: dict[str, Any]
    uses: tuple[str, ...]


def read_code(
    code: str, handles: Mapping[str, str | None], grammar: HandleGrammar, parameters: Parameters
) -> ToolCall:
    """Read the code of one call.

    Args:
        code: what stands between [HEAD] and [END].
        handles: of earlier calls, by id; None: one that brings nothing that could be passed on.
        grammar: how handles are written; text of the model that reads as one is kept from it.
        parameters: what the order of arguments without names means.

    Raises:
        BadCode: it is no call with literal arguments and results of earlier calls.
    """
    found = _TOOL.match(code)
    if found is None or len(code) > MAX_CODE_CHARS:
        raise BadCode(f'{_quoted(code)} is no call; expected one such as get_price(item="abc")')
    node = _parse(_STAND_IN + code[found.end() :])
    reader = _Reader(found[1], handles, grammar)
    try:
        arguments = reader.arguments(node, parameters)
    except RecursionError:
        raise BadCode(f"the arguments of {found[1]} are nested too deeply") from None
    return ToolCall(found[1], arguments, tuple(reader.uses))


def _parse(code: str) -> ast.Call:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes that Python does not know
            node = ast.parse(code.rstrip(), mode="eval").body
    except SyntaxError as error:
        near = (error.text or code)[max(len(_STAND_IN), (error.offset or 1) - 1) :].strip()
        place = f", near {_quoted(near)}" if near else ""
        raise BadCode(f"this is no call that can be read: {error.msg}{place}") from None
    except (ValueError, RecursionError, MemoryError):  # a null byte; brackets inside each other
        raise BadCode("this is no call that can be read: it is nested too deeply, or no text") from None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node
    raise BadCode(f"there is more than one call in {_quoted(code[len(_STAND_IN) :])}; expected one per block")


@dataclass(slots=True)
class _Reader:
    """Reads the arguments of one call."""

    tool: str
    handles: Mapping[str, str | None]
    grammar: HandleGrammar
    uses: dict[str, None] = field(default_factory=dict)

    def arguments(self, call: ast.Call, parameters: Parameters) -> dict[str, Any]:
        named = list(zip(self._positions(call.args, parameters), call.args, strict=True))
        for keyword in call.keywords:
            named += [(keyword.arg, keyword.value)] if keyword.arg else self._unpacked(keyword.value)
        arguments: dict[str, Any] = {}
        for name, node in named:
            if name in arguments:
                raise BadCode(f"the argument {name} of {self.tool} is given twice")
            arguments[name] = self._value(node)
        return arguments

    def _positions(self, nodes: Sequence[ast.expr], parameters: Parameters) -> Sequence[str]:
        """The parameters that arguments without names are for."""
        if not nodes:
            return ()
        names = parameters(self.tool)
        if names is None:
            raise BadCode(f"there is no tool {self.tool!r}")
        if len(nodes) > len(names):
            raise BadCode(
                f"{self.tool} has {len(nodes)} arguments without names, but takes {len(names)}: "
                f"{', '.join(names) or 'none'}"
            )
        return names[: len(nodes)]

    def _unpacked(self, node: ast.expr) -> list[tuple[str, ast.expr]]:
        """`**{"from": "x"}`: for parameters that Python cannot name."""
        if not isinstance(node, ast.Dict):
            raise BadCode(f"**{_source(node)} cannot be read; give each argument by its name")
        return [(self._key(key), value) for key, value in zip(node.keys, node.values, strict=True)]

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return self._constant(value, node)
            case ast.UnaryOp(op=sign, operand=ast.Constant(value=int() | float() as number)):
                if isinstance(sign, ast.USub | ast.UAdd) and not isinstance(number, bool):
                    return self._constant(-number if isinstance(sign, ast.USub) else number, node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item) for item in items]
            case ast.Dict():
                return self._mapping(node)
            case ast.Name(id=word) if word in _WORDS and word not in self.handles:
                return _WORDS[word]
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._reference(node)
            case ast.Call():
                raise BadCode(
                    f"{_source(node)} is a call inside a call; give it a block and an id of its own, and "
                    "write the id here"
                )
        raise BadCode(
            f"{_source(node)} in the arguments of {self.tool} is neither a literal nor the id of a call; "
            "nothing is computed here"
        )

    def _constant(self, value: object, node: ast.expr) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if value is None or type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
            return value
        raise BadCode(f"{_source(node)} in the arguments of {self.tool} has no JSON form")

    def _mapping(self, node: ast.Dict) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name = self._key(key)
            if name in result:
                raise BadCode(f"the key {_quoted(name)} stands twice in one object")
            result[name] = self._value(value)
        return result

    def _key(self, node: ast.expr | None) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._text(node.value)
        what = "**" if node is None else _source(node)
        raise BadCode(f"{what} is no key of an object; expected text in quotes")

    def _text(self, text: str) -> str:
        """The model's own text. It knows no handles; what reads as one is escaped, as it is undone later."""
        grammar = self.grammar
        text = original(text)
        return (
            text if grammar.sigil not in text else grammar.mention.sub(rf"{_sub(grammar.sigil)}\g<0>", text)
        )

    # --- results of earlier calls -----------------------------------------------------------------------

    def _reference(self, node: ast.expr) -> str:
        name, path = self._path(node)
        if name not in self.handles:
            known = ", ".join(self.handles) or "none yet"
            raise BadCode(
                f"{_quoted(name)} is no earlier call; they are: {known}. If text is meant, put it in quotes"
            )
        handle = self.handles[name]
        if handle is None:
            raise BadCode(f"the call {_quoted(name)} has no result that can be passed on")
        self.uses[name] = None
        return handle + show_path(path)

    def _path(self, node: ast.expr) -> tuple[str, Path]:
        steps: list[str | int] = []
        whole = node
        while not isinstance(node, ast.Name):
            match node:
                case ast.Attribute(value=inner, attr=name):
                    steps.append(name)
                case ast.Subscript(value=inner, slice=key):
                    steps.append(_step(key, whole))
                case _:
                    raise BadCode(
                        f"{_source(whole)} is no path on a call; expected one such as c1.items[0].id"
                    )
            node = inner
        return node.id, tuple(reversed(steps))


def _step(key: ast.expr, whole: ast.expr) -> str | int:
    match key:
        case ast.Constant(value=str() as name):
            return original(name)
        case ast.Constant(value=int() as index) if not isinstance(index, bool):
            return index
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as index)):
            return -index
    raise BadCode(f'[{_source(key)}] in {_source(whole)} is no step of a path; expected [0] or ["a key"]')


def _sub(text: str) -> str:
    """As the replacement of a regular expression."""
    return text.replace("\\", r"\\")


def _source(node: ast.expr) -> str:
    try:
        return shorten(ast.unparse(node), MAX_QUOTED_CHARS)
    except RecursionError:
        return "an expression"


def _quoted(text: str) -> str:
    return repr(shorten(text, MAX_QUOTED_CHARS))
