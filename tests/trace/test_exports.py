from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc import Call, Session
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.trial import in_session
from asyncfc.trace.graphs import dot, mermaid
from asyncfc.trace.perfetto import perfetto
from asyncfc.trace.picture import picture
from asyncfc.trace.trace import Trace
from asyncfc.trace.view import one_by_one
from tests.trace.runs import play

SVG = "{http://www.w3.org/2000/svg}"


def test_mermaid_draws_data_effects_and_the_critical_path() -> None:
    report = play().report
    tag = str(report.calls[0].handle)[:-1]
    assert mermaid(report).splitlines() == [
        "flowchart LR",
        f'    c0["find {tag}1 1 s"]',
        f'    c1["find {tag}2 1 s"]',
        f'    c2["book {tag}3 2 s"]',
        f'    c3["mail {tag}4 0.5 s"]',
        "    c0 ==> c2",
        "    c1 --> c3",
        '    c2 ==>|"WAW *"| c3',
        "    style c3 stroke:#c0392b",
    ]


def test_graphviz_draws_the_same() -> None:
    text = dot(play().report)
    assert 'c2 -> c3 [label="WAW *", style=dashed, penwidth=3];' in text
    assert "c0 -> c2 [penwidth=3];" in text
    assert text.count('color="#c0392b"') == 1
    assert text.startswith("digraph asyncfc {")
    assert text.endswith("}\n")


def test_names_of_calls_cannot_break_out_of_a_graph() -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("c1", 'no"]; such\ntool', {})])

    report = play(body).report
    assert "no#34;#93;#59; such#10;tool" in mermaid(report)
    assert len(mermaid(report).splitlines()) == 3
    assert 'label="no\\"]; such\\ntool' in dot(report)


def test_perfetto_has_lanes_and_arrows() -> None:
    events = perfetto(play().report, "run")["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {1: "model", 2: "calls 1", 3: "calls 2"}
    bars = [
        (event["name"], event["tid"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"
    ]
    assert bars[:3] == [
        ("message 1", 1, 0, pytest.approx(0.5e6)),
        ("message 2", 1, pytest.approx(0.5e6), pytest.approx(0.5e6)),
        ("message 3", 1, pytest.approx(1e6), pytest.approx(0.7e6)),
    ]
    assert ("book", 3, pytest.approx(1.5e6), pytest.approx(2e6)) in bars
    flows = [(event["ph"], event["name"]) for event in events if event["ph"] in "sf"]
    assert flows == [
        ("s", "data"),
        ("f", "data"),
        ("s", "data"),
        ("f", "data"),
        ("s", "effect"),
        ("f", "effect"),
    ]


@given(program=programs(limits=True), seed=st.integers(0, 9))
def test_in_a_lane_of_perfetto_nothing_overlaps(program: Program, seed: int) -> None:
    trace = Trace()
    for event in in_session(program, seed=seed).events:
        trace(event)
    events = perfetto(trace.report)["traceEvents"]
    json.dumps(events, allow_nan=False)
    lanes: dict[int, list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            lanes.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for bars in lanes.values():
        bars.sort()
        assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(bars))
    assert sum(map(len, lanes.values())) == sum(
        call.work is not None for call in trace.record.calls.values()
    ) + sum(len(message.decoding) for message in trace.record.messages)


def test_one_by_one_is_every_message_and_call_in_turn() -> None:
    rows = one_by_one(play().report)
    assert [(kind, which) for kind, which, _, _ in rows] == [
        ("message", 1),
        ("call", 0),
        ("call", 1),
        ("message", 2),
        ("call", 2),
        ("call", 3),
        ("message", 3),
    ]
    assert [stop - start for _, _, start, stop in rows] == pytest.approx([0.5, 1, 1, 0.5, 2, 0.5, 0.7])


def test_the_picture_shows_both_at_one_scale() -> None:
    root = ET.fromstring(picture(play().report))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts[0] == "one by one: 6.2 s"
    assert "asyncfc: 4 s" in texts
    bars = [element for element in root.iter(f"{SVG}rect") if element.get("class") == "tool"]
    widths = [float(bar.get("width", "0")) for bar in bars if (bar[0].text or "").startswith("book")]
    assert len(widths) == 2
    assert widths[0] == pytest.approx(widths[1], abs=0.2)
    assert {bar.get("class") for bar in root.iter(f"{SVG}rect")} == {"model", "tool", "bad"}


def test_the_picture_of_nothing_is_one_too() -> None:
    async def nothing(session: Session) -> None:
        pass

    ET.fromstring(picture(play(nothing).report))


def test_every_export_writes_its_file(tmp_path: Path) -> None:
    trace = play()
    trace.perfetto(tmp_path / "a.json")
    trace.mermaid(tmp_path / "a.mmd")
    trace.dot(tmp_path / "a.dot")
    trace.picture(tmp_path / "a.svg")
    trace.timeline(tmp_path / "a.html")
    assert json.loads((tmp_path / "a.json").read_text())["displayTimeUnit"] == "ms"
    assert re.search(r"<html", (tmp_path / "a.html").read_text())
    assert all(path.stat().st_size > 100 for path in tmp_path.iterdir())


def test_a_notebook_shows_the_timeline() -> None:
    text = play()._repr_html_()
    assert text.startswith('<iframe srcdoc="')
    assert "&lt;script" in text
    assert "<script" not in text
