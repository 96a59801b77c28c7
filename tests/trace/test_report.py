from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc import Call, Session, tool
from asyncfc.testing.eventful import cancelled, irreversible, timed
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.trial import in_session
from asyncfc.trace.record import length, union
from asyncfc.trace.report import Report
from asyncfc.trace.trace import Trace
from tests.trace.runs import play

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ab: (min(ab), max(ab))))


def test_the_figures_are_those_of_the_papers() -> None:
    report = play().report
    assert report.t_llm == pytest.approx(0.5 + 0.5 + 0.7)
    assert report.t_tool == pytest.approx(1 + 1 + 2 + 0.5)
    assert report.critical_path == (0, 2, 3)  # find, book, mail
    assert report.t_cp == pytest.approx(1 + 2 + 0.5)
    assert report.bound == pytest.approx((1.7 + 4.5) / 3.5)
    assert report.wall == pytest.approx(4.0)
    # M: 0-1.7. E: 0.5-1.5, 1.5-2.5, 1.5-3.5, 3.5-4.
    assert report.saving == pytest.approx(1.7 + 4.5 - 4.0)


def test_counts_by_outcome_and_extra_messages() -> None:
    report = play().report
    assert (len(report.calls), dict(report.outcomes)) == (4, {"value": 3, "failure": 1})
    assert (report.messages, report.extra_messages) == (3, 0)


def test_it_says_what_each_call_waited_for() -> None:
    report = play().report
    tag = str(report.calls[0].handle)[:-1]
    last = f"mail ({tag}4) waited 1.5 s for the value of find ({tag}2), then 1 s for book ({tag}3) to end"
    assert [report.why(order) for order in report.calls] == [
        f"find ({tag}1) waited for nothing",
        f"find ({tag}2) waited 1 s for a slot (tool:find)",
        f"book ({tag}3) waited 0.5 s for the value of find ({tag}1)",
        f"{last} (WAW *)",
    ]
    assert report.waited == pytest.approx({"limit": 1, "data": 2, "effect": 1})


def test_it_fits_on_a_few_lines() -> None:
    assert str(play().report).splitlines() == [
        "calls     4 (1 failure, 3 value)",
        "messages  3, 0 of them extra",
        "time      4 s: model 1.7 s, tools 4.5 s",
        "overlap   2.2 s; critical path 3.5 s; bound 1.77",
        "waited    data 2 s, effect 1 s, limit 1 s",
    ]


def test_a_run_of_nothing_has_a_report_too() -> None:
    async def nothing(session: Session) -> None:
        pass

    report = play(nothing).report
    assert (report.bound, report.wall, report.critical_path, report.t_cp) == (None, 0.0, (), 0.0)
    assert str(report).startswith("calls     0 (none)")


def test_a_write_waits_for_its_message_and_a_read_does_not() -> None:
    async def stream(session: Session) -> None:
        message = session.message()
        message.seal(Call("c1", "find", {"city": "Oslo"}))
        message.seal(Call("c2", "book", {"flight": "x"}))
        await asyncio.sleep(3)
        message.commit()
        await session.await_future()

    report = play(stream).report
    assert "waited for nothing" in report.why(0)
    assert report.why(1).endswith("waited 3 s for its message to be complete")


def test_a_gate_is_told_from_a_value() -> None:
    @tool(writes="bank", level="irreversible")
    async def pay() -> str:
        return "paid"

    async def gated(session: Session) -> None:
        session.offer(pay)
        await session.submit([Call("c1", "find", {"city": "Oslo"}), Call("c2", "pay", {})])
        await session.await_future()

    report = play(gated).report
    assert [(wait.cause, wait.of, wait.seconds) for wait in report.waits[1]] == [("gate", 0, 1.0)]
    assert report.critical_path[-1] == 1 or report.calls[1].seconds == 0


def test_pauses_in_a_message_are_no_decoding() -> None:
    async def paused(session: Session) -> None:
        with session.sampling():
            await asyncio.sleep(1)
            with session.pausing():
                await asyncio.sleep(5)
            await asyncio.sleep(2)

    [message] = play(paused).record.messages
    assert message.decoding == [(0, 1), (6, 8)]


def test_a_request_that_failed_is_told() -> None:
    async def failed(session: Session) -> None:
        with pytest.raises(ConnectionError), session.sampling():
            raise ConnectionError
        with session.sampling():
            await asyncio.sleep(1)
        await session.submit([Call("c1", "find", {"city": "Oslo"})])

    messages = play(failed).record.messages
    assert [(message.ok, message.calls) for message in messages] == [(False, []), (True, [0])]


def test_calls_of_programs_have_messages_without_requests() -> None:
    async def program(session: Session) -> None:
        await session.submit([Call("c1", "find", {"city": "Oslo"})])
        await session.submit([Call("c2", "find", {"city": "Oslo"})])
        await session.await_future()

    report = play(program).report
    assert [message.calls for message in report.record.messages] == [[0], [1]]
    assert report.t_llm == 0


def test_a_call_inside_another_counts_once() -> None:
    @tool
    async def outer() -> Any:
        return await session_of[0].call("find", {"city": "Oslo"})

    session_of: list[Session] = []

    async def nested(session: Session) -> None:
        session_of.append(session)
        session.offer(outer)
        await session.submit([Call("c1", "outer", {})])
        await session.await_future()

    report = play(nested).report
    assert (report.t_tool, report.calls[1].parent, report.calls[1].message) == (1.0, 0, None)


@given(SPANS)
def test_union_is_what_counting_seconds_gives(spans: list[tuple[int, int]]) -> None:
    seconds = {second for start, stop in spans for second in range(start, stop)}
    assert union(spans) == len(seconds)
    assert length(spans) == sum(stop - start for start, stop in spans)


def _report(program: Program, seed: int) -> Report:
    trace = Trace("trial")
    for event in in_session(program, seed=seed).events:
        trace(event)
    return trace.report


@given(program=st.one_of(programs(limits=True), irreversible(), cancelled(), timed()), seed=st.integers(0, 9))
def test_every_moment_of_waiting_is_explained(program: Program, seed: int) -> None:
    report = _report(program, seed)
    for order, call in report.calls.items():
        waits = report.waits[order]
        assert all(wait.cause != "start" for wait in waits), report.why(order)
        if call.sealed is not None and call.started is not None:
            borders = [call.sealed, *(wait.stop for wait in waits)]
            assert borders[-1] == call.started
            assert [wait.start for wait in waits] == borders[:-1]


@given(program=programs(), seed=st.integers(0, 9))
def test_a_wait_ends_when_what_was_waited_for_has_come(program: Program, seed: int) -> None:
    report = _report(program, seed)
    for order, waits in report.waits.items():
        for wait in waits:
            older = None if wait.of is None else report.calls[wait.of]
            if wait.cause == "data":
                assert older is not None
                assert older.settled == wait.stop
            if wait.cause == "effect":
                assert older is not None
                dropped = [one.dropped for one in report.calls[order].effects if one.call == older.order]
                assert wait.stop in {older.released, *dropped}


@given(program=programs(), seed=st.integers(0, 9))
def test_figures_hang_together(program: Program, seed: int) -> None:
    report = _report(program, seed)
    assert 0 <= report.t_cp <= report.t_tool + 1e-9
    assert report.t_cp <= report.wall + 1e-9
    assert report.saving >= -1e-9
    path = report.critical_path
    for older, newer in pairwise(path):
        call = report.calls[newer]
        assert older in {*call.needs, *call.gates, *(one.call for one in call.after)}
