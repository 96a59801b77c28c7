"""Imports run one way, third parties have their places, and the text speaks of the project alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asyncfc"

# Each layer, and the layers that it may import (besides itself). A layer is a module or a package, named
# without "asyncfc."; a module belongs to the layer with the longest matching name.
TO_TOOLS = (
    "errors",
    "trace.events",
    "futures",
    "depgraph",
    "schema",
    "signature",
    "tools",
    "toolbox",
    "execution",
)
TO_MODEL = ("errors", "trace.events", "futures")
BELOW_TOP = (
    *TO_TOOLS,
    *("trace", "conversation", "duplicates", "core", "holding", "answering", "message", "requests"),
    *("runtime", "session"),
    "blocking",
)
JUDGED_BY = ("errors", "futures", "tools")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    **{layer: TO_TOOLS[:index] for index, layer in enumerate(TO_TOOLS)},
    "conversation": TO_MODEL,
    "duplicates": TO_TOOLS,
    "runtime": TO_TOOLS,
    "core": (*TO_TOOLS, "conversation", "duplicates"),
    "holding": (*TO_TOOLS, "conversation", "core"),
    "answering": (*TO_TOOLS, "conversation", "core", "holding"),
    "message": (*TO_TOOLS, "conversation", "duplicates", "core", "holding", "answering"),
    "requests": (*TO_TOOLS, "conversation", "core"),
    "session": (*TO_TOOLS, "trace", "conversation", "duplicates", "core", "message", "requests", "runtime"),
    "blocking": (*TO_TOOLS, "trace", "conversation", "core", "message", "session"),
    "incoming": BELOW_TOP,
    "dialogue": (*BELOW_TOP, "incoming"),
    "exchange": (*BELOW_TOP, "incoming", "dialogue"),
    "streamed": ("conversation",),
    "attached": (*BELOW_TOP, "incoming", "dialogue"),
    "agent": (*BELOW_TOP, "incoming", "dialogue", "exchange", "streamed"),
    "adapters": (*BELOW_TOP, "incoming", "dialogue", "exchange", "streamed", "attached"),
    "trace": ("errors", "trace.events", "futures", "depgraph"),
    "testing": (*BELOW_TOP, "incoming", "dialogue", "exchange", "streamed", "agent", "testing"),
    "testing.models": (),  # the judge of what asyncfc sends shares no code with it
    "cli": (*BELOW_TOP, "trace", "testing", "adapters"),
    "gpu_engine": ("errors", "futures", "gpu_engine.engine"),
    # One module of the engine knows a Session and makes of it what all others see through a Protocol.
    "gpu_engine.engine": ("errors", "futures", "gpu_engine"),
    "gpu_engine.sessions": (*BELOW_TOP, "incoming", "dialogue", "gpu_engine"),
    # The oracles share no code with what they judge, and neither does anything that they import: they
    # compare claims by the words of the declarations, never by the index or the scheduler.
    "testing.oracle": JUDGED_BY,
    "testing.world": JUDGED_BY,
    "testing.programs": (*JUDGED_BY, "testing.oracle", "testing.world"),
    "testing.eventful": (*JUDGED_BY, "testing.oracle", "testing.programs", "testing.world"),
    "testing.ideal": (
        *JUDGED_BY,
        "depgraph.effects",
        "testing.oracle",
        "testing.programs",
        "testing.world",
    ),
}

# Where each third party may be imported, and no third party that is not listed. A new place is a decision.
PLACES: dict[str, tuple[str, ...]] = {
    "agents": ("adapters.openai_agents",),
    "anthropic": ("adapters.anthropic",),
    "anyio": ("adapters.mcp_proxy",),
    "asyncio_throttle": ("execution",),
    "google": ("adapters.google_genai",),
    "httpx2": ("adapters",),
    "hypothesis": ("testing",),
    "langchain": ("adapters.langchain",),
    "langchain_core": ("adapters.langchain",),
    "langgraph": ("adapters.langchain",),
    "litellm": ("adapters.litellm",),
    "llama_index": ("adapters.llama_index",),
    "mcp": ("adapters.mcp", "adapters.mcp_proxy"),
    "mcp_types": ("adapters.mcp", "adapters.mcp_proxy"),
    "networkx": ("depgraph.graph",),
    "opentelemetry": ("trace.spans",),
    "openai": ("adapters.openai", "adapters.openai_agents"),
    "pydantic": ("adapters", "depgraph.declaration", "schema", "tools"),
    "pydantic_core": ("adapters", "depgraph.declaration", "futures.projection", "schema"),
    "pydantic_ai": ("adapters.pydantic_ai",),
    "ray": ("adapters.ray",),
    "rich": ("cli", "trace"),
    "smolagents": ("adapters.smolagents",),
    "starlette": ("adapters.mcp_proxy",),
    "tenacity": ("execution",),
    "torch": ("gpu_engine",),
    "transformers": ("gpu_engine",),
    "typer": ("cli",),
    "uvicorn": ("adapters.mcp_proxy",),
    "workflows": ("adapters.llama_index",),  # of LlamaIndex
}


def module_name(path: Path) -> str:
    """`asyncfc/futures/future.py` -> `futures.future`; a package is named by its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> str | None:
    if name == "trace":
        return "trace.events"  # loaded by every import of trace.events, so bound to its rules
    return max((layer for layer in MAY_IMPORT if within(name, layer)), key=len, default=None)


