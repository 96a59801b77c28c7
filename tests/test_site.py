"""The site: it builds without a warning, all pages are in it, and its pictures are those of real runs."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # mkdocs brings it

import asyncfc
import asyncfc.errors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = sorted((DOCS / "pictures").glob("*.svg"))
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def leaves(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from leaves(entry)
        case dict():
            for entry in nav.values():
                yield from leaves(entry)


def test_every_page_is_in_the_navigation_once() -> None:
    pages = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(leaves(CONFIG["nav"])) == pages


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert [line for line in said if not line.startswith("INFO")] == []
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(list(leaves(CONFIG["nav"])))
    loaded = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=)["']?(?:https?:)?//""")
    assert [page for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    assert not (tmp_path / "pictures.py").exists()


# --- pictures ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_pictures_are_those_of_real_runs() -> None:
    spec = importlib.util.spec_from_file_location("docs_pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = dict(module.pictures())
    assert sorted(made) == [path.name for path in PICTURES]
    stale = [path.name for path in PICTURES if path.read_text(encoding="utf-8") != made[path.name]]
    assert stale == [], "make them anew: python docs/pictures.py"


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_shown_somewhere_with_words_for_those_who_do_not_see_it(path: Path) -> None:
    ET.parse(path)
    shown = [
        match[1]
        for page in [ROOT / "README.md", *DOCS.glob("*.md")]
        for match in re.finditer(rf"!\[([^\]]*)\]\([^)]*{path.name}\)", page.read_text(encoding="utf-8"))
    ]
    assert shown
    assert all(len(words) > 10 for words in shown)


# --- what stands in two places ----------------------------------------------------------------------


def test_the_start_page_says_what_the_readme_says() -> None:
    index, readme = read("docs/index.md"), read("README.md")
    assert f"```python\n{read('examples/quickstart.py')}```" in index
    for pattern in (r"```diff\n.*?```", r"Measured: \*\*[\d.]+\*\* times", r"^\*The results and.*?\*\n"):
        (said,) = re.findall(pattern, readme, re.DOTALL | re.MULTILINE)
        assert said in index


def test_the_page_on_traces_lists_the_keys_of_the_timeline() -> None:
    (listed,) = re.findall(
        r"^const KEYS = \[\n(.*?)^\];", read("asyncfc/trace/page/js/keys.js"), re.DOTALL | re.MULTILINE
    )
    groups = re.findall(r"\[((?:\"[^\"]+\"(?:, )?)+)\], \"", listed)
    keys = {key for group in groups for key in group.split(", ")}
    (table,) = re.findall(r"^\| key \|.*?\n\n", read("docs/trace.md"), re.DOTALL | re.MULTILINE)
    assert len(keys) > 10
    assert {key.strip('"') for key in keys} == set(re.findall(r"`([^`]+)`", table))


# --- the reference ----------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: asyncfc\.(\w+)$", pages, re.MULTILINE))
    assert "::: asyncfc.errors\n" in pages
    errors = {name for name, one in vars(asyncfc.errors).items() if isinstance(one, type)}
    assert set(asyncfc.__all__) - shown - errors == {"__version__"}
