"""The timeline page is one file that needs nothing else, and no value can break out of its data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from asyncfc import Call, Session, tool
from asyncfc.testing.loop import run_virtual
from asyncfc.trace import page as pages
from asyncfc.trace.page import SCRIPTS, page, render
from asyncfc.trace.trace import Trace
from asyncfc.trace.view import view

HOSTILE = "</script><script>alert(1)</script><!-- $data ${data} $$ \u2028 \ud800"
FOLDER = Path(pages.__file__).parent


async def _run(text: str) -> Trace:
    @tool(pure=True)
    async def echo(text: str) -> str:
        return text

    @tool(pure=True)
    async def fail(text: str) -> None:
        raise ValueError(text)

    async with Session([echo, fail], id=text, trace=True) as session:
        with session.sampling():
            pass
        await session.submit([Call(text, "echo", {"text": text}), Call("2", "fail", {"text": text})])
        await session.await_future()
        return session.trace


def page_of(trace: Trace) -> str:
    return page(trace.report, trace.session)


def made(text: str = "plain") -> Trace:
    return run_virtual(lambda: _run(text))


def data_of(html: str) -> Any:
    """What the page's script reads, as a browser finds it: up to the first end of a script."""
    [block] = re.findall(r'<script type="application/json" id="data">(.*?)</script', html, re.DOTALL)
    return json.loads(block)


def blocks(html: str) -> tuple[str, str]:
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    [script] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    return style, script


def test_no_value_can_end_the_data() -> None:
    html = page_of(made(HOSTILE))
    data = html.split('id="data">')[1].split("</script>\n<script>(()")[0]
    assert "<" not in data
    assert html.count("<script") == page_of(made()).count("<script")


def test_a_value_comes_back_as_it_was() -> None:
    [echoed, failed] = data_of(page_of(made(HOSTILE)))["calls"]
    assert echoed["id"] == HOSTILE
    assert json.loads(echoed["written"]) == {"text": HOSTILE}
    assert HOSTILE in failed["outcome"]["text"]


def test_half_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    made(HOSTILE).timeline(tmp_path / "out.html")
    assert data_of((tmp_path / "out.html").read_text(encoding="utf-8"))["session"] == HOSTILE


def test_a_number_that_json_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        render({"end": float("nan")})


@pytest.mark.parametrize("word", ["http:", "https:", "src=", "@import", "url(", "import(", "fetch(", "//#"])
def test_the_page_names_no_other_resource(word: str) -> None:
    assert word not in page_of(made())


@pytest.mark.parametrize("word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("])
def test_the_script_makes_no_markup_of_text(word: str) -> None:
    assert word not in page_of(made())


def test_the_policy_allows_this_style_and_this_script_only() -> None:
    html = page_of(made(HOSTILE))
    style, script = blocks(html)
    [policy] = re.findall(r'content="(default-src[^"]*)"', html)
    parts = [part.strip() for part in policy.split(";")]
    assert parts[:2] == ["default-src 'none'", "img-src data:"]
    for part, kind, text in zip(parts[2:], ("script", "style"), (script, style), strict=True):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert part == f"{kind}-src 'sha256-{digest}'"


def test_all_files_of_the_script_are_in_it_once() -> None:
    _, script = blocks(page_of(made()))
    assert sorted(SCRIPTS) == sorted(path.stem for path in (FOLDER / "js").glob("*.js"))
    texts = [(FOLDER / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    assert [script.count(text) for text in texts] == [1] * len(SCRIPTS)


def test_the_script_has_one_global() -> None:
    _, script = blocks(page_of(made()))
    assert set(re.findall(r"\bwindow\.(\w+) = ", script)) == {"asyncfcTimeline"}
    assert script.startswith('(() => {\n"use strict";')


def test_every_id_that_the_script_asks_for_is_in_the_page() -> None:
    html = page_of(made())
    wanted = set(re.findall(r'byId\("(\w+)"\)', blocks(html)[1]))
    assert wanted <= set(re.findall(r' id="(\w+)"', html))
    assert wanted


def test_every_colour_of_the_drawing_is_in_the_style() -> None:
    style, script = blocks(page_of(made()))
    named = set(re.findall(r'colour\["([\w-]+)"\]', script)) | set(re.findall(r"\bcolour\.(\w+)", script))
    assert named - set(re.findall(r"--([\w-]+):", style)) == set()
    assert {"ink", "on-bar"} <= named


def test_the_page_gets_what_the_view_says() -> None:
    trace = made()
    assert data_of(page_of(trace)) == json.loads(json.dumps(view(trace.report, trace.session)))


def test_a_trace_without_events_makes_a_page() -> None:
    assert data_of(page_of(Trace("empty")))["calls"] == []
