from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc import Call, Runtime, Session, tool
from asyncfc.futures.outcome import Cancelled
from asyncfc.testing.eventful import cancelled, irreversible, timed
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.programs import Program, programs
from asyncfc.testing.trial import in_session
from asyncfc.trace.events import Event
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


def test_the_work_of_a_call_that_makes_calls_goes_on_until_theirs_ends() -> None:
    @tool
    async def outer() -> str:
        await asyncio.sleep(0.1)
        await session_of[0].submit([Call("inner", "find", {"city": "Oslo"})])
        return "asked"

    @tool
    async def after() -> None:
        await asyncio.sleep(1)

    session_of: list[Session] = []

    async def nested(session: Session) -> None:
        session_of.append(session)
        session.offer(outer)
        session.offer(after)
        await session.submit([Call("c1", "outer", {}), Call("c2", "after", {})])
        await session.await_future()

    report = play(nested).report
    assert report.t_tool == pytest.approx(2.1)
    assert report.t_cp == pytest.approx(2.1)
    assert report.bound == pytest.approx(1)


def test_a_call_that_waits_for_its_own_does_not_work() -> None:
    @tool
    async def outer() -> Any:
        return await session_of[0].call("find", {"city": "Oslo"})

    session_of: list[Session] = []

    async def nested(session: Session) -> None:
        session_of.append(session)
        session.offer(outer)
        await session.submit([Call("c0", "find", {"city": "Rome"}), Call("c1", "outer", {})])
        await session.await_future()

    report = play(nested, limits={"*": 1}).report
    assert report.t_tool == pytest.approx(2)
    assert report.saving == pytest.approx(0)


def test_a_wait_for_a_thread_is_no_work() -> None:
    trace = Trace()
    parts: list[tuple[float, Any, dict[str, Any]]] = [
        (0, "sealed", {"tool": "slow", "call_id": "1", "level": "read", "arguments": {}, "parent": None,
                       "needs": [], "gates": [], "data": (), "effects": {}}),
        (0, "started", {"arguments": {}}),
        (2, "begun", {}),
        (3, "settled", {"outcome": Cancelled("late")}),
    ]  # fmt: skip
    for t, kind, data in parts:
        trace(Event(t, kind, 0, data))
    report = trace.report
    assert report.t_tool == 1
    assert report.why(0) == "slow (1) waited 2 s for a thread or a process"


@pytest.mark.slow
def test_threads_say_when_they_take_the_work() -> None:
    @tool(pure=True, thread="worker")
    def sync() -> None:
        pass

    async def main() -> list[str]:
        async with Session([sync], trace=True) as session:
            await session.submit([Call("1", "sync", {})])
            await session.await_future()
            return [event.kind for event in session.trace.events]

    kinds = asyncio.run(main())
    assert kinds.index("started") < kinds.index("begun") < kinds.index("settled")


def test_calls_that_never_enter_the_order_are_told_with_all_they_have() -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("a", "nothing", {"x": 1}), Call("b", "find", "no json")])
        await session.submit([Call("c", "find", {"city": "Oslo"}), Call("d", "find", {"city": "Oslo"})])
        await session.await_future()

    calls = play(body, duplicates="share").record.calls
    assert [(call.tool, call.call_id, call.written) for call in calls.values()] == [
        ("nothing", "a", {"x": 1}),
        ("find", "b", "no json"),
        ("find", "c", {"city": "Oslo"}),
        ("find", "d", {"city": "Oslo"}),
    ]
    assert calls[3].needs == (2,)


def test_a_call_that_shares_an_outcome_settles_once() -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("a", "find", {"city": "Oslo"})])
        message = session.message()
        message.seal(Call("b", "find", {"city": "Oslo"}))
        message.withdraw()

    events = play(body, duplicates="share").events
    assert [event.kind for event in events if event.call == 1].count("settled") == 1


