"""The timeline page: one HTML file with its own style, script and data, that needs no network.

The script is a few small files that are put together in the order of `SCRIPTS`, inside one function.
The data is a JSON block in which no `<` stands, so that no value of a tool can end it. The page's policy
names the style and the script by their hashes: nothing else is ever run or fetched, whatever a value says.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from asyncfc.trace.report import Report
from asyncfc.trace.view import view

SCRIPTS = (
    "format", "dom", "model", "state", "layout", "scale", "motion", "theme", "shapes", "bars", "packed",
    "edges", "lane", "draw", "overview", "brush", "tooltip", "detail", "header", "search", "sight", "pointer",
    "signs", "keys", "app", "main",
)  # fmt: skip
"""What the script is made of, in this order; the last one begins."""


def page(report: Report, session: str = "") -> str:
    """Return the timeline of a run as the text of an HTML file."""
    return render(view(report, session))


def render(data: dict[str, Any]) -> str:
    """Return the page that shows this data (see `view`).

    Raises:
        ValueError: a number in it is not finite.
    """
    style, script = _style(), _script()
    return Template(_read("timeline.html")).substitute(
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        # ASCII only: a text may hold half a surrogate pair, which no file can.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


@cache
def _style() -> str:
    return _read("timeline.css")


@cache
def _script() -> str:
    parts = [_read(f"js/{name}.js") for name in SCRIPTS]
    return "\n".join(['(() => {\n"use strict";\n', *parts, "})();"])


def _read(name: str) -> str:
    return files(__name__).joinpath(*name.split("/")).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return a hash as a content security policy writes it, of what stands between two tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
