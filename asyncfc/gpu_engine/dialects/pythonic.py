"""Calls written as a Python list, `[f(a=1), g()]`: literals only, nothing is ever evaluated."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

from asyncfc.gpu_engine.dialects.called import Called, NoCall, Unreadable

HANDLE = r"\$(?:\{[^{}]*\}|\w+(?:\.\w+|\[[^\[\]]*\])*)"
"""A handle without quotes, with its path; models write values of that kind without them now and then."""
_STRING_OR_HANDLE = re.compile(
    r"(?P<string>\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')|(?P<handle>"
    + HANDLE
    + ")",
    re.DOTALL,
)
_WORDS = {"true": True, "false": False, "null": None}
_FIRST_NAME = re.compile(r"\[\s*([A-Za-z_][\w.]*)\s*\(")
_PLAIN = (str, int, float, type(None))


def pythonic_calls(body: str) -> list[Called]:
    """Read a list of calls with keyword arguments; one call without the list will do.

    Raises:
        Unreadable: it is no such list, or an argument is no literal.
    """
    try:
        return _calls(body)
    except Unreadable as error:
        found = _FIRST_NAME.search(body)
        raise Unreadable(error.reason, error.name or (found.group(1) if found else None)) from None


def unmarked_pythonic_calls(body: str) -> list[Called]:
    """Read a turn that is a list of calls without any delimiter.

    Raises:
        NoCall: it goes on after the list, as a Markdown link and prose do.
        Unreadable: see `pythonic_calls`.
    """
    if not body.rstrip().endswith("]"):
        raise NoCall
    return pythonic_calls(body)


def _calls(body: str) -> list[Called]:
    tree = _parse(_STRING_OR_HANDLE.sub(_quoted, body.strip()))
    found = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    if not found:
        raise Unreadable("there is no call in it")
    return [_call(node) for node in found]


def _quoted(found: re.Match[str]) -> str:
    return found["string"] or json.dumps(found["handle"])


def _parse(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes that Python does not know
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise Unreadable(f"it is not a Python list of calls: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte; nesting
        raise Unreadable(f"it cannot be read: {error!r}") from None


def _call(node: ast.expr) -> Called:
    if not isinstance(node, ast.Call):
        raise Unreadable(f"{ast.unparse(node)[:40]!r} is not a call")
    name = _name(node.func)
    if node.args:
        raise Unreadable("arguments are given by name: f(city='Oslo')", name)
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise Unreadable(f"the argument {keyword.arg or '**'!r} is given twice or unpacked", name)
        try:
            arguments[keyword.arg] = _literal(keyword.value)
        except RecursionError:
            raise Unreadable("it is nested too deeply", name) from None
        except Unreadable as error:
            raise Unreadable(error.reason, name) from None
    return Called(name, arguments)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise Unreadable(f"{ast.unparse(node)[:40]!r} is not the name of a tool")


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, _PLAIN):
            return value
        case ast.Name(id=word) if word in _WORDS:
            return _WORDS[word]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=int() | float() as number)):
            return -number if isinstance(node.op, ast.USub) else number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_literal(element) for element in elements]
        case ast.Dict():
            return _mapping(node)
    raise Unreadable(f"{ast.unparse(node)[:40]!r} is not a literal value")


def _mapping(node: ast.Dict) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        name = None if key is None else _literal(key)
        if not isinstance(name, str) or name in result:
            raise Unreadable(f"the key {name!r} of a dict is no string, or is there twice")
        result[name] = _literal(value)
    return result