def test_sessions_of_one_runtime_have_reports_of_their_own() -> None:
    @tool(writes="flights.{flight}")
    async def reserve(flight: str) -> None:
        await asyncio.sleep(1)

    @tool(reads="flights.{flight}")
    async def look(flight: str) -> None:
        await asyncio.sleep(1)

    @tool(pure=True)
    async def find() -> dict[str, str]:
        await asyncio.sleep(1)
        return {"id": "a"}

    async def main() -> list[Report]:
        runtime, tools = Runtime(), [find, reserve, look]
        first = Session(tools, runtime=runtime, trace=True)
        second = Session(tools, runtime=runtime, trace=True)
        async with first, second:
            [found] = await first.submit([Call("1", "find", {})])
            await first.submit([Call("2", "reserve", {"flight": f"{found.future}.id"})])
            await second.submit([Call("3", "look", {"flight": "b"}), Call("4", "look", {"flight": "a"})])
            await first.await_future()
            await second.await_future()
        runtime.close()
        return [first.trace.report, second.trace.report]

    first, second = run_virtual(main())
    assert first.t_cp == 2
    whys = [second.why(order) for order in second.calls]
    assert "for a call of another session to end (RAW flights.b)" in whys[0]
    assert whys[0].split(" waited ")[1].startswith("1 s")  # until it was known to be another flight
    assert whys[1].split(" waited ")[1].startswith("2 s")


def test_waits_and_requests_that_overlap_keep_their_own_times() -> None:
    async def body(session: Session) -> None:
        first, second = await session.submit(
            [Call("1", "find", {"city": "Oslo"}), Call("2", "find", {"city": "Rome"})]
        )

        async def request(start: float, seconds: float) -> None:
            await asyncio.sleep(start)
            with session.sampling():
                await asyncio.sleep(seconds)

        await asyncio.gather(
            session.await_future(second.future),
            session.await_future(first.future),
            request(0, 5),
            request(1, 1),
        )

    record = play(body).record
    assert sorted(record.waits) == [((0, 1), (0,)), ((0, 2), (1,))]
    assert [message.decoding for message in record.messages][-2:] == [[(0, 5)], [(1, 2)]]


def test_to_be_asked_for_late_is_no_wait_for_a_slot() -> None:
    async def body(session: Session) -> None:
        message = session.message()
        future = message.seal(Call("1", "find", {"city": "Oslo"}), waits=True)
        message.commit()
        await asyncio.sleep(5)
        message.ask_for(future)
        await session.await_future()

    waits = play(body, rates={"tool:find": "100/s"}).report.waits[0]
    assert [(wait.cause, wait.seconds) for wait in waits] == [("start", 5)]


def test_a_request_that_is_sent_again_is_as_extra_as_the_first() -> None:
    async def body(session: Session) -> None:
        session.note_extra()
        with pytest.raises(ConnectionError), session.sampling():
            raise ConnectionError
        with session.sampling():
            await asyncio.sleep(1)
        await session.submit([Call("1", "find", {"city": "Oslo"})])
        with session.sampling():
            await asyncio.sleep(1)

    record = play(body).record
    assert [message.extra for message in record.messages] == [True, True, False]
    assert record.calls[0].message == 2  # a request that failed counts


@pytest.mark.parametrize("grace", [0.5, 60])
def test_for_how_long_answers_were_held_is_told(grace: float) -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("1", "find", {"city": "Oslo"})])
        await session.await_future()

    trace = play(body, grace=grace)
    held = min(grace, 1)
    assert trace.report.held == held
    assert trace.report.why(0).endswith(f"its answer was held for {held:g} s")
    assert f"answers held {held:g} s" in str(trace.report)
    assert [event.data["decision"] for event in trace.events if event.kind == "held"] == [
        "budget spent" if grace < 1 else "settled"
    ]


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
    assert report.bound is None or report.bound >= 1 - 1e-9
    assert report.saving >= -1e-9
    path = report.critical_path
    for older, newer in pairwise(path):
        call = report.calls[newer]
        assert older in {*call.needs, *call.gates, *(one.call for one in call.after)}
