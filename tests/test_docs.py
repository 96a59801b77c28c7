"""The pages run: every Python block is executed, its assertions hold, and nothing public is left out."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

import asyncfc
from asyncfc import BlockingSession, Dialogue, Message, Runtime, Session, run
from asyncfc.conversation.handles import Handles
from asyncfc.depgraph.declaration import Declaration
from asyncfc.depgraph.effects_file import load_effects
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import ModelServer
from asyncfc.trace.events import Kind
from asyncfc.trace.report import Report
from asyncfc.trace.trace import Trace
from asyncfc.trace.why import Cause

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WORK, LOOPS, TRACE = (DOCS / name for name in ("work.md", "loops.md", "trace.md"))
GUIDE = [DOCS / "guide.md", WORK, LOOPS, TRACE]
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
ASSERTING = [*GUIDE, *(DOCS / name for name in ("labels.md", "engine.md", "concepts.md", "tutorial.md"))]
"""They say much, and show it."""
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
ADAPTERS = sorted((DOCS / "adapters").glob("*.md"))
ELSEWHERE = [DOCS / "adapters" / name for name in ("litellm.md", "ray.md")]
"""They need something of their own, an environment or a cluster: the tests of these adapters execute them."""
SLOW = [LOOPS, DOCS / "engine.md", DOCS / "tutorial.md", TRACE, *ADAPTERS]  # they load SDKs and frameworks
RUN = [
    pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page
    for page in PAGES + ADAPTERS
    if page not in ELSEWHERE
]
"""A page with servers takes a while: the SDKs load much of themselves at the first request."""
MAX_LINES = 20
"""Of code in an example of the guide."""

_REAL_TIME = "<!-- real time: threads -->"
_BLOCK = re.compile(rf"^(?:({_REAL_TIME})\n)?```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """Python in a page. With `await` it runs on virtual time, unless the page says that it needs threads."""

    line: int
    real_time: bool
    source: str

    def run(self, page: Path, names: dict[str, Any]) -> None:
        """Execute it as a notebook would: `await` may stand at the top level."""
        padded = "\n" * (self.line - 1) + self.source  # so that a traceback names the line of the page
        code = compile(padded, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, names)
        if inspect.iscoroutine(result):
            run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run if self.real_time else run_virtual
            run(result)


def blocks_of(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, match.start(2)) + 1, match[1] is not None, match[2])
        for match in _BLOCK.finditer(text)
    ]


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- the examples run -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["assert 1 == 2\n", "import asyncio\nawait asyncio.sleep(1)\nassert 1 == 2\n"]
)
def test_a_wrong_block_fails_and_names_its_line(wrong: str) -> None:
    (block,) = blocks_of(f"# Page\n\n```python\n{wrong}```\n")
    with pytest.raises(AssertionError) as raised:
        block.run(Path("page.md"), {})
    place = raised.traceback[-1]
    assert (Path(place.path).name, place.lineno + 1) == ("page.md", 3 + wrong.count("\n"))


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_in_the_order_in_which_they_are_read(page: Path) -> None:
    blocks = blocks_of(read(page))
    assert len(blocks) == read(page).count("```python")
    names: dict[str, Any] = {"__name__": f"docs.{page.stem}"}
    for block in blocks:
        block.run(page, names)


def test_no_page_with_code_is_left_out() -> None:
    with_code = {page for page in DOCS.rglob("*.md") if "```python" in read(page)}
    assert with_code <= {*PAGES, *ADAPTERS}


@pytest.mark.parametrize("page", ASSERTING, ids=lambda page: page.stem)
def test_a_page_asserts_what_it_says(page: Path) -> None:
    sources = [block.source for block in blocks_of(read(page))]
    assert sum(source.count("assert ") for source in sources) >= 10


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_an_example_of_the_guide_is_short(page: Path) -> None:
    for block in blocks_of(read(page)):
        assert len([line for line in block.source.splitlines() if line]) <= MAX_LINES, block.source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_toml_in_a_page_is_a_file_of_effects(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE)):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        assert load_effects(file).keys() == tomllib.loads(block)["tools"].keys()


@pytest.mark.parametrize(
    "page", [*PAGES, *ADAPTERS, *REFERENCE, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem
)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", _BLOCK.sub("", read(page))):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


# --- nothing is left out ----------------------------------------------------------------------------


def words_in_code(pages: list[Path]) -> set[str]:
    """Every word that stands in code: in a block, or between backticks."""
    text = "\n".join(read(page) for page in pages)
    code = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    code += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return set(re.findall(r"\w+", "\n".join(code)))


def test_every_public_name_is_in_the_pages() -> None:
    assert set(asyncfc.__all__) - words_in_code(PAGES) == {"__version__"}


@pytest.mark.parametrize("kind", [Session, BlockingSession, Runtime])
def test_every_setting_and_method_is_in_the_guide(kind: type) -> None:
    assert methods(kind) | settings(kind) <= words_in_code(GUIDE) | {"scheduler"}


@pytest.mark.parametrize("kind", [Message, Handles])
def test_every_method_of_what_a_session_gives_is_in_the_guide(kind: type) -> None:
    assert methods(kind) <= words_in_code(GUIDE)


@pytest.mark.parametrize("kind", [Dialogue, run, ModelServer])
def test_every_setting_of_a_loop_is_in_its_page(kind: Callable[..., Any]) -> None:
    assert settings(kind) <= words_in_code([LOOPS])


def test_every_name_and_setting_of_the_engine_is_in_its_page() -> None:
    gpu_engine = importlib.import_module("asyncfc.gpu_engine")
    wanted = set(gpu_engine.__all__) | settings(gpu_engine.Engine) | settings(gpu_engine.Engine.chat)
    wanted |= methods(gpu_engine.Engine) - {"core"}
    assert wanted - {"self", "Event"} <= words_in_code([DOCS / "engine.md"])


@pytest.mark.parametrize("kind", [Trace, Report])
def test_every_method_of_a_trace_is_in_its_page(kind: type) -> None:
    assert methods(kind) <= words_in_code([DOCS / "trace.md"])


@pytest.mark.parametrize("name", ["live.LiveView", "spans.Spans"])
def test_every_method_and_setting_of_a_listener_is_in_its_page(name: str) -> None:
    module, _, kind = name.partition(".")
    listener = getattr(importlib.import_module(f"asyncfc.trace.{module}"), kind)  # these have extras
    assert methods(listener) | settings(listener) <= words_in_code([DOCS / "trace.md"]) | {"session"}


def test_every_cause_of_a_wait_is_in_the_page_on_traces() -> None:
    (table,) = re.findall(r"^\| `cause` \|.*?\n\n", read(TRACE), re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - {"cause"} == set(get_args(Cause))


def methods(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def settings(kind: Callable[..., Any]) -> set[str]:
    """The parameters that have a name of their own to be told of."""
    return set(inspect.signature(kind).parameters) - {"tools", "settings", "session", "model", "messages"}


def test_every_field_of_a_declaration_is_in_the_pages() -> None:
    assert set(Declaration.model_fields) <= words_in_code(PAGES)


def test_every_kind_of_event_that_is_emitted_is_in_the_guide() -> None:
    (table,) = re.findall(r"^\| kind \|.*?\n\n", read(WORK), re.DOTALL | re.MULTILINE)
    first_column = "".join(line.split("|")[1] for line in table.splitlines()[2:] if line)
    assert set(re.findall(r"`([^`]+)`", first_column)) == set(get_args(Kind))
