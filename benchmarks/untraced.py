"""Untraced: a second copy of asyncfc, from its own source, in which nobody can listen.

It says what the places cost at which asyncfc asks whether somebody listens: the copy has no such places,
since every test of `emit` in it is decided when it is compiled.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncfc

NAME = "untraced_asyncfc"
ROOT = Path(asyncfc.__file__).parent


def load(module: str) -> Any:
    """Return a module of the copy, such as `session`."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return importlib.import_module(f"{NAME}.{module}")


class _Finder(MetaPathFinder):
    """Finds the modules of the copy where those of the package are."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (of the interface)
        target: ModuleType | None = None,  # noqa: ARG002 (of the interface)
    ) -> ModuleSpec | None:
        if fullname.split(".", maxsplit=1)[0] != NAME:
            return None
        original = PathFinder.find_spec(fullname.replace(NAME, "asyncfc", 1), _folder(fullname))
        if original is None or original.origin is None:
            return None
        package = original.submodule_search_locations is not None
        return spec_from_loader(fullname, _Loader(Path(original.origin)), is_package=package)


def _folder(fullname: str) -> list[str]:
    parts = fullname.split(".")
    return [str(ROOT.parent if len(parts) == 1 else ROOT.joinpath(*parts[1:-1]))]


class _Loader(Loader):
    """Runs the source of a module, changed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exec_module(self, module: ModuleType) -> None:
        tree = _Decided().visit(ast.parse(self._path.read_text(encoding="utf-8")))
        code = compile(ast.fix_missing_locations(tree), str(self._path), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (our own source)


class _Decided(ast.NodeTransformer):
    """Lets modules import the copy, and makes `emit is not None` False."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module is not None and node.module.split(".")[0] == "asyncfc":
            node.module = node.module.replace("asyncfc", NAME, 1)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        name = node.left.attr if isinstance(node.left, ast.Attribute) else getattr(node.left, "id", "")
        if name in {"emit", "_emit"} and isinstance(node.ops[0], ast.Is | ast.IsNot):
            return ast.Constant(isinstance(node.ops[0], ast.Is))
        return node
