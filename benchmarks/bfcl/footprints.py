"""What each tool may read and write, found in the source of its class: the check on `labels.toml`.

An over-approximation by names, without regard to control flow. A local variable stands for every
attribute that it may be reached from; what is called on such a variable writes unless it is known not
to. `python -m benchmarks.bfcl.footprints` prints the findings in the form of the table.

Not found this way, and so stated by hand in the table: mutable defaults of parameters, and objects
shared between modules.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from benchmarks.bfcl.backend import CLASSES, api_class, methods
from benchmarks.bfcl.labels import Footprint

ALIASES: Mapping[str, Mapping[str, str]] = {"GorillaFileSystem": {"_current_dir": "root"}}
"""Attributes that point into the tree of another: to use one is to use the tree, but to set it is not."""

_SETTINGS = frozenset({"long_context"})  # set when the scenario is loaded, and by no tool
_READERS = frozenset({
    "_get_item", "_list_contents", "_read", "encode", "endswith", "format", "get", "isdigit", "items", "join",
    "keys", "lower", "replace", "rstrip", "split", "splitlines", "startswith", "strftime", "strip",
    "values", "zfill",
})  # fmt: skip
_FRESH = frozenset({"copy", "dict", "list", "set", "sorted", "str", "tuple"})  # new container, same elements
_PURE = frozenset(vars(builtins)) - {"delattr", "eval", "exec", "setattr"} | {"deepcopy"}

Attributes: TypeAlias = frozenset[str]
_NONE: Attributes = frozenset()


@dataclass(frozen=True, slots=True)
class _Reach:
    """The attributes that an expression's value is part of, and those that only its elements are."""

    itself: Attributes = _NONE
    elements: Attributes = _NONE

    def __or__(self, other: _Reach) -> _Reach:
        return _Reach(self.itself | other.itself, self.elements | other.elements)

    @property
    def whole(self) -> Attributes:
        return self.itself | self.elements


@dataclass(slots=True)
class _Findings:
    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    returns: Attributes = _NONE


def footprint(class_name: str, tool: str) -> tuple[Footprint, frozenset[str]]:
    """The labels that the source of a tool shows, and the module globals that it changes."""
    found = _findings(class_name, tool)
    aliases = ALIASES.get(class_name, {})
    reads = found.reads | {aliases[name] for name in found.reads if name in aliases}
    return (
        Footprint(
            frozenset(f"{class_name}.{name}" for name in reads - found.writes),
            frozenset(f"{class_name}.{name}" for name in found.writes),
        ),
        frozenset(found.globals),
    )


@cache
def _findings(class_name: str, method: str) -> _Findings:
    source = textwrap.dedent(inspect.getsource(getattr(api_class(class_name), method)))
    analysis = _Analysis(class_name, ast.parse(source).body[0])
    while analysis.step():  # until no local variable stands for more than before
        pass
    return analysis.found


