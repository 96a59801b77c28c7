from __future__ import annotations

import asyncio
import gc
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc import Call, Session, tool
from asyncfc.errors import DeclarationError, TraceError
from asyncfc.testing.eventful import cancelled, irreversible, timed
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.trial import in_session
from asyncfc.trace.events import Event
from asyncfc.trace.journal import line_of
from asyncfc.trace.plain import MAX_CHARS, MAX_TOTAL, brief
from asyncfc.trace.trace import Trace
from tests.trace.runs import converse, play


def test_a_session_records_only_if_asked() -> None:
    async def main() -> None:
        async with Session([]) as session:
            with pytest.raises(DeclarationError, match="trace=True"):
                _ = session.trace

    run_virtual(main)


def test_the_file_grows_with_the_run_and_gives_the_same_report(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines: list[int] = []

    async def body(session: Session) -> None:
        await session.submit([Call("c1", "find", {"city": "Oslo"})])
        lines.append(len(path.read_text().splitlines()))
        await session.await_future()
        lines.append(len(path.read_text().splitlines()))

    trace = play(body, trace=path)
    assert 1 < lines[0] < lines[1] <= len(trace.events) + 1
    loaded = Trace.load(path)
    assert (str(loaded.report), loaded.session) == (str(trace.report), "run")
    assert loaded.events == trace.events
    assert loaded.header == trace.header


def test_saving_and_loading_is_the_identity(tmp_path: Path) -> None:
    trace = play()
    trace.save(tmp_path / "run.jsonl")
    assert Trace.load(tmp_path / "run.jsonl").events == trace.events


def test_a_run_that_broke_off_in_the_middle_of_a_line_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    play(trace=path)
    text = path.read_text()
    path.write_text(text[:-20])
    assert len(Trace.load(path).events) == len(text.splitlines()) - 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no trace: its first line is ''"),
        ("hello\n", "is no trace: its first line is 'hello'"),
        ("[1]\n", "is no trace"),
        (
            '{"asyncfc": 99, "session": "", "epoch": 0, "t": 0}\n',
            "is of version 99; this release reads version 1",
        ),
        (
            '{"asyncfc": 1, "session": "", "epoch": 0, "t": 0}\n{}\n{}\n',
            "line 2: expected an event, not '{}'",
        ),
        (
            '{"asyncfc": 1, "session": "", "epoch": 0, "t": 0}\n{"t":0,"kind":"x","call":0,"data":{}}\n{}\n',
            "line 2",
        ),
    ],
)
def test_a_file_that_is_no_trace_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"some\.jsonl") as caught:
        Trace.load(path)
    assert complaint in str(caught.value)


def test_a_file_that_cannot_be_written_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="asyncfc"):
        trace = play(trace=tmp_path / "no" / "such" / "folder.jsonl")
    assert "no longer written to" in caplog.text
    assert len(trace.events) > 20  # it goes on in memory


def test_one_listener_that_raises_does_not_cost_the_other_its_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Event] = []

    def bad(event: Event) -> None:
        seen.append(event)
        raise ValueError("listener")

    with caplog.at_level(logging.ERROR, logger="asyncfc"):
        trace = play(on_event=bad)
    assert (len(seen), len(trace.events) > 20) == (1, True)
    assert [call.outcome and call.outcome["kind"] for call in trace.record.calls.values()] == [
        "value",
        "value",
        "value",
        "failure",
    ]


def test_a_trace_is_a_listener() -> None:
    trace = Trace("mine")
    recorded = play(on_event=trace)
    assert trace.events == recorded.events


def test_it_keeps_no_value_alive() -> None:
    class Big:
        pass

    refs: list[weakref.ref[Big]] = []

    @tool(pure=True)
    async def make() -> Any:
        made = Big()
        refs.append(weakref.ref(made))
        return {"text": "x" * 100_000, "artifact": made}

    async def main() -> Trace:
        async with Session([make], trace=True, max_retained_bytes=1) as session:
            await session.submit([Call("c1", "make", {})])
            await session.await_future()
            return session.trace

    trace = run_virtual(main)
    gc.collect()
    assert refs[0]() is None
    assert all(len(line_of(event)) < 2 * MAX_CHARS + 500 for event in trace.events)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 3000, "x" * 2000 + "… (3,000 characters)"),
        ([1] * 102, [1] * 100 + ["… 2 more"]),
        ({str(n): n for n in range(101)}, {str(n): n for n in range(100)} | {"…": "1 more"}),
        ({1: (None, True, 2.5)}, {"1": [None, True, 2.5]}),
        ({1, 2}, "{1, 2}"),
        (float("inf"), "inf"),
        ({"n": 10**5000}, {"n": "… (16,610 bits)"}),
        ({"n": float("nan")}, {"n": "nan"}),
        ("\ud800", "\ud800"),
    ],
)
def test_brief(value: object, shown: object) -> None:
    assert brief(value) == shown


