"""What an import loads. The time that it takes is measured by `benchmarks/import_cost.py`."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfc

ROOT = Path(__file__).parents[1]

FRAMEWORKS = {
    "agents", "anthropic", "google", "hypothesis", "langchain", "langchain_core", "langgraph", "litellm",
    "llama_index", "mcp", "openai", "opentelemetry", "pydantic_ai", "ray", "rich", "smolagents", "torch",
    "transformers", "typer",
}  # fmt: skip

RECORD = """
import sys

class Record:  # asked for every module before it is looked up, installed or not
    names = set()
    def find_spec(self, name, path=None, target=None):
        self.names.add(name)

already = set(sys.modules)
sys.meta_path.insert(0, Record())
{statement}
names = Record.names | (set(sys.modules) - already)
import json
print(json.dumps(sorted(names)))
"""


def modules_asked_for_by(statement: str) -> set[str]:
    """Every module that a fresh interpreter loads, or tries to load, to run the statement."""
    program = RECORD.replace("{statement}", statement)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_the_record_sees_modules_that_are_not_installed() -> None:
    asked = modules_asked_for_by("try: import no_such_thing, json\nexcept ImportError: pass")
    assert "no_such_thing" in asked


def test_importing_asyncfc_loads_nothing_else() -> None:
    assert modules_asked_for_by("import asyncfc") <= {"asyncfc", "__future__"}


def test_asking_for_an_error_loads_only_the_errors() -> None:
    asked = modules_asked_for_by("from asyncfc import UpstreamFailed")
    assert {name for name in asked if name.startswith("asyncfc")} == {"asyncfc", "asyncfc.errors"}
    assert not packages(asked) & {"asyncio", "networkx", "pydantic", *FRAMEWORKS}


def test_importing_session_loads_no_torch_and_no_framework() -> None:
    asked = modules_asked_for_by("from asyncfc import Session")
    assert "asyncfc.session" in asked
    assert not packages(asked) & FRAMEWORKS


def names_seen_by_type_checkers() -> dict[str, str]:
    """Public name -> module, from the block that only type checkers read."""
    tree = ast.parse((ROOT / "asyncfc" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_programs_see_the_same_names() -> None:
    assert {*names_seen_by_type_checkers(), "__version__"} == set(asyncfc.__all__)


@pytest.mark.parametrize(("name", "module"), names_seen_by_type_checkers().items())
def test_a_public_name_is_the_object_that_type_checkers_see(name: str, module: str) -> None:
    assert getattr(asyncfc, name) is getattr(importlib.import_module(module), name)


def test_every_error_is_public() -> None:
    errors: dict[str, Any] = vars(importlib.import_module("asyncfc.errors"))
    own = {name for name, value in errors.items() if getattr(value, "__module__", "") == "asyncfc.errors"}
    assert own <= set(asyncfc.__all__)


def test_the_version_is_that_of_the_installed_distribution() -> None:
    metadata = importlib.import_module("importlib.metadata")
    assert asyncfc.__version__ == metadata.version("asyncfc")


def test_names_are_listed_before_they_are_loaded() -> None:
    assert set(asyncfc.__all__) <= set(dir(asyncfc))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'asyncfc' has no attribute 'Sesion'"):
        _ = asyncfc.Sesion  # type: ignore[attr-defined]


def test_the_policy_of_the_engine_knows_no_tensors() -> None:
    modules = ("batcher", "core", "keeping", "rows", "sequence", "speech")
    imports = ", ".join(f"asyncfc.gpu_engine.{module}" for module in modules)
    assert not {"torch", "transformers"} & packages(modules_asked_for_by(f"import {imports}"))