def imported_names(node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool) -> Iterator[str]:
    """The absolute dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = ["asyncfc", *module.split(".")] if module else ["asyncfc"]
        keep = len(package) - node.level + (1 if is_package else 0)
        base = ".".join([*package[:keep], *filter(None, [node.module])])
    for alias in node.names:
        name = f"{base}.{alias.name}"
        # `from asyncfc.futures import future` loads a module, `... import Future` a name of one.
        yield name if name.removeprefix("asyncfc.") in MODULES else base


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """All imports, those inside functions and under TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported_names(node, module, is_package=is_package):
                yield node.lineno, name


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    layer = layer_of(module)
    if layer is None:
        return [f"asyncfc.{module} is in no layer; add it to MAY_IMPORT with what it may import"]
    found = []
    for line, name in imports(source, module, is_package=is_package):
        top, _, rest = name.partition(".")
        if top == "asyncfc":
            allowed = rest and (
                layer_of(rest) == layer or any(within(rest, prefix) for prefix in MAY_IMPORT[layer])
            )
        else:
            places = PLACES.get(top, ())
            allowed = top in sys.stdlib_module_names or any(within(module, place) for place in places)
        if not allowed:
            found.append(f"asyncfc.{module}, line {line}: imports {name}; see MAY_IMPORT and PLACES")
    return found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "import asyncfc.futures.future"),
        ("futures.future", "from asyncfc.session import Session"),
        ("futures.future", "from asyncfc import session"),
        ("futures.future", "from asyncfc import Session"),
        ("futures.future", "from ..depgraph import graph"),
        ("futures.future", "def f():\n    from asyncfc.depgraph.graph import Graph"),
        ("futures.future", "if TYPE_CHECKING:\n    from asyncfc.depgraph.graph import Graph"),
        ("trace", "from asyncfc.trace.report import report"),
        ("conversation.delivery", "import asyncfc.execution.scheduler"),
        ("session", "from asyncfc.blocking import BlockingSession"),
        ("session", "import asyncfc.adapters.openai"),
        ("gpu_engine.engine", "from asyncfc.session import Session"),
        ("testing.oracle", "from asyncfc.depgraph.claims import ClaimIndex"),
        ("testing.ideal", "from asyncfc.depgraph.claims import ClaimIndex"),
        ("testing.ideal", "from asyncfc.execution.scheduler import Scheduler"),
        ("depgraph.claims", "import networkx"),
        ("session", "import torch.nn"),
        ("tools", "import requests"),
        ("brand_new", "import json"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("futures.future", "from asyncfc.futures.outcome import Outcome"),
        ("futures.future", "from . import outcome"),
        ("futures.future", "from ..errors import InternalError"),
        ("depgraph.graph", "import networkx as nx"),
        ("session", "import asyncio, asyncfc.execution.scheduler"),
        ("testing.oracle", "from asyncfc.tools import Tool"),
        ("trace.report", "from asyncfc.depgraph.resource import show_label"),
        ("session", "from asyncfc.trace.trace import Trace"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert violations(source, module) == []


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_module_imports_only_what_its_layer_may(module: str) -> None:
    path = MODULES[module]
    source = path.read_text(encoding="utf-8")
    assert violations(source, module, is_package=path.name == "__init__.py") == []


def loaded_with(module: str) -> set[str]:
    """The modules of asyncfc that importing this one executes directly: top level, not type-only."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        name.removeprefix("asyncfc.")
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(node, module, is_package=path.name == "__init__.py")
        if within(name, "asyncfc")
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({name: loaded_with(name) for name in MODULES}).prepare()


# The names are put together here, so that this file does not name them either.
FORBIDDEN_TEXT = [
    "/" + "work/",
    "/" + "root/",
    "pypi" + ".org",
    "python" + "hosted",
    "npm" + "js.org",
    "index" + "-url",
    "find" + "-links",
    "shared" + "/notes",
    "shared" + "/bfcl",
]
SKIPPED_FOLDERS = {
    *(".git", ".venv", ".venv-litellm", ".peers", "__pycache__", ".hypothesis", "build", "dist", "htmlcov")
}


def text_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = set(path.relative_to(ROOT).parts)
        if path.is_file() and not parts & SKIPPED_FOLDERS and not any("_cache" in part for part in parts):
            yield path


def test_the_text_names_no_machine_path_and_no_registry_host() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in text_files()
        for text in FORBIDDEN_TEXT
        if text.encode() in path.read_bytes()
    ]
    assert found == []