class Rude:
    """An object whose code raises."""

    def __str__(self) -> str:
        raise RuntimeError("rude")

    __repr__ = __str__


class RudeMapping(dict[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("rude")


@pytest.mark.parametrize("value", [Rude(), {Rude(): 1}, [Rude()], RudeMapping(a=1), {"a": RudeMapping(a=1)}])
def test_brief_raises_nothing(value: object) -> None:
    json.dumps(brief(value), allow_nan=False)


def test_brief_has_one_budget_for_all() -> None:
    cube = [[["x" * 100] * 100] * 100] * 100
    assert len(json.dumps(brief(cube))) < 3 * MAX_TOTAL
    assert len(json.dumps(brief({str(n): "y" * 1_999 for n in range(100)}))) < 3 * MAX_TOTAL


def test_objects_among_arguments_are_not_kept_and_cannot_end_a_run() -> None:
    class Thing:
        pass

    refs: list[weakref.ref[Thing]] = []

    async def body(session: Session) -> None:
        thing = Thing()
        refs.append(weakref.ref(thing))
        await session.submit([Call("1", "find", {"city": thing}), Call("2", "find", {"city": {Rude(): 1}})])
        await session.await_future()

    trace = play(body)
    gc.collect()
    assert refs[0]() is None
    assert [call.written for call in trace.record.calls.values()][1] != {}
    assert sum(trace.report.outcomes.values()) == 2


def test_names_and_labels_are_short() -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("x" * 9_000, "book", {"flight": "f" * 9_000}), Call("2", "t" * 9_000, {})])
        await session.submit([Call("3", "book", {"flight": "f" * 9_000})])
        await session.await_future()

    trace = play(body)
    assert max(len(line_of(event)) for event in trace.events) < 3_500
    assert len(trace.report.why(2)) < 1_000


def test_a_huge_number_and_no_number_at_all_are_written(tmp_path: Path) -> None:
    async def body(session: Session) -> None:
        text = '{"city": Infinity}'
        await session.submit([Call("1", "find", {"city": 10**5000}), Call("2", "find", text)])
        await session.await_future()

    trace = play(body, trace=tmp_path / "run.jsonl")
    assert Trace.load(tmp_path / "run.jsonl").events == trace.events
    trace.perfetto(tmp_path / "run.json")
    assert "Infinity" not in (tmp_path / "run.json").read_text()


def test_half_a_surrogate_pair_can_be_exported(tmp_path: Path) -> None:
    async def body(session: Session) -> None:
        await session.submit(
            [Call("1", "book", {"flight": "\ud800"}), Call("2", "book", {"flight": "\ud800"})]
        )
        await session.await_future()

    trace = play(body, trace=tmp_path / "run.jsonl")
    for write in (trace.dot, trace.mermaid, trace.picture, trace.timeline, trace.perfetto):
        write(tmp_path / "out")
    assert Trace.load(tmp_path / "run.jsonl").events == trace.events


@pytest.mark.parametrize("wrong", [None, 5, object()])
def test_a_setting_that_is_no_file_is_refused(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match="trace="):
        Session([], trace=wrong)


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(TraceError, match=r"some\.jsonl is no trace"):
        Trace.load(tmp_path / "some.jsonl")


def test_brief_ends_in_deep_and_in_circular_values() -> None:
    deep: list[Any] = []
    deep.append(deep)
    assert len(json.dumps(brief(deep))) < 200


@given(program=st.one_of(programs(limits=True), irreversible(), cancelled(), timed()), seed=st.integers(0, 9))
def test_what_a_trace_keeps_is_json_and_reads_back_as_it_was(program: Program, seed: int) -> None:
    trace = Trace()
    for event in in_session(program, seed=seed).events:
        trace(event)
    for event in trace.events:
        assert Event(**json.loads(line_of(event))) == event


def test_the_timeline_of_a_session_is_that_of_its_trace(tmp_path: Path) -> None:
    async def body(session: Session) -> None:
        await converse(session)
        session.timeline(tmp_path / "a.html")
        session.trace.timeline(tmp_path / "b.html")

    play(body)
    assert (tmp_path / "a.html").read_text() == (tmp_path / "b.html").read_text()


def test_a_session_that_is_closed_closes_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        session = Session([], trace=tmp_path / "a.jsonl")
        with session.sampling():
            await asyncio.sleep(0)
        await session.close()
        assert len(session.trace.events) == 2

    run_virtual(main)  # an open file would be a ResourceWarning, which is an error here
    gc.collect()