class _Analysis(ast.NodeVisitor):
    """One method. State: `reach` of each local name so far, and what was `found`."""

    def __init__(self, class_name: str, tree: ast.stmt) -> None:
        self.found = _Findings()
        self._class = class_name
        self._tree = tree
        self._aliases = ALIASES.get(class_name, {})
        self._reach: dict[str, _Reach] = defaultdict(_Reach)
        self._functions = {
            n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n is not tree
        }
        self._locals = {
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        self._locals |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}

    def step(self) -> bool:
        """Walk the method once; return whether anything new was learnt about its local names."""
        before = dict(self._reach)
        self.visit(self._tree)
        return before != dict(self._reach)

    # --- what is read and what is bound

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A read or a rebinding of `self.x`, or of an attribute of something reached from one."""
        if self._is_self(node.value):
            if isinstance(node.ctx, ast.Load):
                if node.attr not in _SETTINGS and not self._is_method(node.attr):
                    self.found.reads.add(node.attr)
            else:
                self.found.writes.add(node.attr)
        elif not isinstance(node.ctx, ast.Load):
            self._mutate(node.value)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`x[...] = ...` and `del x[...]` change x."""
        if not isinstance(node.ctx, ast.Load):
            self._mutate(node.value)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """A local name stands for what it was assigned from."""
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, self._of(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """As `visit_Assign`."""
        self.generic_visit(node)
        if node.value is not None:
            self._bind(node.target, self._of(node.value))

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """`x += ...` may change x in place; no container can be divided."""
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            self._mutate(node.target)
        if isinstance(node.target, ast.Attribute) and self._is_self(node.target.value):
            self.found.reads.add(node.target.attr)

    def visit_For(self, node: ast.For) -> None:
        """A loop variable is an element of what is looped over."""
        self._bind(node.target, self._element(node.iter))
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """As `visit_For`."""
        self._bind(node.target, self._element(node.iter))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Whoever calls this method gets hold of what it returns."""
        self.generic_visit(node)
        if node.value is not None:
            self.found.returns |= self._of(node.value).whole

    def visit_Call(self, node: ast.Call) -> None:
        """A call of a method of the class, of a nested function, or on or with something reached."""
        self.generic_visit(node)
        function = node.func
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(function, ast.Attribute) and self._is_self(function.value):
            self._include(function.attr)
        elif isinstance(function, ast.Attribute):
            if function.attr not in _READERS | _FRESH and not self._is_library(function.value):
                self._mutate(function.value)
        elif isinstance(function, ast.Name) and function.id in self._functions:
            for parameter, argument in zip(self._functions[function.id].args.args, arguments, strict=False):
                self._reach[parameter.arg] |= self._of(argument)
        elif isinstance(function, ast.Name) and function.id not in _PURE:
            for argument in arguments:  # unknown code may change what it is given
                self._mutate(argument)

    # --- what an expression may be reached from

    def _of(self, node: ast.AST) -> _Reach:
        if isinstance(node, ast.Name):
            return self._reach[node.id]
        if isinstance(node, ast.Attribute):
            return _Reach(frozenset({node.attr})) if self._is_self(node.value) else self._of(node.value)
        if isinstance(node, ast.Subscript):
            return _Reach(self._of(node.value).whole)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.IfExp | ast.BoolOp):
            return self._any(node)
        if isinstance(node, ast.Compare | ast.Constant | ast.JoinedStr | ast.BinOp | ast.UnaryOp):
            return _Reach()
        return _Reach(_NONE, self._any(node).whole)  # displays and comprehensions: a fresh container

    def _of_call(self, node: ast.Call) -> _Reach:
        function = node.func
        arguments = self._any(*node.args)
        if isinstance(function, ast.Attribute):
            if self._is_self(function.value):
                return _Reach(self._callee(function.attr).returns)
            receiver = self._of(function.value)
            return _Reach(_NONE, receiver.whole) if function.attr in _FRESH else receiver | arguments
        if isinstance(function, ast.Name) and function.id in _FRESH:
            return _Reach(_NONE, arguments.whole)
        return _Reach() if isinstance(function, ast.Name) and function.id == "deepcopy" else arguments

    def _any(self, *nodes: ast.AST) -> _Reach:
        reach = _Reach()
        for node in nodes:
            for child in [node] if isinstance(node, ast.Name | ast.Attribute) else ast.iter_child_nodes(node):
                reach |= (
                    self._of(child) if not isinstance(child, ast.comprehension) else self._element(child.iter)
                )
        return reach

    def _element(self, node: ast.AST) -> _Reach:
        return _Reach(self._of(node).whole)

    # --- notes

    def _bind(self, target: ast.AST, reach: _Reach) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._reach[node.id] |= reach

    def _mutate(self, node: ast.AST) -> None:
        """Note that the object which the expression names is changed."""
        self.found.writes |= {self._aliases.get(name, name) for name in self._of(node).itself}
        root = node
        while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
            root = root.func if isinstance(root, ast.Call) else root.value
        if isinstance(root, ast.Name) and root.id not in self._locals:
            self.found.globals.add(root.id)

    def _include(self, method: str) -> None:
        callee = self._callee(method)
        self.found.reads |= callee.reads
        self.found.writes |= callee.writes
        self.found.globals |= callee.globals

    def _callee(self, method: str) -> _Findings:
        return _findings(self._class, method)

    def _is_method(self, name: str) -> bool:
        return callable(getattr(api_class(self._class), name, None))

    def _is_library(self, node: ast.AST) -> bool:
        """Whether the expression names an imported module or class: to call it changes nothing there."""
        if not isinstance(node, ast.Name) or node.id in self._locals:
            return False
        named = vars(sys.modules[api_class(self._class).__module__]).get(node.id)
        return inspect.ismodule(named) or inspect.isclass(named)

    @staticmethod
    def _is_self(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == "self"


def _lines() -> Iterator[str]:
    for class_name in CLASSES:
        yield f"\n[{class_name}]"
        for tool in methods(class_name):
            found, changed = footprint(class_name, tool)
            rows: dict[str, Any] = {"reads": found.reads, "writes": found.writes}
            parts = [
                f"{key} = [" + ", ".join(f'"{label.partition(".")[2]}"' for label in sorted(labels)) + "]"
                for key, labels in rows.items()
                if labels
            ]
            yield f"{tool} = {{ {', '.join(parts)} }}" + (
                f"  # globals: {sorted(changed)}" if changed else ""
            )


if __name__ == "__main__":
    print("\n".join(_lines()))
